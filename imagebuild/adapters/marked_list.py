"""The list that we write for a broker's operators: the desktops that are please to be marked unavailable, CSV or JSON.

It is replaced as a whole, so that a reader never sees half of it, and under a lock, as several pools may share one list. What
others wrote into it stays.
"""

import csv
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

from imagebuild.broker import Seat
from imagebuild.errors import BrokerError, DeadlinePassed
from imagebuild.waiting import Clock, Deadline, wait_for

_COLUMNS = ("name", "pool", "reason", "since")
_LOCK_SECONDS = 10.0
_READABLE = 0o644

Row = dict[str, Any]


class MarkedList:
    """One such file, which is made with its first row."""

    def __init__(self, path: Path, *, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock

    def mark(self, seat: Seat, *, marked: bool, reason: str, at: datetime) -> None:
        """Have a row of this desktop, or none. A row that is there keeps its reason and its time."""
        with self._locked():
            rows = self._read()
            ours = [row for row in rows if _is_of(row, seat)]
            if bool(ours) == marked:
                return
            if marked:
                since = at.isoformat(timespec="seconds")
                rows.append({"name": seat.name, "pool": seat.pool, "reason": reason, "since": since})
            else:
                rows = [row for row in rows if row not in ours]
            self._write(rows)

    def _read(self) -> list[Row]:
        try:
            text = self._path.read_text(encoding="utf-8-sig")
            told = json.loads(text or "[]") if self._is_json() else list(csv.DictReader(StringIO(text)))
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise BrokerError(
                f"the list {self._path} cannot be read: {error}", hint="mend it or move it away; it is made anew"
            ) from error
        if not isinstance(told, list) or not all(isinstance(row, dict) for row in told):
            raise BrokerError(f"{self._path} is no list of objects", hint="move it away; it is made anew")
        return told

    def _write(self, rows: list[Row]) -> None:
        part = self._path.with_name(self._path.name + ".part")
        try:
            mode = self._path.stat().st_mode & 0o777 if self._path.exists() else _READABLE
            file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
            with os.fdopen(file, "w", encoding="utf-8", newline="") as stream:
                stream.write(self._text(rows))
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(self._path)
        except OSError as error:
            raise BrokerError(
                f"the list {self._path} cannot be written: {error.strerror}",
                hint="is there room, and may you write there?",
            ) from error

    def _text(self, rows: list[Row]) -> str:
        if self._is_json():
            return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"
        more = dict.fromkeys(key for row in rows for key in row if key and key not in _COLUMNS)
        stream = StringIO()
        writer = csv.DictWriter(stream, [*_COLUMNS, *more], extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return stream.getvalue()

    def _is_json(self) -> bool:
        return self._path.suffix.lower() == ".json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The lock of a file beside it, as the list itself is replaced. It ends with the process."""
        try:
            file = os.open(
                self._path.with_name(self._path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666
            )
        except OSError as error:
            raise BrokerError(
                f"the list {self._path} cannot be locked: {error.strerror}",
                hint="is its folder there, and yours to write?",
            ) from error
        try:
            deadline = Deadline.after(_LOCK_SECONDS, self._clock)
            wait_for(lambda: _try_lock(file), f"the lock of {self._path}", deadline=deadline, every=0.2)
            yield
        except DeadlinePassed as error:
            raise BrokerError(str(error), hint="another roll writes this list: which one hangs?") from None
        finally:
            os.close(file)


def _try_lock(file: int) -> bool | None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    return True


def _is_of(row: Row, seat: Seat) -> bool:
    same_pool = str(row.get("pool") or seat.pool) == seat.pool
    return same_pool and str(row.get("name") or "").strip().casefold() == seat.key
