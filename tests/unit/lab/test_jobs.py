"""Preparations side by side: order, failures, deadlines, secrets through pipes."""

import io
from pathlib import Path

import pytest

from imagebuild.errors import DeadlinePassed, LabError
from imagebuild.lab.jobs import Job, run_jobs
from imagebuild.lab.processes import is_alive
from imagebuild.report import ConsoleReport, SilentReport
from imagebuild.waiting import Deadline

pytestmark = pytest.mark.effects

MARK = {"IMAGEBUILD_TEST_MARK": "here"}


def sh(name: str, script: str, **kwargs: object) -> Job:
    return Job(name, ["sh", "-c", script], **kwargs)  # type: ignore[arg-type]


def test_a_job_waits_for_its_needs_also_for_ones_that_were_done_before(tmp_path: Path) -> None:
    jobs = [
        sh("last", "cat log > seen", needs=("second", "done long ago")),
        sh("second", "echo second >> log", needs=("first",)),
        sh("first", "echo first >> log"),
    ]
    jobs = [Job(j.name, ["sh", "-c", f"cd {tmp_path}; {j.command[2]}"], needs=j.needs) for j in jobs]
    assert run_jobs(jobs, SilentReport(), logs=tmp_path / "logs", mark=MARK, deadline=Deadline.after(20)) == []
    assert (tmp_path / "seen").read_text(encoding="utf-8") == "first\nsecond\n"


def test_a_failure_names_the_job_shows_its_end_and_stops_the_others(tmp_path: Path) -> None:
    jobs = [
        sh("slow", f"echo $$ > {tmp_path}/pid; exec sleep 60"),
        sh("bad", f"until [ -s {tmp_path}/pid ]; do :; done; echo the reason; exit 3"),
    ]
    with pytest.raises(LabError, match="at bad: exit code 3") as caught:
        run_jobs(jobs, SilentReport(), logs=tmp_path, mark=MARK, deadline=Deadline.after(20))
    assert caught.value.details == ("the reason",)
    assert not is_alive(int((tmp_path / "pid").read_text(encoding="ascii")))


def test_a_deadline_stops_what_runs(tmp_path: Path) -> None:
    with pytest.raises(DeadlinePassed):
        run_jobs(
            [sh("slow", f"echo $$ > {tmp_path}/pid; exec sleep 60")],
            SilentReport(),
            logs=tmp_path,
            mark=MARK,
            deadline=Deadline.after(0.5),
        )
    assert not is_alive(int((tmp_path / "pid").read_text(encoding="ascii")))


def test_a_background_job_is_handed_back_while_it_runs(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = sh("image", f"until [ -e {gate} ]; do sleep 0.05; done", background=True)
    (running,) = run_jobs(
        [job, sh("quick", "true")], SilentReport(), logs=tmp_path, mark=MARK, deadline=Deadline.after(20)
    )
    assert not running.ended()
    gate.touch()
    running.await_end(deadline=Deadline.after(20))
    assert running.ended()


def test_every_job_carries_the_mark(tmp_path: Path) -> None:
    job = sh("marked", 'test "$IMAGEBUILD_TEST_MARK" = here')
    assert run_jobs([job], SilentReport(), logs=tmp_path, mark=MARK, deadline=Deadline.after(20)) == []


def test_standard_input_reaches_the_job_and_no_line_of_the_report(tmp_path: Path) -> None:
    out = io.StringIO()
    job = Job("reads", ["sh", "-c", f"cat > {tmp_path}/got"], stdin="a secret")
    run_jobs([job], ConsoleReport(out), logs=tmp_path, mark=MARK, deadline=Deadline.after(20))
    assert (tmp_path / "got").read_text(encoding="utf-8") == "a secret"
    assert "reads:" in out.getvalue()
    assert "secret" not in out.getvalue() + repr(job)
