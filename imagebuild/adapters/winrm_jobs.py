"""Scripts as SYSTEM: started in a scheduled task, followed through lost sessions, never run twice under one id."""

from dataclasses import dataclass
from typing import Any, Protocol

from imagebuild.adapters.winrm_answers import ScriptOutput, check_same_request, take_value
from imagebuild.errors import (
    DeadlinePassed,
    GuestError,
    GuestUnreachable,
    ImagebuildError,
    ScriptBroken,
    ScriptFailed,
    SessionLost,
)
from imagebuild.guest import OnStep, Parameters, Value
from imagebuild.waiting import Clock, Deadline, wait_for

# The same for every start: the guest compares it to tell whether an id stands for the same work, and what is left of our
# deadline is another number after a resume. Our own deadline comes first; this one ends a job whose controller has died.
JOB_SECONDS = 6 * 3600
_STOPPING_SECONDS = 90.0
_BROKEN_ANSWERS = 3  # a poll that falls into a shutdown of Windows ends without a word; more in a row are a real fault
# The last ask finds no time left: then it is the wait that tells what it waited for.
_PASSING = (GuestUnreachable, SessionLost, DeadlinePassed)


class Run(Protocol):
    """WinRmGuest.run."""

    def __call__(
        self, script: str, parameters: Parameters | None = None, *, deadline: Deadline, on_step: OnStep | None = None
    ) -> Value:
        """Run a script in the session and return its value."""
        ...


@dataclass
class _Progress:
    output: ScriptOutput
    offset: int = 0
    broken: int = 0


class SystemJobs:
    """Starts, follows and removes jobs by running the guest's own job scripts."""

    def __init__(self, run: Run, *, clock: Clock) -> None:
        self._run = run
        self._clock = clock
        self._finished: str | None = None

    def start(
        self, script: str, parameters: Parameters | None, *, job: str, deadline: Deadline, detached: bool = False
    ) -> None:
        """Start it, or find it started. Safe to repeat, so a lost session is taken up again.

        `detached`: without the wrapper that keeps output and result; nothing of ours stays open in the guest.
        """
        self._remove_finished(but=job, deadline=deadline)
        asked = {"id": job, "script": script, "parameters": dict(parameters or {}), "timeout_seconds": JOB_SECONDS}
        if detached:
            asked["detached"] = True
        started = wait_for(
            lambda: self._run("Start-SystemJob", asked, deadline=deadline),
            f"the guest to start {script} as SYSTEM",
            deadline=deadline,
            every=0.5,
            slowest=5.0,
            passing=_PASSING,
        )
        check_same_request(started, job=job, script=script)

    def follow(self, script: str, *, job: str, deadline: Deadline, on_step: OnStep | None) -> Value:
        """Wait for its end and return its value.

        A finished job is remembered in the guest until the next one starts, so that a controller that dies before it has
        noted the result finds it again. A failed one is removed at once, so that the next try runs it anew.
        """
        progress = _Progress(ScriptOutput(on_step))
        try:
            record = wait_for(
                lambda: self._poll(job, progress, deadline),
                f"{script} as SYSTEM (job {job})",
                deadline=deadline,
                every=0.5,
                slowest=5.0,
                passing=_PASSING,
            )
            value = self._conclude(script, job, record, progress.output)
        except (DeadlinePassed, ScriptFailed, ScriptBroken, SessionLost) as error:
            self._remove(job, told=error)
            raise
        self._finished = job
        return value

    def _poll(self, job: str, progress: _Progress, deadline: Deadline) -> dict[str, Any] | None:
        """Take in the new output; the last record once the job has ended."""
        while True:
            try:
                asked = {"id": job, "output_from": progress.offset}
                record = self._run("Get-SystemJob", asked, deadline=deadline)
            except ScriptBroken:
                progress.broken += 1
                if progress.broken >= _BROKEN_ANSWERS:
                    raise
                return None
            progress.broken = 0
            progress.output.feed(record["output"].encode())
            unread = record["output_bytes"] > record["output_next"] > progress.offset
            progress.offset = record["output_next"]
            if not unread:
                return None if record["state"] in ("running", "queued") else record

    def _conclude(self, script: str, job: str, record: Value, output: ScriptOutput) -> Value:
        output.end()
        state = record["state"]
        if state == "interrupted_by_reboot":
            raise SessionLost(
                f"{script} (job {job}) was interrupted by a reboot",
                hint="what asked Windows to restart? then run it again",
            )
        result = record["result"]
        if state == "finished" and result is not None:
            return take_value(script, result, details=output.tail())
        how = "ran into its time limit" if record["timed_out"] else f"ended as '{state}'"
        error = record["error"]
        raise ScriptBroken(
            f"{script} (job {job}) {how} without a result, exit code {record['exit_code']}",
            hint=r"C:\imagebuild\runs in the guest holds what is left of it",
            details=(*((str(error),) if error else ()), *output.tail()),
        )

    def _remove_finished(self, *, but: str, deadline: Deadline) -> None:
        if self._finished is None or self._finished == but:
            return
        job, self._finished = self._finished, None
        try:
            wait_for(
                lambda: self._run("Stop-SystemJob", {"id": job, "remove": True}, deadline=deadline),
                f"the guest to forget the job {job}",
                deadline=deadline,
                every=0.5,
                slowest=5.0,
                passing=_PASSING,
            )
        except (ScriptFailed, ScriptBroken):
            return  # a folder that is still held open: the last clearing of the image takes all of them

    def _remove(self, job: str, *, told: ImagebuildError) -> None:
        """End it and take its folder away, with a deadline of its own; a guest that is away keeps the first error the only one."""
        try:
            deadline = Deadline.after(_STOPPING_SECONDS, self._clock)
            self._run("Stop-SystemJob", {"id": job, "remove": True}, deadline=deadline)
        except (GuestError, DeadlinePassed) as error:
            told.details = (*told.details, f"the job {job} could not be removed from the guest: {error}")
