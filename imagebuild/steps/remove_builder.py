"""Removes the builder and everything that was made for it: the image stands by itself."""

from imagebuild.cleaning import leftovers, remove
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
        things = [thing for thing in leftovers(context.cloud, context.build.id) if not thing.is_claim]
        remove(context.cloud, things, report=context.report, deadline=context.deadline(self.deadline_minutes))
        context.remember(removed=[str(thing) for thing in things])
