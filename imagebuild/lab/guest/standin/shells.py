"""Remote shells and the commands in them: who has which open, what a command has written and not yet been asked for."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple
from uuid import uuid4

from imagebuild.lab.guest.standin import faults
from imagebuild.lab.guest.standin.host import Host

MOST_UNREAD = 4 << 20
"""Bytes that a command may be ahead of its client; then its next write waits, as on a full pipe."""
LINGER = 0.02
"""Seconds that Receive waits for more after the first output: most commands then need one Receive, not two."""
LONGEST_CMD_LINE = 8191
"""cmd.exe's limit in characters; without cmd (WINRS_SKIP_CMD_SHELL) CreateProcess takes 32767."""
IDLE_SECONDS = 7200.0
PIECE_ROOM = 128
"""Bytes that a piece's element costs beside its text."""


class Received(NamedTuple):
    """What a Receive gives: pieces of output in order, and the exit code once all is out."""

    pieces: list[tuple[str, bytes]]
    exit_code: int | None


class Command:
    """One running command; to the model of Windows it is a `Call`."""

    def __init__(self, line: str, shell: Shell) -> None:
        self.line = line
        self.environment = dict(shell.environment)
        self.codepage = shell.codepage
        self.user = shell.user
        self.stdin: Iterator[bytes] = iter(self._next_input, None)
        self._changed = threading.Condition()
        self._input: deque[bytes] = deque()
        self._input_ended = False
        self._output: deque[tuple[str, bytes]] = deque()
        self._unread = 0
        self._exit_code: int | None = None
        self._stopped = False

    def stdout(self, text: bytes) -> None:
        """The model writes to the client's standard output."""
        self._write("stdout", text)

    def stderr(self, text: bytes) -> None:
        """The model writes to the client's standard error."""
        self._write("stderr", text)

    def stopped(self) -> bool:
        """True once the client sent terminate or deleted the shell."""
        return self._stopped

    def start(self, host: Host) -> None:
        """Run it in a thread of its own."""
        threading.Thread(target=self._run, args=(host,), daemon=True, name=f"command {self.line[:40]}").start()

    def send(self, text: bytes, *, end: bool) -> None:
        """The client's input. What comes after the command ended is dropped, as a closed pipe does."""
        with self._changed:
            if text:
                self._input.append(text)
            self._input_ended = self._input_ended or end
            self._changed.notify_all()

    def stop(self) -> None:
        """The client wants it ended: reads and writes that wait come back."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def end(self, code: int) -> None:
        """The command is over with that exit code."""
        with self._changed:
            self._exit_code = code
            self._changed.notify_all()

    def receive(self, timeout: float, *, most: int) -> Received | None:
        """Output of up to `most` bytes as soon as there is some, or the end; None when `timeout` seconds bring neither."""
        with self._changed:
            if not self._changed.wait_for(self._has_news, timeout):
                return None
            self._changed.wait_for(lambda: self._exit_code is not None or self._unread >= most, LINGER)
            pieces = self._take(most)
            self._changed.notify_all()
            return Received(pieces, None if self._output else self._exit_code)

    def _has_news(self) -> bool:
        return bool(self._output) or self._exit_code is not None

    def _take(self, most: int) -> list[tuple[str, bytes]]:
        """Neighbours of the same stream become one piece: each costs the answer an element."""
        pieces: list[tuple[str, bytes]] = []
        while self._output and most > 0:
            name, text = self._output.popleft()
            if len(text) > most:
                self._output.appendleft((name, text[most:]))
                text = text[:most]
            most -= len(text)
            self._unread -= len(text)
            if pieces and pieces[-1][0] == name:
                pieces[-1] = (name, pieces[-1][1] + text)
            else:
                most -= PIECE_ROOM
                pieces.append((name, text))
        return pieces

    def _write(self, name: str, text: bytes) -> None:
        if not text:
            return
        with self._changed:
            self._changed.wait_for(lambda: self._unread < MOST_UNREAD or self._stopped)
            self._output.append((name, bytes(text)))
            self._unread += len(text)
            self._changed.notify_all()

    def _next_input(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self._input or self._input_ended or self._stopped)
            return self._input.popleft() if self._input and not self._stopped else None

    def _run(self, host: Host) -> None:
        code: int | None = None
        try:
            code = host.run(self)
        finally:  # an error of the model ends the command too; its trace goes to standard error, which is the console
            if code is None:
                self.stderr(b"stand-in for Windows: an error of its own, see its console\r\n")
            self.end(1 if code is None else code)


class Shell:
    """One user's shell: its variables, its code page, its commands."""

    def __init__(self, user: str, environment: dict[str, str], codepage: int) -> None:
        self.id = str(uuid4()).upper()
        self.user = user
        self.environment = environment
        self.codepage = codepage
        self.commands: dict[str, Command] = {}
        self.used_at = time.monotonic()

    def run(self, line: str, *, command_id: str | None, without_cmd: bool, host: Host) -> str:
        """Start a command; gives its id. A line too long for cmd ends as it does in Windows: told on stderr, code 1."""
        command_id = (command_id or str(uuid4())).upper()
        command = Command(line, self)
        self.commands[command_id] = command
        if not without_cmd and len(line) > LONGEST_CMD_LINE:
            command.stderr(b"The command line is too long.\r\n")
            command.end(1)
        else:
            command.start(host)
        return command_id

    def find(self, command_id: str) -> Command:
        """Raises a Fault for a command that is not there."""
        command = self.commands.get(command_id.upper())
        if command is None:
            raise faults.no_such_command(command_id)
        return command

    def close(self) -> None:
        """End all that runs in it."""
        for command in self.commands.values():
            command.stop()


class Shells:
    """All open shells of the machine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Shell] = {}

    def open(self, shell: Shell, *, most: int) -> None:
        """Add a new one. Raises the quota's Fault when its user has `most` open; those idle for two hours do not count."""
        with self._lock:
            for old in [s for s in self._open.values() if time.monotonic() - s.used_at > IDLE_SECONDS]:
                self._open.pop(old.id).close()
            if sum(other.user.lower() == shell.user.lower() for other in self._open.values()) >= most:
                raise faults.too_many_shells(most)
            self._open[shell.id] = shell

    def find(self, shell_id: str) -> Shell:
        """Raises a Fault for a shell that is not there."""
        with self._lock:
            shell = self._open.get(shell_id.upper())
        if shell is None:
            raise faults.no_such_shell(shell_id)
        shell.used_at = time.monotonic()
        return shell

    def close(self, shell_id: str) -> None:
        """Close it and end its commands. Raises a Fault for a shell that is not there."""
        shell = self.find(shell_id)
        with self._lock:
            self._open.pop(shell.id, None)
        shell.close()
