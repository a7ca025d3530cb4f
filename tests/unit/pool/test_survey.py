"""Surveys: servers and seats joined by name, what is odd about each desktop told, and as few calls for many as for few."""

from dataclasses import replace

import pytest

from imagebuild.broker import Seat
from imagebuild.errors import BrokerUnreachable
from imagebuild.pool.marks import IMAGE_ID, PERSISTENT
from imagebuild.pool.survey import join
from tests.fakes.broker import NEVER
from tests.unit.pool.pools import a_site


def test_a_pool_in_order_has_no_troubles() -> None:
    site = a_site(12)
    survey = site.look()
    assert [one.name for one in survey.desktops] == [f"desktop-{number}" for number in range(1, 13)]
    assert survey.troubles == () == survey.strays
    assert (survey.free, survey.included) == (12, survey.desktops)
    assert survey.by_image() == {"small-v1": 12}
    desktop = survey.desktops[0]
    assert (desktop.flavor, desktop.volume_backed, desktop.vtpm) == ("desktop", False, False)
    assert desktop.launched_at is not None and desktop.launched_at.tzinfo is not None


def test_a_survey_is_as_dear_for_many_as_for_few() -> None:
    calls = []
    for size in (2, 200):
        site = a_site(size)
        site.cloud.faults.calls.clear()
        site.look()
        calls.append((list(site.cloud.faults.calls), list(site.broker.faults.calls)))
    assert calls[0] == calls[1] == (["servers", "image"], ["seats"])


def test_case_is_no_difference_between_a_server_and_its_seat() -> None:
    site = a_site(0)
    site.add("DESKTOP-1")
    site.broker.record("desktop-1").name = "Desktop-1"
    (desktop,) = site.look().desktops
    assert desktop.seat is not None and not desktop.busy
    assert site.look().find("desktop-1") == desktop


def test_whom_the_broker_does_not_know_somebody_may_be_on() -> None:
    site = a_site(1)
    site.broker.remove("desktop-1")
    (desktop,) = site.look().desktops
    assert desktop.seat is None and desktop.busy and not desktop.offered
    assert [trouble.kind for trouble in desktop.troubles] == ["no-seat"]
    assert desktop.excluded is None


def test_of_two_servers_with_one_name_neither_is_touched() -> None:
    site = a_site(2)
    site.add("Desktop-2")
    survey = site.look()
    assert [one.name for one in survey.included] == ["desktop-1"]
    assert survey.find("desktop-2") is None
    reason = survey.desktops[1].excluded
    assert reason is not None and "2 servers are called" in reason


def test_a_desktop_that_the_broker_has_twice_is_read_with_care_and_told() -> None:
    site = a_site(1)
    site.broker.log_in("desktop-1", "kim")
    site.broker.add("staff", "desktop-1")  # a new record, free, as after a replacement
    (desktop,) = site.look().desktops
    assert desktop.busy
    assert [trouble.words for trouble in desktop.troubles] == ["the broker has it 2 times"]


def test_a_record_without_a_server_is_a_stray() -> None:
    site = a_site(1)
    site.broker.add("staff", "desktop-9")
    assert [seat.name for seat in site.look().strays] == ["desktop-9"]


@pytest.mark.parametrize(
    ("name", "kind", "excludes"), [("desktop-123456789", "long-name", True), ("reception", "foreign-name", False)]
)
def test_names_that_are_not_the_pool_s(name: str, kind: str, excludes: bool) -> None:
    site = a_site(0)
    site.add(name)
    (desktop,) = site.look().desktops
    assert [(trouble.kind, trouble.excludes) for trouble in desktop.troubles] == [(kind, excludes)]


def test_a_locked_desktop_is_left_out_with_the_reason_that_its_locker_gave() -> None:
    site = a_site(1)
    site.cloud.lock(site.look().desktops[0].id, "kim's exam")
    assert site.look().desktops[0].excluded == "somebody has locked it: kim's exam"


def test_one_user_s_own_desktop_is_left_out_unless_the_rules_include_it() -> None:
    for include in (False, True):
        site = a_site(0, roll={"include_persistent": include})
        site.add("desktop-1", metadata={PERSISTENT: "yes"})
        assert bool(site.look().included) is include


@pytest.mark.parametrize(
    ("status", "included"),
    [
        ("SHUTOFF", True),
        ("ERROR", True),
        ("SUSPENDED", False),
        ("SHELVED", False),
        ("UNKNOWN", False),
        ("RESCUE", False),
    ],
)
def test_only_what_nova_rebuilds_from_is_included(status: str, included: bool) -> None:
    site = a_site(0)
    site.add("desktop-1", status=status)
    survey = site.look()
    assert bool(survey.included) is included
    assert survey.free == 0
    assert bool(survey.troubles) is (status != "SHUTOFF")


def test_free_is_what_a_user_could_get_now() -> None:
    site = a_site(5)
    site.broker.log_in("desktop-1", "kim")
    site.broker.log_in("desktop-2", "lee")
    site.broker.disconnect("desktop-2")
    site.broker.record("desktop-3").available = False
    site.change(site.cloud.servers()[3], task_state="rebooting")
    survey = site.look()
    assert [one.name for one in survey.desktops if one.offered] == ["desktop-5"]
    assert [one.busy for one in survey.desktops] == [True, True, False, False, False]


def test_a_virtual_tpm_shows_in_the_flavor_or_in_the_image() -> None:
    site = a_site(1)
    site.add("desktop-2", flavor=site.cloud.add_flavor("safe", specs={"hw:tpm_version": "2.0"}))
    site.add("desktop-3", image=site.cloud.add_image("win11", foreign=False, hw_tpm_version="2.0"))
    assert [one.vtpm for one in site.look().desktops] == [False, True, True]


def test_a_root_volume_s_image_is_known_from_our_own_note() -> None:
    site = a_site(0)
    site.add("desktop-1", volume_backed=True)
    site.add("desktop-2", volume_backed=True, metadata={IMAGE_ID: ""})
    first, second = site.look().desktops
    assert (first.volume_backed, first.image_id) == (True, site.old.id)
    assert (second.volume_backed, second.image_id or None) == (True, None)
    assert first.root_volume_id is not None
    assert site.look().by_image() == {"small-v1": 1, "unknown": 1}


def test_an_image_that_is_gone_is_called_by_its_id() -> None:
    site = a_site(1)
    survey = site.look()
    bare = join(site.definition, site.cloud.servers(), seats=[], images={})
    assert survey.image_name(site.old.id) == "small-v1"
    assert bare.image_name(site.old.id) == site.old.id
    assert bare.image_name(None) == "unknown"


def test_a_broker_that_does_not_answer_makes_no_half_survey() -> None:
    site = a_site(1)
    site.broker.faults.fail("seats", BrokerUnreachable("down"))
    with pytest.raises(BrokerUnreachable):
        site.look()


def test_an_old_count_is_kept_with_its_age() -> None:
    site = a_site(1)
    site.broker.count_every = NEVER
    first = site.look().desktops[0].seat
    site.clock.sleep(600)
    assert site.look().desktops[0].seat == first


def test_seats_are_joined_even_when_an_adapter_gives_a_name_twice() -> None:
    site = a_site(1)
    busy = Seat(name="desktop-1", pool="staff", broker_id="1", session="active")
    free = replace(busy, broker_id="2", session="none")
    (desktop,) = join(site.definition, site.cloud.servers(), seats=[free, busy], images={}).desktops
    assert desktop.busy
