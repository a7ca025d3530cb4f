"""A Windows in memory: scripts are functions of a table, jobs run under an id and only once, restarts take time.

What is not in the table fails as it does on a real guest: loudly.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from imagebuild.adapters.winrm_errors import WrongCertificate
from imagebuild.errors import (
    DeadlinePassed,
    GuestError,
    GuestRefused,
    GuestUnreachable,
    ImagebuildError,
    ScriptBroken,
    ScriptFailed,
    SessionLost,
)
from imagebuild.guest import OnStep, Parameters, Restarted, Value
from imagebuild.waiting import Clock, Deadline, wait_for
from tests.fakes.faults import Faults, call

BOOT_SECONDS = 20.0
JOB_SECONDS = 5.0

# What a script does: its parameters, and where its steps are told. It may raise ScriptFailed, and it may play with the cloud.
Play = Callable[[dict[str, Any], OnStep], Value]


@dataclass
class Job:
    """One run as SYSTEM."""

    script: str
    parameters: dict[str, Any]
    begun_at: float
    play: Play
    seconds: float
    steps: list[str] = field(default_factory=list)
    outcome: Value | ScriptFailed | None = None
    interrupted: bool = False


class FakeGuest:
    """imagebuild.guest.Guest. `plays` and `returns` fill the table; `ran` lists what was run: (script, parameters, as whom)."""

    def __init__(self, clock: Clock, *, settle_seconds: float = 5.0) -> None:
        self.clock = clock
        self.settle_seconds = settle_seconds
        self.faults = Faults(lambda: SessionLost("the connection broke before the answer came"))
        self.ran: list[tuple[str, dict[str, Any], str]] = []
        self.files: dict[str, bytes] = {}
        self.scripts_sent = 0
        self.restarts: list[str] = []
        self.closed = 0
        self.up = True  # False: nothing answers, as after the last act
        self.refuses: GuestRefused | None = None  # raised by every call while it is set
        self.never_restarts = False
        self.busy: list[str] = []
        self.logon_screen_shown = True
        self.jobs: dict[str, Job] = {}
        self._table: dict[str, Play] = {}
        self._hanging: set[str] = set()
        self._booted_at = clock.now() - 300
        self._boots = 1
        self._away_until = 0.0

    # ---------------------------------------------------------------------------------------------- what a test arranges

    def plays(self, script: str, play: Play) -> None:
        """The script does that."""
        self._table[script] = play

    def returns(self, script: str, *values: Mapping[str, Any]) -> None:
        """The script returns these values one call after another, the last one for ever."""
        left = [dict(value) for value in values]

        def play(parameters: dict[str, Any], say: OnStep) -> Value:
            del parameters, say
            return left.pop(0) if len(left) > 1 else dict(left[0])

        self._table[script] = play

    def breaks(self, script: str, message: str, *, hresult: str | None = None, times: int = 10**6) -> None:
        """The script answers {ok: false} so often, then does again what it did."""
        before = self._table.get(script)
        left = [times]

        def play(parameters: dict[str, Any], say: OnStep) -> Value:
            if left[0] > 0 or before is None:
                left[0] -= 1
                raise ScriptFailed(f"{script} failed: {message}", script=script, hresult=hresult)
            return before(parameters, say)

        self._table[script] = play

    def hang(self, script: str) -> None:
        """The script runs as SYSTEM, tells a step and never ends."""
        self._hanging.add(script)
        self._table.setdefault(script, lambda parameters, say: {})

    def ready(self) -> Value:
        """What Get-Ready tells now."""
        return {
            "uptime_seconds": int(self.clock.now() - self._booted_at),
            "boot_time": f"202601{self._boots:02d}103000.500000+540",
            "version": "6.1.7601",
            "busy": list(self.busy),
            "logon_screen_shown": self.logon_screen_shown,
        }

    def parameters_of(self, script: str) -> list[dict[str, Any]]:
        """What every run of the script was given, in order."""
        return [parameters for name, parameters, _ in self.ran if name == script]

    def reboot(self) -> None:
        """Windows restarts by itself: the session and running jobs die."""
        self._away_until = self.clock.now() + BOOT_SECONDS
        self._booted_at = self._away_until
        self._boots += 1
        for job in self.jobs.values():
            job.interrupted = job.interrupted or job.outcome is None

    # ---------------------------------------------------------------------------------------------- imagebuild.guest.Guest

    @call
    def send_scripts(self, *, deadline: Deadline) -> None:
        self._reach(deadline)
        self.scripts_sent = max(self.scripts_sent, 1)

    @call
    def send_files(self, files: Mapping[str, bytes], *, deadline: Deadline) -> None:
        self._reach(deadline)
        for path in files:
            if not (len(path) > 3 and path[1:3] == ":\\"):
                raise ScriptFailed(f"Receive-Files failed: path '{path}' is refused", script="Receive-Files")
        self.files.update(files)

    @call
    def run(
        self, script: str, parameters: Parameters | None = None, *, deadline: Deadline, on_step: OnStep | None = None
    ) -> Value:
        self._reach(deadline)
        asked = dict(parameters or {})
        self.ran.append((script, asked, "administrator"))
        if script == "Get-Ready" and script not in self._table:
            return self.ready()
        return self._play(script)(asked, on_step or _say_nothing)

    @call
    def run_as_system(
        self,
        script: str,
        parameters: Parameters | None = None,
        *,
        job: str,
        deadline: Deadline,
        on_step: OnStep | None = None,
    ) -> Value:
        self._begin(script, dict(parameters or {}), job=job, deadline=deadline)
        work = self.jobs[job]
        if script in self._hanging and not work.interrupted:
            (on_step or _say_nothing)("working")
        try:
            wait_for(lambda: self._ended(work), f"the job {job}", deadline=deadline)
        except DeadlinePassed:
            del self.jobs[job]  # it is ended with the deadline
            raise
        if work.interrupted:
            del self.jobs[job]
            raise SessionLost(f"{script} (job {job}) was interrupted by a reboot")
        for step in work.steps:
            (on_step or _say_nothing)(step)
        if isinstance(work.outcome, ScriptFailed):
            del self.jobs[job]  # a failed job may be tried again
            raise work.outcome
        assert work.outcome is not None
        return dict(work.outcome)

    @call
    def start_as_system(
        self, script: str, parameters: Parameters | None = None, *, job: str, deadline: Deadline
    ) -> None:
        self._begin(script, dict(parameters or {}), job=job, deadline=deadline)
        if script not in self._hanging:
            self._finish(self.jobs[job])  # nobody will come and ask: it plays now what the world will see of it

    @call
    def wait_until_ready(self, *, deadline: Deadline, on_step: OnStep | None = None) -> Value:
        del on_step
        return self._wait_ready(deadline)

    @call
    def restart(self, reason: str, *, deadline: Deadline, on_step: OnStep | None = None) -> Restarted:
        self._reach(deadline)
        begun, before = self.clock.now(), self.ready()["boot_time"]
        self.restarts.append(reason)
        if not self.never_restarts:
            self.reboot()
        wait_for(
            lambda: None if self._away() or self.ready()["boot_time"] == before else True,
            "Windows to restart",
            deadline=deadline,
        )
        after = self._wait_ready(deadline)
        return Restarted(before, after["boot_time"], self.clock.now() - begun)

    def close(self) -> None:
        """Count it."""
        self.closed += 1

    # ---------------------------------------------------------------------------------------------- how the machine goes on

    def go_on(self) -> None:
        """End the jobs whose time has come."""
        for work in self.jobs.values():
            self._ended(work)

    def _begin(self, script: str, parameters: dict[str, Any], *, job: str, deadline: Deadline) -> None:
        self._reach(deadline)
        known = self.jobs.get(job)
        if known is not None:
            if (known.script, known.parameters) != (script, parameters):
                raise GuestError(f"the job {job} in the guest is not this {script} with these parameters")
            return
        if script not in self._table:
            raise ScriptFailed(f"Start-SystemJob failed: there is no {script}.ps1", script="Start-SystemJob")
        self.ran.append((script, parameters, "SYSTEM"))
        seconds = math.inf if script in self._hanging else JOB_SECONDS
        self.jobs[job] = Job(script, parameters, self.clock.now(), self._table[script], seconds)

    def _ended(self, work: Job) -> bool | None:
        if work.interrupted or work.outcome is not None:
            return True
        if self.clock.now() - work.begun_at < work.seconds:
            return None
        self._finish(work)
        return True

    def _finish(self, work: Job) -> None:
        try:
            work.outcome = work.play(work.parameters, work.steps.append)
        except ScriptFailed as error:
            work.outcome = error

    def _wait_ready(self, deadline: Deadline) -> Value:
        if isinstance(self.refuses, WrongCertificate):
            raise self.refuses  # the one refusal that no waiting heals
        good_since: list[float] = []

        def probe() -> Value | None:
            self._reach(deadline)
            ready = self.ready()
            if ready["busy"] or not ready["logon_screen_shown"]:
                good_since.clear()
                return None
            good_since.append(self.clock.now())
            return ready if self.clock.now() - good_since[0] >= self.settle_seconds else None

        passing: tuple[type[ImagebuildError], ...] = (GuestUnreachable, GuestRefused, SessionLost)
        return wait_for(probe, "Windows to be ready", deadline=deadline, passing=passing)

    def _play(self, script: str) -> Play:
        if script not in self._table:
            raise ScriptBroken(f"{script} told no result; powershell.exe ended with code 0xFFFD0000")
        return self._table[script]

    def _away(self) -> bool:
        return not self.up or self.clock.now() < self._away_until

    def _reach(self, deadline: Deadline) -> None:
        if deadline.passed():
            raise DeadlinePassed("could not start a command: the time for it is over")
        if self.refuses is not None:
            raise self.refuses
        if self._away():
            raise GuestUnreachable("no answer from the guest")


def _say_nothing(text: str) -> None:
    del text
