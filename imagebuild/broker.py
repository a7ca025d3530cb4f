"""What we ask of a connection broker so far: which agents have registered with it. One Protocol; adapters fulfil it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Registration:
    """What an agent has told its broker: its machine's name and address, and `identity`, by which the broker tells two of them apart."""

    name: str
    address: str
    identity: str | None = None


class Broker(Protocol):
    """One connection broker. Every call may raise BrokerError."""

    def registrations(self) -> Sequence[Registration]:
        """Every registration that it knows, oldest first."""
        ...
