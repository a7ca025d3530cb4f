"""A pywinrm Protocol that plays from a script: shells, one command at a time, and the failures that a guest can have."""

from collections.abc import Callable, Iterable
from typing import Any

from winrm.exceptions import InvalidCredentialsError, WinRMOperationTimeoutError, WSManFaultError

from tests.fakes.clock import FakeClock

Received = tuple[bytes, bytes, int, bool]


def fault(code: int) -> WSManFaultError:
    """What pywinrm raises for a SOAP fault with that code."""
    return WSManFaultError(500, "Bad HTTP response", "<xml/>", "the reason", wsman_fault_code=code)


class Transport:
    """What the session sets and closes."""

    def __init__(self) -> None:
        self.read_timeout_sec: Any = None
        self.closed = 0

    def close_session(self) -> None:
        """Count it."""
        self.closed += 1


class Guest:
    """The machine behind all protocols of a test. `receives` are the answers to Receive in order; exceptions are raised."""

    def __init__(self, *receives: Received | Exception, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.receives = list(receives)
        self.failures: dict[str, list[Exception]] = {}
        self.said: list[str] = []
        self.stdin: list[tuple[bytes, bool]] = []
        self.protocols: list[Protocol] = []
        self.open_shells: set[str] = set()
        self.takes_seconds = 0.0  # how long every Receive takes
        self.timeouts: list[tuple[int, Any]] = []

    def make(self) -> "Protocol":
        """A fresh protocol."""
        self.protocols.append(Protocol(self))
        return self.protocols[-1]

    def fail(self, method: str, *errors: Exception) -> None:
        """The next calls of the method raise these."""
        self.failures.setdefault(method, []).extend(errors)


class Protocol:
    """The methods of winrm.protocol.Protocol that the session uses."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.transport = Transport()
        self.operation_timeout_sec = 0

    def _say(self, method: str, text: str = "") -> None:
        assert not self.transport.closed, "a protocol is not used again after its session was closed"
        self.guest.said.append(f"{method} {text}".strip())
        self.guest.timeouts.append((self.operation_timeout_sec, self.transport.read_timeout_sec))
        if self.guest.failures.get(method):
            raise self.guest.failures[method].pop(0)

    def open_shell(self, *, codepage: int) -> str:
        """A shell's id; the code page must be UTF-8."""
        self._say("open")
        assert codepage == 65001
        shell = f"shell{len(self.guest.said)}"
        self.guest.open_shells.add(shell)
        return shell

    def close_shell(self, shell: str, close_session: bool = True) -> None:
        """The session closes its connection by itself."""
        assert not close_session
        self._say("close", shell)
        self.guest.open_shells.discard(shell)

    def run_command(
        self, shell: str, program: str, arguments: Iterable[str], *, console_mode_stdin: bool, skip_cmd_shell: bool
    ) -> str:
        """A command's id."""
        assert not console_mode_stdin, "a script reads redirected standard input"
        self._say("run", " ".join([program, *arguments]))
        if shell not in self.guest.open_shells:
            raise fault(0x8033805B)
        return "command"

    def send_command_input(self, shell: str, command: str, piece: bytes, *, end: bool) -> None:
        """Keeps what was sent."""
        self._say("send")
        self.guest.stdin.append((piece, end))

    def get_command_output_raw(self, shell: str, command: str) -> Received:
        """The next answer, after the time that it takes."""
        self._say("receive")
        self.guest.clock.sleep(self.guest.takes_seconds)
        if not self.guest.receives:
            raise WinRMOperationTimeoutError
        answer = self.guest.receives.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cleanup_command(self, shell: str, command: str) -> None:
        """Signal terminate."""
        self._say("terminate")


WRONG_PASSWORD: Callable[[], Exception] = lambda: InvalidCredentialsError("the specified credentials were rejected")  # noqa: E731
