"""Where a build may begin: the last checkpoint that the plan agrees with, and every reason to pass one over."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imagebuild.checkpoints import Start, carried, find_start, list_checkpoints
from imagebuild.cloud import OWNER_KEY, Image
from imagebuild.image_record import pack
from imagebuild.plan import Plan, describe_plan, make_plan
from imagebuild.properties import CHECKPOINT, EXPIRES_AT, FACTS, RECIPE, SELF
from imagebuild.waiting import Deadline
from tests.fakes.cloud import FakeCloud
from tests.unit.examples import RECIPE as TEXT
from tests.unit.examples import TEMPLATES, resolution, write_recipe
from tests.unit.versions import a_cloud, add_desktop_snapshot

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)
LATER = (AT + timedelta(days=9)).isoformat()
STEPS = "  - virtio-drivers: {media: drivers-cd}\n"
DRIVERS = {"drivers": {"media": "virtio-win", "versions": {}}}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """boot, reach, checkpoint (3), drivers, checkpoint (5), Cloudbase-Init."""
    text = TEXT.replace(STEPS, f"  - checkpoint\n{STEPS}  - checkpoint\n")
    return make_plan(write_recipe(tmp_path, text), resolution(), templates=TEMPLATES, at=AT)


@pytest.fixture
def cloud() -> FakeCloud:
    return a_cloud()


def add(cloud: FakeCloud, plan: Plan, number: int, **properties: str) -> Image:
    """A checkpoint of the plan's step; what differs is given as properties ('' = without it)."""
    image = cloud.add_image(f"small-checkpoint-{number}", foreign=False, image=Image("", "", "active", hidden=True))
    marks = {RECIPE: "small", CHECKPOINT: plan.steps[number - 1].digest, SELF: image.id, EXPIRES_AT: LATER}
    marks |= {FACTS: pack(DRIVERS), **properties}
    return cloud.update_image(image.id, properties={key: value or None for key, value in marks.items()})


def start(plan: Plan, cloud: FakeCloud) -> tuple[Start | None, list[str]]:
    told: list[str] = []
    return find_start(plan, cloud, tell=told.append), told


def test_without_one_a_build_begins_at_its_source(plan: Plan, cloud: FakeCloud) -> None:
    assert start(plan, cloud) == (None, [])


def test_a_plan_that_makes_no_checkpoint_has_none_and_asks_nobody(plan: Plan, cloud: FakeCloud) -> None:
    steps = tuple(planned for planned in plan.steps if planned.step.name != "checkpoint")
    assert start(replace(plan, steps=steps), cloud) == (None, [])
    assert cloud.faults.calls == []


def test_it_says_what_to_boot_what_to_skip_and_what_was_found_out(plan: Plan, cloud: FakeCloud) -> None:
    image = add(cloud, plan, 5)
    begin, told = start(plan, cloud)
    assert begin is not None
    assert (begin.image, begin.number, begin.skip, told) == (image, 5, frozenset({3, 4, 5}), [])
    assert begin.facts["boot_image_id"] == image.id
    assert begin.facts["drivers"] == DRIVERS["drivers"]
    assert begin.facts["checkpoint"] == {"digest": plan.steps[4].digest, "image_id": image.id, "started_from": True}


def test_the_builder_and_the_way_into_it_are_always_made_anew(plan: Plan, cloud: FakeCloud) -> None:
    add(cloud, plan, 5)
    begin, _ = start(plan, cloud)
    assert begin is not None
    assert {plan.steps[number - 1].step.name for number in {1, 2, 3, 4, 5} - begin.skip} == {
        "boot-builder",
        "reach-guest",
    }


def test_the_last_step_comes_first_and_of_one_step_the_newest(plan: Plan, cloud: FakeCloud) -> None:
    add(cloud, plan, 5)
    cloud.clock.sleep(60)
    newest = add(cloud, plan, 5)
    cloud.clock.sleep(60)
    add(cloud, plan, 3)
    begin, _ = start(plan, cloud)
    assert begin is not None
    assert begin.image.id == newest.id


def test_a_changed_step_before_it_makes_it_nothing_to_this_plan(plan: Plan, cloud: FakeCloud, tmp_path: Path) -> None:
    add(cloud, plan, 5)
    text = plan.recipe.path.read_text().replace("{media: drivers-cd}", "{media: drivers-cd, skip: [balloon]}")
    changed = make_plan(write_recipe(tmp_path / "b", text), resolution(), templates=TEMPLATES, at=AT)
    assert start(changed, cloud) == (None, [])
    first = add(cloud, plan, 3)
    begin, _ = start(changed, cloud)
    assert begin is not None
    assert begin.image.id == first.id, "what comes before the change still holds"


def test_another_source_makes_it_nothing_to_this_plan(plan: Plan, cloud: FakeCloud) -> None:
    add(cloud, plan, 5)
    other = make_plan(plan.recipe, resolution(checksum="beef"), templates=TEMPLATES, at=AT)
    assert start(other, cloud) == (None, [])


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({EXPIRES_AT: (AT - timedelta(seconds=1)).isoformat()}, "it is too old, it held until 2026-11-22 09:59"),
        ({EXPIRES_AT: "2026-11-22T09:00:00"}, "it is too old, it held until 2026-11-22 09:00"),
        ({EXPIRES_AT: ""}, "it does not say until when it holds"),
        ({EXPIRES_AT: "soon"}, "it does not say until when it holds"),
        ({FACTS: ""}, "its facts cannot be read"),
        ({FACTS: "H4sIA"}, "its facts cannot be read"),
    ],
)
def test_one_that_is_in_doubt_is_passed_over_and_said(
    plan: Plan, cloud: FakeCloud, properties: dict[str, str], reason: str
) -> None:
    good = add(cloud, plan, 3)
    bad = add(cloud, plan, 5, **properties)
    begin, told = start(plan, cloud)
    assert begin is not None
    assert begin.image.id == good.id
    assert told == [f"checkpoint {bad.name} ({bad.id}) is passed over: {reason}"]


@pytest.mark.parametrize("status", ["deactivated", "queued", "saving"])
def test_one_that_cannot_be_booted_is_passed_over(plan: Plan, cloud: FakeCloud, status: str) -> None:
    cloud._change_image(add(cloud, plan, 5).id, status=status)
    begin, told = start(plan, cloud)
    assert begin is None
    assert told[0].endswith(f"is passed over: it is {status}")


def test_what_only_inherited_the_mark_is_no_checkpoint(plan: Plan, cloud: FakeCloud) -> None:
    """Somebody's snapshot of a builder that was made from one; its own is another image."""
    real = add(cloud, plan, 5)
    add_desktop_snapshot(cloud, real)
    assert [image.id for image in list_checkpoints(cloud)] == [real.id]
    cloud.delete("image", real.id, deadline=Deadline.after(60, cloud.clock))
    assert start(plan, cloud) == (None, [])


def test_one_that_is_still_being_made_is_none(plan: Plan, cloud: FakeCloud) -> None:
    add(cloud, plan, 5, **{OWNER_KEY: "small-20260101-000000-abcd"})
    assert start(plan, cloud) == (None, [])


def test_another_recipes_checkpoint_is_not_looked_at(plan: Plan, cloud: FakeCloud) -> None:
    add(cloud, plan, 5, **{RECIPE: "large"})
    assert start(plan, cloud) == (None, [])
    assert len(list_checkpoints(cloud, "large")) == 1


def test_only_what_belongs_to_the_image_is_carried_over() -> None:
    facts = {"drivers": 1, "updates": 2, "before_generalize": [], "checkpoint": {}}
    own = {
        "server_id": "s",
        "guest_address": "a",
        "guest_certificate": "c",
        "windows": {},
        "allow_from": "x",
        "media": [],
    }
    assert carried({**facts, **own, "inventory": {"file": "inventory.json"}, "down_asked": "w"}) == facts


def test_a_plan_says_where_it_starts_and_what_that_saves(plan: Plan, cloud: FakeCloud) -> None:
    image = add(cloud, plan, 5)
    begin, _ = start(plan, cloud)
    assert begin is not None
    assert str(begin) == f"from checkpoint {image.name} of {image.created_at[:10]} (saves steps 3-5)"
    text = "\n".join(describe_plan(plan, skip=begin.skip, start=str(begin)))
    assert f"start     {begin}" in text
    assert [line[:5] for line in text.splitlines() if line.startswith("   ")] == [
        "   1 ",
        "   2 ",
        "   3-",
        "   4-",
        "   5-",
        "   6 ",
    ]
