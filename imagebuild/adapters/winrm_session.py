"""One WinRM shell, reused and always closed, with a deadline on every call: pywinrm's own loop waits for ever."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from winrm.exceptions import WinRMOperationTimeoutError

from imagebuild.adapters.winrm_endpoint import OPERATION_SECONDS
from imagebuild.adapters.winrm_errors import FAILURES, LogonRefused, make_guest_error
from imagebuild.errors import DeadlinePassed, GuestError, SessionLost
from imagebuild.secrets import hide
from imagebuild.waiting import Clock, Deadline

Result = TypeVar("Result")

CODEPAGE = 65001  # with 437, the default, Windows replaces Hangul by question marks
SEND_BYTES = 64 * 1024  # base64 of it and its envelope stay below Windows 7's limit of 150 KB
_CONNECT_SECONDS = 5.0  # the kernel asks again after 1 and 3 s; a guest that boots is better asked anew than waited for
_MARGIN_SECONDS = 10  # Windows answers by the end of the operation's time, the network some time later
_CLOSING_SECONDS = 5.0
_RESTED_SECONDS = 60.0  # Windows 7 closes an idle shell after 180 s; what rested this long is opened anew
_KEPT_ERROR_BYTES = 16 * 1024


@dataclass(frozen=True)
class CommandLine:
    """A program and its arguments. `direct` starts it without cmd.exe: 32767 characters instead of 8191."""

    program: str
    arguments: Sequence[str] = ()
    direct: bool = False


@dataclass(frozen=True)
class Ended:
    """How a command ended: the exit code as Windows' unsigned 32 bits, and the end of what it wrote to standard error."""

    exit_code: int
    stderr: bytes


class WinRmSession:
    """A session that mends itself: after a drop the next call begins with a new Protocol and a new shell.

    `make_protocol` gives a fresh pywinrm Protocol; the old one, with its NTLM state and its connection, is never used again.
    """

    def __init__(self, address: str, make_protocol: Callable[[], Any], *, clock: Clock) -> None:
        self.address = address
        self.clock = clock
        self._make_protocol = make_protocol
        self._protocol: Any = None
        self._shell: str | None = None
        self._used_at = 0.0
        self._left_behind: list[str] = []

    def execute(
        self, line: CommandLine, *, stdin: Iterable[bytes], deadline: Deadline, on_stdout: Callable[[bytes], None]
    ) -> Ended:
        """Run a command to its end, feed it `stdin`, hand its output on as it arrives.

        Raises GuestUnreachable, GuestRefused, SessionLost, GuestError, and DeadlinePassed after ending the command.
        """
        command = self._begin(line, deadline)
        try:
            self._feed(command, stdin, deadline)
            return self._collect(command, deadline, on_stdout)
        finally:
            self._terminate(command)

    def close(self) -> None:
        """Close the shell; never raises. The next call opens a new one."""
        if self._protocol is None:
            return
        protocol, shell, self._protocol, self._shell = self._protocol, self._shell, None, None
        if shell is not None and not close_shell(protocol, shell, seconds=_CLOSING_SECONDS):
            self._left_behind.append(shell)
        protocol.transport.close_session()

    def _begin(self, line: CommandLine, deadline: Deadline) -> str:
        """Start the command. A shell that is gone has started nothing, so a new one may try."""
        if self._shell is not None and self.clock.now() - self._used_at > _RESTED_SECONDS:
            self.close()
        reused = self._shell is not None
        try:
            return self._start(line, deadline)
        except SessionLost:
            if not reused:
                raise
            return self._start(line, deadline)

    def _start(self, line: CommandLine, deadline: Deadline) -> str:
        shell = self._open(deadline)
        return str(
            self._call(
                lambda: self._protocol.run_command(
                    shell, line.program, line.arguments, console_mode_stdin=False, skip_cmd_shell=line.direct
                ),
                "start a command",
                deadline,
            )
        )

    def _open(self, deadline: Deadline) -> str:
        if self._shell is None:
            self._protocol = self._make_protocol()
            opened: str = self._call(lambda: self._protocol.open_shell(codepage=CODEPAGE), "open a shell", deadline)
            self._shell = opened
            self._sweep(deadline)
        return self._shell

    def _sweep(self, deadline: Deadline) -> None:
        """Close shells that a drop left behind: five of them lock a user out of Windows 7."""
        left, self._left_behind = self._left_behind, []
        for shell in left:
            close_shell(self._protocol, shell, seconds=min(deadline.left(), _CLOSING_SECONDS))

    def _feed(self, command: str, stdin: Iterable[bytes], deadline: Deadline) -> None:
        for piece, last in _with_last(stdin):
            send = partial(self._protocol.send_command_input, self._shell, command, piece, end=last)
            self._call(send, "send input to a command", deadline)

    def _collect(self, command: str, deadline: Deadline, on_stdout: Callable[[bytes], None]) -> Ended:
        def receive() -> tuple[bytes, bytes, int, bool]:
            try:
                out, err, code, done = self._protocol.get_command_output_raw(self._shell, command)
            except WinRMOperationTimeoutError:
                return b"", b"", -1, False  # nothing was written for a while: normal, the deadline decides
            return out, err, code, done

        errors = bytearray()
        while True:
            out, err, code, done = self._call(receive, "read a command's output", deadline)
            errors += err
            del errors[:-_KEPT_ERROR_BYTES]
            if out:
                on_stdout(out)
            if done:
                return Ended(exit_code=code & 0xFFFFFFFF, stderr=bytes(errors))

    def _call(self, ask: Callable[[], Result], doing: str, deadline: Deadline) -> Result:
        if deadline.passed():
            raise DeadlinePassed(
                f"could not {doing} on {self.address}: the time for it is over",
                hint="is the guest slow, or does the command hang? its console may tell",
            )
        limit_call(self._protocol, deadline.left())
        try:
            result = ask()
        except FAILURES as error:
            translated = make_guest_error(error, doing=doing, address=self.address)
            if self._shell is not None and isinstance(translated, LogonRefused):
                # Who has a shell has been let in by this password: the connection has lost its logon, and nothing was done.
                translated = SessionLost(f"{translated} in the middle of a session", hint=translated.hint)
                self._drop(gone=False)
            else:
                self._drop(gone=isinstance(translated, SessionLost))
            raise translated from None
        self._used_at = self.clock.now()
        return result

    def _drop(self, *, gone: bool) -> None:
        protocol, shell, self._protocol, self._shell = self._protocol, self._shell, None, None
        if shell is not None and not gone:
            self._left_behind.append(shell)
        protocol.transport.close_session()

    def _terminate(self, command: str) -> None:
        """Tell Windows that we are done with the command; ends it when it still runs. A lost shell needs nothing."""
        if self._shell is None:
            return
        try:
            deadline = Deadline.after(_CLOSING_SECONDS, self.clock)
            self._call(lambda: self._protocol.cleanup_command(self._shell, command), "end a command", deadline)
        except (GuestError, DeadlinePassed):
            self.close()


def limit_call(protocol: Any, seconds: float) -> None:
    """Bound the next call: how long Windows may think, and how long we wait for the connection and for each answer."""
    operation = int(max(1, min(OPERATION_SECONDS, seconds)))
    protocol.operation_timeout_sec = operation
    # requests takes the pair as it is; pywinrm hands it through.
    protocol.transport.read_timeout_sec = (min(_CONNECT_SECONDS, max(1.0, seconds)), operation + _MARGIN_SECONDS)


def close_shell(protocol: Any, shell: str, *, seconds: float) -> bool:
    """Close one shell; False when that failed. It is gone with a reboot then, or by its idle time-out."""
    limit_call(protocol, seconds)
    try:
        protocol.close_shell(shell, close_session=False)
    except FAILURES:
        return False
    return True


def read_tail(data: bytes, lines: int = 20) -> tuple[str, ...]:
    """The last lines of some output, for a person, secrets hidden."""
    return tuple(hide(line.rstrip()) for line in data.decode("utf-8", "replace").splitlines()[-lines:] if line.strip())


def _with_last(pieces: Iterable[bytes]) -> Iterable[tuple[bytes, bool]]:
    """Each piece with the news whether it is the last one; an empty input is one empty piece."""
    held = b""
    for number, piece in enumerate(pieces):
        if number:
            yield held, False
        held = piece
    yield held, True
