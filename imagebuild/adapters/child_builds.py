"""A build as a process of its own: started, read, asked to end, killed. Its output goes to a log file, which is read as it grows.

A file and no pipe: nobody has to read it in time, it is kept, and a build goes on when whoever started it is killed.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from imagebuild.errors import ImagebuildError


class ChildBuild:
    """One `invoke TASK ...` of the project under way. Raises ImagebuildError when it cannot be started."""

    def __init__(self, arguments: Sequence[str], *, project: Path, log: Path) -> None:
        command = [sys.executable, "-m", "invoke", "--search-root", str(project), *arguments]
        self._rest = b""
        try:
            log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                # A session of its own: Ctrl-C at the terminal reaches the parent alone, which passes it on once.
                self._process = subprocess.Popen(
                    command,
                    cwd=project,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            finally:
                os.close(output)
            self._log = log.open("rb")
        except OSError as error:
            words = f"`invoke {' '.join(arguments)}` cannot be started: {error}"
            raise ImagebuildError(words, hint=f"is there room and may you write in {log.parent}?") from error

    def lines(self) -> list[str]:
        """The whole lines that it has written since the last call; after its end also a last one that is not whole."""
        ended = self.exit_code() is not None
        content = self._rest + self._log.read()
        *whole, self._rest = content.split(b"\n")
        if ended and self._rest:
            whole.append(self._rest)
            self._rest = b""
        return [line.decode("utf-8", "replace") for line in whole]

    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    def interrupt(self) -> None:
        """Ask it to end: a build then undoes what it has made, which takes its time."""
        if self.exit_code() is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and what it has started, at once. What it has made stands until a sweep."""
        if self.exit_code() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def close(self) -> None:
        """Stop reading. A process that still runs goes on."""
        self._log.close()
