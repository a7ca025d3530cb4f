"""Removes the builder and everything that was made for it: the image stands by itself."""

from contextlib import suppress

from imagebuild.cleaning import Leftover, leftovers, remove
from imagebuild.errors import CloudError
from imagebuild.step import Context, Minutes, Step


class RemoveBuilder(Step):
    """By the build's id, not by memory: what a crashed attempt of this build has left goes too."""

    name = "remove-builder"
    title = "remove the builder"
    needs = frozenset({"image_name"})
    gives = frozenset({"removed"})

    deadline_minutes: Minutes = 15

    def describe(self) -> str:
        """What goes."""
        return "server, volumes, security group"

    def run(self, context: Context) -> None:
        """Delete, one line a thing. The claim stays: whoever took it gives it back when all is done."""
        builder = _begin(context)
        rest = [thing for thing in leftovers(context.cloud, context.build.id) if not thing.is_claim]
        things = [*builder, *(thing for thing in rest if thing not in builder)]
        remove(context.cloud, things, report=context.report, deadline=context.deadline(self.deadline_minutes))
        context.remember(removed=[str(thing) for thing in things])


def _begin(context: Context) -> list[Leftover]:
    """The builder, already asked to go: the cloud is at it while we look for the rest. What it refuses, it is asked again."""
    server_id, build = context.facts.get("server_id"), context.build.id
    if server_id is None:
        return []
    with suppress(CloudError):
        context.cloud.begin_delete(server_id)
    return [Leftover("server", server_id, build, build)]
