"""What we ask of a connection broker: who has which desktop, and a few things that only it can do. One Protocol; adapters fulfil it.

Brokers differ a lot in what they tell and take, so each says what it is able to do (`capabilities`). A missing one means wait or
ask a person, never force. What a broker does not know about a desktop counts as somebody being there: unknown is busy.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Literal, Protocol

Session = Literal["none", "active", "disconnected", "unknown"]
Availability = Literal["available", "unavailable", "unknown"]
Agent = Literal["up", "down", "unknown"]

_BUSIEST: tuple[Session, ...] = ("active", "disconnected", "unknown", "none")
_OPENEST: tuple[Availability, ...] = ("available", "unknown", "unavailable")


class Cap(Enum):
    """Something that a broker may be able to do; the call that needs it raises CapabilityMissing where it is not."""

    SESSIONS = "tells sessions apart: none, active, disconnected"
    AVAILABILITY = "set_available: offers a desktop to nobody new"
    MESSAGE = "notify: shows a text to a desktop's user"
    RELEASE = "release: ends an assignment that has no session"
    POOL_IMAGE = "set_pool_image: the image that the broker makes new desktops from"
    PROVISIONING = "set_provisioning: whether the broker makes and deletes desktops by itself"
    SCAN = "refresh: looks at the cloud anew"
    FORGET = "forget: removes a record that no machine belongs to any more"
    REGISTRATIONS = "registrations: which agents have reported"


@dataclass(frozen=True)
class Registration:
    """What an agent has told its broker: its machine's name and address, and `identity`, by which the broker tells two of them apart."""

    name: str
    address: str
    identity: str | None = None


@dataclass(frozen=True)
class Health:
    """Whether the broker says it is well; `problems` in its own words, one line each."""

    ok: bool
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Seat:
    """A desktop as the broker sees it.

    `name` is what joins it to a server of the cloud (upper and lower case are the same: see `key`). `observed_at` (UTC) is when the
    broker itself last looked, None when it does not say. `duplicates` are the ids of further records under the same name:
    the seat then is the most careful reading of them all.
    """

    name: str
    pool: str
    broker_id: str = ""
    assigned_user: str | None = None
    session: Session = "unknown"
    availability: Availability = "unknown"
    agent: Agent = "unknown"
    observed_at: datetime | None = None
    duplicates: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What two spellings of one name have in common: Windows and DNS ignore case."""
        return self.name.casefold()

    @property
    def busy(self) -> bool:
        """True unless the broker says that nobody is there and nobody has it assigned."""
        return self.assigned_user is not None or self.session != "none"

    def seen_after(self, moment: datetime) -> bool:
        """True when the broker has looked since then. What an older look says of a desktop that was held back meanwhile proves nothing."""
        return self.observed_at is not None and self.observed_at >= moment

    def distrusted(self) -> "Seat":
        """The same seat when its `none` is not believed: unknown is busy."""
        return replace(self, session="unknown") if self.session == "none" else self


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """How the broker provisions a pool, without anything secret. None: it does not say.

    `threshold`: so many unassigned desktops it wants to have; `maximum`: so many desktops in all; `next_value`: the next {sequence}.
    `enforced`: it also deletes desktops to keep to both.
    """

    pool: str
    image_name: str | None = None
    image_id: str | None = None
    name_pattern: str | None = None
    next_value: int | None = None
    threshold: int | None = None
    maximum: int | None = None
    provisioning: bool | None = None
    enforced: bool | None = None


class Registrar(Protocol):
    """Whoever knows which agents have reported. Every call may raise BrokerError."""

    def registrations(self) -> Sequence[Registration]:
        """Every registration that it knows, oldest first."""
        ...


class Broker(Registrar, Protocol):
    """One connection broker, by the names that our pools have. Every call may raise BrokerError.

    BrokerUnreachable: no answer, try later. BrokerRefused: it said no. CapabilityMissing: it has no way to do this.
    """

    def capabilities(self) -> frozenset[Cap]:
        """What it is able to do; known without asking it."""
        ...

    def health(self) -> Health:
        """Whether it is well enough to be worked with."""
        ...

    def seats(self, pool: str, *, names: Sequence[str] = ()) -> Sequence[Seat]:
        """Every desktop of a pool, one seat a name, in one or two calls. `names`: the pool's servers, for brokers that keep no list."""
        ...

    def set_available(self, seat: Seat, *, available: bool, reason: str) -> None:
        """Offer this desktop to users, or to nobody new; who is on it stays. Twice the same is once.

        It is done when a seat that was `seen_after` the call says so: what is told may be a while old.
        """
        ...

    def notify(self, seat: Seat, text: str, *, minutes: int) -> None:
        """Show a text to the user of this desktop; `minutes` are left until what it announces."""
        ...

    def release(self, seat: Seat) -> None:
        """End the assignment of a desktop that has no session. Raises BrokerRefused when it has one."""
        ...

    def forget(self, seat: Seat, broker_id: str) -> None:
        """Remove one of a desktop's duplicate records, which no machine belongs to any more."""
        ...

    def settings(self, pool: str) -> PoolSettings:
        """How the broker provisions this pool."""
        ...

    def set_pool_image(self, pool: str, image_name: str, *, scan: bool = True) -> None:
        """Let new desktops be made from this image, and see that it is stored. Starts no provisioning that was off.

        `scan`: look for it in the cloud when it is not known yet, which may take minutes.
        """
        ...

    def set_provisioning(self, pool: str, *, on: bool) -> bool:
        """Let the broker make desktops by itself, or not, and see that it is stored. Gives what it was before."""
        ...

    def refresh(self, *, wait: bool = True) -> None:
        """Let the broker look at the cloud anew; with `wait`, come back when it has."""
        ...


def one_a_name(seats: Iterable[Seat]) -> tuple[Seat, ...]:
    """One seat a name. Of several records under one name the most careful reading: somebody's on any of them is somebody there."""
    firsts: dict[str, Seat] = {}
    twins: dict[str, list[Seat]] = {}
    for seat in seats:
        first = firsts.setdefault(key := seat.key, seat)
        if first is not seat:
            twins.setdefault(key, [first]).append(seat)
    return tuple(_merge(twins[key]) if key in twins else seat for key, seat in firsts.items())


def distrust_old(seats: Iterable[Seat], *, now: datetime, max_age: timedelta) -> tuple[Seat, ...]:
    """The seats, where a "nobody is there" that is older than `max_age`, from the future or of unknown age is not believed."""
    return tuple(seat if _is_young(seat.observed_at, now, max_age) else seat.distrusted() for seat in seats)


def _is_young(observed_at: datetime | None, now: datetime, max_age: timedelta) -> bool:
    return observed_at is not None and -max_age <= now - observed_at <= max_age


def _merge(records: Sequence[Seat]) -> Seat:
    """A machine that was made anew leaves a record behind; which is which, the name does not say."""
    first, *others = records
    ages = [record.observed_at for record in records]
    return replace(
        first,
        assigned_user=next((one.assigned_user for one in records if one.assigned_user is not None), None),
        session=min((one.session for one in records), key=_BUSIEST.index),
        availability=min((one.availability for one in records), key=_OPENEST.index),
        agent=first.agent if len({one.agent for one in records}) == 1 else "unknown",
        observed_at=None if None in ages else min(age for age in ages if age is not None),
        duplicates=tuple(other.broker_id for other in others),
    )
