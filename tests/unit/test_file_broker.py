"""A broker that is kept in files: lists that people, spreadsheets and jobs write, and the list that we write for them."""

import csv
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from imagebuild.adapters.file_broker import FileBroker
from imagebuild.adapters.marked_list import MarkedList
from imagebuild.broker import Cap, Seat
from imagebuild.errors import BrokerError, BrokerUnreachable, CapabilityMissing
from tests.fakes.clock import FakeClock

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEAT = Seat(name="desktop-1", pool="staff")


def listed(folder: Path, text: str | bytes, *, name: str = "sessions.csv", age: float = 60) -> FileBroker:
    """A broker whose list was written `age` seconds ago."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    written = NOW.timestamp() - age
    os.utime(path, (written, written))
    return FileBroker(path, now=lambda: NOW)


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".json":
        return list(json.loads(path.read_text()))
    return list(csv.DictReader(path.open(encoding="utf-8", newline="")))


def test_a_csv_is_read_column_by_column(tmp_path: Path) -> None:
    broker = listed(
        tmp_path,
        "name,user,session,availability\ndesktop-1,,none,available\nDESKTOP-2,ann,active,unavailable\ndesktop-3,bob,disconnected,\n",
    )
    assert [(s.name, s.pool, s.assigned_user, s.session, s.availability) for s in broker.seats("staff")] == [
        ("desktop-1", "staff", None, "none", "available"),
        ("DESKTOP-2", "staff", "ann", "active", "unavailable"),
        ("desktop-3", "staff", "bob", "disconnected", "unknown"),
    ]
    assert {s.observed_at for s in broker.seats("staff")} == {NOW - timedelta(seconds=60)}


def test_what_a_spreadsheet_makes_of_it_is_read(tmp_path: Path) -> None:
    text = "\ufeffName;User;Session;Availability\r\n desktop-1 ;;None;Available\r\n;;;\r\n".encode()
    (seat,) = listed(tmp_path, text).seats("staff")
    assert (seat.name, seat.session, seat.availability, seat.busy) == ("desktop-1", "none", "available", False)


@pytest.mark.parametrize(
    "row", ["desktop-1", "desktop-1,", "desktop-1,,", "desktop-1,,non", "desktop-1,,free", "desktop-1,-,none"]
)
def test_what_is_missing_cut_off_or_another_word_is_busy(tmp_path: Path, row: str) -> None:
    (seat,) = listed(tmp_path, f"name,user,session,availability\n{row}").seats("staff")
    assert seat.busy


def test_a_json_list_is_read_too(tmp_path: Path) -> None:
    rows = [
        {"name": "desktop-1", "user": None, "session": "none", "agent": "up", "id": 7},
        {"name": "desktop-2", "session": "none", "observed_at": "2026-03-01T12:59:00+01:00"},
        {"session": "none"},
    ]
    seats = listed(tmp_path, json.dumps(rows), name="sessions.json").seats("staff")
    assert [(s.name, s.broker_id, s.agent) for s in seats] == [("desktop-1", "7", "up"), ("desktop-2", "", "unknown")]
    assert seats[1].observed_at == NOW - timedelta(minutes=1)


def test_an_old_list_is_not_believed(tmp_path: Path) -> None:
    text = "name,user,session\ndesktop-1,,none\n"
    assert not listed(tmp_path, text, age=15 * 60).seats("staff")[0].busy
    broker = listed(tmp_path, text, age=15 * 60 + 1)
    assert broker.seats("staff")[0].busy
    assert broker.health().problems == ("sessions.csv is 15 minutes old: nothing in it is believed",)
    assert not broker.health().ok
    assert listed(tmp_path, text, age=15 * 60).health().ok


@pytest.mark.parametrize("told", ["2026-03-01T11:30:00+00:00", "2026-03-01T12:00:00", "noon"])
def test_a_row_that_is_older_than_the_list_or_of_no_clear_time_is_not_believed(tmp_path: Path, told: str) -> None:
    assert listed(tmp_path, f"name,session,observed_at\ndesktop-1,none,{told}\n").seats("staff")[0].busy


def test_rows_of_other_pools_are_left_out(tmp_path: Path) -> None:
    seats = listed(tmp_path, "name,pool,session\na,staff,none\nb,labs,none\nc,,none\n").seats("staff")
    assert [seat.name for seat in seats] == ["a", "c"]


@pytest.mark.parametrize(
    ("name", "content", "kind", "words"),
    [
        ("sessions.csv", b"", BrokerError, "no column `name`"),
        ("sessions.csv", b"host,user\na,b\n", BrokerError, "no column `name`"),
        ("sessions.csv", b"name\n\xff\xfe\n", BrokerUnreachable, "not UTF-8"),
        ("sessions.json", b'[{"name": "a"', BrokerUnreachable, "no whole JSON"),
        ("sessions.json", b'{"name": "a"}', BrokerError, "no list of objects"),
        ("sessions.json", b'["a"]', BrokerError, "no list of objects"),
    ],
)
def test_a_list_that_is_none_is_an_error(
    tmp_path: Path, name: str, content: bytes, kind: type[BrokerError], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        listed(tmp_path, content, name=name).seats("staff")
    assert caught.value.hint


def test_a_list_that_is_not_there_is_no_empty_pool(tmp_path: Path) -> None:
    broker = FileBroker(tmp_path / "sessions.csv")
    with pytest.raises(BrokerUnreachable, match="cannot be read"):
        broker.seats("staff")
    assert not broker.health().ok


def test_without_a_list_to_write_nothing_is_marked(tmp_path: Path) -> None:
    broker = listed(tmp_path, "name\n")
    assert broker.capabilities() == {Cap.SESSIONS}
    with pytest.raises(CapabilityMissing):
        broker.set_available(SEAT, available=False, reason="roll")


@pytest.mark.parametrize("name", ["marked.csv", "marked.json"])
def test_what_is_asked_for_is_written_once_and_taken_off_again(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    broker = FileBroker(tmp_path / "sessions.csv", marked=MarkedList(path), now=lambda: NOW)
    assert Cap.AVAILABILITY in broker.capabilities()
    for reason in ("roll 7, please", "again"):
        broker.set_available(SEAT, available=False, reason=reason)
    broker.set_available(Seat(name="desktop-2", pool="staff"), available=False, reason="roll 7, please")
    asked = {"pool": "staff", "reason": "roll 7, please", "since": "2026-03-01T12:00:00+00:00"}
    assert rows_of(path) == [{"name": "desktop-1", **asked}, {"name": "desktop-2", **asked}]
    for _ in range(2):
        broker.set_available(Seat(name="DESKTOP-1", pool="staff"), available=True, reason="")
    assert [row["name"] for row in rows_of(path)] == ["desktop-2"]


@pytest.mark.parametrize("name", ["marked.csv", "marked.json"])
def test_what_others_have_written_stays(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows = [{"name": "desktop-1", "pool": "labs", "reason": "ours", "since": "", "ticket": "42"}]
    if name.endswith("json"):
        path.write_text(json.dumps(rows))
    else:
        path.write_text("name,pool,reason,since,ticket\ndesktop-1,labs,ours,,42\n")
    path.chmod(0o640)
    marked = MarkedList(path)
    marked.mark(SEAT, marked=True, reason="roll", at=NOW)
    assert rows_of(path)[0] == rows[0]
    assert rows_of(path)[1]["pool"] == "staff"
    marked.mark(SEAT, marked=False, reason="", at=NOW)
    assert rows_of(path) == rows
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_list_that_cannot_be_read_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "marked.json"
    for text, words in (("half of", "cannot be read"), ('{"name": "a"}', "no list"), ('["a"]', "no list")):
        path.write_text(text)
        with pytest.raises(BrokerError, match=words):
            MarkedList(path).mark(SEAT, marked=True, reason="", at=NOW)
        assert path.read_text() == text


def test_a_list_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "marked.csv"
    marked = MarkedList(path)
    marked.mark(SEAT, marked=True, reason="", at=NOW)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BrokerError, match="No space left"):
        marked.mark(SEAT, marked=False, reason="", at=NOW)
    assert path.read_bytes() == before


def test_two_rolls_write_one_list_one_after_the_other(tmp_path: Path) -> None:
    path, clock = tmp_path / "marked.csv", FakeClock()
    first, second = MarkedList(path, clock=clock), MarkedList(path, clock=clock)
    with first._locked(), pytest.raises(BrokerError, match="the lock of"):
        second.mark(SEAT, marked=True, reason="", at=NOW)
    assert clock.slept == pytest.approx(10)
    second.mark(SEAT, marked=True, reason="", at=NOW)
    assert rows_of(path)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="cannot be locked") as caught:
        MarkedList(tmp_path / "away" / "marked.csv").mark(SEAT, marked=True, reason="", at=NOW)
    assert "folder" in caught.value.hint
