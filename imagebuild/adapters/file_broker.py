"""A broker without an interface: its operators keep a list of sessions (or a job of theirs exports one), and read a list that we write.

Both are CSV or JSON, by the ending of the name. The list of sessions is as old as its file, unless its rows have an `observed_at`.
"""

import csv
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

from imagebuild.adapters.broker_limits import Limited
from imagebuild.adapters.marked_list import MarkedList
from imagebuild.adapters.seat_rows import read_row
from imagebuild.broker import Cap, Health, Seat, distrust_old, one_a_name
from imagebuild.errors import BrokerError, BrokerUnreachable


class FileBroker(Limited):
    """imagebuild.broker.Broker over two files. `marked`: the desktops that are please to be marked unavailable, if that is wished."""

    def __init__(
        self,
        sessions: Path,
        *,
        marked: MarkedList | None = None,
        max_age: timedelta = timedelta(minutes=15),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(
            "a broker that is kept in files", frozenset({Cap.SESSIONS} | ({Cap.AVAILABILITY} if marked else set()))
        )
        self._sessions, self._marked = sessions, marked
        self._max_age, self._now = max_age, now

    def health(self) -> Health:
        """Well while somebody keeps the list."""
        try:
            age = self._now() - self._written_at()
        except BrokerError as error:
            return Health(False, (str(error),))
        if age <= self._max_age:
            return Health(True)
        words = f"{self._sessions.name} is {age.total_seconds() / 60:.0f} minutes old: nothing in it is believed"
        return Health(False, (words,))

    def seats(self, pool: str, *, names: Sequence[str] = ()) -> Sequence[Seat]:
        """The rows of the list. Rows with a column `pool` of another name belong to other pools."""
        written_at = self._written_at()  # before its content: a list that is written meanwhile counts as the older one
        seats = [
            read_row(row, pool, observed_at=written_at)
            for row in self._rows()
            if str(row.get("pool") or pool).strip() == pool
        ]
        return distrust_old(one_a_name(filter(None, seats)), now=self._now(), max_age=self._max_age)

    def set_available(self, seat: Seat, *, available: bool, reason: str) -> None:
        """Put the desktop on the list for the operators, or take it off. It is done once `seats` says so."""
        self.require(Cap.AVAILABILITY)
        assert self._marked is not None
        self._marked.mark(seat, marked=not available, reason=reason, at=self._now())

    def _written_at(self) -> datetime:
        try:
            return datetime.fromtimestamp(self._sessions.stat().st_mtime, UTC)
        except OSError as error:
            raise self._unreadable(error) from error

    def _rows(self) -> list[dict[str, Any]]:
        try:
            text = self._sessions.read_text(encoding="utf-8-sig")  # with the mark that spreadsheets put in front
        except (OSError, UnicodeDecodeError) as error:
            raise self._unreadable(error) from error
        if self._sessions.suffix.lower() == ".json":
            return self._json_rows(text)
        head = text.partition("\n")[0]
        rows = csv.DictReader(StringIO(text), delimiter=";" if ";" in head and "," not in head else ",")
        if "name" not in {str(column).strip().casefold() for column in rows.fieldnames or ()}:
            raise BrokerError(
                f"{self._sessions} has no column `name`", hint="its first line is: name,user,session,availability"
            )
        return list(rows)

    def _json_rows(self, text: str) -> list[dict[str, Any]]:
        try:
            told = json.loads(text)
        except ValueError as error:
            raise BrokerUnreachable(
                f"{self._sessions} is no whole JSON: {error}",
                hint="is it being written? write it beside, then rename it",
            ) from None
        if not isinstance(told, list) or not all(isinstance(row, dict) for row in told):
            raise BrokerError(
                f"{self._sessions} is no list of objects", hint='like [{"name": "desktop-1", "session": "none"}]'
            )
        return told

    def _unreadable(self, error: Exception) -> BrokerUnreachable:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        return BrokerUnreachable(
            f"the list of sessions {self._sessions} cannot be read: {reason}",
            hint="see `sessions` in the broker section",
        )
