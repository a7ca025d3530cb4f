"""The versions there are: ours and nobody else's, their states, the current one, the one that a person means, the next number."""

import pytest

from imagebuild.cloud import OWNER_KEY, Image
from imagebuild.errors import NotFound, VersionRefused
from imagebuild.images import (
    current,
    find_version,
    list_versions,
    look_again,
    next_version,
    pick_waiting,
    reject,
    version_of,
)
from imagebuild.properties import (
    CHECKPOINT,
    PROMOTED_AT,
    REASON,
    RECIPE,
    SELF,
    STATE,
    VERIFIED,
    VERSION,
)
from imagebuild.waiting import Deadline
from tests.fakes.cloud import FakeCloud
from tests.unit.versions import a_cloud, add_claim, add_desktop_snapshot, add_version


@pytest.fixture
def cloud() -> FakeCloud:
    """Three versions, the second one current, the fourth being built."""
    made = a_cloud()
    add_version(made, 1, "superseded")
    add_version(made, 3, "candidate")
    add_version(made, 2, "current", **{PROMOTED_AT: "2026-01-05T00:00:00.000+00:00"})
    add_claim(made, 4)
    return made


def told(cloud: FakeCloud, recipe: str | None = None) -> list[tuple[str, str]]:
    return [(one.name, one.state) for one in list_versions(cloud, recipe)]


SMALL = [("small-v1", "superseded"), ("small-v2", "current"), ("small-v3", "candidate"), ("small-v4", "building")]


def test_versions_stand_by_recipe_and_number_and_numbers_are_no_words(cloud: FakeCloud) -> None:
    add_version(cloud, 10, recipe="small")
    add_version(cloud, 1, recipe="a")
    assert told(cloud) == [("a-v1", "candidate"), *SMALL, ("small-v10", "candidate")]
    assert told(cloud, "a") == [("a-v1", "candidate")]
    assert told(cloud, "nothing") == []


def test_what_is_registered_is_not_being_built_any_more(cloud: FakeCloud) -> None:
    add_version(cloud, 4)
    assert told(cloud) == [*SMALL[:3], ("small-v4", "candidate")]


def test_what_only_looks_like_a_version_is_none(cloud: FakeCloud) -> None:
    head = current(cloud, "small")
    assert head is not None
    add_desktop_snapshot(cloud, head.image)
    add_version(cloud, 7, **{SELF: ""})
    add_version(cloud, 8, **{VERSION: "eight"})
    add_version(cloud, 9, **{OWNER_KEY: "build-9"})
    add_version(cloud, 10, **{CHECKPOINT: "d" * 64})
    cloud.add_image("small-v11", foreign=False)
    assert told(cloud) == SMALL


def test_of_two_that_say_current_the_one_promoted_later_counts(cloud: FakeCloud) -> None:
    add_version(cloud, 5, "current", **{PROMOTED_AT: "2026-01-06T00:00:00.000+00:00"})
    assert told(cloud)[1] == ("small-v2", "superseded")
    assert (head := current(cloud, "small")) and head.name == "small-v5"
    add_version(cloud, 1, "current", recipe="other")
    assert told(cloud, "small")[1] == ("small-v2", "superseded")
    assert (other := current(cloud, "other")) and other.name == "other-v1"


def test_a_state_that_nobody_knows_is_a_candidate(cloud: FakeCloud) -> None:
    add_version(cloud, 5, **{STATE: "golden"})
    assert told(cloud)[-1] == ("small-v5", "candidate")


def test_without_a_promoted_one_none_is_current() -> None:
    cloud = a_cloud()
    add_version(cloud, 1)
    assert current(cloud, "small") is None


def test_the_newest_candidate_waits_unless_it_was_overtaken(cloud: FakeCloud) -> None:
    waiting = lambda: (one := pick_waiting(list_versions(cloud), "small")) and one.name  # noqa: E731
    assert waiting() == "small-v3"
    add_version(cloud, 5)
    assert waiting() == "small-v5"
    add_version(cloud, 6, "current", **{PROMOTED_AT: "2026-02-01"})
    assert waiting() is None
    add_version(cloud, 7, "rejected")
    assert waiting() is None


# ------------------------------------------------------------------------------------------------ the one that is meant


def test_a_version_is_found_by_name_by_id_and_by_its_recipe(cloud: FakeCloud) -> None:
    first = find_version(cloud, "small-v1")
    assert (first.version, first.state) == (1, "superseded")
    assert find_version(cloud, first.image.id) == first
    assert find_version(cloud, "small").name == "small-v2"


def test_a_name_that_is_not_there_is_told_with_near_ones(cloud: FakeCloud) -> None:
    with pytest.raises(NotFound, match="no version 'smal-v3' in fake") as caught:
        find_version(cloud, "smal-v3")
    assert "small-v3" in caught.value.hint
    with pytest.raises(NotFound) as caught:
        find_version(cloud, "quite-different")
    assert "invoke images" in caught.value.hint


def test_a_recipe_without_a_current_version_names_what_there_is(cloud: FakeCloud) -> None:
    add_version(cloud, 1, recipe="fresh")
    add_version(cloud, 2, recipe="fresh")
    with pytest.raises(NotFound, match="fresh has no current version") as caught:
        find_version(cloud, "fresh")
    assert "fresh-v1, fresh-v2" in caught.value.hint


def test_a_version_that_is_being_built_is_not_there_yet(cloud: FakeCloud) -> None:
    with pytest.raises(NotFound, match="small-v4 is still being built by kim@host"):
        find_version(cloud, "small-v4")
    add_claim(cloud, 1, recipe="fresh")
    with pytest.raises(NotFound, match="fresh-v1 is still being built"):
        find_version(cloud, "fresh")


def test_of_two_that_share_a_number_one_is_named_by_its_id(cloud: FakeCloud) -> None:
    twin = add_version(cloud, 3)
    with pytest.raises(VersionRefused, match="2 images are small-v3") as caught:
        find_version(cloud, "small-v3")
    assert twin.id in caught.value.hint
    assert find_version(cloud, twin.id).image == twin


def test_an_image_that_is_not_ours_is_refused_with_the_reason(cloud: FakeCloud) -> None:
    mine = add_desktop_snapshot(cloud, find_version(cloud, "small").image)
    half = cloud.add_image("half", foreign=False, **{OWNER_KEY: "build-7"})
    hold = add_version(cloud, 7, **{CHECKPOINT: "d" * 64})
    theirs = cloud.add_image("theirs")
    reasons = {
        mine.name: "only inherited its properties",
        half.id: "unfinished image of the build build-7",
        hold.id: "is a checkpoint",
        theirs.name: "not registered by imagebuild",
    }
    for text, why in reasons.items():
        with pytest.raises(VersionRefused, match=why):
            find_version(cloud, text)


def test_what_another_project_lends_is_found_by_who_makes_desktops_only(cloud: FakeCloud) -> None:
    ids = [add_version(cloud, n, state, recipe="lent").id for n, state in ((1, "superseded"), (2, "current"))]
    for image_id in ids:
        cloud.give_away(image_id)
    for text in ("lent", "lent-v1"):
        with pytest.raises(NotFound, match=f"there is no version '{text}' in fake") as caught:
            find_version(cloud, text, borrowed=True)
        assert "once it is accepted" in caught.value.hint
    with pytest.raises(VersionRefused, match=f"once it is accepted: openstack image set --accept {ids[1]}"):
        find_version(cloud, ids[1], borrowed=True)
    for image_id in ids:
        cloud.accept(image_id)
    found = {text: find_version(cloud, text, borrowed=True) for text in ("lent", "lent-v1", *ids)}
    assert [(one.name, one.state) for one in found.values()] == [
        ("lent-v2", "current"),
        ("lent-v1", "superseded"),
        ("lent-v1", "superseded"),
        ("lent-v2", "current"),
    ]
    with pytest.raises(VersionRefused, match="is another project's, and only that one can change it"):
        find_version(cloud, "lent-v2")


def test_the_projects_own_line_comes_before_one_of_its_name_elsewhere(cloud: FakeCloud) -> None:
    lent = add_version(cloud, 9, "current")
    cloud.give_away(lent.id)
    cloud.accept(lent.id)
    assert find_version(cloud, "small", borrowed=True).name == "small-v2"
    assert find_version(cloud, "small-v9", borrowed=True).image.id == lent.id


def test_a_version_is_looked_at_again_before_it_is_changed(cloud: FakeCloud) -> None:
    version = find_version(cloud, "small-v1")
    cloud.update_image(version.image.id, properties={SELF: None})
    with pytest.raises(VersionRefused, match="not registered by imagebuild"):
        look_again(cloud, version)
    cloud.update_image(version.image.id, properties={SELF: version.image.id, RECIPE: "other"})
    with pytest.raises(VersionRefused):
        look_again(cloud, version)
    cloud.update_image(version.image.id, protected=False)
    cloud.delete("image", version.image.id, deadline=Deadline.after(10, cloud.clock))
    with pytest.raises(NotFound, match="somebody deleted it"):
        look_again(cloud, version)


# ------------------------------------------------------------------------------------------------ rejecting


def test_a_rejected_one_is_hidden_says_why_and_must_pass_anew(cloud: FakeCloud) -> None:
    image = reject(cloud, find_version(cloud, "small-v3"), reason="blue screens")
    assert (image.hidden, image.protected) == (True, True)
    assert (image.properties[STATE], image.properties[REASON]) == ("rejected", "blue screens")
    assert VERIFIED not in image.properties
    assert told(cloud)[2] == ("small-v3", "rejected")


def test_a_failed_verification_stays_told(cloud: FakeCloud) -> None:
    failed = add_version(cloud, 5, **{VERIFIED: "failed"})
    assert reject(cloud, find_version(cloud, failed.id), reason="r").properties[VERIFIED] == "failed"


def test_the_current_one_is_not_rejected(cloud: FakeCloud) -> None:
    with pytest.raises(VersionRefused, match="small-v2 is current") as caught:
        reject(cloud, find_version(cloud, "small"), reason="r")
    assert "invoke rollback small" in caught.value.hint
    assert told(cloud) == SMALL


# ------------------------------------------------------------------------------------------------ numbers


def test_the_next_number_is_one_more_than_the_highest_and_a_claim_is_no_version() -> None:
    cloud = a_cloud()
    assert next_version(cloud, "small") == 1
    add_claim(cloud, 1)
    assert next_version(cloud, "small") == 1
    for number in (2, 10, 9):
        add_version(cloud, number)
    add_version(cloud, 77, recipe="other")
    assert next_version(cloud, "small") == 11


@pytest.mark.parametrize("foreign", [True, False])
def test_a_name_that_anybodys_image_has_is_passed_over(foreign: bool) -> None:
    cloud = a_cloud()
    add_version(cloud, 1)
    for name in ("small-v2", "small-v2", "small-v3"):
        cloud.add_image(name, foreign=foreign)
    assert next_version(cloud, "small") == 4


def test_a_hidden_image_or_one_without_data_has_its_name_as_well() -> None:
    cloud = a_cloud()
    cloud.add_image("small-v1", foreign=False, image=Image("", "", "queued", hidden=True))
    assert next_version(cloud, "small") == 2


@pytest.mark.parametrize(
    ("text", "version"), [("12", 12), ("007", 7), ("", 0), ("1.5", 0), ("x", 0), ("-1", 0), ("٣", 0)]
)
def test_a_version_is_a_whole_number(text: str, version: int) -> None:
    assert version_of(Image("i", "n", "active", properties={VERSION: text})) == version
