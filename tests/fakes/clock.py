"""A clock that only goes on when somebody sleeps: hours of waiting pass in no time, and the same way each time."""


class FakeClock:
    """imagebuild.waiting.Clock. `slept` is the sum of all sleeps."""

    def __init__(self, start: float = 1000.0) -> None:
        self._now = start
        self.slept = 0.0

    def now(self) -> float:
        """Seconds on this clock."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let that much time pass, at once."""
        assert seconds >= 0
        self._now += seconds
        self.slept += seconds
