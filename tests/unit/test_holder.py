"""The process behind a claim: known to be gone when it is, and never believed to be gone while there is any doubt."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imagebuild import holder
from imagebuild.holder import describe_holder, is_gone, this_process

NO_PID = 2**22 + 1  # Linux gives none above PID_MAX_LIMIT


def another(**parts: object) -> str:
    """This process's word with some of it changed."""
    told = dict(zip(("place", "pid", "start"), this_process().split(), strict=True))
    return " ".join(str(part) for part in (told | parts).values())


@contextmanager
def child() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process, which says who it is and waits."""
    words = "from imagebuild.holder import this_process; print(this_process(), flush=True); input()"
    command = [sys.executable, "-c", words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_person_reads_who_where_and_which_pid() -> None:
    assert describe_holder().endswith(f", pid {os.getpid()}")


def test_this_process_is_there_and_always_the_same() -> None:
    assert this_process() == this_process() != ""
    assert not is_gone(this_process())


@pytest.mark.effects
def test_another_process_is_there_until_it_is_killed_even_if_nobody_has_heard_of_its_end() -> None:
    with child() as (process, told):
        assert told.split()[1] == str(process.pid)
        assert not is_gone(told)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
        assert (Path("/proc") / str(process.pid)).exists()
        assert is_gone(told)
        process.wait(timeout=30)
        assert is_gone(told)


def test_a_pid_that_nobody_has_or_that_another_one_has_by_now_is_gone() -> None:
    assert is_gone(another(pid=NO_PID))
    assert is_gone(another(start=1))


@pytest.mark.parametrize("words", ["", "x", "a b c", "a 1 2 3", "0123456789abcdef 1 1"])
def test_what_is_no_process_of_this_place_is_not_known_to_be_gone(words: str) -> None:
    """Another boot or namespace: there, the same pid is another process or none."""
    assert not is_gone(words)


@pytest.mark.parametrize("pid", [0, -1, -NO_PID, 2**70, "one"])
def test_a_pid_that_is_none_is_never_asked_for(pid: object) -> None:
    assert not is_gone(another(pid=pid))


def test_a_process_that_may_not_be_looked_at_may_be_the_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """hidepid: /proc shows other users' processes to nobody, while the kernel says that there is one."""
    other = another(start=1)
    monkeypatch.setattr(holder, "_stat", lambda pid: [])
    assert not is_gone(other)


def test_another_users_process_is_looked_at_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    assert not is_gone(this_process())
    assert is_gone(another(start=1))


def test_where_the_kernel_does_not_tell_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No /proc; or the one of another pid namespace, in which our own pid is another."""
    told = another(pid=NO_PID)
    monkeypatch.setattr(holder, "_PROC", tmp_path)
    assert this_process() == "" and not is_gone(told)
    (tmp_path / "self").symlink_to("1")
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("b\n")
    assert this_process() == "" and not is_gone(told)


def test_a_name_with_brackets_and_spaces_does_not_shift_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "7").mkdir()
    stat = b"7 (a) b (c) S " + b" ".join(str(number).encode() for number in range(4, 53))
    (tmp_path / "7" / "stat").write_bytes(stat)
    monkeypatch.setattr(holder, "_PROC", tmp_path)
    assert (holder._stat(7)[0], holder._stat(7)[19]) == ("S", "22")
