"""Makes the snapshot a version of the master image: unique name, properties, private, protected."""

from datetime import UTC, datetime
from typing import Any

from imagebuild.cloud import OWNER_KEY, ROLE_KEY, Image
from imagebuild.errors import StepFailed
from imagebuild.properties import BASE, BASE_ID, BUILD, BUILT_AT, DIGEST, INVENTORY, RECIPE, VERSION
from imagebuild.resolution import next_version, version_of
from imagebuild.step import Context, Minutes, Step

_LEAST_RAM_MIB = 1024
# What Nova copies from the builder or from the base image onto its snapshot and what would mislead whoever boots the image.
_BUILDER_ONLY = (
    "imagebuild_sha256",
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
    """One change in Glance turns a leftover into an image: from then on no clean-up of ours takes it for one."""

    name = "register"
    title = "register the image"
    needs = frozenset({"image_id"})
    gives = frozenset({"image_name", "image_version"})

    deadline_minutes: Minutes = 10

    def describe(self) -> str:
        """What it gets."""
        return "versioned name, properties, private, protected"

    def run(self, context: Context) -> None:
        """Name and properties first, protection with them; the build's id goes in the same request."""
        cloud, build, target = context.cloud, context.build, context.header.image
        image_id = context.facts["image_id"]
        present = cloud.image(image_id)
        if present is None:
            raise StepFailed("the image is gone: somebody deleted it", hint="build again")
        registered = present.properties.get(BUILD) == build.id  # by a run of this step that was cut off
        version = version_of(present) if registered else next_version(cloud, build.recipe)
        if version != build.version:
            context.report.warn(
                f"version {build.version} was taken while this build ran: it becomes {version} (the stamp says the build)"
            )
        name = f"{build.recipe}-v{version}"
        least_ram = max(_LEAST_RAM_MIB, context.facts["source_min_ram"])
        gone = {key: None for key in (OWNER_KEY, ROLE_KEY, *_BUILDER_ONLY) if key in present.properties}
        image: Image = cloud.update_image(
            image_id,
            name=name,
            properties=gone | self._properties(context, version),
            visibility="private",
            protected=True,
            min_disk=context.facts["flavor_disk_gib"] if target.min_disk_gib is None else target.min_disk_gib,
            min_ram=least_ram if target.min_ram_mib is None else target.min_ram_mib,
        )
        context.remember(image_name=image.name, image_version=version)
        context.report.note(
            f"{image.name} is {image.status}, {image.visibility}, {'protected' if image.protected else 'NOT protected'}"
        )

    def _properties(self, context: Context, version: int) -> dict[str, Any]:
        build, header, facts = context.build, context.header, context.facts
        properties = {
            RECIPE: build.recipe,
            VERSION: str(version),
            BUILD: build.id,
            DIGEST: build.digest,
            BASE: facts["source_image_name"],
            BASE_ID: facts["source_image_id"],
            BUILT_AT: datetime.now(UTC).isoformat(timespec="seconds"),
            "hw_disk_bus": header.image.disk_bus,
            "hw_vif_model": header.image.vif_model,
            "os_type": "windows",
            "os_distro": "windows",
        }
        if "inventory" in facts:
            properties[INVENTORY] = facts["inventory"]["digest"]
        if header.image.disk_bus == "scsi":
            properties["hw_scsi_model"] = "virtio-scsi"
        return properties | header.image.properties
