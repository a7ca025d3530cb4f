"""register: one change makes a leftover a candidate with its record; run again, it is the same version again."""

import json
import random
from typing import Any

import pytest

from imagebuild.cloud import OWNER_KEY, ROLE_KEY, Image
from imagebuild.errors import CloudUnreachable, StepFailed
from imagebuild.image_record import unpack
from imagebuild.images import list_versions
from imagebuild.properties import (
    BUILD,
    CHECKPOINT,
    GENERALIZED,
    PROMOTED_AT,
    RECIPE,
    RECORD,
    SELF,
    STANDIN,
    STATE,
    VERIFIED,
    VERSION,
)
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
    standing.facts["inventory"] = {"digest": "1" * 64, "counts": {}, "file": "inventory.json"}
    save_inventory(standing, {"updates": [{"kb": "KB1", "servicing_state": 112, "hotfix": True}]})
    return standing


def save_inventory(world: World, inventory: dict[str, Any]) -> None:
    (world.context.folder / "inventory.json").write_text(json.dumps(inventory), encoding="utf-8")


def record_of(world: World) -> dict[str, Any]:
    record = unpack(image_of(world).properties[RECORD])
    assert record is not None
    return record


def image_of(world: World) -> Image:
    image = world.cloud.image(world.facts["image_id"])
    assert image is not None
    return image


def change_target(world: World, **values: Any) -> None:
    content = world.context.header.model_dump()
    content["image"] |= values
    world.context.header = Header.model_validate(content)


def test_it_becomes_a_hidden_protected_candidate_and_is_nobodys_leftover(snapped: World) -> None:
    Register().run(snapped.context)
    image, build = image_of(snapped), snapped.context.build
    assert (image.name, image.visibility, image.protected, image.hidden) == ("small-v1", "private", True, True)
    assert (image.min_disk, image.min_ram) == (40, 1024)
    wanted = {
        RECIPE: "small",
        VERSION: "1",
        STATE: "candidate",
        SELF: image.id,
        "imagebuild_build": build.id,
        "imagebuild_digest": build.digest,
        "imagebuild_content": build.content,
        "imagebuild_base": "base",
        "imagebuild_inventory": "1" * 64,
        "imagebuild_hash": f"sha512:{'0' * 128}",
        "hw_disk_bus": "virtio",
        "hw_vif_model": "virtio",
        "os_type": "windows",
    }
    assert wanted.items() <= image.properties.items()
    assert not {OWNER_KEY, ROLE_KEY, "base_image_ref", "image_type"} & image.properties.keys()
    assert snapped.cloud.owned(build.id)[build.id].images == ()
    assert [(one.version, one.state) for one in list_versions(snapped.cloud, "small")] == [(1, "candidate")]
    assert snapped.remembered()["image_name"] == "small-v1"
    assert snapped.told.warnings == []


def test_registered_twice_it_stays_as_it_is_whatever_became_of_it(snapped: World) -> None:
    Register().run(snapped.context)
    promoted = snapped.cloud.update_image(snapped.facts["image_id"], hidden=False, properties={STATE: "current"})
    Register().run(snapped.context)
    assert image_of(snapped) == promoted
    assert snapped.facts["image_name"] == "small-v1"
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


def test_an_image_built_from_one_of_ours_keeps_none_of_the_others_marks(snapped: World) -> None:
    theirs = {RECIPE: "other", VERSION: "9", BUILD: "other-build", SELF: "other-id", STATE: "current"}
    theirs |= {VERIFIED: "passed", PROMOTED_AT: "t", CHECKPOINT: "d", RECORD: "r", "imagebuild_sha256": "s"}
    kept = {"kept": "yes", STANDIN: "not Windows"}
    snapped.cloud.update_image(snapped.facts["image_id"], properties=theirs | kept)
    Register().run(snapped.context)
    properties = image_of(snapped).properties
    assert not theirs.items() & properties.items()
    assert not {VERIFIED, PROMOTED_AT, CHECKPOINT, "imagebuild_sha256"} & properties.keys()
    assert kept.items() <= properties.items()


@pytest.mark.parametrize(("facts", "told"), [({"sealed": {}}, "yes"), ({}, "no")])
def test_only_a_sealed_windows_is_called_generalized(snapped: World, facts: dict[str, Any], told: str) -> None:
    snapped.facts.pop("sealed", None)
    snapped.facts.update(facts)
    Register().run(snapped.context)
    assert image_of(snapped).properties[GENERALIZED] == told


def test_the_record_says_how_it_was_built_and_what_is_in_it(snapped: World) -> None:
    journal = snapped.context.journal
    journal.write("build_begun", recipe="small", cloud="fake")
    journal.write("step_done", step="snapshot", seconds=4.5)
    journal.write("step_done", step="remember", seconds=0.5)
    Register().run(snapped.context)
    assert record_of(snapped) == {
        "recipe": "small",
        "build": snapped.context.build.id,
        "digest": snapped.context.build.digest,
        "steps": [["snapshot", 4.5], ["remember", 0.5]],
        "updates": {"KB1": "installed"},
        "left_out": [],
    }


def test_a_record_that_is_too_long_says_what_it_is_without(snapped: World) -> None:
    noise = [{"name": random.Random(seed).randbytes(9).hex(), "start": "Auto"} for seed in range(9000)]
    save_inventory(snapped, {"services": noise, "features": []})
    Register().run(snapped.context)
    assert record_of(snapped)["left_out"] == ["services"]
    assert snapped.told.warnings == ["the record was too long for an image property, it is without: services"]


def test_an_inventory_that_was_lost_costs_the_contents_not_the_image(snapped: World) -> None:
    (snapped.context.folder / "inventory.json").unlink()
    Register().run(snapped.context)
    assert "updates" not in record_of(snapped)
    assert "inventory.json is not in the build's folder" in snapped.told.warnings[0]


def test_without_an_inventory_there_is_a_record_all_the_same(snapped: World) -> None:
    del snapped.facts["inventory"]
    Register().run(snapped.context)
    assert record_of(snapped)["build"] == snapped.context.build.id
    assert snapped.told.warnings == []


def test_a_recipe_cannot_say_what_the_image_is(snapped: World) -> None:
    change_target(snapped, properties={STATE: "current", "os_version": "7"})
    Register().run(snapped.context)
    assert image_of(snapped).properties[STATE] == "candidate"
    assert image_of(snapped).properties["os_version"] == "7"


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
