"""From a project's listings: which things are whose, and what was made from which image. Pure functions, no calls."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from imagebuild.adapters.openstack_values import read_owner
from imagebuild.cloud import OWNER_KEY, Image, Owned, SecurityGroup, Server, Volume

Thing = TypeVar("Thing")


def things_by_owner(
    servers: Iterable[Server],
    volumes: Iterable[Volume],
    groups: Iterable[SecurityGroup],
    images: Iterable[Image],
    *,
    owner: str | None,
) -> dict[str, Owned]:
    """What carries an owner's id, by that id in alphabetical order; only that owner's when one is named."""
    by_server = _sort(servers, lambda server: server.metadata.get(OWNER_KEY))
    by_volume = _sort(volumes, lambda volume: volume.metadata.get(OWNER_KEY))
    by_group = _sort(groups, lambda group: read_owner(group.description))
    by_image = _sort(images, lambda image: image.properties.get(OWNER_KEY))
    return {
        key: Owned(by_server.get(key, ()), by_volume.get(key, ()), by_group.get(key, ()), by_image.get(key, ()))
        for key in sorted({*by_server, *by_volume, *by_group, *by_image})
        if owner in (None, key)
    }


def _sort(things: Iterable[Thing], owner_of: Callable[[Thing], str | None]) -> dict[str, tuple[Thing, ...]]:
    found: dict[str, tuple[Thing, ...]] = {}
    for thing in things:
        if owner := owner_of(thing):
            found[owner] = (*found.get(owner, ()), thing)
    return found


def uses_by_image(servers: Iterable[Server], volumes: Iterable[Volume]) -> Mapping[str, tuple[str, ...]]:
    """By an image's id the servers and volumes that were made from it, a line each."""
    uses: dict[str, list[str]] = defaultdict(list)
    for kind, things in (("server", servers), ("volume", volumes)):
        for thing in things:
            if thing.image_id:
                uses[thing.image_id].append(_describe(kind, thing.name, thing.id))
    return {image_id: tuple(lines) for image_id, lines in uses.items()}


def _describe(kind: str, name: str, thing_id: str) -> str:
    return " ".join(part for part in (kind, name, f"({thing_id})") if part)  # Nova's own volumes have no name
