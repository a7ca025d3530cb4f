"""snapshot: one image of a machine that is off, waited for until Glance has all of it."""

import pytest

from imagebuild.cloud import OWNER_KEY
from imagebuild.errors import CloudUnreachable, DeadlinePassed, StepFailed
from imagebuild.steps.snapshot import Snapshot
from tests.fakes import cloud_images
from tests.steps.conftest import World


@pytest.fixture
def off(standing: World) -> World:
    """A builder that is off."""
    standing.facts["off"] = "shut itself down"
    standing.cloud.power_off(standing.builder())
    standing.clock.sleep(10)
    return standing


def test_the_image_is_there_whole_and_still_belongs_to_the_build(off: World) -> None:
    Snapshot().run(off.context)
    image = off.cloud.image(off.facts["image_id"])
    assert image is not None
    assert (image.status, image.name, image.size) == ("active", off.context.build.id, 30_000_000)
    assert image.properties[OWNER_KEY] == off.context.build.id
    assert off.told.notes[-1] == f"image {image.id}, 30 MB qcow2"


@pytest.mark.parametrize("call", ["snapshot", "image"])
def test_a_second_run_takes_up_the_first_ones_image(off: World, call: str) -> None:
    off.cloud.faults.lose_answer(call)
    with pytest.raises(CloudUnreachable):
        Snapshot().run(off.context)
    off.clock.sleep(10)
    Snapshot().run(off.context)
    build = off.context.build.id
    assert [image.id for image in off.cloud.owned(build)[build].images] == [off.facts["image_id"]]


def test_an_image_that_nova_drops_again_is_said_at_once(off: World) -> None:
    off.cloud.snapshot_fails = True
    with pytest.raises(StepFailed, match="the image is gone: Nova could not upload it") as caught:
        Snapshot().run(off.context)
    assert "quota" in caught.value.hint
    assert off.clock.slept < 60


def test_the_id_is_on_the_disk_before_it_is_waited_for(off: World) -> None:
    off.cloud.snapshot_fails = True
    with pytest.raises(StepFailed):
        Snapshot().run(off.context)
    assert "image_id" in off.remembered()


def test_an_upload_that_never_ends_ends_with_the_deadline(off: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_images, "SNAPSHOT_SECONDS", 10_000.0)
    with pytest.raises(DeadlinePassed, match="waited 120 s for Glance to have the image"):
        Snapshot(deadline_minutes=2).run(off.context)
