"""The claim: one holder at a time, whoever looks, whatever was cut off, and an old holder that learns in time that it is none any more."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from imagebuild import claim as claims_module
from imagebuild.claim import Claim, Seed, break_claim, claims, hold, release, renew, take
from imagebuild.cleaning import leftovers
from imagebuild.cloud import OWNER_KEY, ROLE_KEY, Image
from imagebuild.errors import Busy, CloudError, CloudUnreachable
from imagebuild.holder import describe_holder, this_process
from imagebuild.properties import EXPIRES_AT, HOLDER, HOLDER_PROCESS, STATE, VERSION
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud
from tests.steps.conftest import Told

LONG_OVER = -3600.0


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud(FakeClock())


def claim_for(
    cloud: FakeCloud,
    owner: str,
    *,
    seed: Seed = lambda images: "1",
    lifetime: float = 600,
    seen: Sequence[Image] | None = None,
    dead: tuple[str, ...] = (),
    told: Told | None = None,
) -> Claim:
    return take(
        cloud,
        "small",
        purpose="build",
        seed=seed,
        owner=owner,
        lifetime_seconds=lifetime,
        is_dead=lambda other: other in dead,
        report=told or Told(),
        seen=seen,
    )


def test_a_claim_says_whose_it_is_what_of_and_until_when(cloud: FakeCloud) -> None:
    made = claim_for(cloud, "b1")
    assert (made.recipe, made.purpose, made.seed, made.owner) == ("small", "build", "1", "b1")
    assert "pid" in made.holder
    assert timedelta(seconds=590) < made.expires_at - datetime.now(UTC) <= timedelta(seconds=600)
    assert claims(cloud) == [made]
    image = cloud.image(made.id)
    assert image is not None
    assert (image.status, image.hidden, image.visibility) == ("queued", True, "private")
    assert (image.properties[STATE], image.properties[VERSION], image.properties[OWNER_KEY]) == ("building", "1", "b1")


def test_the_second_one_is_told_who_until_when_and_how_to_break_it(cloud: FakeCloud) -> None:
    first = claim_for(cloud, "b1")
    with pytest.raises(Busy, match=r"small \(build\) is claimed by b1 \(.*\) since .* until .* UTC") as caught:
        claim_for(cloud, "b2")
    assert "invoke builds.unclaim small --break-claim" in caught.value.hint
    assert claims(cloud) == [first]


def test_recipes_purposes_and_projects_do_not_hinder_each_other(cloud: FakeCloud) -> None:
    claim_for(cloud, "b1")
    others = {"seed": lambda images: "1", "lifetime_seconds": 60, "is_dead": lambda owner: False, "report": Told()}
    take(cloud, "other", purpose="build", owner="b2", **others)  # type: ignore[arg-type]
    take(cloud, "small", purpose="life", owner="b3", **others)  # type: ignore[arg-type]
    assert [one.owner for one in claims(cloud)] == ["b2", "b1", "b3"]
    assert [one.owner for one in claims(cloud, "small", purpose="life")] == ["b3"]


def test_what_was_given_back_can_be_had_again_under_the_next_id(cloud: FakeCloud) -> None:
    seen = set()
    for number in range(4):
        made = claim_for(cloud, f"b{number}")
        seen.add(made.id)
        release(cloud, made)
        release(cloud, made)
    assert len(seen) == 4
    assert claims(cloud) == []


def test_an_owner_finds_its_own_claim_again(cloud: FakeCloud) -> None:
    first = claim_for(cloud, "b1", lifetime=60)
    again = claim_for(cloud, "b1", lifetime=600)
    assert again.id == first.id
    assert again.expires_at > first.expires_at


def test_an_own_claim_on_what_has_moved_is_taken_anew(cloud: FakeCloud) -> None:
    first = claim_for(cloud, "b1")
    again = claim_for(cloud, "b1", seed=lambda images: "2")
    assert again.seed == "2"
    assert [one.id for one in claims(cloud)] == [again.id] != [first.id]


@pytest.mark.parametrize("seed", ["1", "2"])
def test_a_dead_builds_claim_is_taken_over_and_told(cloud: FakeCloud, seed: str) -> None:
    """Also when the dead one had claimed another state than the one that is there now."""
    claim_for(cloud, "b1")
    told = Told()
    made = claim_for(cloud, "b2", dead=("b1",), told=told, seed=lambda images: seed)
    assert claims(cloud) == [made]
    assert "b1" in told.warnings[0]
    assert "is dead" in told.warnings[0]
    assert told.warnings[0].endswith("; what it has left: invoke builds.undo b1")


def gone() -> str:
    """A process that was here and is not any more."""
    place, _, start = this_process().split()
    return f"{place} {2**22 + 1} {start}"


def test_a_claim_whose_process_is_gone_is_not_waited_for(cloud: FakeCloud) -> None:
    """A build of another clone of the project on this machine: its folder is not known here, its process is."""
    made = claim_for(cloud, "b1")
    assert (made.process, made.is_over()) == (this_process(), False)
    cloud.update_image(made.id, properties={HOLDER_PROCESS: gone()})
    (dead,) = claims(cloud)
    assert (dead.is_over(), dead.is_expired()) == (True, False)
    told = Told()
    taken = claim_for(cloud, "b2", told=told)
    assert claims(cloud) == [taken]
    assert "b1" in told.warnings[0] and "is dead: its claim on small is taken over" in told.warnings[0]


@pytest.mark.parametrize("process", [None, "", "0123456789abcdef 1 1"])
def test_a_process_that_nobody_here_can_look_for_is_waited_for(cloud: FakeCloud, process: str | None) -> None:
    made = claim_for(cloud, "b1")
    cloud.update_image(made.id, properties={HOLDER_PROCESS: process})
    with pytest.raises(Busy):
        claim_for(cloud, "b2")


def test_a_resumed_build_says_which_process_it_is_now(cloud: FakeCloud) -> None:
    """Its end being right or not: else the next one would take it for dead."""
    made = claim_for(cloud, "b1")
    cloud.update_image(made.id, properties={HOLDER_PROCESS: gone(), HOLDER: "kim@host, pid 7"})
    again = claim_for(cloud, "b1")
    assert (again.id, again.process, again.holder) == (made.id, this_process(), describe_holder())
    assert claims(cloud) == [again]
    with pytest.raises(Busy):
        claim_for(cloud, "b2")


def test_a_process_that_cannot_be_told_is_none(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    made = claim_for(cloud, "b1")
    monkeypatch.setattr(claims_module, "this_process", lambda: "")
    assert renew(cloud, made, 600).process == ""
    assert renew(cloud, made, 600).process == "", "there is none to remove"
    assert claim_for(FakeCloud(FakeClock()), "b1").process == ""


def test_an_expired_claim_is_taken_over_but_not_before_the_clocks_margin_is_over(cloud: FakeCloud) -> None:
    claim_for(cloud, "b1", lifetime=-60)
    with pytest.raises(Busy):
        claim_for(cloud, "b2")
    break_claim(cloud, "small")
    claim_for(cloud, "b1", lifetime=LONG_OVER)
    told = Told()
    assert claim_for(cloud, "b2", told=told).owner == "b2"
    assert "let its claim expire" in told.warnings[0]


def test_a_claim_whose_end_nobody_can_read_is_over(cloud: FakeCloud) -> None:
    made = claim_for(cloud, "b1")
    cloud.update_image(made.id, properties={EXPIRES_AT: "tomorrow"})
    assert claim_for(cloud, "b2").owner == "b2"


def test_a_state_that_moved_while_the_claim_was_taken_is_claimed_anew(cloud: FakeCloud) -> None:
    """The former holder finished between our look and our claim: then its version is made, and ours is the next one."""
    seeds = itertools.chain(["1"], itertools.repeat("2"))
    made = claim_for(cloud, "b1", seed=lambda images: next(seeds))
    assert made.seed == "2"
    assert claims(cloud) == [made]


def test_two_looks_are_enough_and_one_where_the_caller_has_just_looked(cloud: FakeCloud) -> None:
    claim_for(cloud, "b1")
    assert cloud.faults.calls == ["images", "reserve_image", "images"]
    seen = cloud.images()
    cloud.faults.calls.clear()
    claim_for(cloud, "b1", seen=seen)
    assert cloud.faults.calls == ["images"], "it stands already"


def test_what_the_caller_saw_may_be_out_of_date(cloud: FakeCloud) -> None:
    """Somebody came in between: under another state's ids, or under the same."""
    for seed in ("1", "2"):
        seen = cloud.images()
        first = claim_for(cloud, "b1")
        with pytest.raises(Busy):
            claim_for(cloud, "b2", seed=lambda images, seed=seed: seed, seen=seen)  # type: ignore[misc]
        assert claims(cloud) == [first]
        release(cloud, first)


def test_a_claim_that_is_broken_while_it_is_taken_is_none(cloud: FakeCloud) -> None:
    reserve = cloud.reserve_image

    def broken(image_id: str, name: str, *, properties: dict[str, str]) -> object:
        made = reserve(image_id, name, properties=properties)
        break_claim(cloud, "small")
        return made

    cloud.reserve_image = broken  # type: ignore[method-assign, assignment]
    with pytest.raises(Busy, match="b1 has lost its claim"):
        claim_for(cloud, "b1")


def test_a_state_that_never_stands_still_is_given_up(cloud: FakeCloud) -> None:
    seeds = (str(number) for number in itertools.count())
    with pytest.raises(Busy, match="change faster"):
        claim_for(cloud, "b1", seed=lambda images: next(seeds))
    assert claims(cloud) == []


def test_two_who_saw_different_states_are_not_both_holders(cloud: FakeCloud) -> None:
    """b1 changes the state under its claim, b2 comes in between and has another row of ids: it sees the claim that stands."""
    first = claim_for(cloud, "b1", seed=lambda images: "1")
    with pytest.raises(Busy):
        claim_for(cloud, "b2", seed=lambda images: "2")
    assert claims(cloud) == [first]


def test_a_claim_that_came_up_while_ours_was_made_is_respected(cloud: FakeCloud) -> None:
    """Both looked when nothing stood. Whoever looks second, after its own was made, sees the other and steps back."""
    reserve = cloud.reserve_image

    def race(image_id: str, name: str, *, properties: dict[str, str]) -> object:
        cloud.reserve_image = reserve  # type: ignore[method-assign]
        claim_for(cloud, "b1", seed=lambda images: "2")
        return reserve(image_id, name, properties=properties)

    cloud.reserve_image = race  # type: ignore[method-assign, assignment]
    with pytest.raises(Busy):
        claim_for(cloud, "b2", seed=lambda images: "1")
    assert [one.owner for one in claims(cloud)] == ["b1"]


def test_a_lost_answer_is_not_taken_for_somebody_elses_claim(cloud: FakeCloud) -> None:
    cloud.faults.lose_answer("reserve_image")
    with pytest.raises(CloudUnreachable):
        claim_for(cloud, "b1")
    assert claim_for(cloud, "b1").owner == "b1"
    assert len(claims(cloud)) == 1


# ------------------------------------------------------------------------------------------------------------ the fence


def test_renewing_moves_the_end(cloud: FakeCloud) -> None:
    made = claim_for(cloud, "b1", lifetime=60)
    later = renew(cloud, made, 7200)
    assert later.expires_at > made.expires_at
    assert claims(cloud) == [later]


def test_a_claim_that_is_good_for_long_enough_is_only_looked_at(cloud: FakeCloud) -> None:
    made = claim_for(cloud, "b1", lifetime=600)
    cloud.faults.calls.clear()
    renew(cloud, made, 590)
    assert cloud.faults.calls == ["image"]
    assert renew(cloud, renew(cloud, made, 36000), 60).expires_at < datetime.now(UTC) + timedelta(minutes=2)


@pytest.mark.parametrize("taken", [False, True])
def test_a_holder_whose_claim_was_broken_learns_it_before_it_does_more(cloud: FakeCloud, taken: bool) -> None:
    made = claim_for(cloud, "b1")
    assert break_claim(cloud, "small") == [made]
    if taken:
        claim_for(cloud, "b2")
    with pytest.raises(Busy, match="b1 has lost its claim on small") as caught:
        renew(cloud, made, 600)
    assert [line for line in caught.value.details if "claimed by b2" in line] == list(caught.value.details)
    assert bool(caught.value.details) == taken


def test_a_claim_that_vanishes_between_look_and_change_is_lost(
    cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = claim_for(cloud, "b1", lifetime=60)
    update = cloud.update_image

    def gone(image_id: str, **changes: object) -> object:
        release(cloud, made)
        return update(image_id, **changes)  # type: ignore[arg-type]

    monkeypatch.setattr(cloud, "update_image", gone)
    with pytest.raises(Busy, match="has lost its claim"):
        renew(cloud, made, 7200)


# ----------------------------------------------------------------------------------------------------------- the rest


def test_hold_gives_it_back_however_the_block_ends(cloud: FakeCloud) -> None:
    wishes = {"purpose": "life", "seed": lambda images: "s", "owner": "p1", "lifetime_seconds": 60}
    told = Told()
    with pytest.raises(ZeroDivisionError), hold(cloud, "small", report=told, **wishes):  # type: ignore[arg-type]
        assert [one.owner for one in claims(cloud)] == ["p1"]
        _ = 1 / 0
    assert claims(cloud) == []
    with hold(cloud, "small", report=told, **wishes):  # type: ignore[arg-type]
        cloud.faults.fail("delete", CloudError("no"))
    assert "could not be given back" in told.warnings[0]


def test_a_claim_is_its_owners_leftover_and_the_last_to_go(cloud: FakeCloud) -> None:
    claim_for(cloud, "b1")
    cloud.create_volume("v", owner="b1", role="x", gib=1)
    things = leftovers(cloud, "b1")
    assert [thing.is_claim for thing in things] == [False, True]
    assert str(things[-1]).startswith("claim small build 1 (")


def test_ids_follow_from_what_is_claimed_and_from_nothing_else(cloud: FakeCloud) -> None:
    first = claim_for(cloud, "b1")
    elsewhere = FakeCloud(FakeClock())
    assert claim_for(elsewhere, "b2").id == first.id
    third = FakeCloud(FakeClock())
    third.project_id = "another"
    assert claim_for(third, "b1").id != first.id


def test_a_row_without_end_is_given_up(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims_module, "_LONGEST_ROW", 3)
    for number in range(3):
        release(cloud, claim_for(cloud, f"b{number}"))
    with pytest.raises(CloudError, match="3 claims on small 1 were made and given back"):
        claim_for(cloud, "b4")


def test_an_image_without_the_role_is_no_claim(cloud: FakeCloud) -> None:
    made = claim_for(cloud, "b1")
    cloud.update_image(made.id, properties={ROLE_KEY: None})
    assert claims(cloud) == []
