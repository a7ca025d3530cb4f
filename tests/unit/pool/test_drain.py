"""How a roll empties desktops: whom it tells, whose time counts, and what it looks at last."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from imagebuild.broker import Seat
from imagebuild.errors import CloudUnreachable
from imagebuild.pool.marks import ROLL_NOTE
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.progress import Note
from imagebuild.pool.roll import Roll
from imagebuild.properties import BUILD
from tests.fakes.broker import EPOCH
from tests.unit.pool.rolling import Site

HOUR = 3600.0
NIGHTS = {"hours": "22:00-05:00", "time_zone": "UTC"}


def forcing(size: int = 3, **more: object) -> Site:
    """Who does not leave is to be logged off an hour after he was told."""
    rules = {"logoff_policy": "notify-then-force", "force_after": "1h", "min_available": 0, "max_unavailable": 2}
    return Site(size, **{**rules, **more})


def turn_until(site: Site, roll: Roll, happened: Callable[[], object]) -> None:
    """Turn by turn, as `run` does it."""
    for _ in range(2000):
        if happened():
            return
        assert not roll.turn(), roll.log.reason
        site.clock.sleep(15)
    raise AssertionError("it never happened")


def told(site: Site) -> list[str]:
    return [user for user, _, _ in site.broker.messages]


def cuts(site: Site) -> dict[str, float]:
    return {one.user: one.at for one in site.broker.cut}


def test_who_comes_after_the_one_who_was_told_is_told_himself() -> None:
    site = forcing()
    site.broker.log_in("desktop-3", "ann")
    roll = site.start()
    turn_until(site, roll, lambda: told(site) == ["ann"])
    site.wish = "pause"
    assert roll.run() is RollState.PAUSED
    site.wish = None
    site.broker.log_out("desktop-3")
    site.clock.sleep(5 * HOUR)
    site.broker.log_in("desktop-3", "bob")
    again, came = site.resume(), site.clock.now()
    again.take_up()
    assert again.run() is RollState.COMPLETED
    assert told(site) == ["ann", "bob"]
    assert cuts(site)["bob"] - came >= HOUR


def test_another_user_between_two_looks_has_his_own_hour() -> None:
    site = forcing()
    site.broker.log_in("desktop-3", "ann")
    roll = site.start()
    turn_until(site, roll, lambda: told(site) == ["ann"])
    site.clock.sleep(0.9 * HOUR)
    site.broker.log_out("desktop-3")
    site.broker.log_in("desktop-3", "bob")  # by hand, at the broker: it is held back
    came = site.clock.now()
    assert roll.run() is RollState.COMPLETED
    assert told(site) == ["ann", "bob"]
    assert cuts(site)["bob"] - came >= HOUR


def test_who_was_told_before_the_window_closed_is_told_again_when_it_opens() -> None:
    site = forcing(window=NIGHTS, force_after="4h", notify_every="0")
    site.broker.log_in("desktop-3", "ann")
    site.clock.sleep(27.5 * HOUR)  # 03:48 UTC, in the second night
    roll = site.start()
    turn_until(site, roll, lambda: told(site) == ["ann"])
    assert roll.run() is RollState.COMPLETED
    assert told(site) == ["ann", "ann"]
    cut = EPOCH + timedelta(seconds=cuts(site)["ann"])
    assert timedelta(hours=2) <= cut - cut.replace(hour=0, minute=0) < timedelta(hours=3), "four hours behind 22:00"


def test_who_comes_to_a_desktop_that_failed_after_the_act_is_told_first() -> None:
    site = forcing(retries=1)
    site.broker.log_in("desktop-3", "ann")
    site.cloud.silent_agents = lambda server: server.name == "desktop-3"
    roll = site.start()
    turn_until(site, roll, lambda: "ann" in cuts(site))
    site.broker.log_in("desktop-3", "bob")
    came = site.clock.now()
    roll.run()
    assert told(site)[:2] == ["ann", "bob"]
    assert cuts(site)["bob"] - came >= HOUR


def test_a_deadline_stands_still_while_a_desktop_is_not_in_hand() -> None:
    site = Site(4, min_available=0, max_unavailable=2, window=NIGHTS)
    site.clock.sleep(21.5 * HOUR)
    for number in (2, 3, 4):
        site.broker.log_in(f"desktop-{number}", f"ann{number}")
    roll = site.start()
    site.clock.at(33 * HOUR, lambda: [site.broker.log_out(f"desktop-{number}") for number in (2, 3, 4)])
    assert roll.run() is RollState.COMPLETED
    assert set(site.phases(roll).values()) == {Phase.DONE}, [one.reason for one in roll.log.held.values()]


def test_but_the_hours_in_hand_add_up() -> None:
    site = Site(3, min_available=0, max_unavailable=2, window=NIGHTS, drain_deadline="10h")
    site.clock.sleep(21.5 * HOUR)
    site.broker.log_in("desktop-3", "ann")
    roll, begun = site.start(), site.clock.now()
    assert roll.run() is RollState.COMPLETED
    assert site.phases(roll)["desktop-3"] is Phase.SKIPPED
    assert timedelta(hours=26) < timedelta(seconds=site.clock.now() - begun) < timedelta(hours=29), (
        "in the second night"
    )


def test_one_that_has_become_free_is_not_given_up_for_want_of_a_minute() -> None:
    site = Site(3, drain_deadline="1h", settle="30m", min_available=1)
    site.broker.log_in("desktop-2", "kim")
    roll = site.start()
    turn_until(site, roll, lambda: roll.log.held["desktop-2"].drain_since)
    site.clock.at(0.8 * HOUR, lambda: site.broker.log_out("desktop-2"))
    assert roll.run() is RollState.COMPLETED
    assert set(site.phases(roll).values()) == {Phase.DONE}


def test_one_that_the_broker_offers_again_is_not_acted_on() -> None:
    site = Site(6, min_available=0, max_unavailable=3, parallel_boots=1)
    site.cloud.rebuild_seconds = lambda server: 600.0
    roll = site.start()

    def waiting() -> list[str]:
        return [one.name for one in roll.log.held.values() if one.phase is Phase.DRAINED] if roll.done() else []

    turn_until(site, roll, waiting)
    (let_go, *_) = waiting()
    site.broker.record(let_go).available = True
    offered: list[bool] = []
    rebuild = site.cloud.rebuild_server

    def rebuilt(server_id: str, image_id: str, **more: object) -> None:
        name = site.cloud._machines[server_id].server.name
        offered.append(site.broker.record(name).available)
        rebuild(server_id, image_id, **more)

    site.cloud.rebuild_server = rebuilt  # type: ignore[method-assign]
    assert roll.run() is RollState.COMPLETED
    assert offered and not any(offered)
    assert site.phases(roll)[let_go] is Phase.DONE


@pytest.mark.parametrize("resumed", [False, True])
def test_one_that_says_nothing_where_others_did_is_not_believed(resumed: bool) -> None:
    site = Site(4, max_unavailable=1, retries=0, max_failures=1)
    site.cloud.update_image(site.new.id, properties={BUILD: "small-2"})
    for name in site.names[:3]:
        site.witness.stamps[site.server(name).id] = {"recipe": "small", "build": "small-2"}
    roll = site.start()
    if resumed:
        turn_until(site, roll, lambda: roll.done() == 3)
        roll = site.resume()
        roll.take_up()
    roll.run()
    last = roll.log.held["desktop-4"]
    assert last.phase is Phase.FAILED
    assert last.failure == "it has not told its stamp, as others of this image have"


def test_nobody_is_kept_from_a_desktop_before_its_server_tells_of_it() -> None:
    site = Site(2, min_available=0)
    roll = site.start()
    held: list[str | None] = []
    inner = site.broker.set_available

    def set_available(seat: Seat, *, available: bool, reason: str) -> None:
        if not available:
            held.append(site.server(seat.name).metadata.get(ROLL_NOTE))
        inner(seat, available=available, reason=reason)

    site.broker.set_available = set_available  # type: ignore[method-assign]
    site.cloud.faults.fail("set_server_metadata", CloudUnreachable("503"), times=2)
    assert roll.run() is RollState.COMPLETED
    assert len(held) == 2
    assert all(note and (said := Note.read(note)) and said.held for note in held), held
