"""Jobs as SYSTEM over a guest that answers the job scripts: steps once, lost sessions taken up, nothing run twice."""

import base64
from typing import Any

import pytest

from imagebuild.adapters.winrm_jobs import JOB_SECONDS, SystemJobs
from imagebuild.errors import (
    DeadlinePassed,
    GuestError,
    GuestRefused,
    GuestUnreachable,
    ScriptBroken,
    ScriptFailed,
    SessionLost,
)
from imagebuild.guest import OnStep, Parameters, Value
from imagebuild.waiting import Deadline
from tests.fakes.clock import FakeClock

OK = {"ok": True, "value": {"installed_count": 2}}


def step(text: str) -> str:
    return f"@@STEP {base64.b64encode(text.encode()).decode()} @@\r\n"


class Scripts:
    """WinRmGuest.run for the job scripts alone. `records` are the answers of Get-SystemJob; `output` is the job's whole output so far."""

    def __init__(self, *records: dict[str, Any] | Exception, most_bytes: int = 10**6) -> None:
        self.clock = FakeClock()
        self.records = list(records)
        self.starts: list[Exception | dict[str, Any]] = []
        self.stops: list[Exception] = []
        self.ran: list[tuple[str, dict[str, Any]]] = []
        self._most = most_bytes

    def __call__(
        self, script: str, parameters: Parameters | None = None, *, deadline: Deadline, on_step: OnStep | None = None
    ) -> Value:
        if deadline.passed():
            raise DeadlinePassed("no time")
        asked = dict(parameters or {})
        self.ran.append((script, asked))
        if script == "Start-SystemJob":
            answer = self.starts.pop(0) if self.starts else {}
            if isinstance(answer, Exception):
                raise answer
            return {"started": True, "attached": False, "same_request": True, **answer}
        if script == "Stop-SystemJob":
            if self.stops:
                raise self.stops.pop(0)
            return {"folder_removed": True}
        assert script == "Get-SystemJob"
        record = self.records.pop(0) if len(self.records) > 1 else self.records[0]
        if isinstance(record, Exception):
            raise record
        return self._cut(record, asked["output_from"])

    def _cut(self, record: dict[str, Any], begin: int) -> Value:
        whole = str(record.get("output", "")).encode()
        piece = whole[begin : begin + self._most]
        if begin + len(piece) < len(whole):
            self.records.insert(0, record)  # asked again at once, it is still there
        rest = {"exit_code": 0, "timed_out": False, "error": None, "result": None}
        told = {"output": piece.decode(), "output_next": begin + len(piece), "output_bytes": len(whole)}
        return {**rest, **record, **told}

    def run(
        self, *, seconds: float = 3600, on_step: OnStep | None = None, jobs: SystemJobs | None = None, job: str = "j"
    ) -> Value:
        """Start and follow."""
        deadline = Deadline.after(seconds, self.clock)
        jobs = jobs or SystemJobs(self, clock=self.clock)
        jobs.start("Install-Updates", {"kb": ["1"]}, job=job, deadline=deadline)
        return jobs.follow("Install-Updates", job=job, deadline=deadline, on_step=on_step)

    def names(self) -> list[str]:
        """The scripts that were run."""
        return [name for name, _ in self.ran]


def running(output: str = "") -> dict[str, Any]:
    return {"state": "running", "output": output}


def finished(output: str = "", result: dict[str, Any] | None = OK, **more: Any) -> dict[str, Any]:
    return {"state": "finished", "output": output, "result": result, **more}


def test_a_job_from_start_to_value_with_each_step_once_and_at_once() -> None:
    told: list[str] = []
    scripts = Scripts({"state": "queued"}, running(step("a")), running(step("a")), finished(step("a") + step("b")))
    assert scripts.run(on_step=told.append) == {"installed_count": 2}
    assert told == ["a", "b"]
    assert scripts.ran[0] == (
        "Start-SystemJob",
        {"id": "j", "script": "Install-Updates", "parameters": {"kb": ["1"]}, "timeout_seconds": JOB_SECONDS},
    )


def test_long_output_is_read_to_its_end_before_the_job_counts_as_ended() -> None:
    told: list[str] = []
    text = "".join(step(str(number)) for number in range(40))
    scripts = Scripts(finished(text), most_bytes=100)
    scripts.run(on_step=told.append)
    assert told == [str(number) for number in range(40)]
    assert scripts.clock.slept == 0


def test_polls_grow_apart() -> None:
    scripts = Scripts(*[running()] * 40, finished())
    scripts.run()
    assert 100 < scripts.clock.slept < 200


def test_a_lost_session_is_taken_up_again() -> None:
    gone = [GuestUnreachable("booting"), SessionLost("reset")]
    scripts = Scripts(running(), *gone, running(), finished())
    scripts.starts = [SessionLost("reset"), {"started": False, "attached": True}]
    assert scripts.run() == {"installed_count": 2}
    assert scripts.names().count("Start-SystemJob") == 2


def test_a_refusal_is_told_at_once_and_the_job_is_left_alone() -> None:
    scripts = Scripts(GuestRefused("wrong password"))
    with pytest.raises(GuestRefused):
        scripts.run()
    assert "Stop-SystemJob" not in scripts.names()


def test_one_poll_without_an_answer_is_no_failure_three_are() -> None:
    broken = ScriptBroken("no result")
    assert Scripts(running(), broken, broken, running(), broken, finished()).run() == {"installed_count": 2}
    with pytest.raises(ScriptBroken):
        Scripts(broken, broken, broken, finished()).run()


def test_a_finished_job_stays_until_the_next_one_starts() -> None:
    scripts = Scripts(finished())
    jobs = SystemJobs(scripts, clock=scripts.clock)
    scripts.run(jobs=jobs, job="first")
    assert "Stop-SystemJob" not in scripts.names()
    scripts.run(jobs=jobs, job="first")  # a second call attaches, and must find it
    assert "Stop-SystemJob" not in scripts.names()
    scripts.run(jobs=jobs, job="second")
    assert ("Stop-SystemJob", {"id": "first", "remove": True}) in scripts.ran


def test_a_folder_that_cannot_be_removed_does_not_stop_the_next_job() -> None:
    scripts = Scripts(finished())
    jobs = SystemJobs(scripts, clock=scripts.clock)
    scripts.run(jobs=jobs, job="first")
    scripts.stops = [ScriptFailed("output.txt is in use", script="Stop-SystemJob")]
    assert scripts.run(jobs=jobs, job="second") == {"installed_count": 2}


def test_a_failed_job_is_removed_so_that_it_can_run_anew() -> None:
    failed = {"ok": False, "error": {"message": "denied", "hresult": "0x80070005", "type": "T", "where": "w"}}
    scripts = Scripts(finished("last words\r\n", result=failed))
    with pytest.raises(ScriptFailed, match="Install-Updates failed: denied") as caught:
        scripts.run()
    assert "last words" in caught.value.details
    assert scripts.ran[-1] == ("Stop-SystemJob", {"id": "j", "remove": True})


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (finished(result=None, exit_code=3221225477), "exit code 3221225477"),
        (finished(result=None, timed_out=True), "ran into its time limit"),
        ({"state": "crashed"}, "ended as 'crashed'"),
        ({"state": "stopped"}, "ended as 'stopped'"),
        ({"state": "unknown"}, "ended as 'unknown'"),
    ],
)
def test_an_end_without_a_result_is_broken(record: dict[str, Any], words: str) -> None:
    scripts = Scripts({**record, "output": "last words\r\n"})
    with pytest.raises(ScriptBroken, match=words) as caught:
        scripts.run()
    assert "last words" in caught.value.details
    assert scripts.names()[-1] == "Stop-SystemJob"


def test_a_reboot_in_the_middle_is_told_as_such() -> None:
    scripts = Scripts(running(), {"state": "interrupted_by_reboot"})
    with pytest.raises(SessionLost, match="interrupted by a reboot"):
        scripts.run()
    assert scripts.names()[-1] == "Stop-SystemJob"


def test_at_the_deadline_the_job_is_ended() -> None:
    scripts = Scripts(running())
    with pytest.raises(DeadlinePassed, match="Install-Updates as SYSTEM"):
        scripts.run(seconds=60)
    assert scripts.ran[-1] == ("Stop-SystemJob", {"id": "j", "remove": True})


def test_a_guest_that_is_away_at_the_end_keeps_the_first_error() -> None:
    scripts = Scripts({"state": "crashed"})
    scripts.stops = [GuestUnreachable("gone")]
    with pytest.raises(ScriptBroken, match="crashed") as caught:
        scripts.run()
    assert "could not be removed" in caught.value.details[-1]


def test_an_id_that_stands_for_other_work_is_not_taken_for_ours() -> None:
    scripts = Scripts(finished())
    scripts.starts = [{"same_request": False, "attached": True}]
    with pytest.raises(GuestError, match="is not this Install-Updates"):
        scripts.run()
    assert "Get-SystemJob" not in scripts.names()
