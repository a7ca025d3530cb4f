"""Undo is delete-by-owner: whatever carries a build's id in the cloud goes, whether or not a journal remembers it. Safe to repeat."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imagebuild.cloud import ROLE_KEY, Cloud, Image, Kind, Owned
from imagebuild.errors import CloudError, DeadlinePassed, ImagebuildError
from imagebuild.properties import CLAIM_ROLE
from imagebuild.report import Report
from imagebuild.waiting import Deadline


@dataclass(frozen=True)
class Leftover:
    """One thing in the cloud that has an owner."""

    kind: Kind
    id: str
    name: str
    owner: str
    is_claim: bool = False

    def __str__(self) -> str:
        kind = "" if self.is_claim else f"{self.kind.replace('_', ' ')} "
        return f"{kind}{self.name} ({self.id})"


def leftovers(cloud: Cloud, owner: str | None = None) -> list[Leftover]:
    """Everything of ours in the project, in the order in which it can be deleted, claims last; of one owner when it is named."""
    found = []
    for name, owned in sorted(cloud.owned(owner).items()):
        found += [Leftover(kind, thing_id, thing_name, name) for kind, thing_id, thing_name in _in_order(owned)]
        found += [Leftover("image", one.id, one.name, name, is_claim=True) for one in owned.images if _is_claim(one)]
    return found


def remove(cloud: Cloud, things: Sequence[Leftover], *, report: Report, deadline: Deadline) -> None:
    """Delete these things, each told. One that refuses does not keep the others; then CloudError names what still stands."""
    still: list[str] = []
    for thing in things:
        try:
            cloud.delete(thing.kind, thing.id, deadline=deadline)
            report.note(f"deleted {thing}")
        except (CloudError, DeadlinePassed) as error:
            still.append(f"{thing}: {error}")
    if still:
        raise ImagebuildError("not everything could be deleted", hint="run `invoke sweep` again later", details=still)


def _in_order(owned: Owned) -> Iterator[tuple[Kind, str, str]]:
    """Servers first: they hold the volumes and the ports of the security groups."""
    for server in owned.servers:
        yield "server", server.id, server.name
    for volume in owned.volumes:
        yield "volume", volume.id, volume.name
    for group in owned.security_groups:
        yield "security_group", group.id, group.name
    for image in owned.images:
        if not _is_claim(image):
            yield "image", image.id, image.name


def _is_claim(image: Image) -> bool:
    return image.properties.get(ROLE_KEY) == CLAIM_ROLE
