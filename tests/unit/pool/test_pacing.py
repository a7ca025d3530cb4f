"""How long a roll rests between two looks."""

from dataclasses import replace
from datetime import timedelta

import pytest

from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.pacing import rest
from imagebuild.pool.roll import Roll
from tests.unit.pool.rolling import Site

NONE = timedelta(0)


def in_phase(site: Site, phase: Phase) -> Roll:
    """A roll whose canary has just come to that phase."""
    roll = site.start()
    for _ in range(100):
        roll.turn()
        if roll.log.held["desktop-1"].phase is phase:
            return roll
        site.clock.sleep(15)
    pytest.fail("it never was so")


@pytest.mark.parametrize(("took", "left"), [(0.0, 15.0), (4.0, 11.0), (40.0, 1.5)])
def test_a_long_turn_makes_the_rest_shorter_and_never_none(took: float, left: float) -> None:
    roll = in_phase(Site(4), Phase.ACTING)
    assert rest(roll.log, roll.rules, now=roll.now(), look=NONE, took=took, ends=False) == left


@pytest.mark.parametrize(
    ("ahead", "left"), [(1.0, 1.5), (8.0, 8.0), (15.0, 15.0), (19.0, 19.0), (24.0, 12.0), (36.0, 18.0), (40.0, 40 / 3)]
)
def test_one_of_the_looks_falls_on_what_is_due(ahead: float, left: float) -> None:
    site = Site(4, settle="60s")
    roll = in_phase(site, Phase.DRAINING)
    since = roll.log.held["desktop-1"].free_since
    assert since is not None
    now = since + timedelta(seconds=60 - ahead)
    assert rest(roll.log, roll.rules, now=now, look=NONE, took=0.0, ends=False) == left


def test_so_is_a_pause_between_two_desktops() -> None:
    site = Site(6, batch_pause="17s", bake_time="0")
    roll = in_phase(site, Phase.DONE)
    assert rest(roll.log, roll.rules, now=roll.now(), look=NONE, took=0.0, ends=True) == 17.0
    assert rest(roll.log, roll.rules, now=roll.now(), look=NONE, took=0.0, ends=False) == 17.0, (
        "there is nobody to be calm about"
    )


def test_an_act_is_looked_at_when_the_quickest_before_it_was_over() -> None:
    site = Site(6, bake_time="0")
    roll = in_phase(site, Phase.DONE)
    first = roll.log.held["desktop-1"]
    assert first.act_since is not None
    roll.log.save(replace(first, boot_since=first.act_since + timedelta(seconds=7)))
    now = first.since + timedelta(hours=1)
    roll.log.save(roll.log.held["desktop-2"].to(Phase.ACTING, now, act_since=now - timedelta(seconds=4)))
    assert rest(roll.log, roll.rules, now=now, look=NONE, took=0.0, ends=False) == 3.0
    later = now + timedelta(seconds=3)
    assert rest(roll.log, roll.rules, now=later, look=NONE, took=0.0, ends=False) == 15.0, "it takes longer than that"


def test_users_are_waited_for_with_few_looks() -> None:
    site = Site(2, min_available=0)
    site.broker.log_in("desktop-2", "kim")
    roll = site.start()
    while roll.log.state is not RollState.ROLLING or roll.log.held["desktop-2"].phase is not Phase.DRAINING:
        roll.turn()
        site.clock.sleep(15)
    site.clock.sleep(120)
    roll.turn()
    assert rest(roll.log, roll.rules, now=roll.now(), look=NONE, took=3.0, ends=False) == 60.0
    assert rest(roll.log, roll.rules, now=roll.now(), look=NONE, took=3.0, ends=True) == 12.0
