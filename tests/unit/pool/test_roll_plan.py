"""Plans: each thing that must be right before a roll has a finding of its own, and a plan says what it will destroy."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from imagebuild.broker import Cap
from imagebuild.cloud import OWNER_KEY, ROLE_KEY
from imagebuild.errors import BrokerUnreachable, NotFound
from imagebuild.images import find_version
from imagebuild.pool.marks import ROLL_ID, ROLL_NOTE, ROLL_STATE
from imagebuild.pool.progress import Note
from imagebuild.pool.roll_plan import RollPlan
from imagebuild.pool.situation import Finding
from imagebuild.pool.window import Window
from imagebuild.properties import CLAIM_PURPOSE, EXPIRES_AT, GENERALIZED, HASH, HOLDER, RECIPE, VERIFIED
from tests.unit.pool.pools import Site, a_site
from tests.unit.versions import add_version


def found(plan: RollPlan, name: str) -> list[Finding]:
    return [finding for finding in plan.findings if finding.name.startswith(name)]


def test_a_pool_in_order_may_be_rolled() -> None:
    plan = a_site(10).plan()
    assert not plan.refused
    assert [move.name for move in plan.moves] == [f"desktop-{number}" for number in range(1, 11)]
    assert {(move.method, move.from_image, move.busy) for move in plan.moves} == {("rebuild", "small-v1", False)}
    assert (plan.to, plan.limit, plan.floor) == ("small-v2", 1, 2)
    assert [finding.level for finding in plan.findings if finding.name not in ("image: checksum",)].count("warn") == 0


def test_the_plan_says_of_every_desktop_that_its_disk_is_destroyed_and_of_its_domain() -> None:
    lines = list(a_site(3).plan().as_lines())
    assert sum("DESTROYS ROOT DISK" in line for line in lines) == 3
    assert any("KB5020276" in line for line in lines)
    assert "small-v2" in lines[0]


def test_a_broker_that_has_the_same_desktops_is_told_as_that() -> None:
    (finding,) = found(a_site(3).plan(), "broker: records")
    assert (finding.level, finding.words) == ("ok", "it has every desktop once, and no others")


def test_of_zones_and_groups_nothing_is_asked_where_nothing_is_made() -> None:
    site = a_site(3, availability_zone="nova")
    site.plan()
    assert not {"availability_zones", "server_groups"} & set(site.cloud.faults.calls)


@pytest.mark.parametrize("noted", ["sha512:aa", "c0ffee"])
def test_data_that_are_as_registered_are_told_as_that(noted: str) -> None:
    site = a_site(2)
    site.cloud.update_image(site.new.id, properties={HASH: noted})
    site.cloud._change_image(site.new.id, checksum="c0ffee", os_hash="sha512:aa")
    (finding,) = found(site.plan(), "image: checksum")
    assert (finding.level, finding.words) == ("ok", f"it is that of the data that were built: {noted}")


def test_a_plan_is_plain_values_for_a_machine() -> None:
    site = a_site(3)
    plain = json.loads(json.dumps(site.plan().as_json()))
    assert plain["to_image_id"] == site.new.id
    assert plain["refused"] is False
    assert [move["method"] for move in plain["moves"]] == ["rebuild"] * 3
    assert plain["estimate"]["batches"] == 3


def test_those_that_have_the_image_are_left_alone_unless_they_are_broken_or_half_done() -> None:
    site = a_site(1)
    site.add("desktop-2", image=site.new)
    site.add("desktop-3", image=site.new, status="ERROR")
    site.add("desktop-4", image=site.new, metadata={ROLL_ID: "r1", ROLL_STATE: "failed"})
    site.add("desktop-5", image=site.new, metadata={ROLL_ID: "r1", ROLL_STATE: "done"})
    plan = site.plan()
    assert [move.name for move in plan.moves] == ["desktop-1", "desktop-3", "desktop-4"]
    assert plan.matching == ("desktop-2", "desktop-5")


def test_with_nothing_to_do_the_plan_says_so_and_is_not_refused() -> None:
    site = a_site(0)
    site.add("desktop-1", image=site.new)
    plan = site.plan()
    assert not plan.refused and plan.moves == ()
    assert "nothing to do" in found(plan, "desktops")[0].words


def test_all_are_moved_when_the_rules_say_so() -> None:
    site = a_site(0, roll={"skip_matching": False, "min_available": 0})
    site.add("desktop-1", image=site.new)
    assert [move.name for move in site.plan().moves] == ["desktop-1"]


def test_a_rollback_moves_only_those_that_it_is_told_and_takes_an_image_without_proofs() -> None:
    site = a_site(3)
    site.cloud.update_image(site.old.id, properties={VERIFIED: None, GENERALIZED: None}, protected=False)
    for name in ("desktop-8", "desktop-9"):
        site.add(name, image=site.new)
    to = find_version(site.cloud, "small-v1")
    back = site.plan(to=to, only=frozenset({"desktop-8"}), back=True)
    assert [move.name for move in back.moves] == ["desktop-8"]
    assert not back.refused
    assert {finding.name for finding in back.findings if finding.level == "warn"} >= {
        "image: protection",
        "image: verification",
    }
    assert site.plan(to=to, only=frozenset({"desktop-8"})).refused


Break = Callable[[Site], None]


def no_desktops(site: Site) -> None:
    for server in site.cloud.servers():
        site.cloud.tag_server(server.id, site.definition.tag, present=False)


def unverified(site: Site) -> None:
    site.cloud.update_image(site.new.id, properties={VERIFIED: None})


def not_generalized(site: Site) -> None:
    site.cloud.update_image(site.new.id, properties={GENERALIZED: "unseen"})


def unprotected(site: Site) -> None:
    site.cloud.update_image(site.new.id, protected=False)


def other_data(site: Site) -> None:
    site.cloud.update_image(site.new.id, properties={HASH: "sha512:" + "a" * 128})
    site.cloud._change_image(site.new.id, os_hash="sha512:" + "b" * 128)


def deactivated(site: Site) -> None:
    site.cloud.set_image_active(site.new.id, active=False)


def hidden(site: Site) -> None:
    site.cloud.update_image(site.new.id, hidden=True)


def too_large(site: Site) -> None:
    site.cloud.update_image(site.new.id, min_disk=80)


def too_hungry(site: Site) -> None:
    site.cloud.update_image(site.new.id, min_ram=8192)


def rule(**rules: object) -> Break:
    def change(site: Site) -> None:
        site.definition = site.definition.model_copy(update={"roll": site.definition.roll.model_copy(update=rules)})

    return change


def sick_broker(site: Site) -> None:
    site.broker.problems = ("work queue is not running",)


def silent_broker(site: Site) -> None:
    site.broker.faults.fail("health", BrokerUnreachable("no answer from the broker"))


def root_volume(site: Site) -> None:
    site.add("desktop-9", volume_backed=True)
    rule(method="rebuild")(site)


def larger_flavor(site: Site) -> None:
    """Four desktops of two cores become desktops of eight."""
    site.cloud.limits = replace(site.cloud.limits, cores=8 + 23)
    site.definition = site.definition.model_copy(update={"flavor": site.cloud.add_flavor("large", vcpus=8).name})


def elsewhere(site: Site) -> None:
    """Desktops are to be replaced, and the network is not ours: only its own project chooses addresses in it."""
    site.cloud._networks[site.network.id] = replace(site.network, project_id="admin")
    rule(method="replace")(site)


def no_group(site: Site) -> None:
    site.cloud._groups.clear()
    rule(method="replace")(site)


def two_groups(site: Site) -> None:
    (group,) = site.cloud._groups.values()
    site.cloud._groups["twin"] = replace(group, id="twin")
    rule(method="replace")(site)


def diskless(site: Site) -> None:
    site.cloud._flavors[site.flavor.id] = replace(site.flavor, disk_gib=0)
    site.add("desktop-9", volume_backed=True)


def no_zone(site: Site) -> None:
    site.definition = site.definition.model_copy(update={"availability_zone": "upstairs:host1"})
    rule(method="replace")(site)


def data_volume(site: Site) -> None:
    site.change(site.cloud.servers()[1], volume_ids=("v1",))
    rule(method="replace")(site)


def second_card(site: Site) -> None:
    site.change(site.cloud.servers()[1], cards=2)
    rule(method="replace")(site)


def data_volume_beside_a_root_volume(site: Site) -> None:
    server = site.add("desktop-9", volume_backed=True)
    site.change(server, volume_ids=(*server.volume_ids, "v2"))
    site.definition = site.definition.model_copy(update={"root_volume_gib": 40})


def becomes_a_volume(site: Site) -> None:
    """Four desktops get a root volume of 60 GiB each."""
    site.cloud.limits = replace(site.cloud.limits, volumes=3, gigabytes=200)
    site.definition = site.definition.model_copy(update={"root_volume_gib": 60})
    rule(method="replace")(site)


def another_roll(site: Site) -> None:
    note = str(Note(to_image_id=site.new.id))
    marks: dict[str, str | None] = {ROLL_ID: "roll-7", ROLL_STATE: "draining", ROLL_NOTE: note}
    site.cloud.set_server_metadata(site.cloud.servers()[0].id, marks)


def test_what_a_finished_roll_has_left_on_a_desktop_is_no_other_roll() -> None:
    site = a_site(4)
    another_roll(site)
    assert found(site.plan(), "other") != []
    first, second = site.cloud.servers()[:2]
    over = str(Note(to_image_id=site.new.id, over=True))
    site.cloud.set_server_metadata(second.id, {ROLL_ID: "roll-7", ROLL_STATE: "done", ROLL_NOTE: over})
    assert found(site.plan(), "other") == []
    site.cloud.set_server_metadata(second.id, {ROLL_ID: "roll-6"})
    assert found(site.plan(), "other") != []
    site.cloud.set_server_metadata(first.id, {ROLL_NOTE: None})  # nobody could go on with it
    assert found(site.plan(), "other") == []


def another_claim(site: Site) -> None:
    marks = {RECIPE: "staff", OWNER_KEY: "roll-8", ROLE_KEY: "claim", CLAIM_PURPOSE: "roll", HOLDER: "kim@host, pid 7"}
    site.cloud.reserve_image(
        "7c1d7a30-0000-4000-8000-000000000001", "claim", properties=marks | {EXPIRES_AT: "2999-01-01T00:00:00+00:00"}
    )


def cannot_hold_back(site: Site) -> None:
    site.broker.caps = site.broker.caps - {Cap.AVAILABILITY}


def no_messages(site: Site) -> None:
    site.broker.caps = site.broker.caps - {Cap.MESSAGE}
    rule(logoff_policy="notify-then-force", force_after=timedelta(hours=1))(site)


@pytest.mark.parametrize(
    ("spoil", "name", "words"),
    [
        (no_desktops, "desktops", "invoke pool.create staff"),
        (unverified, "image: verification", "invoke verify small-v2"),
        (not_generalized, "image: generalized", "share their identity"),
        (unprotected, "image: protection", "somebody may delete it"),
        (other_data, "image: checksum", "sha512:aaaaaaaaaaaaa... was registered, it has sha512:bbbbbbbbbbbbb..."),
        (deactivated, "image: data", "it is deactivated"),
        (hidden, "image: hidden", "the broker cannot find it"),
        (too_large, "flavor", "needs 80 GiB of disk, desktops of desktop have 40"),
        (too_hungry, "flavor", "needs 8192 MiB of memory, desktop has 2048"),
        (root_volume, "method", "desktop-9: its root is a volume"),
        (larger_flavor, "quota", "more cores: 24 needed, 23 left"),
        (data_volume, "volumes", "volumes are attached to desktop-2"),
        (data_volume_beside_a_root_volume, "volumes", "volumes are attached to desktop-9"),
        (second_card, "network cards", "more than one network card: desktop-2;"),
        (becomes_a_volume, "quota", "more volumes: 4 needed, 3 left, more GiB of volumes: 240 needed, 200 left"),
        (no_zone, "replace: availability zone", "no availability zone upstairs that is up, only nova"),
        (elsewhere, "replace: addresses", "goes with the server of desktop-1, desktop-2, desktop-3, desktop-4"),
        (no_group, "replace: security group", "invoke pool.network staff"),
        (two_groups, "replace: security group", "2 security groups are called"),
        (diskless, "replace: root disk", "root_volume_gib"),
        (another_roll, "other roll", "roll-7 has not finished desktop-1 draining"),
        (another_claim, "other roll", "roll-8"),
        (sick_broker, "broker", "work queue is not running"),
        (silent_broker, "broker", "no answer from the broker"),
        (no_messages, "broker: messages", "without a word"),
        (cannot_hold_back, "broker: holding back", "1 or 2 of 1,159 logins"),
        (cannot_hold_back, "broker: holding back", "or accept that: roll.allow_unheld: true"),
        (rule(canary_names=("desktop-77",)), "canary", "desktop-77"),
        (rule(min_available=4), "floor", "nothing could ever be begun"),
    ],
)
def test_what_refuses_a_roll(spoil: Break, name: str, words: str) -> None:
    site = a_site(4)
    spoil(site)
    plan = site.plan()
    refusals = [finding for finding in plan.findings if finding.level == "refuse"]
    assert [finding.name for finding in refusals] == [name]
    assert words in str(refusals[0])
    assert plan.refused


def test_our_own_roll_that_goes_on_is_no_other_one() -> None:
    site = a_site(4)
    another_roll(site)
    another_claim(site)
    assert [one.words for one in found(site.plan(roll_id="roll-8"), "other")] == [
        "roll-7 has not finished desktop-1 draining"
    ]
    site.cloud.set_server_metadata(site.cloud.servers()[0].id, {ROLL_ID: "roll-8"})
    assert found(site.plan(roll_id="roll-8"), "other") == []


def half_copied(site: Site) -> None:
    site.cloud.update_image(site.new.id, properties={"os_glance_importing_to_stores": "fast"})


def stray(site: Site) -> None:
    site.broker.add("staff", "desktop-88")


def unknown_to_broker(site: Site) -> None:
    site.broker.remove("desktop-2")


def locked(site: Site) -> None:
    site.cloud.lock(site.cloud.servers()[0].id, "exam")


def flavor_gone(site: Site) -> None:
    """The flavor that desktop-9 was made with was deleted since; Nova still tells its name."""
    site.add("desktop-9", flavor=site.cloud.add_flavor("old"))
    site.cloud._flavors = {key: flavor for key, flavor in site.cloud._flavors.items() if flavor.name != "old"}
    rule(method="rebuild")(site)


def root_volume_replaced(site: Site) -> None:
    site.add("desktop-9", volume_backed=True)


def no_volume_left(site: Site) -> None:
    """The new root volume is of the same size, but the old one may go later than its server."""
    site.add("desktop-9", volume_backed=True)
    site.definition = site.definition.model_copy(update={"root_volume_gib": 40})
    site.cloud.limits = replace(site.cloud.limits, volumes=1)


def well_furnished(site: Site) -> None:
    """The port of desktop-3 is the pool's own: what hangs on that stays."""
    second, third = site.cloud.servers()[1:3]
    more = {"floating": ("192.0.2.7",), "security_groups": ("lab", "vdi-desktop")}
    site.change(second, key_name="kim", **more)
    site.change(third, **more)
    port = site.cloud.create_port("desktop-3", pool="staff", network_id=site.network.id)
    site.cloud._plugs.ports[port.id] = replace(port, server_id=third.id)
    rule(method="replace")(site)


def window_closed(site: Site) -> None:
    rule(window=Window(hours="22:00-05:00", time_zone="Asia/Seoul"))(site)


def all_busy(site: Site) -> None:
    for number in range(1, 5):
        site.broker.log_in(f"desktop-{number}", f"user{number}")


def cannot_hold_back_and_may(site: Site) -> None:
    cannot_hold_back(site)
    rule(allow_unheld=True)(site)


def cannot_see_sessions(site: Site) -> None:
    site.broker.caps = site.broker.caps - {Cap.SESSIONS}


def cannot_pause(site: Site) -> None:
    site.broker.caps = site.broker.caps - {Cap.PROVISIONING}


def old_counts(site: Site) -> None:
    site.broker.count_every = float("inf")
    site.look()
    site.clock.sleep(3600)


def old_image_gone(site: Site) -> None:
    site.cloud.update_image(site.old.id, protected=False)
    site.cloud._images.pop(site.old.id)


def other_hardware(site: Site) -> None:
    site.cloud.update_image(site.new.id, properties={"hw_firmware_type": "uefi"})


def few_free(site: Site) -> None:
    site.broker.log_in("desktop-1", "kim")
    site.broker.log_in("desktop-2", "lee")


def superseded_target(site: Site) -> None:
    add_version(site.cloud, 3, "current")


@pytest.mark.parametrize(
    ("spoil", "name", "words"),
    [
        (half_copied, "image: stores", "it is still being copied to: fast"),
        (stray, "broker: records", "1 record of no server: desktop-88"),
        (unknown_to_broker, "broker: records", "1 desktop that it does not know: desktop-2"),
        (locked, "left out: locked", "desktop-1 (somebody has locked it: exam)"),
        (flavor_gone, "flavor", "the flavor old, which is gone"),
        (root_volume_replaced, "replace: root disk", "root on a volume: desktop-9"),
        (no_volume_left, "quota", "volumes: 1 needed, 0 left"),
        (
            well_furnished,
            "lost with the server",
            "desktop-1 (security group default), "
            "desktop-2 (key pair kim, floating IP 192.0.2.7, security group lab), desktop-4 (",
        ),
        (window_closed, "window", "nothing is begun before 2026-01-01 22:00"),
        (all_busy, "broker: free desktops", "every one would be waited for"),
        (all_busy, "canary", "waiting for one"),
        (cannot_hold_back_and_may, "broker: holding back", "only the look after roll.settle (1m)"),
        (cannot_see_sessions, "broker: sessions", "counts as on it"),
        (cannot_pause, "broker: provisioning", "makes desktops by itself"),
        (old_counts, "broker: age of sessions", "the oldest is 1 h old"),
        (old_image_gone, "way back", "cannot be put back"),
        (other_hardware, "image: hardware", "hw_firmware_type (small-v1)"),
        (few_free, "floor", "free: 2, of which 2 must stay"),
    ],
)
def test_what_a_person_should_know_first(spoil: Break, name: str, words: str) -> None:
    site = a_site(4)
    quiet = {finding.name for finding in site.plan().findings if finding.level == "warn"}
    assert name not in quiet
    spoil(site)
    plan = site.plan()
    warnings = [finding for finding in plan.findings if finding.level == "warn" and finding.name == name]
    assert [words in str(finding) for finding in warnings] == [True]
    assert not plan.refused


class TestDoors:
    """Whoever rolls knocks at desktops: a plan tries it at few."""

    def test_where_one_answers_no_other_is_asked(self) -> None:
        site = a_site(4)
        asked: list[str] = []
        site.broker.log_in("desktop-1", "kim")
        plan = site.plan(answers=lambda address: not asked.append(address))
        (finding,) = found(plan, "Remote Desktop")
        assert (finding.level, finding.words) == ("ok", "it answers this machine at desktop-2")
        assert asked == [site.cloud.servers()[1].addresses[0]]

    def test_where_none_does_it_is_told_what_will_happen_and_does_not_refuse(self) -> None:
        site = a_site(6)
        asked: list[str] = []
        site.broker.record("desktop-1").agent = "down"
        site.change(site.cloud.servers()[1], status="SHUTOFF")
        plan = site.plan(answers=lambda address: bool(asked.append(address)))
        (finding,) = found(plan, "Remote Desktop")
        assert "does not answer this machine at desktop-3, desktop-4, desktop-5, which run" in finding.words
        assert "the canary fails" in finding.words
        assert "intranet.rdp_from, then invoke pool.network staff" in finding.todo
        assert (finding.level, plan.refused, len(asked)) == ("warn", False, 3)

    def test_where_none_runs_or_none_is_moved_nobody_is_asked(self) -> None:
        site = a_site(2)
        for server in site.cloud.servers():
            site.change(server, status="SHUTOFF")
        assert found(site.plan(answers=lambda address: pytest.fail(address)), "Remote Desktop") == []
        for server in site.cloud.servers():
            site.change(server, status="ACTIVE", image_id=site.new.id)
        assert found(site.plan(answers=lambda address: pytest.fail(address)), "Remote Desktop") == []


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ({"kind": "none"}, "name the pool's broker in its file"),
        ({"kind": "file", "sessions": "sessions.csv"}, "broker.unavailable"),
        ({"kind": "command", "commands": {"seats": ["./seats"]}}, "a program for set-available"),
        (
            {"kind": "leostream", "url": "https://b.example", "user": "env:U", "password": "env:P"},
            "let it hold back (broker.drain)",
        ),
    ],
)
def test_what_would_let_a_broker_hold_back_is_said_by_its_kind(kind: dict[str, object], words: str) -> None:
    site = a_site(4, broker=kind)
    cannot_hold_back(site)
    assert words in found(site.plan(), "broker: holding back")[0].todo


def test_where_somebody_promises_that_nobody_comes_nobody_need_be_held_back() -> None:
    site = a_site(4, broker={"kind": "none", "assume_idle": True})
    cannot_hold_back(site)
    plan = site.plan()
    assert (found(plan, "broker: holding back"), plan.refused) == ([], False)


def test_only_a_promoted_version_and_never_a_rejected_one() -> None:
    site = a_site(4)
    candidate = add_version(site.cloud, 3, "candidate")
    rejected = add_version(site.cloud, 4, "rejected")
    levels = {
        name: found(site.plan(to=find_version(site.cloud, name)), "image")[0].level
        for name in (candidate.name, rejected.name)
    }
    assert levels == {"small-v3": "refuse", "small-v4": "refuse"}
    superseded_target(site)
    plan = site.plan(to=find_version(site.cloud, "small-v2"))
    assert found(plan, "image")[0].level == "warn"


def test_a_pool_that_is_not_made_yet_says_which_command_makes_it() -> None:
    site = a_site(1)
    site.definition = site.definition.model_copy(update={"network": "elsewhere"})
    with pytest.raises(NotFound, match="there is no network elsewhere") as caught:
        site.plan()
    assert caught.value.hint == "make it: invoke pool.network staff"


def test_the_estimate_counts_the_canary_and_then_whole_batches() -> None:
    site = a_site(40, roll={"max_unavailable": 10, "parallel_boots": 4})
    estimate = site.plan().estimate
    assert (estimate.batch, estimate.batches) == (4, 1 + 10)
    assert estimate.total == 11 * estimate.usual.each
    assert "11 batches of at most 4, about 3 h 40 min if each takes 20 min (a guess: no roll of this pool" in str(
        estimate
    )


def test_in_a_network_of_another_project_a_port_of_ours_keeps_the_address() -> None:
    site = a_site(0)
    elsewhere(site)
    make = site.cloud.create_port("desktop-1", pool="staff", network_id=site.network.id)
    site.add("desktop-1")
    (server,) = site.cloud.servers()
    site.cloud._plugs.plug(make.id, server.id)
    plan = site.plan()
    assert [finding.name for finding in plan.findings if finding.name.startswith("replace")] == []


def test_a_root_volume_is_as_large_as_the_pool_s_file_says_not_as_the_flavor() -> None:
    site = a_site(2, root_volume_gib=100, roll={"method": "replace"})
    too_large(site)
    assert found(site.plan(), "flavor") == []
    site.definition = site.definition.model_copy(update={"root_volume_gib": 50})
    assert [one.level for one in found(site.plan(), "flavor")] == ["refuse"]


def test_an_open_window_is_no_obstacle() -> None:
    site = a_site(4)
    rule(window=Window(hours="00:00-23:59", time_zone="UTC"))(site)
    assert [finding.level for finding in found(site.plan(), "window")] == ["ok"]


def test_a_plan_asks_little_and_changes_nothing() -> None:
    site = a_site(100)
    before = site.cloud.servers()
    site.cloud.faults.calls.clear()
    site.broker.faults.calls.clear()
    site.plan()
    calls = site.cloud.faults.calls
    assert len(calls) < 12, calls
    assert set(site.broker.faults.calls) == {"seats", "health", "settings"}
    assert not [name for name in calls if name.startswith(("create", "set", "tag", "rebuild", "update", "delete"))]
    assert site.cloud.servers() == before
