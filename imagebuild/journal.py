"""The journal of one build: append-only JSON lines, on disk before the act, locked by the process that writes it.

A torn last line (power cut, full disk) is dropped when reading and cut off before the next line is written. The lock (of the
open file: F_OFD_SETLK) ends with the process, also after kill -9, so "is this build alive?" is a question to the kernel, not to a
pid file.
"""

import fcntl
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from imagebuild.errors import Busy, ImagebuildError
from imagebuild.secrets import hide

_FLOCK = "hhqqi4x"  # struct flock of fcntl(2) on 64 bit Linux: type, whence, start, length (0: to the end), pid
_LOCK = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


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
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _LOCK)
        except BlockingIOError as error:
            os.close(self._file)
            words = f"the build {path.parent.name} is being worked on by another process"
            raise Busy(words, hint="wait for it, or end that process") from error
        os.ftruncate(self._file, _whole_lines(path.read_bytes()))

    def write(self, event: str, **facts: Any) -> None:
        """Append one line and see it on the disk before coming back. Raises ImagebuildError when the disk will not take it."""
        entry = {"event": event, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), **facts}
        line = hide(json.dumps(entry, ensure_ascii=True, default=str)).encode() + b"\n"
        begin = os.lseek(self._file, 0, os.SEEK_END)
        try:
            if os.write(self._file, line) != len(line):
                raise OSError("the line was written in part")
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, begin)  # else the next line would be glued to this half
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
    """The readable lines of a journal, whoever owns it; empty when there is none.

    A line in the middle that cannot be read (a bad sector) is left out: one journal must not stop a sweep of all.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ()
    return tuple(entry for line in content.splitlines(keepends=True) if (entry := _read_line(line)))


def read_last(path: Path) -> str:
    """The event of a journal's last line, without a look at the rest; empty when there is none, or when it cannot be read."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ""
    entry = _read_line(content[content.rfind(b"\n", 0, -1) + 1 :])
    return entry.event if entry else ""


def is_owned(path: Path) -> bool:
    """True while a living process holds this journal. Only asks: an asker that took the lock for a moment could refuse it to its owner."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        standing = fcntl.fcntl(file, fcntl.F_OFD_GETLK, _LOCK)
    finally:
        os.close(file)
    return bool(struct.unpack(_FLOCK, standing)[0] != fcntl.F_UNLCK)


def _read_line(line: bytes) -> Entry | None:
    """One line as an entry; None for half a line and for the zeros that a power cut can leave."""
    try:
        facts = json.loads(line) if line.endswith(b"\n") else None
        return Entry(facts.pop("event"), facts.pop("at"), facts) if isinstance(facts, dict) else None
    except (ValueError, KeyError):
        return None


def _whole_lines(content: bytes) -> int:
    """How many bytes are left when what cannot be read at the end is cut off."""
    end = len(content)
    while end:
        begin = content.rfind(b"\n", 0, end - 1) + 1
        if _read_line(content[begin:end]):
            return end
        end = begin
    return 0
