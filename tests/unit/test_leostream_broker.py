"""Leostream as a broker: seats read with care, single fields written back and looked at, nothing saved without need."""

import copy
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests

from imagebuild.broker import Cap, Seat
from imagebuild.errors import BrokerError, BrokerRefused, BrokerUnreachable, CapabilityMissing
from tests.unit.leostream_wire import START, Fault, Leostream, desktop, pool_object

RULE = {"vm_table_field": "name", "condition_type": "ne", "text_to_match": "desktop-1"}


def seat_of(wire: Leostream, name: str, **reading: Any) -> Seat:
    return next(seat for seat in wire.broker(**reading).seats("staff") if seat.name == name)


def paused(wire: Leostream) -> Leostream:
    wire.pools[7]["provision"]["provision_on_off"] = 0
    return wire


# ---------------------------------------------------------------------------------------------------------------- seats


def test_seats_are_read_in_one_call_after_the_first() -> None:
    wire = Leostream()
    broker = wire.broker()
    seats = broker.seats("staff", names=["desktop-1", "desktop-9"])
    assert [(seat.name, seat.broker_id, seat.assigned_user, seat.session) for seat in seats] == [
        ("desktop-1", "11", None, "none"),
        ("desktop-2", "12", "user 5", "unknown"),
        ("DESKTOP-3", "13", None, "none"),
    ]
    assert {seat.availability for seat in seats} == {"available"}
    assert {seat.observed_at for seat in seats} == {START}
    broker.seats("staff")
    assert wire.calls() == ["GET /pools", "GET /pools/7", "GET /pools/7"]


@pytest.mark.parametrize("told", [{"user_id": None}, {"user_id": "0"}, {"user_id": True}, {"user_id": 0.5}])
def test_whose_it_is_in_other_words_is_busy(told: dict[str, Any]) -> None:
    wire = Leostream()
    wire.pools[7]["vms_list"] = [desktop(11, "desktop-1") | told]
    wire.faults["GET /pools/7"] = [Fault(200, wire.pools[7])]  # an answer that is not in the interface
    seat = seat_of(wire, "desktop-1")
    assert (seat.busy, seat.assigned_user) == (True, None)


def test_a_desktop_of_which_nothing_is_told_is_busy_and_neither_up_nor_available() -> None:
    wire = Leostream()
    wire.pools[7]["vms_list"] = [{"id": 11, "name": "desktop-1"}, {"id": 12}]
    seats = wire.broker().seats("staff")
    assert [(s.name, s.busy, s.agent, s.availability) for s in seats] == [("desktop-1", True, "unknown", "unknown")]


@pytest.mark.parametrize(("words", "agent"), [("Running", "up"), ("", "down"), (" ", "down")])
def test_an_agent_that_has_something_to_say_is_up(words: str, agent: str) -> None:
    wire = Leostream()
    wire.pools[7]["vms_list"] = [desktop(11, "desktop-1", hda_status=words)]
    assert seat_of(wire, "desktop-1").agent == agent


def test_out_of_service_is_unavailable() -> None:
    wire = Leostream()
    wire.pools[7]["vms_list"] = [desktop(11, "desktop-1", out_of_service=1)]
    assert seat_of(wire, "desktop-1").availability == "unavailable"


def test_counts_that_are_old_are_not_believed() -> None:
    wire = Leostream()
    wire.clock.sleep(15 * 60)
    assert not seat_of(wire, "desktop-1").busy
    wire.clock.sleep(1)
    assert seat_of(wire, "desktop-1").busy


@pytest.mark.parametrize("told", ["yesterday", "", None])
def test_counts_of_no_known_age_are_not_believed(told: str | None) -> None:
    wire = Leostream()
    wire.pools[7]["pool_stats"] = {} if told is None else {"counts_updated": told}
    seat = seat_of(wire, "desktop-1")
    assert seat.busy
    assert seat.observed_at is None


def test_a_time_without_a_zone_is_the_brokers() -> None:
    wire = Leostream()
    wire.pools[7]["pool_stats"]["counts_updated"] = "2026-03-01T01:00:00"
    assert seat_of(wire, "desktop-1").busy, "an hour in the future"
    seat = seat_of(wire, "desktop-1", zone=ZoneInfo("Europe/Berlin"))
    assert seat.observed_at == START
    assert not seat.busy


@pytest.mark.parametrize("sum_of", ["total_logged_in", "total_connected"])
def test_more_users_than_assignments_make_every_free_desktop_doubtful(sum_of: str) -> None:
    wire = Leostream()
    wire.pools[7]["pool_stats"][sum_of] = 2
    assert all(seat.busy for seat in wire.broker().seats("staff"))
    assert not seat_of(wire, "desktop-1", trust_unassigned=True).busy


def test_records_of_one_name_are_one_seat_and_somebodys_on_any_is_somebody_there() -> None:
    wire = Leostream()
    wire.pools[7]["vms_list"] = [desktop(11, "desktop-1"), desktop(31, "DESKTOP-1", user_id=9, hda_status="")]
    (seat,) = wire.broker().seats("staff")
    assert (seat.duplicates, seat.assigned_user, seat.session, seat.agent) == (("31",), "user 9", "unknown", "unknown")


def test_a_pool_has_another_name_in_the_broker() -> None:
    wire = Leostream()
    wire.pools[7]["name"] = "Staff desktops"
    seats = wire.broker(pool_name="Staff desktops").seats("staff")
    assert {seat.pool for seat in seats} == {"staff"}


def test_a_pool_that_is_not_there_or_twice_is_refused() -> None:
    wire = Leostream()
    with pytest.raises(BrokerRefused, match="no pools of the name other") as caught:
        wire.broker().seats("other")
    assert "`pool`" in caught.value.hint
    wire.pools[8] = pool_object(8, "staff")
    with pytest.raises(BrokerRefused, match="2 pools"):
        wire.broker().seats("staff")


def test_a_pool_that_was_made_anew_is_found_again() -> None:
    wire = Leostream()
    broker = wire.broker()
    broker.seats("staff")
    wire.pools[9] = {**wire.pools.pop(7), "id": 9}
    with pytest.raises(BrokerRefused, match="404"):
        broker.seats("staff")
    assert broker.seats("staff")


# --------------------------------------------------------------------------------------------------------------- health


@pytest.mark.parametrize(
    ("told", "ok", "problems"),
    [
        ({"broker": {"msg": "OK"}, "components": {"auth": None}}, True, ()),
        ({"broker": {"msg": "OK"}, "components": {"load": {"msg": "high load"}}}, True, ("load: high load",)),
        (
            {"broker": {"msg": "OK"}, "components": {"work_queue": {"msg": "not running", "running": 0}}},
            False,
            ("work_queue: not running",),
        ),
        ({"broker": {"msg": "not OK"}}, False, ("broker: not OK",)),
        ({}, False, ("broker: says nothing of itself",)),
    ],
)
def test_health_is_told_in_the_brokers_words(told: dict[str, Any], ok: bool, problems: tuple[str, ...]) -> None:
    wire = Leostream()
    wire.faults["GET /system/health"] = [Fault(200, told)]
    health = wire.broker().health()
    assert (health.ok, health.problems) == (ok, problems)


@pytest.mark.parametrize(
    "body", [None, {"error_status": "SERVICE_UNAVAILABLE", "error_message": "Service unavailable"}]
)
def test_a_broker_that_goes_on_without_its_database_says_so_soon(body: Any) -> None:
    wire = Leostream()
    wire.faults["GET /system/health"] = [Fault(503, body)] * 50
    assert not wire.broker().health().ok
    assert 10 <= wire.clock.slept <= 15


@pytest.mark.parametrize(("asked", "waited"), [(None, 2), ("7", 7)])
def test_a_broker_that_is_busy_for_a_moment_is_well(asked: str | None, waited: float) -> None:
    wire = Leostream()
    wire.faults["GET /system/health"] = [Fault(503, None, {"Retry-After": asked} if asked else None)]
    assert wire.broker().health().ok
    assert wire.clock.slept == waited


def test_a_broker_that_asks_for_longer_than_that_is_believed_at_once() -> None:
    wire = Leostream()
    wire.faults["GET /system/health"] = [Fault(503, None, {"Retry-After": "120"})] * 2
    assert not wire.broker().health().ok
    assert wire.clock.slept == 0


# ------------------------------------------------------------------------------------------------ image and provisioning


def test_settings_are_told_without_anything_secret() -> None:
    settings = Leostream().broker().settings("staff")
    assert settings.image_name == "win10-vdi-v1"
    assert settings.image_id == "41"
    assert (settings.name_pattern, settings.next_value) == ("desktop-{SEQUENCE}", 12)
    assert (settings.threshold, settings.maximum) == (2, 50)
    assert (settings.provisioning, settings.enforced) == (True, False)
    assert "In-clear-text-1" not in repr(settings)


def test_settings_of_a_pool_that_provisions_nothing_are_unknown() -> None:
    wire = Leostream()
    del wire.pools[7]["provision"]
    settings = wire.broker().settings("staff")
    assert (settings.provisioning, settings.image_name, settings.image_id) == (None, None, None)


def test_the_image_is_found_by_name_and_nothing_else_changes() -> None:
    wire = paused(Leostream())
    before = {**wire.pools[7], "provision": {**wire.pools[7]["provision"], "provision_vm_id": 42}}
    wire.broker().set_pool_image("staff", "other")
    assert wire.pools[7] == before
    (put,) = [sent for sent in wire.sent if sent.method == "PUT"]
    assert "restrict_by_desc" not in put.body["pool_definition"]
    assert put.body["notes"] == "kept by hand"
    assert "vms_list" not in put.body
    assert wire.calls()[-1] == "GET /pools/7", "what was stored is looked at"


def test_a_broker_that_empties_what_a_put_does_not_name_loses_nothing() -> None:
    wire = paused(Leostream())
    wire.merges = False
    wire.broker().set_pool_image("staff", "other")
    assert wire.pools[7]["domain"] == {"domain_join": 1, "domain_join_ou": "OU=vdi"}
    assert wire.pools[7]["log"] == {"log_error_threshold": 3}


def test_an_image_that_is_set_already_is_not_saved_again() -> None:
    wire = Leostream()
    wire.broker().set_pool_image("staff", "win10-vdi-v1")
    assert not [call for call in wire.calls() if call.startswith("PUT")]


def test_a_new_image_is_found_by_a_scan() -> None:
    wire = paused(Leostream())
    wire.cloud_images = [{"id": 43, "name": "win10-vdi-v2"}]
    wire.broker().set_pool_image("staff", "win10-vdi-v2")
    assert wire.pools[7]["provision"]["provision_vm_id"] == 43
    assert wire.calls().count("POST /centers/3/scan") == 1
    assert 10 <= wire.clock.slept < 60


def test_a_scan_may_take_longer_than_the_look_for_an_image() -> None:
    wire = paused(Leostream())
    wire.cloud_images, wire.scan_seconds = [{"id": 43, "name": "win10-vdi-v2"}], 400
    wire.broker().set_pool_image("staff", "win10-vdi-v2")
    assert wire.pools[7]["provision"]["provision_vm_id"] == 43


def test_the_image_is_looked_for_in_the_pools_own_center() -> None:
    wire = paused(Leostream())
    both = [{"id": 3, "name": "cloud", "flavor": "K"}, {"id": 4, "name": "two", "flavor": "K"}]
    wire.faults["GET /centers"] = [Fault(200, both)]
    wire.broker().set_pool_image("staff", "other")
    assert wire.pools[7]["provision"]["provision_vm_id"] == 42


def test_a_pool_that_names_no_center_has_the_only_one() -> None:
    wire = paused(Leostream())
    del wire.pools[7]["provision"]["center"]
    assert wire.broker().settings("staff").image_name is None
    wire.broker().set_pool_image("staff", "other")
    assert wire.pools[7]["provision"]["provision_vm_id"] == 42


def test_an_image_that_no_scan_finds_is_refused() -> None:
    wire = paused(Leostream())
    with pytest.raises(BrokerRefused, match="knows no image win10-vdi-v9") as caught:
        wire.broker().set_pool_image("staff", "win10-vdi-v9")
    assert "shared" in caught.value.hint
    assert wire.clock.slept < 200
    assert wire.pools[7]["provision"]["provision_vm_id"] == 41


def test_an_image_that_cannot_be_found_by_a_scan_is_refused_without_one() -> None:
    wire = paused(Leostream())
    with pytest.raises(BrokerRefused, match="knows no image win10-vdi-v9"):
        wire.broker().set_pool_image("staff", "win10-vdi-v9", scan=False)
    assert wire.clock.slept == 0


def test_two_images_of_one_name_are_refused() -> None:
    wire = paused(Leostream())
    wire.center["images"].append({"id": 77, "name": "other"})
    with pytest.raises(BrokerRefused, match="2 images of the name other"):
        wire.broker().set_pool_image("staff", "other")


def test_saving_starts_no_provisioning_before_the_image_is_seen_to_be_stored() -> None:
    wire = Leostream()
    switches: list[tuple[int, int]] = []
    wire.on_put = lambda pool: switches.append(
        (pool["provision"]["provision_on_off"], pool["provision"]["provision_vm_id"])
    )
    wire.broker().set_pool_image("staff", "other")
    assert switches == [(0, 42), (1, 42)]


def test_provisioning_is_paused_and_given_back() -> None:
    wire = Leostream()
    broker = wire.broker()
    before = {**wire.pools[7], "provision": dict(wire.pools[7]["provision"])}
    assert broker.set_provisioning("staff", on=False) is True
    assert wire.pools[7]["provision"]["provision_on_off"] == 0
    assert broker.set_provisioning("staff", on=False) is False
    assert broker.set_provisioning("staff", on=True) is False
    assert wire.pools[7] == before
    assert len([call for call in wire.calls() if call.startswith("PUT")]) == 2, "what is off is not switched off again"


def test_the_switch_is_given_back_in_the_brokers_own_way() -> None:
    wire = Leostream()
    wire.pools[7]["provision"]["provision_on_off"] = True
    wire.broker().set_provisioning("staff", on=False)
    assert wire.pools[7]["provision"]["provision_on_off"] is False


def test_a_pool_that_provisions_nothing_has_no_switch() -> None:
    wire = Leostream()
    del wire.pools[7]["provision"]
    with pytest.raises(BrokerError, match="no provisioning"):
        wire.broker().set_provisioning("staff", on=False)


def test_a_broker_that_keeps_something_else_is_found_out_without_telling_values() -> None:
    wire = Leostream()
    wire.on_put = lambda pool: pool["provision"].update(provision_on_off=1, provision_max=9)
    with pytest.raises(BrokerRefused) as caught:
        wire.broker().set_provisioning("staff", on=False)
    assert "provision.provision_max, provision.provision_on_off" in str(caught.value)
    assert "turn the provisioning of the pool staff off" in str(caught.value)


def test_a_broker_that_adds_something_is_found_out() -> None:
    wire = Leostream()
    wire.on_put = lambda pool: pool["pool_definition"]["attributes"].append(RULE)
    with pytest.raises(BrokerRefused, match=r"pool_definition.attributes.1"):
        wire.broker().set_provisioning("staff", on=False)


def test_the_next_number_may_go_on_meanwhile() -> None:
    wire = Leostream()
    wire.on_put = lambda pool: pool["provision"].update(provision_vm_name_next_value=13)
    assert wire.broker().set_provisioning("staff", on=False) is True


def test_when_the_answer_to_a_writing_is_lost_what_is_stored_decides() -> None:
    wire = Leostream()
    lost = requests.ConnectionError("reset")
    wire.faults["PUT /pools/7"] = [Fault(error=lost, done=True), Fault(error=lost)]
    broker = wire.broker()
    assert broker.set_provisioning("staff", on=False) is True
    with pytest.raises(BrokerUnreachable, match="the connection broke"):
        broker.set_provisioning("staff", on=True)
    assert wire.pools[7]["provision"]["provision_on_off"] == 0


def test_a_password_that_comes_as_asterisks_is_never_written_back() -> None:
    wire = Leostream()
    wire.pools[7]["provision"]["center"]["password"] = "********"
    with pytest.raises(BrokerRefused, match=r"provision\.center\.password"):
        wire.broker().set_provisioning("staff", on=False)
    assert not [call for call in wire.calls() if call.startswith("PUT")]


# ---------------------------------------------------------------------------------------------------------------- scans


def test_a_scan_is_waited_for() -> None:
    wire = Leostream()
    wire.broker().refresh()
    assert wire.center["status"] == 1
    assert wire.clock.slept >= 10


def test_a_scan_that_begins_a_little_later_is_waited_for_too() -> None:
    wire = Leostream()
    wire.scan_delay = 2
    wire.broker().refresh()
    assert wire.clock.slept >= 12


def test_a_scan_that_is_under_way_counts() -> None:
    wire = Leostream()
    broker = wire.broker()
    broker.refresh(wait=False)
    assert wire.clock.slept == 0
    broker.refresh()
    assert wire.center["status"] == 1


def test_a_scan_without_end_is_given_up() -> None:
    wire = Leostream()
    wire.scan_seconds = 10_000
    with pytest.raises(BrokerUnreachable, match="the scan of the broker's center") as caught:
        wire.broker().refresh()
    assert "scan_minutes" in caught.value.hint
    assert wire.clock.slept <= 900


def test_a_center_that_is_offline_after_the_scan_is_refused() -> None:
    wire = Leostream()
    broker = wire.broker()
    listed = [{"id": 3, "name": "cloud", "status": 2, "status_label": "Offline", "type": "openstack"}]
    wire.faults["GET /centers"] = [Fault(200, listed)] * 2
    with pytest.raises(BrokerRefused, match="cloud is Offline"):
        broker.refresh()


def test_the_center_is_named_where_there_are_several() -> None:
    wire = Leostream()
    both = [
        {"id": 3, "name": "cloud", "status": 1, "flavor": "K"},
        {"id": 4, "name": "two", "status": 1, "flavor": "K"},
    ]
    wire.faults["GET /centers"] = [Fault(200, both)] * 2
    with pytest.raises(BrokerRefused, match="2 centers of OpenStack") as caught:
        wire.broker().refresh()
    assert "`center`" in caught.value.hint
    wire.broker(center="cloud").refresh(wait=False)
    assert wire.calls()[-1] == "POST /centers/3/scan"


# --------------------------------------------------------------------------------------------------- what it has no way to


def test_without_the_operators_word_no_pool_is_redefined() -> None:
    wire = Leostream()
    broker = wire.broker()
    assert broker.capabilities() == {Cap.POOL_IMAGE, Cap.PROVISIONING, Cap.SCAN}
    seat = broker.seats("staff")[0]
    for call in (
        lambda: broker.set_available(seat, available=False, reason="roll"),
        lambda: broker.notify(seat, "go", minutes=5),
        lambda: broker.release(seat),
        lambda: broker.forget(seat, "31"),
        broker.registrations,
    ):
        with pytest.raises(CapabilityMissing):
            call()
    assert not [sent for sent in wire.sent if sent.method == "PUT"]


def test_a_rule_takes_a_desktop_from_users_and_its_removal_leaves_the_pool_as_it_was() -> None:
    wire = paused(Leostream())
    broker = wire.broker(drain="attribute_rule")
    assert Cap.AVAILABILITY in broker.capabilities()
    wire.pools[7]["pool_definition"]["attributes"] += [
        {**RULE, "text_to_match": "desktop-9"},
        {**RULE, "vm_table_field": "notes"},
        {**RULE, "condition_type": "ew"},
    ]
    before = copy.deepcopy(wire.pools[7]["pool_definition"])
    seat = broker.seats("staff")[0]
    for _ in range(2):
        broker.set_available(seat, available=False, reason="roll")
    assert wire.pools[7]["pool_definition"]["attributes"] == [*before["attributes"], RULE]
    for _ in range(2):
        broker.set_available(seat, available=True, reason="done")
    assert wire.pools[7]["pool_definition"] == before
    assert len([sent for sent in wire.sent if sent.method == "PUT"]) == 2


def test_what_a_rule_has_left_out_is_seen_in_the_pool_above() -> None:
    wire = paused(Leostream())
    wire.pools[7]["pool_definition"]["attributes"].append(RULE)
    wire.pools[7]["vms_list"] = [desktop(12, "desktop-2")]
    wire.pools[1]["vms_list"] = [desktop(11, "desktop-1", user_id=5), desktop(12, "desktop-2"), desktop(99, "foreign")]
    seats = wire.broker(drain="attribute_rule").seats("staff")
    assert [(s.name, s.pool, s.availability, s.busy) for s in seats] == [
        ("desktop-2", "staff", "available", False),
        ("desktop-1", "staff", "unavailable", True),
    ]


def test_a_pool_with_nothing_above_shows_what_is_in_it() -> None:
    wire = paused(Leostream())
    del wire.pools[7]["pool_definition"]["parent_pool_id"]
    seats = wire.broker(drain="attribute_rule").seats("staff", names=["desktop-1", "desktop-9"])
    assert [seat.name for seat in seats] == ["desktop-1", "desktop-2", "DESKTOP-3"]


def test_no_desktop_is_left_out_while_the_broker_would_make_another_for_it() -> None:
    wire = Leostream()
    broker = wire.broker(drain="attribute_rule")
    with pytest.raises(BrokerRefused, match="take desktop-1 from offer.*would make another") as caught:
        broker.set_available(broker.seats("staff")[0], available=False, reason="roll")
    assert "pause_broker_provisioning" in caught.value.hint
    wire.pools[7]["pool_definition"]["attributes"].append(RULE)
    broker.set_available(broker.seats("staff")[0], available=True, reason="done")
    assert RULE not in wire.pools[7]["pool_definition"]["attributes"]


@pytest.mark.parametrize("definition", [{"restrict_by": "A", "pool_attribute_join": "O"}, {"restrict_by": "T"}])
@pytest.mark.parametrize("drain", ["attribute_rule", "adhoc"])
def test_a_pool_that_is_defined_otherwise_is_not_redefined(definition: dict[str, Any], drain: str) -> None:
    wire = paused(Leostream())
    wire.pools[7]["pool_definition"] = definition
    broker = wire.broker(drain=drain)
    with pytest.raises(BrokerRefused, match=f"drain: {drain}"):
        broker.set_available(broker.seats("staff")[0], available=False, reason="roll")


def test_an_ad_hoc_pool_goes_without_a_desktop_and_gets_it_back() -> None:
    wire = paused(Leostream())
    listed = [{"id": 11, "name": "desktop-1"}, {"id": 12, "name": "desktop-2"}]
    wire.pools[7]["pool_definition"] = {"restrict_by": "H", "parent_pool_id": 1, "adhoc_vms": listed}
    broker = wire.broker(drain="adhoc")
    seat = broker.seats("staff")[0]
    broker.set_available(seat, available=False, reason="roll")
    assert wire.pools[7]["pool_definition"]["adhoc_vms"] == listed[1:]
    wire.pools[7]["vms_list"] = wire.pools[7]["vms_list"][1:]
    (away,) = [s for s in broker.seats("staff", names=["DESKTOP-1", "desktop-2"]) if s.name == "desktop-1"]
    assert (away.broker_id, away.availability, away.busy) == ("11", "unavailable", False)
    broker.set_available(away, available=True, reason="done")
    assert sorted(one["id"] for one in wire.pools[7]["pool_definition"]["adhoc_vms"]) == [11, 12]
