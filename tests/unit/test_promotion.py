"""Promotion and the way back: who may become current, in which order it happens, and that a run cut off anywhere is mended by the next."""

from collections.abc import Callable

import pytest

from imagebuild.cloud import Image
from imagebuild.errors import CloudUnreachable, NotFound, VersionRefused
from imagebuild.images import Version, current, find_version, list_versions, reject
from imagebuild.promotion import promote, roll_back
from imagebuild.properties import (
    GENERALIZED,
    PREVIOUS,
    PROMOTED_AT,
    REASON,
    SELF,
    STATE,
    SUPERSEDED_AT,
    VERIFIED,
)
from imagebuild.report import SilentReport
from imagebuild.waiting import Deadline
from tests.fakes.cloud import FakeCloud
from tests.fakes.kill import kill_after
from tests.steps.conftest import Told
from tests.unit.versions import a_cloud, add_version

QUIET = SilentReport()


@pytest.fixture
def cloud() -> FakeCloud:
    """The first version current, the second waiting."""
    made = a_cloud()
    add_version(made, 1)
    promote(made, find_version(made, "small-v1"), report=QUIET)
    add_version(made, 2)
    return made


def named(cloud: FakeCloud, number: int) -> Version:
    return find_version(cloud, f"small-v{number}")


def image(cloud: FakeCloud, number: int) -> Image:
    return named(cloud, number).image


def words(cloud: FakeCloud) -> dict[str, str]:
    """The state that stands in each image, whatever it reads as."""
    return {one.name: one.image.properties[STATE] for one in list_versions(cloud)}


def climb(cloud: FakeCloud, *numbers: int) -> None:
    """Promote these versions, one after the other."""
    for number in numbers:
        if number > 2:
            add_version(cloud, number)
        promote(cloud, named(cloud, number), report=QUIET)


# ------------------------------------------------------------------------------------------------ promotion


def test_the_new_one_is_current_and_listed_the_old_one_superseded_and_hidden(cloud: FakeCloud) -> None:
    old, change = image(cloud, 1), promote(cloud, named(cloud, 2), report=QUIET)
    assert (change.now, change.before) == (named(cloud, 2), named(cloud, 1))
    promoted_at = old.properties[PROMOTED_AT]
    new, old = image(cloud, 2), image(cloud, 1)
    assert (new.hidden, new.protected, old.hidden, old.protected) == (False, True, True, True)
    assert words(cloud) == {"small-v1": "superseded", "small-v2": "current"}
    assert new.properties[PREVIOUS] == old.id
    assert new.properties[PROMOTED_AT] > promoted_at
    assert SUPERSEDED_AT in old.properties


def test_who_shared_the_old_one_is_told_that_the_new_one_is_not(cloud: FakeCloud) -> None:
    told = Told()
    cloud.update_image(image(cloud, 1).id, visibility="shared")
    promote(cloud, named(cloud, 2), report=told)
    assert "small-v2 is private, small-v1 was shared" in told.warnings[0]


def test_at_no_moment_there_is_no_current_one(cloud: FakeCloud) -> None:
    cloud.faults.lose_answer("update_image")
    with pytest.raises(CloudUnreachable):
        promote(cloud, named(cloud, 2), report=QUIET)
    assert words(cloud) == {"small-v1": "current", "small-v2": "current"}
    assert (head := current(cloud, "small")) and head.name == "small-v2"


def test_a_later_promotion_counts_as_later_whatever_the_clocks_say(cloud: FakeCloud) -> None:
    cloud.update_image(image(cloud, 1).id, properties={PROMOTED_AT: "2999-01-01T00:00:00.000+00:00"})
    cloud.faults.lose_answer("update_image")
    with pytest.raises(CloudUnreachable):
        promote(cloud, named(cloud, 2), report=QUIET)
    assert (head := current(cloud, "small")) and head.name == "small-v2"


def test_a_promotion_time_that_nobody_can_read_stops_nothing(cloud: FakeCloud) -> None:
    cloud.update_image(image(cloud, 1).id, properties={PROMOTED_AT: "yesterday"})
    climb(cloud, 2)
    assert words(cloud) == {"small-v1": "superseded", "small-v2": "current"}


def test_promoted_again_nothing_changes(cloud: FakeCloud) -> None:
    climb(cloud, 2)
    before = list_versions(cloud)
    assert promote(cloud, named(cloud, 2), report=QUIET).before is None
    assert list_versions(cloud) == before


def test_a_superseded_one_may_become_current_again(cloud: FakeCloud) -> None:
    climb(cloud, 2, 1)
    assert words(cloud) == {"small-v1": "current", "small-v2": "superseded"}
    assert image(cloud, 1).properties[PREVIOUS] == image(cloud, 2).id
    assert SUPERSEDED_AT not in image(cloud, 1).properties


def test_other_recipes_keep_theirs(cloud: FakeCloud) -> None:
    add_version(cloud, 1, "current", recipe="other")
    climb(cloud, 2)
    assert words(cloud)["other-v1"] == "current"


REFUSALS: dict[str, tuple[dict[str, str], str, str]] = {
    "never verified": ({VERIFIED: ""}, "not verified .verification: never done.", "invoke verify small-v2"),
    "failed": ({VERIFIED: "failed"}, "not verified .verification: failed.", "invoke verify small-v2"),
    "not generalised": ({GENERALIZED: "no"}, "was not generalised", "step generalize"),
    "seal unseen": ({GENERALIZED: "unseen", VERIFIED: ""}, "nobody saw whether", "invoke verify small-v2"),
    "rejected": ({STATE: "rejected", VERIFIED: "", REASON: "blue"}, "was rejected: blue", "invoke verify small-v2"),
}


@pytest.mark.parametrize("why", REFUSALS)
def test_what_is_not_good_enough_is_refused_and_nothing_touched(cloud: FakeCloud, why: str) -> None:
    properties, message, hint = REFUSALS[why]
    cloud.update_image(image(cloud, 2).id, properties={key: value or None for key, value in properties.items()})
    before = list_versions(cloud)
    with pytest.raises(VersionRefused, match=message) as caught:
        promote(cloud, named(cloud, 2), report=QUIET)
    assert hint in caught.value.hint
    assert list_versions(cloud) == before


def test_unverified_is_possible_with_a_warning(cloud: FakeCloud) -> None:
    cloud.update_image(image(cloud, 2).id, properties={VERIFIED: None})
    told = Told()
    promote(cloud, named(cloud, 2), unverified=True, report=told)
    assert words(cloud)["small-v2"] == "current"
    assert "without a verification" in told.warnings[0]


@pytest.mark.parametrize("why", ["not generalised", "seal unseen", "rejected"])
def test_unverified_lifts_nothing_else(cloud: FakeCloud, why: str) -> None:
    cloud.update_image(image(cloud, 2).id, properties={k: v or None for k, v in REFUSALS[why][0].items()})
    with pytest.raises(VersionRefused):
        promote(cloud, named(cloud, 2), unverified=True, report=QUIET)


def test_a_rejected_one_that_passes_a_new_verification_may_be_promoted(cloud: FakeCloud) -> None:
    reject(cloud, named(cloud, 2), reason="was it?")
    with pytest.raises(VersionRefused):
        promote(cloud, named(cloud, 2), report=QUIET)
    cloud.update_image(image(cloud, 2).id, properties={VERIFIED: "passed"})
    climb(cloud, 2)
    assert words(cloud)["small-v2"] == "current"
    assert REASON not in image(cloud, 2).properties


def test_a_deactivated_one_cannot_serve(cloud: FakeCloud) -> None:
    cloud.set_image_active(image(cloud, 2).id, active=False)
    with pytest.raises(VersionRefused, match="is deactivated") as caught:
        promote(cloud, named(cloud, 2), report=QUIET)
    assert "openstack image set --activate" in caught.value.hint


def test_what_changed_while_we_waited_for_the_claim_counts(cloud: FakeCloud) -> None:
    seen = named(cloud, 2)
    reject(cloud, seen, reason="meanwhile")
    with pytest.raises(VersionRefused, match="meanwhile"):
        promote(cloud, seen, report=QUIET)
    cloud.update_image(seen.image.id, protected=False)
    cloud.delete("image", seen.image.id, deadline=Deadline.after(10, cloud.clock))
    with pytest.raises(NotFound, match="somebody deleted it"):
        promote(cloud, seen, report=QUIET)


def test_an_image_that_lost_its_mark_is_not_touched(cloud: FakeCloud) -> None:
    seen = named(cloud, 2)
    untouched = cloud.update_image(seen.image.id, properties={SELF: "another"})
    with pytest.raises(VersionRefused, match="only inherited"):
        promote(cloud, seen, report=QUIET)
    assert cloud.image(seen.image.id) == untouched


# ------------------------------------------------------------------------------------------------ the way back


def test_back_to_the_one_before(cloud: FakeCloud) -> None:
    climb(cloud, 2)
    change = roll_back(cloud, "small", report=QUIET)
    assert (change.now, change.before) == (named(cloud, 1), named(cloud, 2))
    assert words(cloud) == {"small-v1": "current", "small-v2": "superseded"}
    assert (image(cloud, 1).hidden, image(cloud, 2).hidden) == (False, True)


def test_with_a_reason_the_bad_one_is_rejected_and_needs_a_new_verification(cloud: FakeCloud) -> None:
    climb(cloud, 2)
    roll_back(cloud, "small", reason="no printing", report=QUIET)
    bad = image(cloud, 2)
    assert (bad.properties[STATE], bad.properties[REASON], bad.hidden) == ("rejected", "no printing", True)
    assert VERIFIED not in bad.properties


def test_back_twice_is_back_two(cloud: FakeCloud) -> None:
    climb(cloud, 2, 3)
    for wanted in ("small-v2", "small-v1"):
        assert roll_back(cloud, "small", report=QUIET).now.name == wanted
    with pytest.raises(NotFound, match="no version before small-v1"):
        roll_back(cloud, "small", report=QUIET)


def test_back_is_by_promotions_not_by_numbers(cloud: FakeCloud) -> None:
    climb(cloud, 2, 3, 1)
    assert roll_back(cloud, "small", report=QUIET).now.name == "small-v3"


def test_where_the_one_before_is_gone_it_is_the_last_superseded_lower_one(cloud: FakeCloud) -> None:
    climb(cloud, 2, 3)
    reject(cloud, named(cloud, 2), reason="r")
    assert roll_back(cloud, "small", report=QUIET).now.name == "small-v1"


def test_back_to_a_named_one(cloud: FakeCloud) -> None:
    climb(cloud, 2, 3)
    assert roll_back(cloud, "small", to=named(cloud, 1), report=QUIET).now.name == "small-v1"
    assert words(cloud) == {"small-v1": "current", "small-v2": "superseded", "small-v3": "superseded"}


def test_what_cannot_be_gone_back_to(cloud: FakeCloud) -> None:
    add_version(cloud, 3, "rejected")
    for to, message in ((1, "small-v1 is current already"), (2, "small-v2 is candidate"), (3, "small-v3 is rejected")):
        with pytest.raises(VersionRefused, match=message):
            roll_back(cloud, "small", to=named(cloud, to), report=QUIET)
    with pytest.raises(NotFound, match="no version before small-v1"):
        roll_back(cloud, "small", report=QUIET)
    with pytest.raises(NotFound, match="other has no current version"):
        roll_back(cloud, "other", report=QUIET)
    assert words(cloud) == {"small-v1": "current", "small-v2": "candidate", "small-v3": "rejected"}


def test_a_deactivated_one_is_no_way_back(cloud: FakeCloud) -> None:
    climb(cloud, 2)
    cloud.set_image_active(image(cloud, 1).id, active=False)
    with pytest.raises(VersionRefused, match="is deactivated"):
        roll_back(cloud, "small", report=QUIET)
    assert words(cloud)["small-v2"] == "current"


# ------------------------------------------------------------------------------------------------ cut off anywhere

WORKS: dict[str, tuple[Callable[[FakeCloud], object], dict[str, str]]] = {
    "promote": (
        lambda cloud: promote(cloud, named(cloud, 3), report=QUIET),
        {"small-v1": "superseded", "small-v2": "superseded", "small-v3": "current"},
    ),
    "rollback": (
        lambda cloud: roll_back(cloud, "small", report=QUIET),
        {"small-v1": "current", "small-v2": "superseded", "small-v3": "candidate"},
    ),
    "rollback, rejecting": (
        lambda cloud: roll_back(cloud, "small", reason="bad", report=QUIET),
        {"small-v1": "current", "small-v2": "rejected", "small-v3": "candidate"},
    ),
}


@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("calls", range(1, 9))
def test_cut_off_after_any_call_one_is_current_and_the_same_again_finishes(
    cloud: FakeCloud, work: str, calls: int
) -> None:
    climb(cloud, 2)
    add_version(cloud, 3)
    do, wanted = WORKS[work]
    with kill_after(cloud, calls):
        do(cloud)
    assert (head := current(cloud, "small"))
    assert head.image.hidden is False
    if words(cloud) != wanted:
        do(cloud)
    assert words(cloud) == wanted
    assert [one.image.hidden for one in list_versions(cloud) if one.state != "current"] == [True, True]


def test_a_promotion_that_was_cut_off_is_no_return_when_somebody_goes_back(cloud: FakeCloud) -> None:
    cloud.faults.lose_answer("update_image")
    with pytest.raises(CloudUnreachable):
        promote(cloud, named(cloud, 2), report=QUIET)
    roll_back(cloud, "small", reason="bad", report=QUIET)
    assert words(cloud) == {"small-v1": "current", "small-v2": "rejected"}


def test_the_next_promotion_clears_up_after_one_that_was_cut_off(cloud: FakeCloud) -> None:
    cloud.faults.lose_answer("update_image")
    with pytest.raises(CloudUnreachable):
        promote(cloud, named(cloud, 2), report=QUIET)
    climb(cloud, 3)
    assert words(cloud) == {"small-v1": "superseded", "small-v2": "superseded", "small-v3": "current"}
