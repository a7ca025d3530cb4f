"""Signals as exceptions: a CI server's cancel button cleans up what Ctrl-C cleans up, and a look that must end in time ends."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from imagebuild.errors import DeadlinePassed

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals_as_interrupt() -> Iterator[None]:
    """While this is open, a request to end raises KeyboardInterrupt in the main thread; the old handlers come back afterwards."""
    before = {number: signal.signal(number, _interrupt) for number in _SIGNALS}
    try:
        yield
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
