"""The tool's own Leostream adapter against the stand-in broker, and the troubles that real brokers make."""

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from broker_wire import POOL, Site, sessions

from imagebuild.broker import Seat
from imagebuild.errors import BrokerRefused, BrokerUnreachable
from imagebuild.lab.broker.center import CenterSettings
from imagebuild.lab.broker.cloud_view import Refused
from imagebuild.lab.broker.rest import Request


def seat_of(site: Site, name: str, **reading: object) -> Seat:
    return next(seat for seat in site.adapter(**reading).seats(POOL) if seat.key == name)


@pytest.fixture
def site() -> Site:
    return Site("desktop-1", "desktop-2", "desktop-3")


def test_seats_are_what_the_broker_tells(site: Site) -> None:
    site.broker.seating.log_in_on("ada", "desktop-2")
    seats = {seat.key: seat for seat in site.adapter().seats(POOL)}
    assert {name: seat.busy for name, seat in seats.items()} == {
        "desktop-1": False,
        "desktop-2": True,
        "desktop-3": False,
    }
    assert {seat.agent for seat in seats.values()} == {"up"}
    assert seats["desktop-1"].observed_at == site.now()


def test_somebody_around_the_broker_makes_all_that_seem_free_unknown(site: Site) -> None:
    site.broker.seating.log_in_on("rogue", "desktop-2", assigned=False)
    assert {seat.session for seat in site.adapter().seats(POOL)} == {"unknown"}
    assert {seat.session for seat in site.adapter(trust_unassigned=True).seats(POOL)} == {"none"}


def test_stale_counts_hide_a_login_and_are_known_by_their_age(site: Site) -> None:
    before = seat_of(site, "desktop-1")
    site.broker.troubles.stale_counts = True
    site.clock.sleep(60)
    site.broker.seating.log_in_on("ada", "desktop-1")
    after = seat_of(site, "desktop-1")
    assert (after.busy, after.observed_at) == (False, before.observed_at)
    site.clock.sleep(15 * 60)
    assert seat_of(site, "desktop-1").session == "unknown"
    site.broker.troubles.stale_counts = False
    assert seat_of(site, "desktop-1").assigned_user == "user 1"


def test_counts_are_as_old_as_the_last_counting() -> None:
    site = Site("desktop-1", count_seconds=60)
    began = seat_of(site, "desktop-1").observed_at
    site.broker.seating.log_in("ada", POOL)
    site.clock.sleep(50)
    assert (seat_of(site, "desktop-1").busy, seat_of(site, "desktop-1").observed_at) == (False, began)
    site.clock.sleep(20)
    assert seat_of(site, "desktop-1").busy


def test_a_user_who_logs_in_right_after_the_look(site: Site) -> None:
    site.broker.troubles.switch({"login_after_look": 1, "login_on": "desktop-3"})
    broker = site.adapter()
    assert [seat.busy for seat in broker.seats(POOL)] == [False, False, False]
    assert list(sessions(site)) == [("desktop-3", "stranger-1")]
    assert [seat.busy for seat in broker.seats(POOL)] == [False, False, True]
    assert list(sessions(site)) == [("desktop-3", "stranger-1")]


def test_a_user_who_had_been_offered_the_desktop_before_it_was_left_out(site: Site) -> None:
    broker = site.adapter(drain="attribute_rule")
    site.broker.troubles.switch({"login_after_save": 1, "login_on": "desktop-1"})
    broker.set_available(seat_of(site, "desktop-1"), available=False, reason="roll")
    seats = {seat.key: seat for seat in broker.seats(POOL)}
    assert seats["desktop-1"].availability == "unavailable"
    assert seats["desktop-1"].busy


@pytest.mark.parametrize("kind", ["attribute_rule", "adhoc"])
def test_a_desktop_that_is_left_out_is_offered_to_nobody_new(kind: str) -> None:
    site = Site("desktop-1", "desktop-2")
    if kind == "adhoc":
        numbers = [{"id": one.id, "name": one.name} for one in site.broker.state.desktops]
        site.broker.state.pools[site.pool]["pool_definition"] |= {"restrict_by": "H", "adhoc_vms": numbers}
    before = site.tell()["pool_definition"]
    broker = site.adapter(drain=kind)
    site.broker.seating.log_in_on("ada", "desktop-1")
    free = seat_of(site, "desktop-2", drain=kind)
    broker.set_available(free, available=False, reason="roll")
    assert site.names() == ["desktop-1"]
    told = {seat.key: seat.availability for seat in broker.seats(POOL, names=["desktop-1", "desktop-2"])}
    assert told == {"desktop-1": "available", "desktop-2": "unavailable"}
    assert site.broker.seating.log_in("bob", POOL) is None
    broker.set_available(free, available=True, reason="roll")
    assert site.tell()["pool_definition"] == before
    assert site.broker.seating.log_in("bob", POOL) is not None


def test_a_new_image_is_found_by_a_scan_however_slow(site: Site) -> None:
    site.cloud.images.append("v2")
    site.broker.troubles.scan_seconds = 300.0
    broker = site.adapter()
    began = site.clock.now()
    broker.set_pool_image(POOL, "v2")
    assert site.clock.now() - began >= 300
    assert broker.settings(POOL).image_name == "v2"
    assert site.tell()["notes"] == "kept by hand"


def test_a_scan_that_does_not_reach_the_cloud_is_no_scan(site: Site) -> None:
    site.cloud.silent = True
    with pytest.raises(BrokerRefused, match="Offline"):
        site.adapter().refresh()
    assert site.names() == ["desktop-1", "desktop-2", "desktop-3"]
    site.cloud.silent = False
    site.adapter().refresh()


def test_logins_that_are_forgotten_in_the_middle(site: Site) -> None:
    broker = site.adapter()
    broker.seats(POOL)
    site.broker.troubles.forget_logins = 1
    assert broker.set_provisioning(POOL, on=True) is False
    assert broker.settings(POOL).provisioning is True
    site.broker.troubles.forget_logins = 2
    with pytest.raises(BrokerRefused, match="UNAUTHORIZED"):
        broker.seats(POOL)


def test_a_busy_broker_is_waited_for_as_long_as_it_wishes(site: Site) -> None:
    site.broker.troubles.switch({"busy": 2, "busy_seconds": 20})
    began = site.clock.now()
    assert len(site.adapter().seats(POOL)) == 3
    assert site.clock.now() - began >= 40
    site.broker.troubles.busy = 99
    with pytest.raises(BrokerUnreachable, match="503"):
        site.adapter().seats(POOL)


def test_an_answer_that_is_lost_after_the_work_was_done(site: Site) -> None:
    site.broker.troubles.lose_answers = 1
    broker = site.adapter()
    assert broker.set_provisioning(POOL, on=True) is False
    assert broker.settings(POOL).provisioning is True


def test_what_is_not_stored_as_it_was_meant_is_seen(site: Site) -> None:
    site.broker.troubles.ignore_saves = True
    with pytest.raises(BrokerRefused, match="provision_on_off"):
        site.adapter().set_provisioning(POOL, on=True)


def test_a_broker_that_empties_what_it_is_not_told_is_told_all(site: Site) -> None:
    site.broker.troubles.put_empties = True
    before = site.tell()
    broker = site.adapter()
    broker.set_provisioning(POOL, on=True)
    broker.set_provisioning(POOL, on=False)
    assert site.tell() == {**before, "pool_stats": site.tell()["pool_stats"]}
    site.broker.pools.change(site.pool, {"display_name": "Staff"}, empties=True)
    assert "notes" not in site.tell()


def test_a_broker_that_is_not_well(site: Site) -> None:
    broker = site.adapter()
    assert broker.health().ok
    site.broker.troubles.unwell = True
    assert not broker.health().ok
    site.broker.troubles.down = True
    assert broker.health().problems == ("broker: service unavailable",)


def test_a_machine_made_anew_under_its_name_can_leave_a_record_behind(site: Site) -> None:
    site.broker.troubles.duplicates = True
    site.cloud.drop("desktop-2")
    site.cloud.add("desktop-2")
    broker = site.adapter()
    broker.refresh()
    seat = next(seat for seat in broker.seats(POOL) if seat.key == "desktop-2")
    assert len(seat.duplicates) == 1
    site.broker.troubles.duplicates = False
    broker.refresh()
    seat = next(seat for seat in broker.seats(POOL) if seat.key == "desktop-2")
    assert (seat.duplicates, seat.agent) == ((), "down")
    site.boot("desktop-2")
    assert next(seat for seat in broker.seats(POOL) if seat.key == "desktop-2").agent == "up"


def test_saving_a_pool_makes_desktops_and_a_pool_that_is_left_alone_does_not(site: Site) -> None:
    site.pool = site.broker.pools.add({**site.broker.state.pools[site.pool], "name": "other"})
    broker = site.adapter(pool_name="other")
    site.broker.state.pools[site.pool]["provision"]["provision_threshold"] = 5
    site.go_on(60)
    assert site.cloud.made == []
    broker.set_provisioning("other", on=True)
    site.go_on()
    assert site.cloud.made == [("desktop-10", "v1"), ("desktop-11", "v1")]
    site.go_on(60)  # what is on its way is not made again
    assert len(site.cloud.made) == 2
    assert broker.settings("other").next_value == 12
    site.scan()
    assert site.names()[-2:] == ["desktop-10", "desktop-11"]


def test_no_more_desktops_are_made_than_the_pool_may_have(site: Site) -> None:
    site.broker.state.pools[site.pool]["provision"] |= {
        "provision_on_off": 1,
        "provision_threshold": 10,
        "provision_max": 4,
    }
    site.go_on(60)
    site.go_on(60)
    assert site.cloud.made == [("desktop-10", "v1")]


def test_a_pool_is_a_part_of_the_pool_above_it_and_its_rules_can_be_alternatives(site: Site) -> None:
    rules = [{"vm_table_field": "name", "condition_type": "eq", "text_to_match": f"Desktop-{n}"} for n in (1, 2)]
    definition = {"restrict_by": "A", "pool_attribute_join": "O", "attributes": rules}
    above = site.broker.pools.add({"name": "two", "pool_definition": definition})
    assert site.names(above) == ["desktop-1", "desktop-2"]
    ends = [{"vm_table_field": "name", "condition_type": "nc", "text_to_match": "-2"}]
    below = {"restrict_by": "A", "pool_attribute_join": "A", "attributes": ends, "parent_pool_id": above}
    assert site.names(site.broker.pools.add({"name": "one", "pool_definition": below})) == ["desktop-1"]


def test_an_enforced_threshold_also_deletes_and_nothing_that_is_somebodys(site: Site) -> None:
    for name in ("desktop-1", "desktop-3"):
        site.broker.seating.log_in_on(f"user of {name}", name)
    site.broker.state.pools[site.pool]["provision"] |= {
        "provision_on_off": 1,
        "provision_threshold": 0,
        "provision_limits_enforce": 1,
    }
    site.go_on(60)
    assert site.cloud.removed == ["desktop-2"]
    assert site.broker.state.verdict.sessions_cut == 0


def test_none_is_deleted_twice_while_the_center_has_not_looked(site: Site) -> None:
    site.broker.state.pools[site.pool]["provision"] |= {
        "provision_on_off": 1,
        "provision_threshold": 2,
        "provision_limits_enforce": 1,
    }
    for _ in range(3):
        site.go_on(60)
    assert site.cloud.removed == ["desktop-3"]
    site.scan()
    site.go_on(60)
    assert (site.cloud.removed, site.names()) == (["desktop-3"], ["desktop-1", "desktop-2"])


def test_what_the_cloud_refuses_is_a_job_that_failed_and_the_next_number_comes_later(site: Site) -> None:
    make = site.cloud.make

    def refuse(name: str, image: str, provision: Mapping[str, Any]) -> None:
        raise Refused("403 Quota exceeded")

    site.cloud.make = refuse  # type: ignore[method-assign]
    site.broker.state.pools[site.pool]["provision"] |= {"provision_on_off": 1, "provision_threshold": 4}
    site.go_on(60)
    site.go_on(1)
    jobs = [(one["job"], one["what"], one["problem"]) for one in site.broker.pools.jobs]
    assert jobs == [("make", "desktop-10", "403 Quota exceeded")]
    site.cloud.make = make  # type: ignore[method-assign]
    site.go_on(10)
    assert site.cloud.made == [], "it rests"
    site.go_on(60)
    assert site.cloud.made == [("desktop-11", "v1")]
    assert site.portal.answer(Request("GET", "/portal/v1/jobs", None, "")).body[0]["what"] == "desktop-10"


def test_a_machine_that_could_not_be_ordered_is_ordered_again(site: Site) -> None:
    site.broker.state.pools[site.pool]["provision"] |= {"provision_on_off": 1, "provision_threshold": 4}
    site.broker.pools.fill(site.pool)
    site.cloud.silent = True
    with pytest.raises(ConnectionRefusedError):
        site.go_on()
    site.cloud.silent = False
    site.go_on()
    site.go_on()
    assert site.cloud.made == [("desktop-10", "v1")]


def test_a_machine_that_cannot_be_made_holds_up_no_other(site: Site) -> None:
    site.broker.state.wishes += [
        ["remove", ["server-1"]],
        ["make", ["desktop-8", "v1", {"center": {"type": "openstack"}}]],
    ]

    def refuse(machine: str) -> None:
        raise ConnectionRefusedError("not this one")

    site.cloud.remove = refuse  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            site.go_on()
    assert site.cloud.made == [("desktop-8", "v1")]


def test_no_password_of_the_pool_is_in_what_the_tool_says(
    site: Site, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    told = repr((site.adapter().settings(POOL), site.adapter().seats(POOL)))
    assert "In-clear-text-1" in str(site.tell())
    assert "In-clear-text-1" not in told + caplog.text + capsys.readouterr().out


def test_new_desktops_can_begin_unavailable() -> None:
    site = Site("desktop-1", center=CenterSettings(new_unavailable=True))
    assert seat_of(site, "desktop-1").availability == "unavailable"


def test_a_center_can_scan_by_itself() -> None:
    site = Site("desktop-1", center=CenterSettings(scan_seconds=5, every_seconds=300))
    site.cloud.add("desktop-2")
    site.go_on(300)
    assert site.broker.center.scanning
    site.go_on(5)
    assert site.names() == ["desktop-1", "desktop-2"]
