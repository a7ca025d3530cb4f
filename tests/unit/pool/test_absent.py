"""Servers that Nova's list leaves out: a part of the cloud that is down is no reason to give its desktops up."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from imagebuild.errors import CloudUnreachable
from imagebuild.pool.lookout import WHOLE_EVERY
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.roll import Roll
from imagebuild.pool.turn import ABSENCE
from tests.unit.pool.rolling import Site

DOWN = "desktop-5"


def looked_at(site: Site) -> Roll:
    """A roll that has moved that desktop, and looks whether it is well."""
    roll = site.start()
    while roll.log.held[DOWN].phase is not Phase.CHECKING:
        assert not roll.turn()
        site.clock.sleep(15)
    return roll


def test_a_desktop_whose_cell_comes_back_is_moved_like_the_others() -> None:
    site = Site(10, min_ready="20m")
    roll = looked_at(site)
    site.cloud.unlisted = {DOWN}
    site.clock.at(2 * WHOLE_EVERY.total_seconds(), site.cloud.unlisted.clear)
    assert roll.run() is RollState.COMPLETED
    assert set(site.phases(roll).values()) == {Phase.DONE}
    assert site.broker.cut == []


def test_one_that_stays_away_is_told_as_that() -> None:
    site = Site(10, min_ready="20m")
    roll = looked_at(site)
    since = site.clock.now()
    site.cloud.unlisted = {DOWN}
    roll.run()
    lost = roll.log.held[DOWN]
    assert (lost.phase, lost.reason) == (Phase.FAILED, "Nova lists it no more, though it is there")
    assert site.clock.now() - since > ABSENCE.total_seconds()


@pytest.mark.parametrize("method", ["rebuild", "replace"])
def test_a_pool_that_loses_its_servers_is_rolled_no_further(method: str) -> None:
    site = Site(10, method=method)
    roll = site.start()
    while roll.done() < 2:
        assert not roll.turn()
        site.clock.sleep(15)
    for name in ("desktop-8", "desktop-9", "desktop-10"):
        site.cloud.delete_server(site.server(name).id)
    assert roll.run() is RollState.HALTED
    assert roll.log.reason.startswith("3 of 10 servers are gone from the pool")
    assert set(site.phases(roll).values()) == {Phase.DONE, Phase.PENDING}, "what was in hand is finished"
    assert site.held_back() == []
    again = site.resume()  # a person has looked
    again.take_up()
    assert again.run() is RollState.COMPLETED
    assert [name for name, phase in site.phases(again).items() if phase is Phase.SKIPPED] == [
        "desktop-8",
        "desktop-9",
        "desktop-10",
    ]


def test_one_that_somebody_took_out_of_the_pool_is_told_as_that() -> None:
    site = Site(10, min_ready="20m")
    roll = looked_at(site)
    machine = site.cloud._machines[site.server(DOWN).id]
    machine.server = replace(machine.server, tags=())
    roll.run()
    assert roll.log.held[DOWN].reason == "it is no longer tagged vdi-pool=staff"


def test_where_nothing_can_be_noted_on_one_that_stays_away_the_roll_ends_all_the_same() -> None:
    site = Site(10, min_ready="20m")
    roll = looked_at(site)
    site.cloud.unlisted, note, lost = {DOWN}, site.cloud.set_server_metadata, site.server(DOWN).id

    def set_server_metadata(server_id: str, metadata: Mapping[str, str | None]) -> None:
        if server_id == lost:
            raise CloudUnreachable("503 its cell is down")
        note(server_id, metadata)

    site.cloud.set_server_metadata = set_server_metadata  # type: ignore[method-assign]
    assert roll.run() is RollState.COMPLETED
    assert (roll.log.held[DOWN].phase, site.held_back()) == (Phase.FAILED, [])
