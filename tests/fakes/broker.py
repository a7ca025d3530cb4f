"""A strict connection broker in memory, with the troubles that real ones have: old counts, users who log in between check and act."""

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from imagebuild.broker import Cap, Health, PoolSettings, Registration, Seat, one_a_name
from imagebuild.errors import BrokerRefused, BrokerUnreachable, CapabilityMissing
from imagebuild.waiting import Clock, Deadline, wait_for
from tests.fakes.broker_world import BrokerWorld, Pool, Record
from tests.fakes.faults import Faults, call

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""When the fake clock stands at 0."""
NEVER = float("inf")


class FakeBroker(BrokerWorld):
    """imagebuild.broker.Broker over a world of users.

    `count_every`: seconds between two countings; what `seats` tells is as old as the last one (NEVER: it stays as it was first told).
    `scan_seconds`: how long a scan takes. `on_save` is called with a pool that is saved while its provisioning is on: a real broker may
    start to make desktops at that moment. `faults.fail("seats", BrokerUnreachable(...))` and its like break single calls.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        caps: frozenset[Cap] = frozenset(Cap),
        count_every: float = 0.0,
        scan_seconds: float = 5.0,
        on_save: Callable[[Pool], None] = lambda pool: None,
    ) -> None:
        super().__init__(clock)
        self.caps = caps
        self.count_every = count_every
        self.scan_seconds = scan_seconds
        self.on_save = on_save
        self.faults = Faults(lambda: BrokerUnreachable("the broker's answer is lost"))
        self.problems: tuple[str, ...] = ()
        self.agents: list[Registration] = []
        self.messages: list[tuple[str, str, int]] = []  # user, text, minutes
        self.reasons: list[tuple[str, bool, str]] = []  # name, available, reason
        self._scan_until: float | None = None
        self._counted: dict[str, tuple[float, tuple[Seat, ...]]] = {}
        self._between: dict[str, deque[Callable[[], None]]] = defaultdict(deque)

    def between(self, method: str, action: Callable[[], None]) -> None:
        """Let something happen behind the caller's back, right after the next `seats` or `set_available` has been answered."""
        self._between[method].append(action)

    def go_on(self) -> None:
        """What is due by the clock: a scan that comes to its end."""
        if self._scan_until is not None and self.clock.now() >= self._scan_until:
            self._scan_until = None
            self.known_images |= self.cloud_images

    def capabilities(self) -> frozenset[Cap]:
        """What it was made with."""
        return self.caps

    @call
    def health(self) -> Health:
        """Well, unless the test named problems."""
        return Health(not self.problems, self.problems)

    @call
    def seats(self, pool: str, *, names: Sequence[str] = ()) -> Sequence[Seat]:
        """The last counting, or a new one when it is due; then whatever was to happen behind the asker's back."""
        kept = self._pool(pool)
        now = self.clock.now()
        at, seats = self._counted.get(pool, (-NEVER, ()))
        if now - at >= self.count_every:
            observed_at = EPOCH + timedelta(seconds=now)
            seats = one_a_name(self._seat(kept, record, observed_at) for record in kept.all())
            self._counted[pool] = now, seats
        self._happen("seats")
        return seats

    @call
    def set_available(self, seat: Seat, *, available: bool, reason: str) -> None:
        """Mark all records of this name."""
        self._require(Cap.AVAILABILITY)
        for record in self._records(seat):
            record.available = available
        self.reasons.append((seat.name, available, reason))
        self._happen("set_available")

    @call
    def notify(self, seat: Seat, text: str, *, minutes: int) -> None:
        """A message for the user; refused where nobody is."""
        self._require(Cap.MESSAGE)
        user = next((record.user for record in self._records(seat) if record.session == "active"), None)
        if user is None:
            raise BrokerRefused(f"nobody is on {seat.name}")
        self.messages.append((user, text, minutes))

    @call
    def release(self, seat: Seat) -> None:
        """The assignment ends where there is no session."""
        self._require(Cap.RELEASE)
        for record in self._records(seat):
            if record.session != "none":
                raise BrokerRefused(f"{seat.name} has a session")
            self._leave(record)

    @call
    def forget(self, seat: Seat, broker_id: str) -> None:
        """One record goes; the last of a name cannot."""
        self._require(Cap.FORGET)
        records = self._records(seat)
        if len(records) < 2 or broker_id not in {one.broker_id for one in records}:
            raise BrokerRefused(f"{broker_id} is no duplicate of {seat.name}")
        self._pool(seat.pool).records[seat.key] = [one for one in records if one.broker_id != broker_id]

    @call
    def settings(self, pool: str) -> PoolSettings:
        """How the pool is provisioned."""
        kept = self._pool(pool)
        return PoolSettings(
            pool=pool,
            image_name=kept.image,
            image_id=kept.image,
            name_pattern="desktop-{SEQUENCE}",
            next_value=kept.next_value,
            threshold=kept.threshold,
            maximum=kept.maximum,
            provisioning=kept.provisioning,
            enforced=False,
        )

    @call
    def set_pool_image(self, pool: str, image_name: str, *, scan: bool = True) -> None:
        """Refused for an image that no scan has found."""
        self._require(Cap.POOL_IMAGE)
        if image_name not in self.known_images:
            raise BrokerRefused(f"the broker knows no image {image_name}", hint="let it scan the cloud first")
        kept = self._pool(pool)
        kept.image = image_name
        self._save(kept)

    @call
    def set_provisioning(self, pool: str, *, on: bool) -> bool:
        """The switch; gives how it was."""
        self._require(Cap.PROVISIONING)
        kept = self._pool(pool)
        before, kept.provisioning = kept.provisioning, on
        self._save(kept)
        return before

    @call
    def refresh(self, *, wait: bool = True) -> None:
        """A scan of `scan_seconds`; a second one while it goes is the same one."""
        self._require(Cap.SCAN)
        if self._scan_until is None:
            self._scan_until = self.clock.now() + self.scan_seconds
        if wait:
            wait_for(self._scanned, "the broker's scan", deadline=Deadline.after(900, self.clock), every=1.0)

    @call
    def registrations(self) -> Sequence[Registration]:
        """What the test put there."""
        self._require(Cap.REGISTRATIONS)
        return tuple(self.agents)

    def _seat(self, pool: Pool, record: Record, observed_at: datetime) -> Seat:
        told = Cap.SESSIONS in self.caps or record.session == "none"
        return Seat(
            name=record.name,
            pool=pool.name,
            broker_id=record.broker_id,
            assigned_user=record.user,
            session=record.session if told else "unknown",
            availability="available" if record.available else "unavailable",
            agent=record.agent,
            observed_at=observed_at,
        )

    def _scanned(self) -> bool | None:
        self.go_on()
        return True if self._scan_until is None else None

    def _happen(self, method: str) -> None:
        if self._between[method]:
            self._between[method].popleft()()

    def _save(self, pool: Pool) -> None:
        pool.saved += 1
        if pool.provisioning:
            self.on_save(pool)

    def _pool(self, name: str) -> Pool:
        if name not in self.pools:
            raise BrokerRefused(f"the broker has no pool {name}")
        return self.pools[name]

    def _records(self, seat: Seat) -> list[Record]:
        found = self._pool(seat.pool).records.get(seat.key)
        if not found:
            raise BrokerRefused(f"the broker has no desktop {seat.name} in {seat.pool}")
        return found

    def _require(self, cap: Cap) -> None:
        if cap not in self.caps:
            raise CapabilityMissing(f"this broker has no way to do that: {cap.value}")
