"""imagebuild.broker.Broker over Leostream's REST interface: reads pools, and writes single fields back with a look at what was stored.

The interface knows pools and centers, and no desktops of their own: seats are read from a pool, nobody can be messaged or released.
Saving a pool can start its provisioning at once, so nothing is saved that is as it should be already.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from imagebuild.adapters.broker_limits import Limited
from imagebuild.adapters.leostream_api import LeostreamApi
from imagebuild.adapters.leostream_centers import Centers
from imagebuild.adapters.leostream_drain import Drain, left_out, offer, parent_of
from imagebuild.adapters.leostream_values import (
    center_of,
    change_provision,
    differences,
    provision_of,
    read_health,
    read_seats,
    read_settings,
    writable,
)
from imagebuild.broker import Cap, Health, PoolSettings, Seat, distrust_old, one_a_name
from imagebuild.errors import BrokerError, BrokerRefused, BrokerUnreachable

Pool = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a broker's words are taken. `pool_name`: the pool's name there, where it is not ours.

    `zone` is where the broker's clock stands, for times that do not say it.
    """

    pool_name: str | None = None
    drain: Drain = "none"
    max_age: timedelta = timedelta(minutes=15)
    trust_unassigned: bool = False
    zone: tzinfo = UTC
    refills: bool = False
    """The broker is to make another for each desktop that is taken from offer: it goes soon."""
    busy_for: timedelta = timedelta(seconds=15)
    """So long a 503 on its health is taken for busyness, or for a restart."""


class LeostreamBroker(Limited):
    """One Leostream broker and one of its centers."""

    def __init__(
        self,
        api: LeostreamApi,
        centers: Centers,
        *,
        reading: Reading,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        caps = {Cap.POOL_IMAGE, Cap.PROVISIONING, Cap.SCAN}
        if reading.drain != "none":
            caps.add(Cap.AVAILABILITY)
        super().__init__("Leostream's REST interface", frozenset(caps))
        self._api, self._centers, self._reading = api, centers, reading
        self._now = now
        self._ids: dict[str, int] = {}

    def health(self) -> Health:
        """system/health; a broker that goes on answering 503 there says itself that it is not well."""
        patience = self._reading.busy_for.total_seconds()
        told = self._api.get("/system/health", doing="ask for the broker's health", expect=(503,), patience=patience)
        if not isinstance(told, Mapping) or "error_status" in told:
            return Health(False, ("broker: service unavailable",))
        return read_health(told)

    def seats(self, pool: str, *, names: Sequence[str] = ()) -> Sequence[Seat]:
        """The pool's desktops in one call (two at the first time); those that `drain` has left out, in one more.

        Without `names`, those that were left out of an ad hoc pool are not told.
        """
        kept = self._read(pool)
        seats = self._seats_of(kept, pool)
        if self._reading.drain != "none":
            there = {seat.key for seat in seats}
            missing = (left_out(kept) | {name.casefold() for name in names}) - there
            seats += self._seats_outside(kept, pool, missing)
        return distrust_old(one_a_name(seats), now=self._now(), max_age=self._reading.max_age)

    def set_available(self, seat: Seat, *, available: bool, reason: str) -> None:
        """Put the desktop into the pool's definition or leave it out of it."""
        self.require(Cap.AVAILABILITY)
        self._save(
            seat.pool,
            lambda kept: offer(kept, seat, by=self._reading.drain, available=available, refills=self._reading.refills),
            doing=f"{'offer' if available else 'take from offer'} {seat.name}",
        )

    def settings(self, pool: str) -> PoolSettings:
        """The pool's provisioning, and the name of its image from the center's list."""
        kept = self._read(pool)
        center, image = center_of(kept), provision_of(kept).get("provision_vm_id")
        name = self._centers.image_name(center, image) if center is not None and isinstance(image, int) else None
        return read_settings(kept, pool, image_name=name)

    def set_pool_image(self, pool: str, image_name: str, *, scan: bool = True) -> None:
        """Find the image by name in the pool's center, with a `scan` when it is new, and let the pool provision from it.

        Where provisioning is on it is off from that saving until the image is seen to be stored: pause it yourself before,
        and nothing stays behind whenever this is cut off.
        """
        provision = provision_of(self._read(pool))
        center = center_of({"provision": provision})
        number = self._centers.find_image(center if center is not None else self._centers.find(), image_name, scan=scan)
        if provision.get("provision_vm_id") == number:
            return
        doing = f"let the pool {pool} be made from {image_name}"
        before = provision.get("provision_on_off")
        off = _switch(before, on=False)
        self._save(pool, lambda kept: change_provision(kept, provision_vm_id=number, provision_on_off=off), doing=doing)
        if before:
            self._save(pool, lambda kept: change_provision(kept, provision_on_off=before), doing=doing)

    def set_provisioning(self, pool: str, *, on: bool) -> bool:
        """`provision_on_off`. Who asks twice gets its own setting back: keep the first answer."""
        before = provision_of(self._read(pool)).get("provision_on_off")
        self._save(
            pool,
            lambda kept: change_provision(kept, provision_on_off=_switch(before, on=on)),
            doing=f"turn the provisioning of the pool {pool} {'on' if on else 'off'}",
        )
        return bool(before)

    def refresh(self, *, wait: bool = True) -> None:
        """Scan the center."""
        self._centers.scan(self._centers.find(), wait=wait)

    def _seats_of(self, kept: Pool, pool: str) -> list[Seat]:
        reading = self._reading
        return read_seats(kept, pool, zone=reading.zone, trust_unassigned=reading.trust_unassigned)

    def _seats_outside(self, kept: Pool, pool: str, missing: frozenset[str]) -> list[Seat]:
        """Of desktops that are in the parent pool only: nobody is offered them."""
        parent = parent_of(kept)
        if not missing or parent is None:
            return []
        above = self._object(f"/pools/{parent}", doing=f"read the pool above {pool}")
        return [replace(s, availability="unavailable") for s in self._seats_of(above, pool) if s.key in missing]

    def _save(self, pool: str, change: Callable[[Pool], dict[str, Any]], *, doing: str) -> None:
        """Read, change, write, read again and compare; nothing is written where nothing differs.

        When the answer to the writing is lost, what is stored decides.
        """
        kept = self._read(pool)
        wanted = change(kept)
        if not differences(wanted, writable(kept)):
            return
        lost: BrokerUnreachable | None = None
        try:
            self._api.put(f"/pools/{self._ids[pool]}", wanted, doing=doing)
        except BrokerUnreachable as error:
            lost = error
        wrong = differences(wanted, writable(self._read(pool)))
        if wrong and lost:
            raise lost
        if wrong:
            raise BrokerRefused(
                f"could not {doing}: the broker took it, and now has something else in {', '.join(wrong)}",
                hint="look at this pool in the broker's own pages, also whether its provisioning is on as it should be",
            )

    def _read(self, pool: str) -> Pool:
        """The pool with its desktops."""
        doing = f"read the pool {pool}"
        if pool not in self._ids:
            self._ids[pool] = self._find(pool)
        try:
            return self._object(f"/pools/{self._ids[pool]}", doing=doing)
        except BrokerRefused:
            del self._ids[pool]  # deleted and made anew it has another number
            raise

    def _find(self, pool: str) -> int:
        name = self._reading.pool_name or pool
        listed = self._api.get("/pools", doing="list the broker's pools")
        if not isinstance(listed, list):
            raise BrokerError("the broker's pools are no list", hint="is this the broker's REST interface?")
        found = [one["id"] for one in listed if isinstance(one, Mapping) and one.get("name") == name]
        if len(found) != 1:
            raise BrokerRefused(
                f"the broker has {len(found) or 'no'} pools of the name {name} that this user may see",
                hint="say its name there as `pool` in the broker section",
            )
        return int(found[0])

    def _object(self, path: str, *, doing: str) -> Pool:
        told = self._api.get(path, doing=doing)
        if not isinstance(told, Mapping):
            raise BrokerError(
                f"could not {doing}: the answer is no object", hint="is this the broker's REST interface?"
            )
        return told


def _switch(before: object, *, on: bool) -> bool | int:
    """The switch in the broker's own way: it takes true and 1."""
    return on if isinstance(before, bool) else int(on)
