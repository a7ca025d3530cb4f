"""The only place that sleeps: poll a probe until it gives something, or the deadline passes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from imagebuild.errors import DeadlinePassed, ImagebuildError

Found = TypeVar("Found")


class Clock(Protocol):
    """Where time comes from; tests bring one that does not sleep."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let that much time pass."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Sleep for real."""
        time.sleep(seconds)


@dataclass(frozen=True)
class Deadline:
    """A point in time that is handed down: whoever waits uses what is left of it."""

    at: float
    clock: Clock = field(default_factory=SystemClock, compare=False)

    @classmethod
    def after(cls, seconds: float, clock: Clock | None = None) -> "Deadline":
        """The deadline that many seconds from now."""
        clock = clock or SystemClock()
        return cls(clock.now() + seconds, clock)

    def left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - self.clock.now())

    def passed(self) -> bool:
        """True when nothing is left."""
        return self.left() <= 0.0

    def within(self, seconds: float) -> "Deadline":
        """The earlier of this deadline and `seconds` from now."""
        return Deadline(min(self.at, self.clock.now() + seconds), self.clock)


def wait_for(
    probe: Callable[[], Found | None],
    what: str,
    *,
    deadline: Deadline,
    every: float = 2.0,
    slowest: float | None = None,
    growth: float = 1.5,
    first: float = 0.0,
    passing: tuple[type[ImagebuildError], ...] = (),
    hint: str = "",
) -> Found:
    """Call `probe` every `every` seconds until it returns something that is not None, and return that.

    With `slowest` the pause grows each time, by `growth`, up to that many seconds. `first`: so many seconds pass before anything is asked.

    Errors of the `passing` types count as "not yet"; the last of them is named when the deadline passes. The probe always
    runs once more after the last sleep, so a deadline of zero still asks once. Raises DeadlinePassed("waited N s for WHAT").
    """
    clock = deadline.clock
    begun = clock.now()
    last: ImagebuildError | None = None
    if first and deadline.left():
        clock.sleep(min(first, deadline.left()))
    while True:
        try:
            found, last = probe(), None
        except passing as error:
            found = None
            if last is None or not isinstance(error, DeadlinePassed):  # which says less than the answer before it
                last = error
        if found is not None:
            return found
        if deadline.passed():
            reason = f"; last answer: {last}" if last else ""
            raise DeadlinePassed(
                f"waited {clock.now() - begun:.0f} s for {what}{reason}",
                hint=hint or (last.hint if last else ""),
                details=last.details if last else (),
            )
        clock.sleep(min(every, max(deadline.left(), 0.01)))
        every = min(every * growth, slowest) if slowest else every


def wait_for_cloud(probe: Callable[[], Found | None], what: str, *, deadline: Deadline) -> Found:
    """`wait_for` what a cloud does to a whole machine: never done in a moment, and noticed late by about a tenth of the time it took."""
    return wait_for(probe, what, deadline=deadline, first=0.8, every=0.15, growth=1.1, slowest=2.0)


def pause(seconds: float, *, deadline: Deadline) -> None:
    """Let time pass where there is nothing to ask, never beyond the deadline. Raises DeadlinePassed when none is left."""
    if deadline.passed():
        raise DeadlinePassed("no time is left to try again")
    deadline.clock.sleep(min(seconds, deadline.left()))
