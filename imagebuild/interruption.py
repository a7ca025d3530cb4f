"""SIGTERM and SIGHUP become KeyboardInterrupt, so that what Ctrl-C cleans up, a CI server's cancel button cleans up, too."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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
