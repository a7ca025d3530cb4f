"""Makes the snapshot a version of the master image: a hidden candidate with a unique name and the build's record."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from imagebuild.cloud import OWNER_KEY, ROLE_KEY, Image
from imagebuild.errors import StepFailed
from imagebuild.image_contents import LEAST_USEFUL, read_contents
from imagebuild.image_record import pack_fitting
from imagebuild.images import is_ours, next_version, version_of
from imagebuild.properties import (
    BASE,
    BASE_ID,
    BUILD,
    BUILT_AT,
    CONTENT,
    DIGEST,
    GENERALIZED,
    HASH,
    INVENTORY,
    PREFIX,
    RECIPE,
    RECORD,
    SELF,
    STANDIN,
    STATE,
    VERSION,
)
from imagebuild.record import fold
from imagebuild.step import Context, Minutes, Step

_LEAST_RAM_MIB = 1024
# What Nova copies from the builder or from the base image onto its snapshot and what would mislead whoever boots the image.
_BUILDER_ONLY = (
    "owner_specified.openstack.md5",
    "owner_specified.openstack.object",
    "owner_specified.openstack.sha256",
    "hw_cdrom_bus",
    "hw_scsi_model",
    "base_image_ref",
    "instance_uuid",
    "user_id",
    "image_type",
    "boot_roles",
)


class Register(Step):
    """One change in Glance turns a leftover into a candidate: from then on no clean-up of ours takes it for one."""

    name = "register"
    title = "register the image"
    needs = frozenset({"image_id"})
    gives = frozenset({"image_name", "image_version"})

    deadline_minutes: Minutes = 10

    def describe(self) -> str:
        """What it gets."""
        return "a candidate: versioned name, properties, record, private, hidden, protected"

    def run(self, context: Context) -> None:
        """All in one request, so it is either a leftover of the build or a whole candidate; one that is registered stays as it is."""
        build, image_id = context.build, context.facts["image_id"]
        image = context.cloud.image(image_id)
        if image is None:
            raise StepFailed("the image is gone: somebody deleted it", hint="build again")
        if not (is_ours(image) and image.properties[BUILD] == build.id):  # else a run that was cut off had done it
            image = self._register(context, image)
        context.remember(image_name=image.name, image_version=version_of(image))
        guard = "protected" if image.protected else "NOT protected"
        context.report.note(f"{image.name} is {image.status}, a {image.properties[STATE]}, {image.visibility}, {guard}")

    def _register(self, context: Context, image: Image) -> Image:
        build, target = context.build, context.header.image
        version = next_version(context.cloud, build.recipe)
        if version != build.version:
            context.report.warn(
                f"version {build.version} was taken while this build ran: it becomes {version} (the stamp says the build)"
            )
        given = self._properties(context, image, version)
        # From a base image of ours, by way of the builder, Nova copies what was true of that one.
        inherited = {key for key in image.properties if key.startswith(PREFIX) and key not in (STANDIN, *given)}
        gone = {key: None for key in (OWNER_KEY, ROLE_KEY, *_BUILDER_ONLY, *inherited) if key in image.properties}
        least_ram = max(_LEAST_RAM_MIB, context.facts["source_min_ram"])
        return context.cloud.update_image(
            image.id,
            name=f"{build.recipe}-v{version}",
            properties=gone | given,
            visibility="private",
            protected=True,
            hidden=True,
            min_disk=context.facts["flavor_disk_gib"] if target.min_disk_gib is None else target.min_disk_gib,
            min_ram=least_ram if target.min_ram_mib is None else target.min_ram_mib,
        )

    def _properties(self, context: Context, image: Image, version: int) -> dict[str, str | None]:
        """The recipe's own may overrule what the image is to be like, never what it is."""
        build, target, facts = context.build, context.header.image, context.facts
        hardware = {
            "hw_disk_bus": target.disk_bus,
            "hw_vif_model": target.vif_model,
            "os_type": "windows",
            "os_distro": "windows",
        }
        if target.disk_bus == "scsi":
            hardware["hw_scsi_model"] = "virtio-scsi"
        identity: dict[str, str | None] = {
            SELF: image.id,
            HASH: image.fingerprint,
            STATE: "candidate",
            RECIPE: build.recipe,
            VERSION: str(version),
            BUILD: build.id,
            DIGEST: build.digest,
            CONTENT: build.content,
            BASE: facts["source_image_name"],
            BASE_ID: facts["source_image_id"],
            BUILT_AT: datetime.now(UTC).isoformat(timespec="seconds"),
            GENERALIZED: _is_sealed(facts),
            RECORD: _pack_record(context),
        }
        if "inventory" in facts:
            identity[INVENTORY] = facts["inventory"]["digest"]
        return hardware | target.properties | identity


def _is_sealed(facts: Mapping[str, Any]) -> str:
    """yes; no; or unseen, when the build was cut off while the builder sealed itself: a verification makes a yes of it."""
    if "sealed" not in facts:
        return "no"
    return "unseen" if facts["sealed"].get("unseen") else "yes"


def _pack_record(context: Context) -> str:
    """What was built, the steps with their seconds, and what is in it. What does not fit is said."""
    build, facts = context.build, context.facts
    told = fold(context.journal.entries())
    record: dict[str, Any] = {"recipe": build.recipe, "build": build.id, "digest": build.digest}
    record["steps"] = [list(step) for step in told.seconds.items()] if told else []
    if "inventory" in facts:
        inventory = context.folder / facts["inventory"]["file"]
        if inventory.exists():
            record |= read_contents(json.loads(inventory.read_text(encoding="utf-8")))
        else:
            context.report.warn(f"{inventory.name} is not in the build's folder: the image's record has no contents")
    text, left_out = pack_fitting(record, least_useful=LEAST_USEFUL)
    if left_out:
        context.report.warn(f"the record was too long for an image property, it is without: {', '.join(left_out)}")
    return text
