"""remove-builder: everything of the build goes, the image stays."""

import pytest

from imagebuild.cleaning import leftovers
from imagebuild.errors import CloudRefused, ImagebuildError
from imagebuild.steps.register import Register
from imagebuild.steps.remove_builder import RemoveBuilder
from imagebuild.steps.snapshot import Snapshot
from tests.steps.conftest import World


@pytest.fixture
def registered(standing: World) -> World:
    standing.cloud.power_off(standing.builder())
    standing.clock.sleep(10)
    Snapshot().run(standing.context)
    Register().run(standing.context)
    return standing


def test_all_but_the_image_goes(registered: World) -> None:
    RemoveBuilder().run(registered.context)
    assert leftovers(registered.cloud) == []
    image = registered.cloud.image(registered.facts["image_id"])
    assert image is not None
    assert image.protected
    removed = registered.remembered()["removed"]
    assert [line.split(" ")[0] for line in removed] == ["server", "volume", "volume", "security"]


def test_what_no_memory_knows_goes_by_the_builds_id(registered: World) -> None:
    registered.cloud.create_volume("forgotten", owner=registered.context.build.id, role="x", gib=1)
    del registered.facts["server_id"]
    RemoveBuilder().run(registered.context)
    assert leftovers(registered.cloud) == []


def test_the_builder_goes_while_the_rest_is_looked_for(registered: World) -> None:
    registered.cloud.faults.calls.clear()
    RemoveBuilder().run(registered.context)
    assert registered.cloud.faults.calls[:3] == ["begin_delete", "owned", "delete"]


def test_a_builder_that_will_not_go_at_once_is_asked_again(registered: World) -> None:
    registered.cloud.faults.fail("begin_delete", CloudRefused("409"))
    RemoveBuilder().run(registered.context)
    assert leftovers(registered.cloud) == []


def test_another_builds_things_stay(registered: World) -> None:
    registered.cloud.create_volume("theirs", owner="other-build", role="x", gib=1)
    RemoveBuilder().run(registered.context)
    assert [thing.owner for thing in leftovers(registered.cloud)] == ["other-build"]


def test_a_refusal_is_told_and_a_second_run_finishes(registered: World) -> None:
    registered.cloud.faults.fail("delete", CloudRefused("409"))
    with pytest.raises(ImagebuildError, match="not everything could be deleted"):
        RemoveBuilder().run(registered.context)
    assert "removed" not in registered.facts
    RemoveBuilder().run(registered.context)
    RemoveBuilder().run(registered.context)
    assert leftovers(registered.cloud) == []
