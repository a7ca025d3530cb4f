"""A copy of an image for a line of its own: the same data and the same machine, and a stop that waits only when it is asked to."""

from types import SimpleNamespace
from typing import Any

import pytest
from openstack import exceptions

from imagebuild.errors import LabError
from imagebuild.lab.source_copy import copy_source


class PlayedImages:
    """openstacksdk's image proxy with one image, some of whose properties have attributes of their own."""

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}
        properties = {
            "hw_cdrom_bus": "ide",
            "imagebuild_standin": "yes",
            "imagebuild_sha256": "abc",
            "hw_vif_model": None,
        }
        self.base = SimpleNamespace(
            id="b",
            disk_format="qcow2",
            min_disk=4,
            min_ram=256,
            hw_disk_bus="ide",
            os_type="windows",
            properties=properties,
        )

    def find_image(self, name: str, *, ignore_missing: bool) -> SimpleNamespace:
        if name != "base":
            raise exceptions.NotFoundException("no image")
        return self.base

    def download_image(self, image: SimpleNamespace) -> SimpleNamespace:
        assert image is self.base
        return SimpleNamespace(content=b"data")

    def create_image(self, **asked: Any) -> SimpleNamespace:
        self.made = asked
        return SimpleNamespace(id="c", name=asked["name"])


@pytest.mark.parametrize("orderly", [False, True])
def test_the_copy_has_the_same_data_and_makes_the_same_machine(orderly: bool) -> None:
    images = PlayedImages()
    assert copy_source(SimpleNamespace(image=images), "base", "copy", orderly=orderly).id == "c"
    machine = {"hw_disk_bus": "ide", "hw_cdrom_bus": "ide", "os_type": "windows", "imagebuild_standin": "yes"}
    same = {"data": b"data", "disk_format": "qcow2", "min_disk": 4, "min_ram": 256, **machine}
    own = {
        "name": "copy",
        "visibility": "private",
        "container_format": "bare",
        "wait": True,
        "validate_checksum": False,
    }
    assert images.made == {**same, **own, **({} if orderly else {"os_shutdown_timeout": "0"})}


def test_an_image_that_is_not_there_is_the_labs_error() -> None:
    with pytest.raises(LabError, match="copying the image other failed"):
        copy_source(SimpleNamespace(image=PlayedImages()), "other", "copy")
