"""Builds as processes: real ones, of a project whose tasks do what the test is about."""

import signal
import time
from pathlib import Path

import pytest

from imagebuild.adapters.child_builds import ChildBuild
from imagebuild.errors import ImagebuildError
from imagebuild.waiting import Deadline, wait_for

pytestmark = pytest.mark.effects

TASKS = """
import os, signal, subprocess, sys
from invoke import Exit, task

@task
def talk(c):
    print("one", flush=True)
    print("two \\N{HANGUL SYLLABLE HAN}", flush=True)
    print("complaint", file=sys.stderr, flush=True)
    os.write(1, b"torn \\xff")
    raise Exit(code=4)

@task
def undo(c):
    try:
        print("working", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        print("undone", flush=True)
        raise Exit(code=130)

@task
def stubborn(c):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    inner = subprocess.Popen(["sleep", "600"])
    print(inner.pid, flush=True)
    inner.wait()

def end(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, end)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "tasks.py").write_text(TASKS)
    return tmp_path


def start(project: Path, *arguments: str) -> ChildBuild:
    return ChildBuild(arguments, project=project, log=project / "logs" / "child.log")


def line_of(child: ChildBuild) -> str:
    """Its first line, once it is there."""
    return wait_for(lambda: next(iter(child.lines()), None), "a line", deadline=Deadline.after(30), every=0.05)


def end_of(child: ChildBuild) -> int:
    return wait_for(child.exit_code, "the end", deadline=Deadline.after(30), every=0.05)


def test_it_is_heard_to_its_last_half_line_and_its_log_is_its_owners(project: Path) -> None:
    child = start(project, "talk")
    assert end_of(child) == 4
    assert child.lines() == ["one", "two 한", "complaint", "torn �"]
    assert child.lines() == []
    child.close()
    log = project / "logs" / "child.log"
    assert log.read_bytes().startswith(b"one\n")
    assert log.stat().st_mode & 0o777 == 0o600


def test_half_a_line_is_waited_for(project: Path) -> None:
    child = start(project, "undo")
    assert line_of(child) == "working"
    with (project / "logs" / "child.log").open("ab") as log:
        log.write(b"ha")
        log.flush()
        assert child.lines() == []
        log.write(b"lf\n")
    assert child.lines() == ["half"]
    child.kill()
    child.close()


def test_a_wish_to_end_lets_it_undo(project: Path) -> None:
    child = start(project, "undo")
    assert line_of(child) == "working"
    child.interrupt()
    assert end_of(child) == 130
    assert child.lines() == ["undone"]
    child.interrupt()  # nothing is left to ask
    child.close()


def test_a_kill_ends_what_it_has_started_as_well(project: Path) -> None:
    child = start(project, "stubborn")
    inner = int(line_of(child))
    child.interrupt()
    assert child.exit_code() is None
    child.kill()
    assert end_of(child) == -signal.SIGKILL
    child.kill()
    child.close()
    wait_for(lambda: None if is_running(inner) else True, "the inner end", deadline=Deadline.after(10), every=0.05)


def is_running(process: int) -> bool:
    """A process that is dead and not yet collected by anybody does not run."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


def test_what_cannot_be_started_is_said(project: Path) -> None:
    (project / "logs").write_text("no folder")
    with pytest.raises(ImagebuildError, match="`invoke talk` cannot be started") as caught:
        start(project, "talk")
    assert "may you write" in caught.value.hint


def test_starting_takes_no_time_of_the_others(project: Path) -> None:
    begun = time.monotonic()
    child = start(project, "undo")
    assert time.monotonic() - begun < 1
    assert child.exit_code() is None
    child.kill()
    child.close()
