"""What a desktop must show before users get it: each thing that can be missing, and what is told of it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from imagebuild.broker import Cap
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.progress import Progress
from imagebuild.pool.roll import Roll
from imagebuild.pool.roll_status import news
from tests.steps.conftest import Told
from tests.unit.pool.rolling import POOL, Site, images_of


def checking(site: Site) -> Roll:
    """A roll whose canary is being looked at."""
    roll = site.start()
    while roll.log.held["desktop-1"].phase is not Phase.CHECKING:
        assert not roll.turn()
        site.clock.sleep(15)
    return roll


def a_minute(site: Site, roll: Roll, minutes: int = 1) -> None:
    """Let the roll turn for so long."""
    for _ in range(4 * minutes):
        roll.turn()
        site.clock.sleep(15)


def test_remote_desktop_must_answer() -> None:
    site = Site(4)
    site.witness.deaf.add("10.0.0.10")
    roll = checking(site)
    a_minute(site, roll, 5)
    told = roll.log.held["desktop-1"]
    assert (told.phase, told.reason) == (Phase.CHECKING, "Remote Desktop does not answer at 10.0.0.10")
    site.witness.deaf.clear()
    assert roll.run() is RollState.COMPLETED


def test_it_must_be_at_its_address() -> None:
    site = Site(4, retries=0)
    roll = checking(site)
    site.cloud._set(site.server("desktop-1").id, addresses=("10.0.0.77",))
    assert roll.run() is RollState.HALTED
    assert "it is at 10.0.0.77, it was at 10.0.0.10" in roll.log.reason


def test_one_that_goes_off_by_itself_is_started_once_more_and_that_is_told() -> None:
    said = Told()
    site = Site(4, retries=0, report=said)
    roll = checking(site)
    site.cloud.power_off(site.server("desktop-1").id)
    assert roll.run() is RollState.COMPLETED
    assert set(site.phases(roll).values()) == {Phase.DONE}
    assert len(site.cloud.rebuilds) == 4
    assert said.notes.count("desktop-1 has gone off by itself, and is started once more") == 1


def test_that_an_extra_one_has_gone_off_is_told_too() -> None:
    now = Site(1, min_available=0).now()
    before = Progress(name="d-9", server_id="9", method="make", from_image_id=None, phase=Phase.CHECKING, since=now)
    after = before.to(Phase.BOOTING, now, fell=True)
    assert before.extra
    assert news(before, after) == "d-9 has gone off by itself, and is started once more"
    assert news(before, before.to(Phase.BOOTING, now)) is None


def test_one_that_goes_off_again_and_again_fails_long_before_its_time_is_over() -> None:
    site = Site(4, retries=0, boot_timeout="6h")
    falls = site.server("desktop-1").id
    boots = site.cloud.boots

    def boots_and_falls(server_id: str) -> None:
        boots(server_id)
        if server_id == falls and site.server("desktop-1").image_id == site.new.id:
            site.clock.at(40, lambda: site.cloud.power_off(falls))

    site.cloud.boots = boots_and_falls
    began = site.now()
    roll = site.start()
    assert roll.run() is RollState.HALTED
    assert "it has gone off by itself, and again after it was started once more" in roll.log.reason
    assert site.now() - began < timedelta(minutes=15)
    assert roll.log.held["desktop-1"].phase is Phase.FAILED
    assert site.server("desktop-1").status == "ACTIVE"


def test_old_words_of_an_agent_are_waited_out() -> None:
    site = Site(4)
    roll = checking(site)
    inner = site.broker.seats
    server = site.server("desktop-1")
    before = site.now() - timedelta(hours=1)

    def seats(pool: str, **more: object) -> object:
        return [replace(one, agent="up", observed_at=before) for one in inner(pool)]

    site.broker.seats = seats  # type: ignore[method-assign,assignment]
    a_minute(site, roll, 3)
    assert roll.log.held["desktop-1"].reason == "the broker has not looked at it since it was started"
    assert server.launched_at
    site.broker.seats = inner  # type: ignore[method-assign]
    assert roll.run() is RollState.COMPLETED


def test_a_broker_that_tells_nothing_of_agents_is_not_waited_for() -> None:
    site = Site(4)
    for name in site.names:
        site.broker.record(name).agent = "unknown"
    site.broker.booted = lambda name: None  # type: ignore[method-assign]
    inner = site.broker.destroyed

    def destroyed(name: str) -> None:
        inner(name)
        site.broker.record(name).agent = "unknown"

    site.broker.destroyed = destroyed  # type: ignore[method-assign]
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert images_of(site, site.names) == {site.new.id}


def test_its_checks_must_hold_for_a_while() -> None:
    site = Site(4, min_ready="5m")
    roll = checking(site)
    while roll.log.held["desktop-1"].ready_since is None:
        a_minute(site, roll)
    a_minute(site, roll, 3)
    site.witness.deaf.add("10.0.0.10")
    a_minute(site, roll)
    site.witness.deaf.clear()
    again = site.now()
    assert roll.run() is RollState.COMPLETED
    ready = roll.log.held["desktop-1"].ready_since
    assert ready is not None
    assert ready >= again


@pytest.mark.parametrize("forgets", [True, False])
def test_a_record_of_the_server_that_was_replaced_is_removed_where_the_broker_can(forgets: bool) -> None:
    site = Site(3, method="replace")
    if not forgets:
        site.broker.caps = site.broker.caps - {Cap.FORGET}
    booted = site.broker.booted

    def found_anew(name: str) -> None:
        """A scan finds another machine of that name: a second record."""
        if len(site.broker.pools[POOL].records[name]) == 1:
            site.broker.add(POOL, name).available = False
        booted(name)
        for record in site.broker.pools[POOL].records[name]:
            record.agent = "up"

    site.broker.booted = found_anew  # type: ignore[method-assign]
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    records = [len(records) for records in site.broker.pools[POOL].records.values()]
    assert records == [1 if forgets else 2] * 3
    assert site.held_back() == []
