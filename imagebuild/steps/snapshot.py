"""Takes the image: Nova's createImage of the builder that is off, and the wait until Glance has all of it."""

from imagebuild.cloud import ROLE_KEY, Image
from imagebuild.errors import StepFailed
from imagebuild.step import Context, Minutes, Step
from imagebuild.waiting import wait_for_cloud


class Snapshot(Step):
    """Only of a machine that is off: a running Windows gives a dirty disk and half a registry. Whether it was sealed, register tells."""

    name = "snapshot"
    title = "snapshot the builder"
    needs = frozenset({"server_id", "off"})
    gives = frozenset({"image_id"})

    deadline_minutes: Minutes = 120

    def describe(self) -> str:
        """How."""
        return "createImage of the stopped builder, wait for active"

    def run(self, context: Context) -> None:
        """The image carries the build's id, as owner and as name, until register is done with it: a half-made one looks like no version."""
        build = context.build
        image = context.cloud.snapshot(
            context.facts["server_id"], build.id, owner=build.id, properties={ROLE_KEY: "snapshot"}
        )
        context.remember(image_id=image.id)
        deadline = context.deadline(self.deadline_minutes)
        image = wait_for_cloud(lambda: _active(context, image.id), "Glance to have the image", deadline=deadline)
        context.report.note(f"image {image.id}, {(image.size or 0) / 1e6:.0f} MB {image.disk_format}")


def _active(context: Context, image_id: str) -> Image | None:
    image = context.cloud.image(image_id)
    if image is None or image.status in ("killed", "deleted", "pending_delete", "deactivated"):
        # Nova deletes the image again when its upload fails, and says so only in its own log.
        state = image.status if image else "gone"
        raise StepFailed(
            f"the image is {state}: Nova could not upload it", hint="space in Glance's store? quota? ask who runs it"
        )
    return image if image.status == "active" and image.size else None
