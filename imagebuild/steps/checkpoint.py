"""Leaves an image of the builder as it is now, so that the next build starts behind what took long, and goes on with the same builder."""

from datetime import UTC, datetime, timedelta

from pydantic import Field

from imagebuild.builder_power import come_up, go_down
from imagebuild.checkpoints import carried, list_checkpoints
from imagebuild.cloud import OWNER_KEY, ROLE_KEY, Image
from imagebuild.complaints import Number, Whole
from imagebuild.errors import CloudError, CloudRefused, DeadlinePassed, StepFailed
from imagebuild.image_record import TooLong, pack
from imagebuild.properties import BUILD, BUILT_AT, CHECKPOINT, EXPIRES_AT, FACTS, PREFIX, RECIPE, SELF, STANDIN
from imagebuild.recipe_header import SerialPort
from imagebuild.step import Context, Minutes, Step
from imagebuild.waiting import Deadline, wait_for

_GONE = ("killed", "deleted", "pending_delete", "deactivated")


class Checkpoint(Step):
    """The builder gives its lease back, shuts itself down, is imaged and started again: of a running one the image would be dirty.

    The image is hidden and not protected: it saves time and nothing else. When the cloud cannot make it, the build goes on.
    """

    name = "checkpoint"
    title = "leave a checkpoint"
    needs = frozenset({"server_id", "guest_address", "windows"})
    gives = frozenset({"checkpoint"})
    # Later Cloudbase-Init waits for a clone's first boot: it would give the next builder neither password nor user data.
    spoiled_by = frozenset({"cloudbase_init", "off"})
    repeatable = True
    incidental = frozenset({"keep", "max_age_days", "shutdown_seconds", "serial_port"})

    deadline_minutes: Minutes = 120
    keep: Whole = Field(
        default=2, ge=1, le=20, description="how many of the recipe's checkpoints stay, this one among them"
    )
    max_age_days: Number = Field(
        default=60, gt=0, le=300, description="no build starts from it later: its WinRM certificate ends after a year"
    )
    shutdown_seconds: Whole = Field(
        default=10, ge=5, description="between the last word on the console and the shutdown"
    )
    serial_port: SerialPort = "COM1"

    def describe(self) -> str:
        """What happens to the builder."""
        return "release DHCP, shut down, image, start again; later builds begin here"

    def run(self, context: Context) -> None:
        """An image of this build's own that is finished is not made again; a builder that is down is brought up in any case."""
        deadline = context.deadline(self.deadline_minutes)
        image = _own(context) or self._make(context, deadline)
        come_up(context, deadline)
        told = {"digest": context.step_digest, "image_id": image.id if image else None}
        context.remember(checkpoint=told)
        if image:
            self._prune(context, image, deadline)

    def _make(self, context: Context, deadline: Deadline) -> Image | None:
        """The finished checkpoint; None, and a warning, where only the saving is lost."""
        try:
            facts = pack(carried(context.facts))
        except TooLong as error:
            context.report.warn(f"no checkpoint: the facts of this build are too long for a property ({error})")
            return None
        go_down(context, serial_port=self.serial_port, shutdown_seconds=self.shutdown_seconds, deadline=deadline)
        try:
            image = context.cloud.snapshot(
                context.facts["server_id"],
                _name(context),
                owner=context.build.id,
                properties={ROLE_KEY: "checkpoint", CHECKPOINT: context.step_digest},
            )
            image = wait_for(
                lambda: _active(context, image.id), "Glance to have the checkpoint", deadline=deadline, every=1
            )
        except (CloudRefused, _Dropped) as error:
            context.report.warn(f"no checkpoint, the build goes on without: {error}")
            return None
        image = self._finish(context, image, facts)
        until = image.properties[EXPIRES_AT][:10]
        context.report.note(f"checkpoint {image.name} ({image.id}), {(image.size or 0) / 1e6:.0f} MB, until {until}")
        return image

    def _finish(self, context: Context, image: Image, facts: str) -> Image:
        """One change turns a leftover into a checkpoint, without what it has from a base image of ours by way of the builder."""
        now = datetime.now(UTC)
        given = {
            CHECKPOINT: context.step_digest,
            SELF: image.id,
            RECIPE: context.build.recipe,
            BUILD: context.build.id,
            BUILT_AT: now.isoformat(timespec="seconds"),
            EXPIRES_AT: (now + timedelta(days=self.max_age_days)).isoformat(timespec="seconds"),
            FACTS: facts,
        }
        inherited = {key for key in image.properties if key.startswith(PREFIX) and key not in (STANDIN, *given)}
        gone = dict.fromkeys({OWNER_KEY, ROLE_KEY, *inherited})
        return context.cloud.update_image(image.id, properties={**gone, **given}, visibility="private", hidden=True)

    def _prune(self, context: Context, newest: Image, deadline: Deadline) -> None:
        """Older ones go, unless something runs from them. A cloud that will not delete now is asked by the next build."""
        cloud = context.cloud
        others = [image for image in list_checkpoints(cloud, context.build.recipe) if image.id != newest.id]
        again = [image for image in others if image.properties[CHECKPOINT] == context.step_digest]
        rest = [image for image in others if image not in again]
        too_many = [*again, *rest[: max(0, len(rest) - (self.keep - 1))]]
        try:
            uses = cloud.image_uses() if too_many else {}
            for image in too_many:
                if uses.get(image.id):
                    context.report.note(f"checkpoint {image.name} ({image.id}) stays: {', '.join(uses[image.id])}")
                    continue
                cloud.delete("image", image.id, deadline=deadline.within(60))
                context.report.note(
                    f"checkpoint {image.name} of {image.created_at[:10]} is deleted: {self.keep} are kept"
                )
        except (CloudError, DeadlinePassed) as error:
            context.report.warn(f"old checkpoints of {context.build.recipe} stay for now: {error}")


class _Dropped(StepFailed):
    """Nova has begun the image and thrown it away again."""


def _name(context: Context) -> str:
    return f"{context.build.recipe}-checkpoint-{context.step_digest[:12]}"


def _own(context: Context) -> Image | None:
    """This build's finished checkpoint. Another's with the same digest does not count: who builds --fresh does not trust it."""
    mine = {BUILD: context.build.id, CHECKPOINT: context.step_digest}
    return next((i for i in list_checkpoints(context.cloud) if mine.items() <= i.properties.items()), None)


def _active(context: Context, image_id: str) -> Image | None:
    image = context.cloud.image(image_id)
    if image is None or image.status in _GONE:
        # Nova deletes the image again when its upload fails, and says so only in its own log.
        raise _Dropped(f"the image is {image.status if image else 'gone'}: Nova could not upload it")
    return image if image.status == "active" and image.size else None
