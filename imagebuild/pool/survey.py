"""How a pool stands: the cloud's servers joined by name with the broker's seats, and everything about them that a person should know.

One listing of servers, one question to the broker, and one look at each image that servers stand on: as dear for a thousand as for ten.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from imagebuild.broker import Broker, Seat, one_a_name
from imagebuild.cloud import Cloud, Image, Server
from imagebuild.pool.definition import LONGEST_NAME, PoolDefinition
from imagebuild.pool.marks import IMAGE_ID, PERSISTENT
from imagebuild.pool.model import Desktop, Trouble

ROLLABLE = ("ACTIVE", "SHUTOFF", "ERROR")
"""What Nova rebuilds from (nova api-ref, servers-actions); a suspended or shelved desktop holds what a user left in it."""

ONES_OWN = f"it is one user's own ({PERSISTENT}=yes)"


@dataclass(frozen=True)
class Survey:
    """A pool at one moment. `strays` are seats of the broker's that no server belongs to; `images` those that servers stand on, by id.

    `desktops` are its members; `extras` are those that a roll has made beyond them. `finished`: rolls that are known to have ended,
    whatever their desktops still say.
    """

    pool: str
    desktops: tuple[Desktop, ...]
    strays: tuple[Seat, ...] = ()
    images: Mapping[str, Image] = field(default_factory=dict)
    extras: tuple[Desktop, ...] = ()
    finished: frozenset[str] = frozenset()

    @property
    def everyone(self) -> tuple[Desktop, ...]:
        """Members and extra ones."""
        return self.desktops + self.extras

    @property
    def included(self) -> tuple[Desktop, ...]:
        """The desktops that a roll may take in hand."""
        return tuple(desktop for desktop in self.desktops if desktop.excluded is None)

    @property
    def troubles(self) -> tuple[tuple[Desktop, Trouble], ...]:
        """Every trouble with its desktop."""
        return tuple((desktop, trouble) for desktop in self.desktops for trouble in desktop.troubles)

    @property
    def free(self) -> int:
        """Desktops that a user could get now: what the floor counts."""
        return sum(desktop.offered for desktop in self.everyone)

    def find(self, name: str) -> Desktop | None:
        """The desktop of that name (case ignored), None when there is none or several."""
        found = [desktop for desktop in self.desktops if desktop.name.casefold() == name.casefold()]
        return found[0] if len(found) == 1 else None

    def image_name(self, image_id: str | None) -> str:
        """How people call an image; its id when it is gone."""
        image = self.images.get(image_id or "")
        return image.name if image else image_id or "unknown"

    def by_image(self) -> dict[str, int]:
        """How many desktops stand on each image, by its name, the most first."""
        return dict(Counter(self.image_name(desktop.image_id) for desktop in self.desktops).most_common())


def survey(definition: PoolDefinition, cloud: Cloud, broker: Broker) -> Survey:
    """Look at the pool. Raises CloudError or BrokerError: half a survey would be taken for a whole one."""
    servers = cloud.servers(tags=(definition.tag,))
    seats = broker.seats(definition.pool, names=[server.name for server in servers])
    return join(definition, servers, seats=seats, images=images_of(cloud, servers))


def images_of(cloud: Cloud, servers: Iterable[Server], *, known: Mapping[str, Image] | None = None) -> dict[str, Image]:
    """The images that the servers stand on, by id; those already `known` are not asked for again."""
    images = dict(known or {})
    for image_id in sorted({found for server in servers if (found := image_of(server))} - images.keys()):
        if (image := cloud.image(image_id)) is not None:
            images[image_id] = image
    return images


def image_of(server: Server) -> str | None:
    """What the server's root was made from. Nova tells none for one that runs from a volume: there our own note counts."""
    return server.image_id or server.metadata.get(IMAGE_ID)


def join(
    definition: PoolDefinition, servers: Sequence[Server], *, seats: Iterable[Seat], images: Mapping[str, Image]
) -> Survey:
    """Servers and seats of one moment as a survey; no calls."""
    by_name = {seat.key: seat for seat in one_a_name(seats)}
    twins = Counter(server.name.casefold() for server in servers)
    desktops = []
    for server in servers:
        key = server.name.casefold()
        desktop = _desktop(server, by_name.get(key), images=images)
        desktops.append(replace(desktop, troubles=tuple(_troubles(definition, desktop, twins=twins[key]))))
    desktops.sort(key=lambda one: (_number(definition, one.name), one.name, one.id))
    strays = tuple(seat for key, seat in sorted(by_name.items()) if key not in twins)
    members = tuple(desktop for desktop in desktops if not desktop.extra)
    extras = tuple(desktop for desktop in desktops if desktop.extra)
    return Survey(definition.pool, members, strays, images, extras)


def has_vtpm(image: Image | None, flavor_specs: Mapping[str, str]) -> bool:
    """Does a server of this image and flavor have a virtual TPM, which Nova does not rebuild (nova, emulated-tpm: limitations)?"""
    return "hw:tpm_version" in flavor_specs or (image is not None and "hw_tpm_version" in image.properties)


def _desktop(server: Server, seat: Seat | None, *, images: Mapping[str, Image]) -> Desktop:
    image_id = image_of(server)
    return Desktop(
        id=server.id,
        name=server.name,
        status=server.status,
        image_id=image_id,
        task_state=server.task_state,
        power_state=server.power_state,
        fault=server.fault,
        locked=server.locked,
        locked_reason=server.locked_reason,
        metadata=server.metadata,
        flavor=server.flavor,
        addresses=server.addresses,
        launched_at=moment_of(server.launched_at),
        volume_backed=server.image_id is None,
        root_volume_id=server.root_volume_id,
        further_volume_ids=server.further_volume_ids,
        cards=server.cards,
        key_name=server.key_name,
        floating=server.floating,
        security_groups=server.security_groups,
        vtpm=has_vtpm(images.get(image_id or ""), server.flavor_specs),
        seat=seat,
    )


def _troubles(definition: PoolDefinition, desktop: Desktop, *, twins: int) -> Iterator[Trouble]:
    name, seat = desktop.name, desktop.seat
    if twins > 1:
        words = f"{twins} servers are called {name}: which one the broker means, nobody can tell"
        yield Trouble("duplicate-server", words, excludes=True)
    if len(name) > LONGEST_NAME:
        words = (
            f"its name has {len(name)} characters: Windows cuts it to {LONGEST_NAME} and joins as {name[:LONGEST_NAME]}"
        )
        yield Trouble("long-name", words, excludes=True)
    elif definition.number_of(name) is None:
        yield Trouble("foreign-name", f"its name is not like {definition.names}")
    if desktop.locked:
        reason = f": {desktop.locked_reason}" if desktop.locked_reason else ""
        yield Trouble("locked", f"somebody has locked it{reason}", excludes=True)
    if desktop.persistent and not definition.roll.include_persistent:
        yield Trouble("persistent", ONES_OWN, excludes=True)
    if desktop.status not in ROLLABLE:
        words = f"it is {desktop.status}: neither rebuilt nor replaced from there"
        yield Trouble("state", words, excludes=True)
    elif desktop.broken:
        yield Trouble("fault", f"it is broken: {desktop.fault or desktop.status}")
    if seat is None:
        yield Trouble("no-seat", "the broker does not know it: somebody may be on it")
    elif seat.duplicates:
        yield Trouble("duplicate-seat", f"the broker has it {1 + len(seat.duplicates)} times")


def _number(definition: PoolDefinition, name: str) -> float:
    """The number in the name; those without come last."""
    number = definition.number_of(name)
    return math.inf if number is None else number


def moment_of(text: str) -> datetime | None:
    """Nova's time (UTC, some of its fields without a zone)."""
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
