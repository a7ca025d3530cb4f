"""Versions of an image for tests of pools, made in seconds: copies of one image's data under records that differ."""

from pathlib import Path

from imagebuild.adapters.openstack_cloud import OpenStackCloud
from imagebuild.cloud import Image
from imagebuild.lab import catalogue
from imagebuild.lab.layout import Layout
from imagebuild.properties import BUILD, GENERALIZED, PREFIX, RECIPE, SELF, STANDIN, STATE, VERIFIED, VERSION
from imagebuild.waiting import Deadline

_NOT_COPIED = (PREFIX, "owner_", "image_")
_STAYS = (STANDIN, GENERALIZED, BUILD)


class Line:
    """Versions of one recipe that all have the data of one image; they differ in what their records say."""

    def __init__(self, cloud: OpenStackCloud, place: Layout, recipe: str, *, master: str, folder: Path) -> None:
        self.cloud = cloud
        self.recipe = recipe
        self._glance = catalogue.connect(place, cloud.name).image
        source = cloud.image(master)
        assert source is not None
        self._source = source
        self._data = folder / "master.img"
        self._glance.download_image(master, output=str(self._data))

    def add(self, number: int, **other: str) -> str:
        """A verified candidate; its name. `other`: properties that are not as the master's."""
        name = f"{self.recipe}-v{number}"
        source = self._glance.get_image(self._source.id)
        made = self._glance.create_image(
            name=name,
            filename=str(self._data),
            disk_format=source.disk_format,
            container_format=source.container_format,
            min_disk=source.min_disk,
            min_ram=source.min_ram,
        )
        told = self._source.properties
        kept = {key: value for key, value in told.items() if key in _STAYS or not key.startswith(_NOT_COPIED)}
        marks = {RECIPE: self.recipe, VERSION: str(number), STATE: "candidate", SELF: made.id, VERIFIED: "passed"}
        self.cloud.update_image(
            made.id, properties=kept | marks | other, protected=True, hidden=True, visibility="private"
        )
        return name

    def image(self, number: int) -> Image:
        """That version's."""
        return next(one for one in self.cloud.images() if one.name == f"{self.recipe}-v{number}")

    def remove(self) -> None:
        """All of them."""
        for image in self.cloud.images(properties={RECIPE: self.recipe}):
            self.cloud.update_image(image.id, protected=False)
            self.cloud.delete("image", image.id, deadline=Deadline.after(60))
        self._data.unlink()
