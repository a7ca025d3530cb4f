"""For all tests: unit and step tests touch nothing outside their process. Who must says so with the marker `effects`."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_BANNED = frozenset(
    {
        "socket.connect",
        "socket.bind",
        "socket.getaddrinfo",
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.posix_spawn",
    }
)
_PURE = ("tests/unit/", "tests/steps/")
_banning = False


class Effect(BaseException):
    """An effect where none is allowed. No Exception, so that nothing under test can swallow it."""


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if _banning and event in _BANNED:
        raise Effect(f"{event} {arguments!r} in a test without effects; mark it with pytest.mark.effects if it must")


sys.addaudithook(
    _refuse
)  # for the life of the process: the interpreter asks it before every such call, also from C code


def pytest_configure(config: pytest.Config) -> None:
    """The marker of the tests that may have effects, and a Ctrl-C that works wherever the tests were started."""
    config.addinivalue_line("markers", "effects: a unit test that needs a socket or a process of this machine")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits a Ctrl-C that is off


@pytest.fixture(autouse=True)
def no_effects(request: pytest.FixtureRequest) -> Iterator[None]:
    """Sockets and processes are refused in unit and step tests."""
    global _banning
    place = request.path.relative_to(Path(__file__).parents[1]).as_posix()
    _banning = place.startswith(_PURE) and request.node.get_closest_marker("effects") is None
    yield
    _banning = False
