"""What every bench of a broker's contract has: the broker, and the hands of its users and operators."""

from abc import ABC, abstractmethod

from imagebuild.broker import Broker, Seat

POOL = "staff"
DESKTOPS = ("desktop-1", "desktop-2", "desktop-3")


class Bench(ABC):
    """A broker and the hands of its users and operators."""

    broker: Broker

    def seats(self) -> dict[str, Seat]:
        """What the broker tells now, by name."""
        return {seat.key: seat for seat in self.broker.seats(POOL, names=DESKTOPS)}

    @abstractmethod
    def put(self, name: str, user: str | None, session: str) -> None:
        """Let the desktop be this user's, with such a session."""

    @abstractmethod
    def duplicate(self, name: str) -> None:
        """One more record under this name, in other letters."""

    def operate(self) -> None:
        """Let the operators do what they have been asked for; most brokers have done it themselves."""
        return

    def close(self) -> None:
        """End what runs."""
        return
