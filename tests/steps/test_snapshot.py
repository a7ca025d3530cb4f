"""snapshot: one image of a sealed machine, waited for until Glance has all of it."""

import pytest

from imagebuild.cloud import OWNER_KEY
from imagebuild.errors import CloudUnreachable, DeadlinePassed, StepFailed
from imagebuild.steps.snapshot import Snapshot
from tests.fakes import cloud as fake_cloud
from tests.steps.conftest import World


@pytest.fixture
def sealed(standing: World) -> World:
    """A builder that is off."""
    standing.facts["sealed"] = {}
    standing.cloud.power_off(standing.builder())
    standing.clock.sleep(10)
    return standing


def test_the_image_is_there_whole_and_still_belongs_to_the_build(sealed: World) -> None:
    Snapshot().run(sealed.context)
    image = sealed.cloud.image(sealed.facts["image_id"])
    assert image is not None
    assert (image.status, image.name, image.size) == ("active", "small-v1", 30_000_000)
    assert image.properties[OWNER_KEY] == sealed.context.build.id
    assert sealed.told.notes[-1] == f"image {image.id}, 30 MB qcow2"


@pytest.mark.parametrize("call", ["snapshot", "image"])
def test_a_second_run_takes_up_the_first_ones_image(sealed: World, call: str) -> None:
    sealed.cloud.faults.lose_answer(call)
    with pytest.raises(CloudUnreachable):
        Snapshot().run(sealed.context)
    sealed.clock.sleep(10)
    Snapshot().run(sealed.context)
    build = sealed.context.build.id
    assert [image.id for image in sealed.cloud.owned(build)[build].images] == [sealed.facts["image_id"]]


def test_an_image_that_nova_drops_again_is_said_at_once(sealed: World) -> None:
    sealed.cloud.snapshot_fails = True
    with pytest.raises(StepFailed, match="the image is gone: Nova could not upload it") as caught:
        Snapshot().run(sealed.context)
    assert "quota" in caught.value.hint
    assert sealed.clock.slept < 60


def test_the_id_is_on_the_disk_before_it_is_waited_for(sealed: World) -> None:
    sealed.cloud.snapshot_fails = True
    with pytest.raises(StepFailed):
        Snapshot().run(sealed.context)
    assert "image_id" in sealed.remembered()


def test_an_upload_that_never_ends_ends_with_the_deadline(sealed: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_cloud, "SNAPSHOT_SECONDS", 10_000.0)
    with pytest.raises(DeadlinePassed, match="waited 120 s for Glance to have the image"):
        Snapshot(deadline_minutes=2).run(sealed.context)
