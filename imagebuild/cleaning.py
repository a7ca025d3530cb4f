"""Undo is delete-by-owner: whatever carries a build's id in the cloud goes, whether or not a journal remembers it. Safe to repeat."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imagebuild.cloud import Cloud, Kind, Owned
from imagebuild.errors import CloudError, DeadlinePassed, ImagebuildError
from imagebuild.report import Report
from imagebuild.waiting import Deadline


@dataclass(frozen=True)
class Leftover:
    """One thing in the cloud that has an owner."""

    kind: Kind
    id: str
    name: str
    owner: str

    def __str__(self) -> str:
        return f"{self.kind.replace('_', ' ')} {self.name} ({self.id})"


def leftovers(cloud: Cloud, owner: str | None = None) -> list[Leftover]:
    """Everything of ours in the project, in the order in which it can be deleted; of one owner when it is named."""
    found = []
    for name, owned in sorted(cloud.owned(owner).items()):
        found += [Leftover(kind, thing_id, thing_name, name) for kind, thing_id, thing_name in _in_order(owned)]
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
        yield "image", image.id, image.name
