"""Rolls whose new desktops the broker makes (`method: broker`)."""

import pytest

from imagebuild.pool.marks import PREVIOUS_IMAGE_ID, ROLL_STATE
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.roll_status import as_facts, exit_code
from imagebuild.pool.rollback import find_way_back
from imagebuild.pool.starting import find_roll, recall
from imagebuild.pool.survey import survey
from tests.steps.conftest import Told
from tests.unit.pool.refilling import RefillSite
from tests.unit.pool.rolling import POOL, Killed, Site


def test_the_broker_makes_another_for_each_and_all_are_members() -> None:
    site = RefillSite(6)
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert exit_code(roll.log) == 0
    assert set(site.phases(roll).values()) == {Phase.DONE}
    assert site.images() == {site.new.id}
    assert {server.name for server in site.members()} == {f"desktop-{number}" for number in range(7, 13)}
    assert len(site.servers()) == 6
    pool = site.broker.pools[POOL]
    assert (pool.provisioning, pool.image, site.held_back()) == (True, "small-v2", [])
    assert {one.follower for one in roll.log.held.values()} == set(site.maker.made)
    assert as_facts(roll.log)["desktops"]["desktop-1"]["follower"] == "desktop-7"
    told = site.server("desktop-7").metadata
    assert (told[PREVIOUS_IMAGE_ID], told[ROLL_STATE]) == (site.old.id, "done")
    assert site.broker.cut == []
