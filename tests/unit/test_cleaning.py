"""Undo by owner: in the order in which it can be done, as far as it can be done, as often as one likes."""

import io

import pytest

from imagebuild.cleaning import Leftover, leftovers, remove
from imagebuild.cloud import ServerRequest
from imagebuild.errors import CloudRefused, ImagebuildError
from imagebuild.report import ConsoleReport, SilentReport
from imagebuild.waiting import Deadline
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud


@pytest.fixture
def cloud() -> FakeCloud:
    made = FakeCloud(FakeClock())
    made.add_flavor("f")
    made.add_network("n", "10.0.0.0/24")
    made.add_image("base")
    return made


def make_everything(cloud: FakeCloud, owner: str) -> None:
    """A running server with a volume and a group, a volume of its own, and an image."""
    image, flavor, network = cloud.find_image("base"), cloud.find_flavor("f"), cloud.find_network("n")
    assert image is not None
    assert flavor is not None
    assert network is not None
    group = cloud.create_security_group(owner, owner=owner, allow_from="10.0.0.1/32", ports=[5986])
    cloud.create_volume(f"{owner}-extra", owner=owner, role="extra", gib=1)
    request = ServerRequest(owner, image.id, flavor.id, network.id, security_groups=(group.name,))
    server = cloud.create_server(request, owner=owner, role="builder")
    cloud.clock.sleep(10)
    cloud.snapshot(server.id, f"{owner}-image", owner=owner, properties={})
    cloud.clock.sleep(10)


def deadline(cloud: FakeCloud) -> Deadline:
    return Deadline.after(60, cloud.clock)


def kinds(things: list[Leftover]) -> list[str]:
    return [thing.kind for thing in things]


def test_servers_come_first_because_they_hold_the_rest(cloud: FakeCloud) -> None:
    make_everything(cloud, "b1")
    assert kinds(leftovers(cloud, "b1")) == ["server", "volume", "security_group", "image"]


def test_only_the_owners_things_are_named_or_everybodys(cloud: FakeCloud) -> None:
    make_everything(cloud, "b2")
    make_everything(cloud, "b1")
    assert {thing.owner for thing in leftovers(cloud, "b1")} == {"b1"}
    assert [thing.owner for thing in leftovers(cloud)] == ["b1"] * 4 + ["b2"] * 4
    assert leftovers(cloud, "nobody") == []


def test_everything_goes_and_is_told(cloud: FakeCloud) -> None:
    make_everything(cloud, "b1")
    make_everything(cloud, "b2")
    out = io.StringIO()
    things = leftovers(cloud, "b1")
    remove(cloud, things, report=ConsoleReport(out), deadline=deadline(cloud))
    assert leftovers(cloud, "b1") == []
    assert len(leftovers(cloud, "b2")) == 4
    assert [line.strip() for line in out.getvalue().splitlines()] == [f"deleted {thing}" for thing in things]
    assert str(things[2]).startswith("security group b1 (")


def test_a_second_time_is_harmless(cloud: FakeCloud) -> None:
    make_everything(cloud, "b1")
    things = leftovers(cloud, "b1")
    for _ in range(2):
        remove(cloud, things, report=SilentReport(), deadline=deadline(cloud))
    assert leftovers(cloud) == []


def test_one_refusal_does_not_keep_the_others(cloud: FakeCloud) -> None:
    make_everything(cloud, "b1")
    (image,) = cloud.owned("b1")["b1"].images
    cloud.update_image(image.id, protected=True)
    with pytest.raises(ImagebuildError, match="not everything could be deleted") as caught:
        remove(cloud, leftovers(cloud, "b1"), report=SilentReport(), deadline=deadline(cloud))
    assert kinds(leftovers(cloud, "b1")) == ["image"]
    (still,) = caught.value.details
    assert still.startswith(f"image b1-image ({image.id}): ")
    assert "protected" in still
    assert "invoke sweep" in caught.value.hint


def test_a_first_refusal_leaves_the_later_ones_to_be_tried_and_a_repetition_finishes(cloud: FakeCloud) -> None:
    make_everything(cloud, "b1")
    cloud.faults.fail("delete", CloudRefused("409 busy"))
    with pytest.raises(ImagebuildError) as caught:
        remove(cloud, leftovers(cloud, "b1"), report=SilentReport(), deadline=deadline(cloud))
    assert [line.split()[0] for line in caught.value.details] == ["server", "security"]  # its group is still in use
    remove(cloud, leftovers(cloud, "b1"), report=SilentReport(), deadline=deadline(cloud))
    assert leftovers(cloud) == []


def test_a_lost_answer_is_no_leftover_afterwards(cloud: FakeCloud) -> None:
    make_everything(cloud, "b1")
    cloud.faults.lose_answer("delete", times=4)
    with pytest.raises(ImagebuildError):
        remove(cloud, leftovers(cloud, "b1"), report=SilentReport(), deadline=deadline(cloud))
    assert leftovers(cloud, "b1") == []
