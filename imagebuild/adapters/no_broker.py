"""No broker: nobody tells who is on a desktop, so everybody may be on it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from imagebuild.adapters.broker_limits import Limited
from imagebuild.broker import Health, Seat


class NoBroker(Limited):
    """imagebuild.broker.Broker without a broker. `assume_idle`: somebody promises that nobody is ever on these desktops."""

    def __init__(self, *, assume_idle: bool = False, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__("a pool without a broker", frozenset())
        self._assume_idle = assume_idle
        self._now = now

    def health(self) -> Health:
        """Nothing that could be unwell."""
        return Health(True)

    def seats(self, pool: str, *, names: Sequence[str] = ()) -> Sequence[Seat]:
        """A seat for each name: nobody knows who is there, or, as promised, nobody is."""
        if not self._assume_idle:
            return tuple(Seat(name=name, pool=pool) for name in names)
        now = self._now()
        return tuple(Seat(name=name, pool=pool, session="none", observed_at=now) for name in names)
