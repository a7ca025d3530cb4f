"""The nouns of a pool: a desktop as cloud and broker together show it, how far a roll is with it, and how far the roll is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from imagebuild.broker import Seat
from imagebuild.pool.marks import EXTRA, PERSISTENT

Method = Literal["rebuild", "replace", "broker", "make", "remove"]
"""rebuild: the same server gets a new root disk. replace: the server is deleted, and one of the same name and address made.
broker: the server is deleted, and the broker makes one of another name, when it wants one.

An extra desktop, beyond the pool's members: make, where nothing was before; remove, and nothing comes after it.
"""


class Phase(StrEnum):
    """How far a roll is with one desktop; the value is what its journal and the server's metadata say."""

    PENDING = "pending"
    DRAINING = "draining"
    """Offered to nobody new; somebody may still be on it."""
    DRAINED = "drained"
    """Nobody is on it, and has not been for the settling time."""
    ACTING = "acting"
    BOOTING = "booting"
    CHECKING = "checking"
    RETURNING = "returning"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    """Failed, and not to be put back: kept away from users as it is, to be looked at."""

    @property
    def finished(self) -> bool:
        """True when the roll will not touch the desktop again."""
        return self in _FINISHED

    @property
    def in_flight(self) -> bool:
        """True from the first effect on the desktop to the last: it counts as unavailable."""
        return self is not Phase.PENDING and self not in _FINISHED


_FINISHED = frozenset({Phase.DONE, Phase.SKIPPED, Phase.FAILED, Phase.QUARANTINED})


class RollState(StrEnum):
    """How far a roll is."""

    PLANNED = "planned"
    CANARY = "canary"
    BAKING = "baking"
    """The canary is done and nothing is begun until somebody says so, or until the time is over."""
    ROLLING = "rolling"
    PAUSED = "paused"
    HALTED = "halted"
    ABORTED = "aborted"
    COMPLETED = "completed"
    ROLLED_BACK = "rolled-back"

    @property
    def finished(self) -> bool:
        """True when it will not go on: a pool may have another roll."""
        return self in (RollState.ABORTED, RollState.COMPLETED, RollState.ROLLED_BACK)


TroubleKind = Literal[
    "duplicate-server",
    "duplicate-seat",
    "long-name",
    "foreign-name",
    "locked",
    "persistent",
    "no-seat",
    "state",
    "fault",
]


@dataclass(frozen=True)
class Trouble:
    """Something about one desktop that a person should know; with `excludes`, a roll leaves the desktop out because of it."""

    kind: TroubleKind
    words: str
    excludes: bool = False

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True, kw_only=True, slots=True)
class Desktop:
    """One desktop of a pool: its server, and its seat in the broker (None: the broker has no record of that name).

    `image_id` is what its root was made from, None when that cannot be told. `volume_backed` and `vtpm` decide what Nova allows.
    """

    id: str
    name: str
    status: str
    image_id: str | None = None
    task_state: str | None = None
    power_state: int | None = None
    fault: str | None = None
    locked: bool = False
    locked_reason: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    flavor: str = ""
    addresses: tuple[str, ...] = ()
    launched_at: datetime | None = None
    volume_backed: bool = False
    root_volume_id: str | None = None
    further_volume_ids: tuple[str, ...] = ()
    """What is attached to it beside its root."""
    cards: int = 1
    key_name: str = ""
    floating: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    vtpm: bool = False
    seat: Seat | None = None
    troubles: tuple[Trouble, ...] = ()

    @property
    def busy(self) -> bool:
        """True unless the broker says that nobody is there: what it does not know of, somebody may be on."""
        return self.seat is None or self.seat.busy

    @property
    def broken(self) -> bool:
        """Is it of no use to anybody as it is, by Nova's word?"""
        return self.status == "ERROR" or self.fault is not None

    @property
    def unwell(self) -> bool:
        """Is it broken, or does it run and its agent not report to the broker?"""
        return self.broken or (self.powered_on and self.seat is not None and self.seat.agent == "down")

    @property
    def powered_on(self) -> bool:
        """Does it run, by Nova's word?"""
        return self.status == "ACTIVE"

    @property
    def persistent(self) -> bool:
        """Is it marked as one user's own?"""
        return is_persistent(self.metadata)

    @property
    def extra(self) -> bool:
        """Is it one that a roll has made beyond the pool's members?"""
        return EXTRA in self.metadata

    @property
    def offered(self) -> bool:
        """Could a user get it now: it runs, its agent is not silent, nobody is there, and the broker does not hold it back?"""
        ready = self.powered_on and not self.broken and self.task_state is None
        seat = self.seat
        return (
            ready and seat is not None and not seat.busy and seat.availability != "unavailable" and seat.agent != "down"
        )

    @property
    def excluded(self) -> str | None:
        """Why a roll leaves it out, None when it does not."""
        reasons = [trouble.words for trouble in self.troubles if trouble.excludes]
        return "; ".join(reasons) or None


def is_persistent(metadata: Mapping[str, str]) -> bool:
    """Does a server of this metadata belong to one user alone?"""
    return metadata.get(PERSISTENT, "").casefold() in ("yes", "true", "1")
