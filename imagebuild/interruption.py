"""Signals as exceptions: a CI server's cancel button cleans up what Ctrl-C cleans up, and a look that must end in time ends."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from imagebuild.errors import DeadlinePassed

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_PAUSES = b"\nit pauses: what is in hand is finished first; once more leaves at once\n"


@contextmanager
def signals_as_interrupt() -> Iterator[None]:
    """While this is open, a request to end raises KeyboardInterrupt in the main thread; the old handlers come back afterwards."""
    before = {number: signal.signal(number, _interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_as_pause() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C, SIGTERM or SIGHUP is only noted, and said; gives whether there was one. The second raises KeyboardInterrupt."""
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        with suppress(OSError):
            os.write(2, _PAUSES)  # print() may be in the middle of a line of its own

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, *_SIGNALS)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


@contextmanager
def ends_within(seconds: float, what: str) -> Iterator[None]:
    """End the block with DeadlinePassed when it takes longer, whatever it is waiting in. Main thread only; for what only reads.

    The alarm goes on every second: a library that swallows the first exception is asked again.
    """

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise DeadlinePassed(f"waited {seconds:g} s for {what}")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
