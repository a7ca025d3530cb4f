"""The image calls of the fake cloud: what Glance does with records, ids, properties and states."""

from collections.abc import Mapping, Sequence
from uuid import uuid4

from imagebuild.cloud import OWNER_KEY, Image
from imagebuild.errors import CloudRefused
from tests.fakes.cloud_world import SNAPSHOT_SECONDS, World
from tests.fakes.faults import call


class ImageCalls(World):
    """The half of imagebuild.cloud.Cloud that is about images."""

    @call
    def find_image(self, name_or_id: str) -> Image | None:
        if name_or_id in self._images:
            return self._images[name_or_id]
        seen = (i for i in self._images.values() if i.status == "active" and not i.hidden and i.id not in self._pending)
        named = [i for i in seen if i.name == name_or_id]
        if len(named) > 1:
            raise CloudRefused(f"{len(named)} active images are called '{name_or_id}'", hint="name one by its id")
        return named[0] if named else None

    @call
    def images(self, *, properties: Mapping[str, str] | None = None) -> Sequence[Image]:
        wanted = (properties or {}).items()
        return tuple(i for i in self._own_images() if wanted <= i.properties.items())

    @call
    def borrowed_images(self, *, properties: Mapping[str, str]) -> Sequence[Image]:
        lent = (self._images[image_id] for image_id in self._foreign - self._pending if image_id in self._images)
        return tuple(image for image in lent if properties.items() <= image.properties.items())

    @call
    def snapshot(self, server_id: str, name: str, *, owner: str, properties: Mapping[str, str]) -> Image:
        for image in self._own_images():
            if image.name == name and image.properties.get(OWNER_KEY) == owner:
                return image
        machine = self._machine(server_id)
        if machine.server.status not in ("ACTIVE", "SHUTOFF") or machine.server.task_state:
            raise CloudRefused(f"could not make the image '{name}': 409 the server is {machine.server.status}")
        base = self._images.get(machine.request.image_id)
        image = Image(
            id=str(uuid4()),
            name=name,
            status="queued",
            min_disk=machine.flavor.disk_gib,
            created_at=self._now(),
            # Nova copies the source image's properties onto the snapshot.
            properties={
                **(base.properties if base else {}),
                "base_image_ref": machine.request.image_id,
                "image_type": "snapshot",
                **properties,
                OWNER_KEY: owner,
            },
        )
        self._images[image.id] = image
        self._images_ever.add(image.id)
        self._act(server_id, "createImage", user_id=self.user_id)
        self._set(server_id, task_state="image_uploading")
        self._after(SNAPSHOT_SECONDS / 2, lambda: self._change_image(image.id, status="saving"))
        self._after(SNAPSHOT_SECONDS, lambda: self._upload(server_id, image.id))
        return image

    @call
    def image(self, image_id: str) -> Image | None:
        return self._images.get(image_id)

    @call
    def update_image(
        self,
        image_id: str,
        *,
        properties: Mapping[str, str | None] | None = None,
        name: str | None = None,
        visibility: str | None = None,
        protected: bool | None = None,
        min_disk: int | None = None,
        min_ram: int | None = None,
        hidden: bool | None = None,
    ) -> Image:
        image = self._own_image(image_id)
        merged: dict[str, str | None] = {**image.properties, **(properties or {})}
        return self._change_image(
            image_id,
            name=image.name if name is None else name,
            visibility=image.visibility if visibility is None else visibility,
            protected=image.protected if protected is None else protected,
            min_disk=image.min_disk if min_disk is None else min_disk,
            min_ram=image.min_ram if min_ram is None else min_ram,
            hidden=image.hidden if hidden is None else hidden,
            properties={key: value for key, value in merged.items() if value is not None},
        )

    @call
    def reserve_image(self, image_id: str, name: str, *, properties: Mapping[str, str]) -> Image | None:
        if image_id in self._images_ever:
            image = next((each for each in self._own_images() if each.id == image_id), None)
            return image if image and properties.items() <= image.properties.items() else None
        image = Image(
            id=image_id,
            name=name,
            status="queued",
            disk_format="raw",
            container_format="bare",
            hidden=True,
            created_at=self._now(),
            properties=dict(properties),
        )
        self._images[image_id] = image
        self._images_ever.add(image_id)
        return image

    @call
    def set_image_active(self, image_id: str, *, active: bool) -> Image:
        image = self._own_image(image_id)
        if not self.may_deactivate:
            raise CloudRefused(f"could not change the image {image_id}: 403 not allowed by policy")
        if image.status not in ("active", "deactivated"):
            raise CloudRefused(f"could not change the image {image_id}: 403 it is {image.status}")
        return self._change_image(image_id, status="active" if active else "deactivated")
