"""register: one change makes a leftover an image; run again, it is the same version again."""

from typing import Any

import pytest

from imagebuild.cloud import OWNER_KEY, ROLE_KEY, Image
from imagebuild.errors import CloudUnreachable, StepFailed
from imagebuild.images import list_versions
from imagebuild.properties import RECIPE, VERSION
from imagebuild.recipe_header import Header
from imagebuild.steps.register import Register
from imagebuild.steps.snapshot import Snapshot
from tests.steps.conftest import World


@pytest.fixture
def snapped(standing: World) -> World:
    """A build whose snapshot is there."""
    standing.cloud.power_off(standing.builder())
    standing.clock.sleep(10)
    Snapshot().run(standing.context)
    standing.facts["inventory"] = {"digest": "1" * 64}
    return standing


def image_of(world: World) -> Image:
    image = world.cloud.image(world.facts["image_id"])
    assert image is not None
    return image


def change_target(world: World, **values: Any) -> None:
    content = world.context.header.model_dump()
    content["image"] |= values
    world.context.header = Header.model_validate(content)


def test_it_gets_name_properties_and_protection_and_is_nobodys_leftover(snapped: World) -> None:
    Register().run(snapped.context)
    image, build = image_of(snapped), snapped.context.build
    assert (image.name, image.visibility, image.protected) == ("small-v1", "private", True)
    assert (image.min_disk, image.min_ram) == (40, 1024)
    wanted = {
        RECIPE: "small",
        VERSION: "1",
        "imagebuild_build": build.id,
        "imagebuild_digest": build.digest,
        "imagebuild_base": "base",
        "imagebuild_inventory": "1" * 64,
        "hw_disk_bus": "virtio",
        "hw_vif_model": "virtio",
        "os_type": "windows",
    }
    assert wanted.items() <= image.properties.items()
    assert not {OWNER_KEY, ROLE_KEY, "base_image_ref", "image_type"} & image.properties.keys()
    assert snapped.cloud.owned(build.id)[build.id].images == ()
    assert [one.version for one in list_versions(snapped.cloud, "small")] == [1]
    assert snapped.remembered()["image_name"] == "small-v1"
    assert snapped.told.warnings == []


def test_registered_twice_it_is_the_same_version(snapped: World) -> None:
    Register().run(snapped.context)
    first = image_of(snapped)
    Register().run(snapped.context)
    again = image_of(snapped)
    assert (again.name, again.properties[VERSION]) == (first.name, "1")
    assert snapped.told.warnings == []


def test_a_lost_answer_makes_no_second_version(snapped: World) -> None:
    snapped.cloud.faults.lose_answer("update_image")
    with pytest.raises(CloudUnreachable):
        Register().run(snapped.context)
    Register().run(snapped.context)
    assert [(one.version, one.image.name) for one in list_versions(snapped.cloud)] == [(1, "small-v1")]


def test_a_version_that_was_taken_meanwhile_is_not_used_twice(snapped: World) -> None:
    taken = {RECIPE: "small", VERSION: "1"}
    snapped.cloud.add_image("small-v1", foreign=False, **taken)
    Register().run(snapped.context)
    assert image_of(snapped).name == "small-v2"
    assert snapped.facts["image_version"] == 2
    assert any("version 1 was taken" in warning for warning in snapped.told.warnings)
    Register().run(snapped.context)
    assert image_of(snapped).name == "small-v2"


def test_an_image_built_from_one_of_ours_does_not_keep_the_others_marks(snapped: World) -> None:
    theirs = {RECIPE: "other", VERSION: "9", "imagebuild_build": "other-build", "kept": "yes"}
    snapped.cloud.update_image(snapped.facts["image_id"], properties=theirs)
    Register().run(snapped.context)
    properties = image_of(snapped).properties
    assert (properties[RECIPE], properties[VERSION]) == ("small", "1")
    assert properties["imagebuild_build"] == snapped.context.build.id
    assert properties["kept"] == "yes"


def test_what_the_recipe_wants_of_the_image_it_gets(snapped: World) -> None:
    snapped.cloud.update_image(snapped.facts["image_id"], properties={"hw_scsi_model": "lsi", "hw_cdrom_bus": "ide"})
    change_target(snapped, disk_bus="scsi", min_disk_gib=0, min_ram_mib=4096, properties={"os_distro": "win7"})
    Register().run(snapped.context)
    image = image_of(snapped)
    assert (image.min_disk, image.min_ram) == (0, 4096)
    assert (image.properties["hw_disk_bus"], image.properties["hw_scsi_model"]) == ("scsi", "virtio-scsi")
    assert image.properties["os_distro"] == "win7"
    assert "hw_cdrom_bus" not in image.properties


@pytest.mark.parametrize(("source", "wanted"), [(0, 1024), (512, 1024), (4096, 4096)])
def test_the_least_memory_is_the_sources_and_never_less_than_windows_needs(
    snapped: World, source: int, wanted: int
) -> None:
    snapped.facts["source_min_ram"] = source
    Register().run(snapped.context)
    assert image_of(snapped).min_ram == wanted


def test_an_image_that_somebody_deleted_is_told(snapped: World) -> None:
    del snapped.cloud._images[snapped.facts["image_id"]]
    with pytest.raises(StepFailed, match="somebody deleted it"):
        Register().run(snapped.context)
