"""Ends of rolls that nobody is to be caught in: overtaken from elsewhere, cut off in the middle, or with marks left that say otherwise."""

from dataclasses import replace
from datetime import timedelta

import pytest

from imagebuild.cloud import Image
from imagebuild.errors import BrokerUnreachable, CloudUnreachable, Interrupted
from imagebuild.pool.marks import ROLL_NOTE
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.roll import Roll, Wish
from imagebuild.pool.starting import find_roll, recall
from imagebuild.pool.survey import survey
from tests.unit.pool.rolling import Site
from tests.unit.pool.test_way_back import a_third

FIRST, LATER = "staff-20260101-000000-aaaa", "staff-20260102-000000-bbbb"


def until_booting(site: Site, name: str) -> Roll:
    """A roll whose process is gone when that desktop has been acted on."""
    roll = site.start(roll_id=FIRST)
    while roll.log.held[name].phase not in (Phase.BOOTING, Phase.CHECKING):
        roll.turn()
        site.clock.sleep(5)
    return roll


def rolled_elsewhere(site: Site) -> Image:
    """Another machine ends that roll without its journal, and rolls the pool once more."""
    here = site.lines.copy()
    site.lines.clear()
    pool, third = survey(site.definition, site.cloud, site.broker), a_third(site)
    roll_id, note = find_roll(pool) or pytest.fail("the servers tell of no roll")
    plan = site.plan(roll_id=roll_id)
    assignment = replace(site.start(plan, roll_id=roll_id).log.assignment, began_at=site.now())
    site.lines.clear()
    assert site.roll(recall(pool, plan, assignment, note=note, write=site.write)).run() is RollState.COMPLETED
    site.clock.sleep(3600)
    site.lines.clear()
    assert site.start(site.plan("small-v3"), roll_id=LATER).run() is RollState.COMPLETED
    site.lines[:] = here
    return third


@pytest.mark.parametrize("method", ["rebuild", "replace"])
@pytest.mark.parametrize("gives_up", [False, True])
def test_what_a_later_roll_has_had_in_hand_is_left_to_it(method: str, gives_up: bool) -> None:
    site = Site(6, min_available=1, method=method)
    until_booting(site, "desktop-1")
    third = rolled_elsewhere(site)
    for name in site.names[1:]:
        site.broker.log_in(name, "kim")
    before = (len(site.cloud.rebuilds), site.server("desktop-1").metadata, len(site.broker.reasons))
    again = site.resume()
    if gives_up:
        again.end(RollState.ABORTED, "somebody aborted it")
    assert again.run() is (RollState.ABORTED if gives_up else RollState.HALTED)
    assert (len(site.cloud.rebuilds), site.server("desktop-1").metadata, len(site.broker.reasons)) == before
    assert site.cloud.image_now("desktop-1") == third.id
    left = again.log.held["desktop-1"]
    assert (left.phase, left.reason) == (Phase.SKIPPED, f"{LATER} has had it in hand since")


def test_an_abort_that_is_cut_off_with_desktops_in_hand_can_be_asked_for_again() -> None:
    site = Site(4)
    site.broker.log_in("desktop-4", "kim")
    roll = site.start()
    while roll.log.held["desktop-4"].phase is not Phase.DRAINING:
        roll.turn()
        site.clock.sleep(15)
    for call in ("seats", "set_available", "set_provisioning", "settings"):
        site.broker.faults.fail(call, BrokerUnreachable("503"), times=10_000)
    roll.end(RollState.ABORTED, "somebody asked for it")
    with pytest.raises(Interrupted, match="somebody asked for it; still in hand: .*desktop-4") as caught:
        roll.run()
    assert caught.value.hint == "invoke pool.abort staff"
    assert (roll.log.state, site.held_back()) == (RollState.PAUSED, ["desktop-4"])
    assert not any("over" in site.server(name).metadata.get(ROLL_NOTE, "").split() for name in site.names)
    site.broker.faults._errors.clear()
    again = site.resume()
    again.end(RollState.ABORTED, "somebody aborted it")
    assert again.run() is RollState.ABORTED
    assert (site.held_back(), site.broker.pools["staff"].provisioning) == ([], True)


@pytest.mark.parametrize(("minutes", "ends"), [(45, RollState.HALTED), (90, None)])
def test_a_cloud_that_does_not_tell_whether_the_pool_is_still_ours_is_borne_like_one_that_tells_nothing(
    minutes: int, ends: RollState | None
) -> None:
    site = Site(4)
    roll = until_booting(site, "desktop-1")
    back_at = site.clock.now() + 60 * minutes

    def wishes() -> Wish | None:
        if site.clock.now() < back_at:
            raise CloudUnreachable("no answer from the cloud")
        return site.wish

    roll.wishes = wishes
    calls = len(site.cloud.faults.calls), len(site.broker.faults.calls)
    if ends is None:
        with pytest.raises(Interrupted, match="still in hand: desktop-1") as caught:
            roll.run()
        assert (caught.value.hint, roll.log.state) == ("invoke pool.continue staff", RollState.HALTED)
        assert timedelta(hours=1) < timedelta(seconds=60 * minutes + site.clock.now() - back_at) < timedelta(minutes=62)
        restored = ["set_provisioning"]  # which the claim's fence does not let through
        assert site.broker.faults.calls[calls[1] :] == restored
        assert len(site.cloud.faults.calls) == calls[0]
    else:
        assert roll.run() is ends
        assert roll.log.held["desktop-1"].phase is Phase.DONE
