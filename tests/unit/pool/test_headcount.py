"""Desktops that turn up by themselves, and records that the broker loses: what halts a roll, and what may well be so."""

import pytest

from imagebuild.pool.model import RollState
from tests.steps.conftest import Told
from tests.unit.pool.rolling import POOL, Site, images_of


def test_records_that_the_broker_loses_halt_the_roll_when_they_do_not_come_back() -> None:
    said = Told()
    site = Site(6, report=said, max_unavailable=1)
    roll = site.start()
    for _ in range(3):
        roll.turn()
        site.clock.sleep(15)
    for name in ("desktop-3", "desktop-4"):
        del site.broker.pools[POOL].records[name]
    begun = len(site.broker.reasons)
    assert roll.run() is RollState.HALTED
    assert "the broker has no record any more of 2 desktops: desktop-3, desktop-4" in roll.log.reason
    assert roll.log.reason.startswith(("for 10 min: ", "for 11 min: "))
    assert len(said.warnings) == 1
    assert [name for name, available, _ in site.broker.reasons[begun:] if not available] == [], "nobody else was begun"
    assert site.held_back() == []


def test_records_that_come_back_are_waited_for() -> None:
    site = Site(6)
    roll = site.start()
    roll.turn()
    kept = dict(site.broker.pools[POOL].records)
    site.clock.at(100, lambda: site.broker.pools[POOL].records.clear())
    site.clock.at(400, lambda: site.broker.pools[POOL].records.update(kept))
    assert roll.run() is RollState.COMPLETED
    assert images_of(site, site.names) == {site.new.id}


def test_a_single_record_that_an_operator_removes_halts_nothing() -> None:
    site = Site(6, max_unavailable=1, drain_deadline="2h")
    roll = site.start()
    roll.turn()
    site.clock.at(60, lambda: site.broker.pools[POOL].records.pop("desktop-6"))
    assert roll.run() is RollState.COMPLETED


def test_replaced_desktops_whose_records_go_and_come_halt_nothing() -> None:
    said = Told()
    site = Site(6, report=said, method="replace", max_unavailable="50%", parallel_boots=3, retries=0)
    site.cloud.agent_seconds = 90
    inner = site.cloud.delete_server
    records = site.broker.pools[POOL].records

    def deleted(server_id: str) -> None:
        key = site.cloud._machines[server_id].server.name
        inner(server_id)
        gone = records.pop(key)
        gone[0].available = True
        site.clock.at(60, lambda: records.update({key: gone}))

    site.cloud.delete_server = deleted  # type: ignore[method-assign]
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert said.warnings == []


@pytest.mark.parametrize("tagged", [True, False])
def test_somebody_who_makes_desktops_while_provisioning_is_paused_halts_the_roll(tagged: bool) -> None:
    site = Site(6, max_unavailable=1)
    site.broker.pools[POOL].provisioning = False
    roll = site.start()

    def come(number: int) -> None:
        site.broker.add(POOL, f"desktop-{number}")
        if tagged:
            site.add_server(f"desktop-{number}")

    site.clock.at(200, lambda: come(7))
    site.clock.at(500, lambda: come(8))
    assert roll.run() is RollState.HALTED
    assert "2 desktops came that this roll has not made: desktop-7, desktop-8" in roll.log.reason
    again = site.resume()
    again.take_up()
    assert again.run() is RollState.COMPLETED, "a person has looked"


def test_what_the_broker_had_begun_to_make_when_it_was_paused_may_come() -> None:
    site = Site(6)
    roll = site.start()
    for number in (7, 8, 9):
        site.clock.at(40 * number, lambda name=f"desktop-{number}": site.broker.add(POOL, name))  # type: ignore[misc]
    assert roll.run() is RollState.COMPLETED


def test_a_broker_that_is_not_paused_may_make_desktops() -> None:
    site = Site(6, pause_broker_provisioning=False)
    roll = site.start()
    for number in (7, 8, 9):
        site.clock.at(200, lambda name=f"desktop-{number}": site.broker.add(POOL, name))  # type: ignore[misc]
    assert roll.run() is RollState.COMPLETED
