"""Servers that are there already become a pool's: only those that a person has seen listed, and never somebody else's.

Membership is the tag, and comes last: a server that carries it has its notes already.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from imagebuild.cloud import OWNER_KEY, POOL_KEY, Cloud, Server
from imagebuild.pool.definition import LONGEST_NAME, PoolDefinition
from imagebuild.pool.marks import IMAGE_ID, IMAGE_VERSION, PERSISTENT, SEQUENCE, TAG_PREFIX
from imagebuild.report import Report


@dataclass(frozen=True)
class Adoption:
    """One server whose name is like the pool's. `obstacle` says why it cannot be taken over, '' when it can."""

    server: Server
    number: int
    obstacle: str = ""
    member: bool = False
    """It is the pool's already."""

    def __str__(self) -> str:
        if self.member:
            return f"{self.server.name:15s} is the pool's already"
        state = f"stays out: {self.obstacle}" if self.obstacle else "can be taken over"
        return f"{self.server.name:15s} {state} ({self.server.id}, {self.server.status})"


def find_adoptions(definition: PoolDefinition, cloud: Cloud) -> tuple[Adoption, ...]:
    """Every server of the project whose name is like the pool's, by number. Reads only."""
    numbered = [(definition.number_of(server.name), server) for server in cloud.servers()]
    found = [(number, server) for number, server in numbered if number is not None]
    names = Counter(server.name.casefold() for _, server in found)
    adoptions = [
        Adoption(
            server,
            number,
            obstacle=_obstacle(server, definition, twins=names[server.name.casefold()]),
            member=definition.tag in server.tags,
        )
        for number, server in found
    ]
    return tuple(sorted(adoptions, key=lambda one: (one.number, one.server.id)))


def adopt(
    definition: PoolDefinition,
    cloud: Cloud,
    adoption: Adoption,
    *,
    persistent: bool = False,
    marks: Mapping[str, str | None] = MappingProxyType({}),
) -> None:
    """Note what the server is made from, then make it a member. Safe to repeat.

    `persistent`: it is one user's own; `marks`: what else it is to say of itself.
    """
    server = adoption.server
    image_id = server.image_id or _image_of_root(cloud, server)
    image = cloud.image(image_id) if image_id else None
    notes: dict[str, str | None] = {POOL_KEY: definition.pool, SEQUENCE: str(adoption.number)}
    if image_id:
        notes |= {IMAGE_ID: image_id, IMAGE_VERSION: image.name if image else image_id}
    notes |= definition.domain_notes
    if persistent:
        notes[PERSISTENT] = "yes"
    cloud.set_server_metadata(server.id, notes | dict(marks))
    cloud.tag_server(server.id, definition.tag)


def adopt_all(
    definition: PoolDefinition, cloud: Cloud, *, persistent: frozenset[str] = frozenset(), report: Report
) -> tuple[Adoption, ...]:
    """Take over all that can be; gives them. `persistent`: names of those that are one user's own."""
    taken = tuple(one for one in find_adoptions(definition, cloud) if not (one.member or one.obstacle))
    for one in taken:
        adopt(definition, cloud, one, persistent=one.server.name.casefold() in persistent)
        report.note(f"{one.server.name} belongs to {definition.pool}")
    return taken


def _obstacle(server: Server, definition: PoolDefinition, *, twins: int) -> str:
    return next(_obstacles(server, definition, twins=twins), "")


def _obstacles(server: Server, definition: PoolDefinition, *, twins: int) -> Iterator[str]:
    others = [tag for tag in server.tags if tag.startswith(TAG_PREFIX) and tag != definition.tag]
    if others:
        yield f"it belongs to another pool ({', '.join(others)})"
    if OWNER_KEY in server.metadata:
        yield f"it was made for a build ({server.metadata[OWNER_KEY]})"
    if twins > 1:
        yield f"{twins} servers are called {server.name}"
    if len(server.name) > LONGEST_NAME:
        yield f"its name has more than {LONGEST_NAME} characters"
    if server.locked:
        yield f"somebody has locked it{': ' + server.locked_reason if server.locked_reason else ''}"
    if server.status in ("BUILD", "ERROR", "UNKNOWN") or server.task_state is not None:
        yield f"it is {server.status}, and Nova marks only servers that are settled"


def _image_of_root(cloud: Cloud, server: Server) -> str | None:
    """The image that a root volume was filled from."""
    volume = cloud.volume(server.root_volume_id) if server.root_volume_id else None
    return volume.image_id if volume else None
