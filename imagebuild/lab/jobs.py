"""Runs commands side by side, each when what it needs is done: Debian packages, environments, databases, images."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imagebuild.errors import LabError
from imagebuild.report import Report
from imagebuild.waiting import Deadline, wait_for

TAIL_LINES = 20
CORES = 2


@dataclass(frozen=True)
class Job:
    """A command with a name. `needs`: jobs that must be done before. `heavy`: keeps a core busy; only two of these run at once.
    `background`: nobody waits for it here; it is handed back while it runs."""

    name: str
    command: Sequence[str]
    needs: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    stdin: str = field(default="", repr=False)  # may hold passwords: given through a pipe, never an argument
    heavy: bool = True
    background: bool = False


def run_jobs(
    jobs: Sequence[Job], report: Report, *, logs: Path, mark: Mapping[str, str], deadline: Deadline
) -> "list[Running]":
    """Run all jobs; each job's seconds are noted as it ends, its output is in logs/setup-NAME.log.

    `mark`: variables that every job gets; by them a later run finds and ends what a killed one has left.
    Returns when all are done, but for the background ones, which are started and handed back for the caller to await and to end.
    The first failure ends the others and raises LabError with the tail of its log; so does the deadline.
    """
    waiting = {job.name: job for job in jobs}
    running: dict[str, Running] = {}
    done: set[str] = {need for job in jobs for need in job.needs} - set(waiting)
    logs.mkdir(parents=True, exist_ok=True)

    def turn() -> bool | None:
        for name, one in list(running.items()):
            if one.ended():
                del running[name]
                done.add(name)
                report.note(f"{name}: {one.seconds():.1f} s")
        for job in list(waiting.values()):
            busy = sum(one.job.heavy and not one.job.background for one in running.values())
            if done.issuperset(job.needs) and (not job.heavy or busy < CORES):
                running[job.name] = Running(waiting.pop(job.name), logs, mark)
        return True if not waiting and all(one.job.background for one in running.values()) else None

    try:
        wait_for(turn, "the lab's preparations", deadline=deadline, every=0.05, hint=f"the logs are in {logs}")
    except BaseException:
        for one in running.values():
            one.end()
        raise
    return list(running.values())


class Running:
    """A job under way, in a process group of its own."""

    def __init__(self, job: Job, logs: Path, mark: Mapping[str, str]) -> None:
        self.job = job
        self.log = logs / f"setup-{job.name}.log"
        self._begun = time.monotonic()
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                list(job.command),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **job.environment, **mark},
                start_new_session=True,
            )
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(job.stdin.encode())
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it ended already; its exit code tells why

    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self._begun

    def ended(self) -> bool:
        """True when it succeeded, False while it runs; a failure is raised."""
        code = self._process.poll()
        if code is None or code == 0:
            return code == 0
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        raise LabError(
            f"preparing the lab failed at {self.job.name}: exit code {code}",
            hint=f"the whole output is in {self.log}; mend the cause and run the command again, it goes on from there",
            details=lines[-TAIL_LINES:],
        )

    def await_end(self, *, deadline: Deadline) -> None:
        """Wait until it has succeeded; raises what `ended` raises, and DeadlinePassed."""
        wait_for(lambda: self.ended() or None, self.job.name, deadline=deadline, every=0.2)

    def end(self) -> None:
        """Kill the whole group of a job that is no longer wanted."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
