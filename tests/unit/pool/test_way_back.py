"""What servers say of the images that they had, whatever rolls have done to them, and which desktops a way back takes."""

from dataclasses import replace

import pytest

from imagebuild.cloud import Image
from imagebuild.errors import RollRefused
from imagebuild.pool.marks import IMAGE_ID, PERSISTENT, PREVIOUS_IMAGE_ID
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.roll import Roll
from imagebuild.pool.rollback import WayBack, find_way_back
from imagebuild.pool.starting import find_roll, recall
from imagebuild.pool.survey import survey
from tests.unit.pool.rolling import Site
from tests.unit.versions import add_version


def a_third(site: Site) -> Image:
    """A version after the second, which is current now."""
    image = add_version(site.cloud, 3, "current")
    site.cloud._images[image.id] = replace(site.cloud._images[image.id], checksum="3" * 32)
    site.broker.cloud_images |= {image.name}
    site.broker.known_images |= {image.name}
    return image


def the_way_back(site: Site, roll_id: str | None = None, to: str | None = None) -> WayBack:
    """Who would be taken back now."""
    return find_way_back(survey(site.definition, site.cloud, site.broker), roll_id=roll_id, to_image_id=to)


def failing(site: Site, image: Image, name: str = "desktop-1") -> None:
    """That desktop does not come back with this image."""
    site.cloud.silent_agents = lambda server: server.name == name and server.image_id == image.id


@pytest.mark.parametrize("method", ["rebuild", "replace"])
def test_one_that_failed_and_was_put_back_goes_back_with_the_others_later(method: str) -> None:
    site = Site(3, retries=0, method=method)
    assert site.start(roll_id="roll-1").run() is RollState.COMPLETED
    third = a_third(site)
    failing(site, third)
    roll = site.start(site.plan("small-v3"), roll_id="roll-2")
    assert roll.run() is RollState.HALTED
    told = site.server("desktop-1").metadata
    assert (told[IMAGE_ID], told[PREVIOUS_IMAGE_ID]) == (site.new.id, site.old.id)
    with pytest.raises(RollRefused, match="roll-2 has moved no desktop"):
        the_way_back(site, "roll-2")
    way = the_way_back(site)
    assert (way.image_id, way.names, way.others) == (site.old.id, frozenset(site.names), ())


def test_the_way_back_of_a_roll_that_ended_early_takes_nobody_back_from_the_roll_before() -> None:
    site = Site(4, auto_continue=False)
    roll = site.start(roll_id="roll-1")
    roll.rules.__dict__["auto_continue"] = True
    assert roll.run() is RollState.COMPLETED
    roll.rules.__dict__["auto_continue"] = False
    a_third(site)
    assert site.start(site.plan("small-v3"), roll_id="roll-2").run() is RollState.BAKING
    way = the_way_back(site)
    assert (way.image_id, way.names) == (site.new.id, {"desktop-1"})
    assert the_way_back(site, "roll-2").names == {"desktop-1"}
    asked = the_way_back(site, to=site.old.id)
    assert (asked.names, asked.others) == ({"desktop-2", "desktop-3", "desktop-4"}, ("desktop-1",))


def test_all_on_the_image_go_back_whichever_roll_has_brought_it() -> None:
    site = Site(3, drain_deadline="1h", min_available=1)
    site.broker.log_in("desktop-3", "kim")
    assert site.start(roll_id="roll-1").run() is RollState.COMPLETED
    site.broker.log_out("desktop-3")
    assert site.start(roll_id="roll-2").run() is RollState.COMPLETED
    assert the_way_back(site).names == set(site.names)


def quarantined(site: Site, name: str) -> Roll:
    """A roll that leaves that desktop with the image that it did not come back with."""
    failing(site, site.new, name)
    roll = site.start(roll_id="roll-1")
    assert roll.run() is RollState.COMPLETED
    assert roll.log.held[name].phase is Phase.QUARANTINED
    return roll


def test_one_that_was_left_with_the_image_goes_back_too() -> None:
    site = Site(3, retries=0, put_back=False, min_available=1)
    quarantined(site, "desktop-2")
    assert the_way_back(site).names == set(site.names)
    assert the_way_back(site, "roll-1").names == set(site.names)


def test_one_that_comes_through_at_its_second_roll_goes_back_to_what_it_had_before_the_first() -> None:
    site = Site(3, retries=0, put_back=False, min_available=1)
    quarantined(site, "desktop-2")
    site.cloud.silent_agents = lambda server: False
    plan = site.plan()
    assert [(one.name, one.from_image_id) for one in plan.moves] == [("desktop-2", site.old.id)]
    assert site.start(plan, roll_id="roll-2").run() is RollState.COMPLETED
    assert site.server("desktop-2").metadata[PREVIOUS_IMAGE_ID] == site.old.id
    assert the_way_back(site).names == set(site.names)


def test_made_from_another_image_by_hand_since_it_comes_from_that() -> None:
    site = Site(3, retries=0, put_back=False, min_available=1)
    quarantined(site, "desktop-2")
    third = a_third(site)
    site.cloud.rebuild_server(
        server_id := site.server("desktop-2").id, third.id, metadata=site.server("desktop-2").metadata
    )
    site.clock.sleep(600)
    assert site.server("desktop-2").id == server_id
    plan = site.plan()
    assert [one.from_image_id for one in plan.moves if one.name == "desktop-2"] == [third.id]


def test_the_same_image_once_more_is_no_image_before() -> None:
    site = Site(3, skip_matching=False)
    assert site.start(roll_id="roll-1").run() is RollState.COMPLETED
    assert site.start(roll_id="roll-2").run() is RollState.COMPLETED
    assert site.server("desktop-2").metadata[PREVIOUS_IMAGE_ID] == site.old.id


@pytest.mark.parametrize("method", ["rebuild", "replace"])
def test_a_canary_on_its_way_back_finds_there_without_the_journal(method: str) -> None:
    site = Site(3, retries=0, method=method)
    failing(site, site.new)
    roll = site.start()
    while not (roll.log.held["desktop-1"].going_back and roll.log.held["desktop-1"].phase is Phase.ACTING):
        assert not roll.turn()
        site.clock.sleep(15)
    if method == "replace":  # until its follower is there, nothing tells
        roll.turn()
        site.clock.sleep(15)
    found = find_roll(pool := survey(site.definition, site.cloud, site.broker))
    assert found is not None
    roll_id, note = found
    assert (roll_id, note.to_image_id, note.from_image_id) == ("roll-1", site.new.id, site.old.id)
    assignment = replace(roll.log.assignment, began_at=site.now())
    site.lines.clear()
    again = site.roll(recall(pool, site.plan(roll_id=roll_id), assignment, note=note, write=site.write))
    assert again.run() is RollState.HALTED
    assert again.log.reason.startswith("the canary desktop-1 failed")
    assert (site.phases(again)["desktop-1"], site.cloud.image_now("desktop-1")) == (Phase.FAILED, site.old.id)
    assert site.held_back() == []


def test_what_others_have_noted_on_a_desktop_outlives_its_server() -> None:
    site = Site(2, method="replace", include_persistent=True, min_available=1)
    site.cloud.set_server_metadata(site.server("desktop-2").id, {PERSISTENT: "yes", "asset": "4711"})
    before = site.server("desktop-2").id
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    told = site.server("desktop-2")
    assert (told.id != before, told.metadata[PERSISTENT], told.metadata["asset"]) == (True, "yes", "4711")
    assert not any(one.old_metadata for one in roll.log.held.values())
