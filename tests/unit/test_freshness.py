"""Would building change anything? Which versions make a build needless, and which do not."""

from dataclasses import replace
from pathlib import Path

import pytest

from imagebuild.freshness import find_same
from imagebuild.plan import Plan, make_plan
from imagebuild.properties import BASE_ID, CONTENT, DIGEST
from tests.fakes.cloud import FakeCloud
from tests.unit.examples import TEMPLATES, resolution, write_recipe
from tests.unit.versions import a_cloud, add_claim, add_desktop_snapshot, add_version

OTHER = {DIGEST: "0" * 64, CONTENT: "1" * 64}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return make_plan(write_recipe(tmp_path), resolution(), templates=TEMPLATES)


@pytest.fixture
def cloud() -> FakeCloud:
    return a_cloud()


def same(plan: Plan) -> dict[str, str]:
    return {DIGEST: plan.digest, CONTENT: plan.content}


def found(plan: Plan, cloud: FakeCloud) -> str | None:
    version = find_same(plan, cloud)
    return version.name if version else None


def test_without_any_version_there_is_a_reason_to_build(plan: Plan, cloud: FakeCloud) -> None:
    assert find_same(plan, cloud) is None


@pytest.mark.parametrize("state", ["candidate", "current", "superseded", "rejected"])
def test_the_newest_of_the_same_plan_makes_a_build_needless_whatever_became_of_it(
    plan: Plan, cloud: FakeCloud, state: str
) -> None:
    add_version(cloud, 1, "superseded", **OTHER)
    add_version(cloud, 2, state, **same(plan))  # type: ignore[arg-type]
    assert found(plan, cloud) == "small-v2"


def test_a_line_that_was_rolled_back_does_not_build_the_bad_one_again(plan: Plan, cloud: FakeCloud) -> None:
    add_version(cloud, 1, "current", **OTHER)
    add_version(cloud, 2, "rejected", **same(plan))
    version = find_same(plan, cloud)
    assert version is not None
    assert (version.name, version.state) == ("small-v2", "rejected")


def test_the_current_one_counts_although_there_is_a_newer_one(plan: Plan, cloud: FakeCloud) -> None:
    add_version(cloud, 1, "current", **same(plan))
    add_version(cloud, 2, "candidate", **OTHER)
    assert found(plan, cloud) == "small-v1"


def test_a_recipe_changed_back_is_built_again_when_the_one_between_is_current(plan: Plan, cloud: FakeCloud) -> None:
    add_version(cloud, 1, "superseded", **same(plan))
    add_version(cloud, 2, "current", **OTHER)
    assert find_same(plan, cloud) is None


def test_a_version_that_nobody_can_boot_makes_nothing_needless(plan: Plan, cloud: FakeCloud) -> None:
    image = add_version(cloud, 1, "current", **same(plan))
    cloud._change_image(image.id, status="deactivated")
    assert find_same(plan, cloud) is None


def test_one_that_was_rejected_as_dangerous_still_counts(plan: Plan, cloud: FakeCloud) -> None:
    image = add_version(cloud, 1, "rejected", **same(plan))
    cloud._change_image(image.id, status="deactivated")
    assert found(plan, cloud) == "small-v1"


def test_claims_other_recipes_and_snapshots_of_desktops_do_not_count(plan: Plan, cloud: FakeCloud) -> None:
    add_claim(cloud, 1)
    theirs = add_version(cloud, 7, "current", recipe="large", **same(plan))
    add_desktop_snapshot(cloud, theirs)
    assert find_same(plan, cloud) is None


def test_a_change_on_top_leaves_what_is_below_it_as_it_was(plan: Plan, cloud: FakeCloud) -> None:
    """Else two recipes of one line would build in turns for ever."""
    first = add_version(cloud, 1, "superseded", **same(plan))
    second = add_version(cloud, 2, "current", **OTHER, **{BASE_ID: first.id})
    assert found(plan, cloud) == "small-v1"
    add_version(cloud, 3, "candidate", **{DIGEST: "2" * 64, BASE_ID: second.id})
    assert found(plan, cloud) == "small-v1"


def test_a_base_that_is_its_own_ends_the_search(plan: Plan, cloud: FakeCloud) -> None:
    first = add_version(cloud, 1, "current", **OTHER)
    cloud.update_image(first.id, properties={BASE_ID: first.id})
    assert find_same(plan, cloud) is None


def on_top_of(plan: Plan, cloud: FakeCloud, number: int) -> Plan:
    """The plan with a version of its own line as the source."""
    image = next(one for one in cloud.images() if one.name == f"small-v{number}")
    return replace(plan, resolution=replace(plan.resolution, source=image))


def test_a_source_that_came_of_the_same_content_needs_no_change(plan: Plan, cloud: FakeCloud) -> None:
    first = add_version(cloud, 1, "superseded", **OTHER)
    add_version(cloud, 2, "current", **{DIGEST: "3" * 64, CONTENT: plan.content, BASE_ID: first.id})
    assert find_same(on_top_of(plan, cloud, 1), cloud) is None, "version 1 without the change is the source"
    assert found(on_top_of(plan, cloud, 2), cloud) == "small-v2"


def test_a_source_without_the_change_gets_it(plan: Plan, cloud: FakeCloud) -> None:
    first = add_version(cloud, 1, "superseded", **OTHER)
    add_version(cloud, 2, "superseded", **{DIGEST: "3" * 64, CONTENT: plan.content, BASE_ID: first.id})
    add_version(cloud, 3, "current", **OTHER)
    assert find_same(on_top_of(plan, cloud, 3), cloud) is None


def test_looking_only_reads_and_asks_little(plan: Plan, cloud: FakeCloud) -> None:
    for number in range(1, 9):
        add_version(cloud, number, "superseded", **OTHER)
    cloud.faults.calls.clear()
    find_same(plan, cloud)
    assert cloud.faults.calls == ["images"]
