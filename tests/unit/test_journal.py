"""The journal: on disk before the act, readable after every way to be cut off, owned by one living process."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imagebuild.errors import Busy, ImagebuildError
from imagebuild.journal import Journal, is_owned, read_journal, read_last
from imagebuild.secrets import Secret

OWNER = """
import sys
from pathlib import Path
from imagebuild.journal import Journal
journal = Journal(Path(sys.argv[1]))
journal.write("begun", by="the child")
print("owned", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "build-1" / "journal.jsonl"


def write(path: Path, *events: str) -> None:
    with Journal(path) as journal:
        for event in events:
            journal.write(event)


def events(path: Path) -> list[str]:
    return [entry.event for entry in read_journal(path)]


def test_lines_come_back_in_order_with_time_and_facts(path: Path) -> None:
    with Journal(path) as journal:
        journal.write("begun", recipe="win7-vdi", number=3)
        journal.write("facts", facts={"server_id": "s-1", "name": "한글"})
        assert journal.entries() == read_journal(path)
    first, second = read_journal(path)
    assert (first.event, first.facts) == ("begun", {"recipe": "win7-vdi", "number": 3})
    assert second.facts == {"facts": {"server_id": "s-1", "name": "한글"}}
    assert first.at <= second.at
    assert first.at.endswith("+00:00")


def test_only_its_owner_may_read_it(path: Path) -> None:
    write(path, "begun")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_line_is_on_the_disk_before_the_act(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(path.read_bytes()))
    write(path, "one", "two")
    assert [content.count(b"\n") for content in synced] == [1, 2]


def test_no_secret_is_written(path: Path) -> None:
    Secret('pass"word-in-journal')
    with Journal(path) as journal:
        journal.write("bug", trace='login("pass"word-in-journal")')
    assert b"word-in-journal" not in path.read_bytes()
    assert read_journal(path)[0].facts == {"trace": 'login("***")'}


def test_there_may_be_none(path: Path) -> None:
    assert read_journal(path) == ()
    assert not is_owned(path)


@pytest.mark.parametrize(
    "torn",
    [
        b'{"event": "cut of',
        b'{"event": "cut off", "at": "2026"}',  # whole but for its line end: nobody waited for it
        b"\0" * 512,
        b'{"event": "half\n',
        b'{"event": "half\n\0\0\0\0',
        b"\0\0\0\0\n",
        b"[1, 2]\n17\nnull\n",
        b'{"at": "2026"}\n',
        b"\xff\xfe\xfd\n",
    ],
)
def test_what_a_power_cut_leaves_at_the_end_is_dropped_and_cut_off(path: Path, torn: bytes) -> None:
    write(path, "one", "two")
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert events(path) == ["one", "two"]
    assert path.read_bytes() == whole + torn  # reading changes nothing: another process may own it
    write(path, "three")
    assert events(path) == ["one", "two", "three"]
    assert all(json.loads(line) for line in path.read_bytes().splitlines())


def test_the_last_word_is_read_alone(path: Path) -> None:
    assert read_last(path) == ""
    write(path)
    assert read_last(path) == ""
    write(path, "only")
    assert read_last(path) == "only"
    write(path, "more", "last")
    assert read_last(path) == "last"
    path.write_bytes(path.read_bytes() + b'{"event": "to')
    assert read_last(path) == ""


def test_nothing_but_rubbish_is_an_empty_journal(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\0" * 100)
    assert read_journal(path) == ()
    write(path, "one")
    assert events(path) == ["one"]


def test_an_unreadable_line_in_front_of_later_ones_costs_only_itself(path: Path) -> None:
    write(path, "one", "two", "three")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"event": "tw\n' + b"\0\0\0\n" + lines[2])
    assert events(path) == ["one", "three"]
    write(path, "four")
    assert events(path) == ["one", "three", "four"]


@pytest.mark.parametrize("written", [0, 9])
def test_a_full_disk_is_an_error_and_leaves_no_half_line(
    path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    real = os.write

    def full(file: int, content: bytes) -> int:
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, content[:written])

    with Journal(path) as journal:
        journal.write("one")
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full)
            with pytest.raises(ImagebuildError, match=r"journal.*cannot be written") as caught:
                journal.write("two")
        assert caught.value.hint == "free disk space, then run again"
        journal.write("three")
    assert events(path) == ["one", "three"]


def test_one_process_owns_a_journal_at_a_time(path: Path) -> None:
    with Journal(path):
        assert is_owned(path)
        with pytest.raises(Busy, match="the build build-1 is being worked on"):
            Journal(path)
        assert is_owned(path)  # the refused one has not taken the lock along
    assert not is_owned(path)
    write(path, "mine")


@pytest.mark.effects
def test_another_process_is_busy_until_it_is_killed(path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "owned\n"
            assert is_owned(path)
            with pytest.raises(Busy):
                Journal(path)
            assert events(path) == ["begun"]
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait(timeout=10)
    assert not is_owned(path)
    write(path, "after")
    assert events(path) == ["begun", "after"]
