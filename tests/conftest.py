"""For all tests: unit and step tests touch nothing outside their process. Who must says so with the marker `effects`."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lanes import Lanes, Progress, Turns, arrange, needs_lab

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


@pytest.hookimpl(trylast=True)  # after the terminal's
def pytest_configure(config: pytest.Config) -> None:
    """The marker of the tests that may have effects, and a Ctrl-C that works wherever the tests were started."""
    config.addinivalue_line("markers", "effects: a unit test that needs a socket or a process of this machine")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits a Ctrl-C that is off
    if not hasattr(config, "workerinput"):  # a worker's words come to nobody: its reports go to who has started it
        config.pluginmanager.register(Progress(config.pluginmanager.getplugin("terminalreporter")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first."""
    arrange(items)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes | None:
    """With `--dist loadfile`: files, and our lanes."""
    return Lanes(config, log) if config.getoption("dist") == "loadfile" else None


_turns = Turns(Path(__file__))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test of the lab waits for its turn before anything is made for it."""
    if needs_lab(item):
        _turns.take(item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """The turn ends with the last lab test of a file, after all that was made for the file is gone."""
    try:
        return (yield)
    finally:
        if nextitem is None or nextitem.path != item.path or not needs_lab(nextitem):
            _turns.give_back()


@pytest.fixture(autouse=True)
def no_effects(request: pytest.FixtureRequest) -> Iterator[None]:
    """Sockets and processes are refused in unit and step tests."""
    global _banning
    place = request.path.relative_to(Path(__file__).parents[1]).as_posix()
    _banning = place.startswith(_PURE) and request.node.get_closest_marker("effects") is None
    yield
    _banning = False
