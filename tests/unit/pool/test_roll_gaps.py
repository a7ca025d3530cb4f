"""What a roll makes of a gap: a process that was away for hours, a broker that says nothing just then, a desktop that waits once more."""

import pytest

from imagebuild.errors import BrokerUnreachable
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.roll import Roll
from tests.unit.pool.rolling import POOL, Site


def _turn_until(roll: Roll, site: Site, name: str, phase: Phase) -> None:
    for _ in range(100):
        roll.turn()
        if roll.log.held[name].phase is phase:
            return
        site.clock.sleep(15)
    pytest.fail(f"{name} is {roll.log.held[name].phase}")


def test_a_broker_that_is_silent_when_a_roll_is_taken_up_late_fails_nobody() -> None:
    site = Site(4)
    _turn_until(site.start(), site, "desktop-1", Phase.CHECKING)
    site.clock.sleep(7200)  # longer than boot_timeout
    site.broker.faults.fail("seats", BrokerUnreachable("503"))
    roll = site.resume()
    roll.turn()
    assert roll.log.held["desktop-1"].phase is Phase.CHECKING
    assert roll.run() is RollState.COMPLETED
    assert set(site.phases(roll).values()) == {Phase.DONE}


def test_why_a_desktop_went_back_is_told_also_when_it_had_to_wait_for_a_user() -> None:
    site = Site(10, retries=0)
    site.cloud.rebuild_fault = lambda server: "no host" if len(site.cloud.rebuilds) == 1 else ""
    roll = site.start()
    _turn_until(roll, site, "desktop-1", Phase.ACTING)
    while not roll.log.held["desktop-1"].going_back:
        site.clock.sleep(15)
        roll.turn()
    record = site.broker.record("desktop-1")
    record.user = "kim"  # somebody is given the record of a desktop that does not run
    site.clock.at(3600, lambda: setattr(record, "user", None))
    assert roll.run() is RollState.HALTED
    assert site.broker.cut == []
    assert (roll.log.held["desktop-1"].phase, site.held_back()) == (Phase.FAILED, [])
    assert "no host" in roll.log.held["desktop-1"].reason
    assert site.broker.pools[POOL].provisioning is True
