"""The picture of a roll: what a person reads from it at each stage, and that it fits the terminal."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from imagebuild.pool.experience import GUESS, Experience
from imagebuild.pool.forecast import learn, time_left
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.picture import picture
from imagebuild.pool.roll import Roll
from tests.unit.pool.rolling import Site


def draw(roll: Roll, *, rows: int = 24) -> tuple[str, ...]:
    return picture(roll.log, roll.fleet.desktops, rules=roll.rules, now=roll.now(), rows=rows, ending=roll.ending)


def turn_until(site: Site, roll: Roll, is_so: Callable[[], bool]) -> None:
    for _ in range(2000):
        roll.turn()
        if is_so():
            return
        site.clock.sleep(15)
    pytest.fail("it never was so")


def test_the_canary_is_in_hand_alone() -> None:
    site = Site(10, min_available=2)
    roll = site.start()
    turn_until(site, roll, lambda: roll.log.held["desktop-1"].phase is Phase.ACTING)
    lines = draw(roll)
    assert lines[0] == "staff goes to small-v2: canary"
    assert "0 of 10 done, about 1 h 20 min to go" in lines[1], "as long as nothing is measured, by the plan's own guess"
    assert lines[2] == "  9 pending, 1 acting"
    assert lines[3] == "  in hand: 1 of at most 3; free: 9, of which 2 stay"
    assert lines[4].split() == ["desktop-1", "acting", "0", "s"]
    assert lines[5:] == ("  Ctrl-C pauses it; from elsewhere: invoke pool.pause staff",)


def test_who_is_waited_for_and_until_when() -> None:
    site = Site(4, min_available=0, drain_deadline="2h")
    for number in (2, 3, 4):
        site.broker.log_in(f"desktop-{number}", f"user-{number}")
    roll = site.start()
    turn_until(site, roll, lambda: roll.log.held["desktop-2"].phase is Phase.DRAINING)
    since = roll.log.held["desktop-2"].drain_since
    assert since is not None
    lines = draw(roll)
    until = f"{since + timedelta(hours=2):%Y-%m-%d %H:%M} UTC"
    assert [line.split("  ")[-1] for line in lines if "desktop-2" in line] == [f"waits for user-2, skipped at {until}"]
    assert "in hand: 0 of at most 1, and 1 that waits for its user" in lines[3]
    assert lines[1].endswith(" to go when the users have left")
    site.broker.log_out("desktop-2")
    site.clock.sleep(15)
    roll.turn()
    assert any("desktop-2" in line and "is free; looked at again" in line for line in draw(roll))


def test_where_sessions_are_ended_the_picture_says_when() -> None:
    site = Site(2, min_available=0, logoff_policy="notify-then-force", force_after="1h")
    site.broker.log_in("desktop-2", "kim")
    roll = site.start()
    turn_until(site, roll, lambda: roll.log.held["desktop-2"].noticed_at is not None)
    told = roll.log.held["desktop-2"].noticed_at
    assert told is not None
    assert any(f"waits for kim, ended at {told + timedelta(hours=1):%Y-%m-%d %H:%M} UTC" in line for line in draw(roll))


def test_what_failed_is_told_with_its_reason() -> None:
    site = Site(10, max_failures=3)
    site.cloud.rebuild_fault = lambda server: "No valid host was found" if server.name == "desktop-4" else ""
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    lines = draw(roll)
    assert lines[0] == "staff goes to small-v2: completed"
    assert "9 of 10 done" in lines[1] and "to go" not in lines[1]
    assert lines[-1].endswith("desktop-4       quarantined: the rebuild failed: No valid host was found")


def test_while_it_bakes_it_says_how_long() -> None:
    site = Site(4, bake_time="30m")
    roll = site.start()
    turn_until(site, roll, lambda: roll.log.state is RollState.BAKING)
    site.clock.sleep(600)
    assert draw(roll)[0] == "staff goes to small-v2: baking, it goes on by itself in 20 min"


def test_outside_the_window_it_says_when_it_goes_on() -> None:
    site = Site(4, window={"hours": "22:00-23:00", "time_zone": "UTC"})
    roll = site.start()
    roll.turn()
    assert draw(roll)[0].endswith("; begins nothing before 2026-01-01 22:00 UTC")


def test_a_roll_that_is_asked_to_pause_says_so_and_offers_it_no_more() -> None:
    site = Site(4)
    roll = site.start()
    turn_until(site, roll, lambda: roll.log.held["desktop-1"].phase is Phase.ACTING)
    site.wish = "pause"
    roll.turn()
    lines = draw(roll)
    assert lines[0] == "staff goes to small-v2: paused: somebody asked for it; what is in hand is finished first"
    assert not any("Ctrl-C" in line for line in lines)


@pytest.mark.parametrize("rows", [5, 8, 12, 24])
def test_it_never_has_more_lines_than_there_is_room_for(rows: int) -> None:
    site = Site(60, max_unavailable=30, parallel_boots=30, min_available=0)
    roll = site.start()
    turn_until(site, roll, lambda: len(roll.flying) == 30)
    lines = draw(roll, rows=rows)
    assert len(lines) <= rows
    if rows >= 8:
        shown = sum(line.startswith("  desktop-") for line in lines)
        assert f"  and {30 - shown} more in hand" in lines
        assert lines[-1].startswith("  Ctrl-C")


@pytest.mark.parametrize(
    "rules", [{"max_unavailable": 5, "parallel_boots": 5}, {"max_unavailable": 20, "parallel_boots": 2}]
)
def test_once_some_are_done_the_time_left_is_about_right(rules: dict[str, int]) -> None:
    site = Site(60, min_available=0, bake_time="0", **rules)
    site.cloud.rebuild_seconds = lambda server: 200.0
    roll = site.start()
    turn_until(site, roll, lambda: roll.done() >= 15)
    told, begun = time_left(roll.log, roll.rules, roll.now()).total_seconds(), site.clock.now()
    assert roll.run() is RollState.COMPLETED
    assert told == pytest.approx(site.clock.now() - begun, rel=0.25)


def test_what_a_desktop_takes_is_learnt_from_the_last_rolls_that_measured_any() -> None:
    logs = []
    for agent in (20.0, 20.0, 20.0, 200.0):
        site = Site(3)
        site.cloud.agent_seconds = agent
        roll = site.start()
        assert roll.run() is RollState.COMPLETED
        logs.append(roll.log)
    nothing_done = Site(3).start().log
    assert learn([nothing_done]) is GUESS
    one, three = learn([logs[0], nothing_done]), learn([nothing_done, *logs])
    assert one.rests_on == "as in the last roll of this pool on this machine"
    assert three.rests_on == "as in the last 3 rolls of this pool on this machine"
    assert timedelta(minutes=2) < one.each < timedelta(minutes=4)
    assert abs(three.each - one.each) < timedelta(seconds=15), "the fourth is not counted"


def test_before_any_is_done_the_picture_reckons_as_the_plan_does() -> None:
    site = Site(10)
    plan = site.plan()
    usual = Experience(timedelta(minutes=2), "as in the last roll of it")
    roll = site.start(replace(plan, estimate=replace(plan.estimate, usual=usual)))
    roll.turn()
    assert "0 of 10 done, about 10 min to go" in draw(roll)[1]
    assert time_left(site.resume().log, roll.rules, site.now()) < timedelta(minutes=10), "and so does who goes on"
