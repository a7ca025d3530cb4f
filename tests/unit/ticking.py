"""A clock for tests of waiting: sleeping is only counting."""


class TickingClock:
    """Starts at `now`; each sleep lets that much time pass at once and is written down."""

    def __init__(self, now: float = 1000.0) -> None:
        self._now = now
        self.slept: list[float] = []

    def now(self) -> float:
        """Seconds."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        self.slept.append(seconds)
        self._now += seconds
