"""Pruning: what stays and why, what goes and in which order, the last look before each deletion, and a run cut off anywhere."""

from collections.abc import Sequence

import pytest

from imagebuild.cloud import Image, Volume
from imagebuild.errors import CloudRefused, CloudUnreachable, ImagebuildError
from imagebuild.images import Version, list_versions, next_version
from imagebuild.properties import PREVIOUS, PROMOTED_AT, SUPERSEDED_AT
from imagebuild.pruning import decide, prune
from imagebuild.report import SilentReport
from tests.fakes.cloud import FakeCloud
from tests.fakes.kill import kill_after
from tests.steps.conftest import Told
from tests.unit.versions import a_cloud, add_claim, add_desktop_snapshot, add_version

QUIET = SilentReport()


@pytest.fixture
def cloud() -> FakeCloud:
    """Six versions: 1-3 superseded, 4 rejected, 5 current after 2, 6 a candidate."""
    made = a_cloud()
    back = {
        number: add_version(made, number, "superseded", **{SUPERSEDED_AT: f"2026-02-0{number}"}) for number in (1, 2, 3)
    }
    add_version(made, 4, "rejected")
    add_version(made, 5, "current", **{PREVIOUS: back[2].id, PROMOTED_AT: "2026-02-09"})
    add_version(made, 6)
    return made


def reasons(cloud: FakeCloud, *, keep: int = 1, recipe: str = "small") -> dict[str, tuple[str, ...]]:
    fates = decide(list_versions(cloud, recipe), cloud.image_uses(), keep=keep)
    return {fate.version.name: fate.reasons for fate in fates}


def going(cloud: FakeCloud, *, keep: int = 1) -> list[Version]:
    fates = decide(list_versions(cloud, "small"), cloud.image_uses(), keep=keep)
    return [fate.version for fate in fates if not fate.stays]


def prune_all(cloud: FakeCloud, *, keep: int = 1, chosen: Sequence[Version] | None = None) -> int:
    chosen = going(cloud, keep=keep) if chosen is None else chosen
    return prune(cloud, "small", keep=keep, chosen=chosen, report=QUIET)


def names(cloud: FakeCloud) -> list[str]:
    return [one.name for one in list_versions(cloud)]


def image(cloud: FakeCloud, number: int) -> Image:
    return next(one.image for one in list_versions(cloud, "small") if one.version == number)


def use(cloud: FakeCloud, image_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = Volume("v-1", "data", "in-use", 1, image_id=image_id)
    monkeypatch.setitem(cloud._volumes, volume.id, volume)


# ------------------------------------------------------------------------------------------------ the decision


def test_each_that_stays_says_why(cloud: FakeCloud) -> None:
    add_claim(cloud, 7)
    assert reasons(cloud) == {
        "small-v1": (),
        "small-v2": ("a rollback goes to it",),
        "small-v3": (),
        "small-v4": (),
        "small-v5": ("current",),
        "small-v6": ("a candidate", "one of the newest 1", "the highest number, and numbers are never given twice"),
        "small-v7": ("kim@host, pid 7 builds it",),
    }


def test_the_newest_are_counted_without_the_rejected_ones(cloud: FakeCloud) -> None:
    stay = [name for name, why in reasons(cloud, keep=3).items() if "one of the newest 3" in why]
    assert stay == ["small-v3", "small-v5", "small-v6"]


def test_a_candidate_that_was_overtaken_waits_for_nothing(cloud: FakeCloud) -> None:
    add_version(cloud, 7, "current", **{PROMOTED_AT: "2026-03-01"})
    assert reasons(cloud)["small-v6"] == ()


def test_without_a_current_one_every_candidate_waits() -> None:
    cloud = a_cloud()
    for number in (1, 2, 3):
        add_version(cloud, number)
    assert all("a candidate" in why for why in reasons(cloud).values())


def test_what_is_used_stays_and_says_by_whom(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 4):
        use(cloud, image(cloud, number).id, monkeypatch)
        assert reasons(cloud)[f"small-v{number}"] == ("used by volume data (v-1)",)
    many = {image(cloud, 1).id: ["server a (1)", "server b (2)", "server c (3)"]}
    (first, *_) = decide(list_versions(cloud, "small"), many, keep=1)
    assert first.reasons == ("used by server a (1) and 2 more",)


@pytest.mark.parametrize("visibility", ["shared", "community", "public"])
def test_what_other_projects_may_use_stays(cloud: FakeCloud, visibility: str) -> None:
    cloud.update_image(image(cloud, 1).id, visibility=visibility)
    assert reasons(cloud)["small-v1"] == (f"{visibility}: other projects may use it",)


def test_a_rejected_one_with_the_highest_number_stays_so_that_its_name_is_not_given_again(cloud: FakeCloud) -> None:
    add_version(cloud, 7, "rejected")
    prune_all(cloud)
    assert names(cloud)[-1] == "small-v7"
    assert next_version(cloud, "small") == 8


def test_nothing_gives_nothing() -> None:
    assert decide([], {}, keep=3) == []


def test_a_first_version_that_is_being_built_stays() -> None:
    cloud = a_cloud()
    add_claim(cloud, 1)
    assert reasons(cloud) == {"small-v1": ("kim@host, pid 7 builds it",)}


# ------------------------------------------------------------------------------------------------ the deed


def test_what_goes_goes_rejected_ones_first(cloud: FakeCloud) -> None:
    told = Told()
    assert prune(cloud, "small", keep=1, chosen=going(cloud), report=told) == 3
    assert [note.split()[1] for note in told.notes] == ["small-v4", "small-v1", "small-v3"]
    assert names(cloud) == ["small-v2", "small-v5", "small-v6"]
    assert prune_all(cloud) == 0


def test_only_what_was_chosen_goes(cloud: FakeCloud) -> None:
    chosen = going(cloud)[:1]
    assert prune_all(cloud, chosen=chosen) == 1
    assert names(cloud) == [f"small-v{number}" for number in (2, 3, 4, 5, 6)]


def test_what_is_chosen_and_has_a_reason_by_now_stays_and_is_told(
    cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = going(cloud)
    use(cloud, image(cloud, 3).id, monkeypatch)
    with pytest.raises(ImagebuildError, match="not every version") as caught:
        prune_all(cloud, chosen=chosen)
    assert "used by volume data" in caught.value.details[0]
    assert names(cloud) == ["small-v2", "small-v3", "small-v5", "small-v6"]


def test_a_server_made_at_the_last_moment_saves_it(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, uses, saved = going(cloud), cloud.image_uses, image(cloud, 1).id
    asked: list[int] = []

    def image_uses() -> object:
        asked.append(1)
        # The first look is the decision, the second comes before the rejected one, the third before the first version.
        return uses() if len(asked) < 3 else {saved: ["server new (9)"]}

    monkeypatch.setattr(cloud, "image_uses", image_uses)
    with pytest.raises(ImagebuildError) as caught:
        prune_all(cloud, chosen=chosen)
    assert caught.value.details == ("small-v1: it stays after all: used by server new (9)",)
    assert image(cloud, 1).protected
    assert names(cloud) == ["small-v1", "small-v2", "small-v5", "small-v6"]


def test_one_that_the_cloud_does_not_delete_does_not_keep_the_others(cloud: FakeCloud) -> None:
    cloud.faults.fail("delete", CloudRefused("409 in use by the store"))
    with pytest.raises(ImagebuildError) as caught:
        prune_all(cloud)
    assert caught.value.details == ("small-v4: 409 in use by the store",)
    assert names(cloud) == ["small-v2", "small-v4", "small-v5", "small-v6"]
    assert image(cloud, 4).protected


def test_a_lost_answer_to_the_unprotecting_leaves_it_protected(cloud: FakeCloud) -> None:
    cloud.faults.lose_answer("update_image")
    with pytest.raises(ImagebuildError):
        prune_all(cloud)
    assert image(cloud, 4).protected
    prune_all(cloud)
    assert names(cloud) == ["small-v2", "small-v5", "small-v6"]


def test_a_cloud_that_does_not_answer_ends_it_before_anything(cloud: FakeCloud) -> None:
    chosen = going(cloud)
    for call in ("images", "image_uses"):
        cloud.faults.fail(call, CloudUnreachable("503"))
        with pytest.raises(CloudUnreachable):
            prune_all(cloud, chosen=chosen)
    assert len(names(cloud)) == 6


@pytest.mark.parametrize("calls", range(18))
def test_cut_off_after_any_call_the_next_run_finishes(cloud: FakeCloud, calls: int) -> None:
    chosen = going(cloud)
    with kill_after(cloud, calls):
        prune_all(cloud, chosen=chosen)
    assert {"small-v2", "small-v5", "small-v6"} <= set(names(cloud))
    prune_all(cloud)
    assert names(cloud) == ["small-v2", "small-v5", "small-v6"]
    assert all(one.image.protected for one in list_versions(cloud))


def test_what_was_left_unprotected_and_stays_is_protected_again(
    cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = image(cloud, 3)
    cloud.update_image(bare.id, protected=False)
    use(cloud, bare.id, monkeypatch)
    (fate,) = [one for one in decide(list_versions(cloud, "small"), cloud.image_uses(), keep=1) if one.bare]
    assert fate.version.name == "small-v3"
    told = Told()
    prune(cloud, "small", keep=1, chosen=[], report=told)
    assert image(cloud, 3).protected
    assert "small-v3 was not protected" in told.notes[0]


def test_what_is_not_ours_is_never_touched(cloud: FakeCloud) -> None:
    old = image(cloud, 1)
    mine = add_desktop_snapshot(cloud, old)
    same_name = cloud.add_image("small-v3", foreign=False, imagebuild_recipe="small", imagebuild_version="3")
    theirs = cloud.add_image("small-v1", imagebuild_recipe="small", imagebuild_version="1", imagebuild_id=old.id)
    other = add_version(cloud, 1, "superseded", recipe="other")
    before = [cloud.image(one.id) for one in (mine, same_name, theirs, other)]
    prune_all(cloud)
    assert [cloud.image(one.id) for one in (mine, same_name, theirs, other)] == before
    assert names(cloud) == ["other-v1", "small-v2", "small-v5", "small-v6"]
