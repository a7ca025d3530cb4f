"""The world behind the fake broker: pools, records of desktops, and users who come, go and are cut off."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from imagebuild.broker import Agent, Session
from imagebuild.waiting import Clock
from tests.fakes.clock import FakeClock


@dataclass(eq=False)
class Record:
    """What the broker keeps of one desktop."""

    name: str
    broker_id: str
    user: str | None = None
    session: Session = "none"
    available: bool = True
    agent: Agent = "up"


@dataclass(eq=False)
class Pool:
    """A pool and how it is provisioned; `saved` counts how often that was written."""

    name: str
    records: dict[str, list[Record]] = field(default_factory=dict)  # by name without case; several are duplicates
    image: str | None = None
    provisioning: bool = True
    threshold: int = 2
    maximum: int = 100
    next_value: int = 1
    saved: int = 0

    def all(self) -> Iterator[Record]:
        """Every record."""
        return (record for same in self.records.values() for record in same)


@dataclass(frozen=True)
class Incident:
    """Something that a user should not have seen."""

    user: str
    name: str
    at: float


class BrokerWorld:
    """The side of the users and of the machines. A test asks in the end for `cut` and `refused`: what users had to bear."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.pools: dict[str, Pool] = {}
        self.cloud_images: set[str] = set()  # there in the cloud; known to the broker once it has scanned
        self.known_images: set[str] = set()
        self.cut: list[Incident] = []
        self.refused: list[Incident] = []
        self.logins = 0
        self._ids = 0
        self._own: dict[str, Record] = {}

    def add_pool(self, name: str, *desktops: str, image: str | None = None, provisioning: bool = True) -> Pool:
        """A pool with these desktops, all free and available."""
        self.pools[name] = Pool(name, image=image, provisioning=provisioning)
        if image:
            self.cloud_images.add(image)
            self.known_images.add(image)
        for desktop in desktops:
            self.add(name, desktop)
        return self.pools[name]

    def add(self, pool: str, name: str) -> Record:
        """One more record; under a name that is there already it is a duplicate, as after a machine was made anew."""
        self._ids += 1
        record = Record(name, str(self._ids))
        self.pools[pool].records.setdefault(name.casefold(), []).append(record)
        return record

    def found(self, pool: str, name: str) -> None:
        """A scan of the cloud shows a machine that nobody knew; its agent has not reported yet."""
        self.add(pool, name).agent = "down"

    def remove(self, name: str) -> None:
        """All records of this name are gone."""
        for pool in self.pools.values():
            pool.records.pop(name.casefold(), None)

    def record(self, name: str) -> Record:
        """The newest record of this name."""
        found = [one for pool in self.pools.values() for one in pool.records.get(name.casefold(), ())]
        assert found, f"the broker has no {name}"
        return found[-1]

    def log_in(self, name: str, user: str) -> None:
        """A user gets this very desktop."""
        record = self.record(name)
        assert record.user in (None, user), f"{name} belongs to {record.user}"
        self._give(record, user)

    def arrive(self, pool: str, user: str) -> str | None:
        """A user asks for any desktop: the own one, else the first that is free and available. None, and noted, when there is none."""
        offered = self._own.get(user) or next(
            (one for one in self.pools[pool].all() if one.user is None and one.available and one.agent == "up"), None
        )
        if offered is None:
            self.refused.append(Incident(user, pool, self.clock.now()))
            return None
        self._give(offered, user)
        return offered.name

    def disconnect(self, name: str) -> None:
        """The user closes the window; the programs go on."""
        record = self.record(name)
        assert record.user is not None
        record.session = "disconnected"

    def log_out(self, name: str) -> None:
        """The session ends, and with it the assignment."""
        self._leave(self.record(name))

    def destroyed(self, name: str) -> None:
        """The machine was rebuilt, deleted or switched off: whoever was on it is cut off, and its agent is silent."""
        for pool in self.pools.values():
            for record in pool.records.get(name.casefold(), ()):
                if record.session != "none":
                    self.cut.append(Incident(record.user or "?", record.name, self.clock.now()))
                    self._leave(record)
                record.agent = "down"

    def booted(self, name: str) -> None:
        """The machine is there and its agent has reported."""
        self.record(name).agent = "up"

    def _leave(self, record: Record) -> None:
        self._own.pop(record.user or "", None)
        record.user, record.session = None, "none"

    def _give(self, record: Record, user: str) -> None:
        record.user, record.session = user, "active"
        self._own[user] = record
        self.logins += 1
