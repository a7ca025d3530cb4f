"""The journal of one build: append-only JSON lines, on disk before the act, locked by the process that writes it.

A torn last line (power cut, full disk) is dropped when reading and cut off before the next line is written. The lock ends with the
process, also after kill -9, so "is this build alive?" is a question to the kernel, not to a pid file.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from imagebuild.errors import Busy, ImagebuildError
from imagebuild.secrets import hide


@dataclass(frozen=True)
class Entry:
    """One line: what happened, when (UTC, ISO), and its facts."""

    event: str
    at: str
    facts: Mapping[str, Any]


class Journal:
    """The open journal of a build that this process owns. Use as a context manager; raises Busy when another process has it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            words = f"the build {path.parent.name} is being worked on by another process"
            raise Busy(words, hint="wait for it, or end that process") from error
        os.ftruncate(self._file, _whole_lines(path.read_bytes()))
        os.lseek(self._file, 0, os.SEEK_END)

    def write(self, event: str, **facts: Any) -> None:
        """Append one line and see it on the disk before coming back. Raises ImagebuildError when the disk will not take it."""
        entry = {"event": event, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), **facts}
        line = hide(json.dumps(entry, ensure_ascii=True, default=str)).encode() + b"\n"
        try:
            if os.write(self._file, line) != len(line):
                raise OSError("the line was written in part")
            os.fsync(self._file)
        except OSError as error:
            raise ImagebuildError(
                f"the journal {self._path} cannot be written: {error.strerror or error}",
                hint="free disk space, then run again",
            ) from error

    def entries(self) -> tuple[Entry, ...]:
        """Everything written so far."""
        return read_journal(self._path)

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_journal(path: Path) -> tuple[Entry, ...]:
    """The whole lines of a journal, whoever owns it; empty when there is none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ()
    entries = []
    for line in content[: _whole_lines(content)].splitlines():
        facts = json.loads(line)
        entries.append(Entry(facts.pop("event"), facts.pop("at"), facts))
    return tuple(entries)


def is_owned(path: Path) -> bool:
    """True while a living process holds this journal."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _whole_lines(content: bytes) -> int:
    """How many bytes belong to whole, readable lines."""
    end = content.rfind(b"\n") + 1
    while end:
        begin = content.rfind(b"\n", 0, end - 1) + 1
        try:
            json.loads(content[begin:end])
        except ValueError:  # zeros after a power cut, or half a line that a later write closed
            end = begin
            continue
        return end
    return 0
