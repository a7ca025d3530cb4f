"""Builds under way in processes of their own: heard, timed, and asked to end together when the run is to end."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from imagebuild.errors import DeadlinePassed
from imagebuild.jobs.outcomes import Outcome, result_of
from imagebuild.jobs.relaying import Relay
from imagebuild.report import Report
from imagebuild.waiting import Deadline, wait_for

UNDO_SECONDS = 900.0
"""How long a build may undo what it made, once it was asked to end."""


class Child(Protocol):
    """A build in a process of its own: see adapters.child_builds."""

    def lines(self) -> list[str]:
        """What it has written since the last call."""
        ...

    def exit_code(self) -> int | None:
        """None while it runs."""
        ...

    def interrupt(self) -> None:
        """Ask it to undo what it has made, and to end."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    def close(self) -> None:
        """Stop reading."""
        ...


StartChild = Callable[..., Child]
"""Called with the arguments of `invoke`, `project` (the folder) and `log` (the file): see adapters.child_builds."""


@dataclass
class _Running:
    name: str
    child: Child
    relay: Relay
    log: Path
    deadline: Deadline
    begun: float = field(default_factory=time.monotonic)
    asked_to_end: bool = False
    late: bool = False


class ChildRuns:
    """The builds of one rebuild. `minutes`: what one may take before it is asked to end; `width`: of the longest name."""

    def __init__(self, project: Path, report: Report, start: StartChild, *, minutes: float, width: int) -> None:
        self._project = project
        self._report = report
        self._start = start
        self._minutes = minutes
        self._width = width
        self._logs = project / ".imagebuild" / "rebuilds" / f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
        self._running: list[_Running] = []

    @property
    def names(self) -> frozenset[str]:
        """Those that run."""
        return frozenset(one.name for one in self._running)

    def begin(self, name: str, arguments: Sequence[str]) -> None:
        """Start `invoke ARGUMENTS`. Raises ImagebuildError when that cannot be done."""
        log = self._logs / f"{name}.log"
        child = self._start(arguments, project=self._project, log=log)
        relay = Relay(name, self._report, width=self._width)
        self._running.append(_Running(name, child, relay, log, Deadline.after(self._minutes * 60)))

    def listen(self) -> list[Outcome]:
        """Tell on what they say; gives those that have ended since the last call. Who takes too long is asked to end, then killed."""
        ended = []
        for one in list(self._running):
            code = one.child.exit_code()  # before its lines: after its end nothing is added to them
            for line in one.child.lines():
                one.relay.tell(line)
            if code is not None:
                self._running.remove(one)
                one.child.close()
                ended.append(self._outcome(one, code))
            elif one.deadline.passed():
                self._end_late(one)
        return ended

    def end_all(self) -> list[str]:
        """Ask all to end and wait until they have undone what they made; gives the names of those that had to be killed."""
        self.interrupt()
        if self._running:
            self._report.warn(f"waiting for {', '.join(sorted(self.names))} to undo what they made")
        try:
            wait_for(self._all_ended, "the undo", deadline=Deadline.after(UNDO_SECONDS), every=0.3)
        except DeadlinePassed:
            for one in self._running:
                one.child.kill()
        return sorted(self.names)

    def interrupt(self) -> None:
        """Ask all to end, each once: a second wish would end its undo."""
        for one in self._running:
            if not one.asked_to_end:
                one.asked_to_end = True
                one.child.interrupt()

    def close(self) -> None:
        """Leave nothing behind that nobody hears: what still runs is asked to end."""
        self.interrupt()
        for one in self._running:
            one.child.close()

    def _all_ended(self) -> bool | None:
        self.listen()
        return None if self._running else True

    def _end_late(self, one: _Running) -> None:
        if one.late:
            self._report.warn(f"{one.name}: killed; next: invoke sweep")
            one.child.kill()
            return
        self._report.warn(f"{one.name}: not done within {self._minutes:g} minutes, asked to end")
        one.late = one.asked_to_end = True
        one.child.interrupt()
        one.deadline = Deadline.after(UNDO_SECONDS)

    def _outcome(self, one: _Running, code: int) -> Outcome:
        result = result_of(code)
        reason = f"not done within {self._minutes:g} minutes" if one.late else one.relay.error
        if not reason and result not in ("built", "unchanged"):
            reason = f"exit code {code}"
        return Outcome(
            one.name, result, reason, image=one.relay.image, seconds=time.monotonic() - one.begun, log=one.log
        )
