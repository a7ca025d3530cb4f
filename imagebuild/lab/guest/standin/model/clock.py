"""Time for the model: waiting that can be cut short, and work that goes on beside the caller. Tests put their own in its place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

LOOK = 0.1  # seconds between two looks at `stop`


def never() -> bool:
    """The `stop` of somebody who is never told to stop."""
    return False


class Clock:
    """The real one: wall clock, real waiting, daemon threads."""

    def now(self) -> datetime:
        """The time in UTC."""
        return datetime.now(UTC)

    def wait(self, seconds: float, stop: Callable[[], bool] = never) -> bool:
        """Wait so many seconds; False when `stop` said so before they were over."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if stop():
                return False
            threading.Event().wait(min(left, LOOK))
        return not stop()

    def hang(self, stop: Callable[[], bool]) -> None:
        """Wait until `stop` says so: a model of something that never ends by itself."""
        while not stop():
            threading.Event().wait(LOOK)

    def spawn(self, name: str, work: Callable[[], None]) -> None:
        """Let `work` go on by itself; it dies with the machine."""
        threading.Thread(target=work, name=name, daemon=True).start()


class Killed(Exception):  # noqa: N818 - what a process meets when it is ended, not an error of ours
    """The process in which this runs was ended from outside."""


class Pause:
    """How something that can be killed waits: it learns of its end while waiting, and never goes on after it."""

    def __init__(self, clock: Clock, stop: Callable[[], bool] = never) -> None:
        self._clock = clock
        self._stop = stop

    def check(self) -> None:
        """Raise Killed when the end has come."""
        if self._stop():
            raise Killed

    def wait(self, seconds: float) -> None:
        """Wait so many seconds; raise Killed when the end comes first."""
        if not self._clock.wait(seconds, self._stop):
            raise Killed

    def hang(self) -> None:
        """Never come back but by being killed."""
        self._clock.hang(self._stop)
        raise Killed


def stamp(moment: datetime) -> str:
    """A time as the guest scripts write it: 2026-01-31T10:00:00Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
