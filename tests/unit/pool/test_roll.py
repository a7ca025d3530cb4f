"""Rolls by name: what each rule of a pool file does, and what becomes of users, machines and broker on the way."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from imagebuild.broker import Cap
from imagebuild.cloud import ServerRequest
from imagebuild.errors import BrokerRefused, BrokerUnreachable, Busy, CloudUnreachable, Interrupted
from imagebuild.pool.health import MATCHES
from imagebuild.pool.marks import IMAGE_ID, IMAGE_VERSION, PREVIOUS_IMAGE_ID, ROLL_STATE
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.roll_status import as_facts, as_lines, exit_code
from imagebuild.pool.rollback import find_way_back
from imagebuild.pool.starting import find_roll, recall
from imagebuild.pool.survey import survey
from imagebuild.properties import BUILD
from tests.steps.conftest import Told
from tests.unit.pool.rolling import POOL, Site, images_of


def test_everybody_gets_the_image_and_the_broker_is_as_it_was() -> None:
    site = Site(10)
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert exit_code(roll.log) == 0
    assert set(site.phases(roll).values()) == {Phase.DONE}
    assert images_of(site, site.names) == {site.new.id}
    pool = site.broker.pools[POOL]
    assert (pool.provisioning, pool.image, site.held_back()) == (True, "small-v2", [])
    told = site.server("desktop-4").metadata
    assert (told[IMAGE_ID], told[IMAGE_VERSION], told[PREVIOUS_IMAGE_ID]) == (site.new.id, "small-v2", site.old.id)
    assert told[ROLL_STATE] == "done"


def test_the_canary_goes_alone_and_the_roll_waits_for_a_person() -> None:
    site = Site(10, auto_continue=False)
    roll = site.start()
    assert roll.run() is RollState.BAKING
    assert exit_code(roll.log) == 6
    assert len(site.cloud.rebuilds) == 1
    assert site.broker.pools[POOL].provisioning is True  # for as long as it waits
    assert site.broker.pools[POOL].image == "small-v1"  # one desktop proves nothing to others yet
    again = site.resume()
    again.take_up()
    assert again.run() is RollState.COMPLETED
    assert len(site.cloud.rebuilds) == 10
    assert site.broker.pools[POOL].image == "small-v2"


def test_who_goes_on_after_a_crash_has_not_said_that_the_canary_is_good() -> None:
    site = Site(4, auto_continue=False)
    roll = site.start()
    for _ in range(4):
        roll.turn()
    again = site.resume()
    again.take_up()
    assert again.run() is RollState.BAKING
    assert len(site.cloud.rebuilds) == 1


def test_checkpoints_stop_as_the_canary_does() -> None:
    site = Site(10, auto_continue=False, checkpoints=["50%"], max_unavailable="50%", parallel_boots=5)
    roll = site.start()
    stops = []
    while roll.run() is RollState.BAKING:
        stops.append(len(site.cloud.rebuilds))
        roll = site.resume()
        roll.take_up()
    assert stops == [1, 5]
    assert roll.log.state is RollState.COMPLETED


def test_a_bad_image_ends_at_the_canary_which_gets_its_old_image_back() -> None:
    site = Site(10)
    site.cloud.silent_agents = lambda server: server.image_id == site.new.id
    roll = site.start()
    assert roll.run() is RollState.HALTED
    assert exit_code(roll.log) == 4
    assert "its agent has not reported" in roll.log.reason
    assert [name for name, phase in site.phases(roll).items() if phase is Phase.FAILED] == ["desktop-1"]
    assert {name for name, _ in site.cloud.rebuilds} == {"desktop-1"}
    assert [image for _, image in site.cloud.rebuilds] == [
        site.new.id,
        site.new.id,
        site.old.id,
    ]  # one more try, then back
    assert (site.held_back(), site.broker.pools[POOL].provisioning) == ([], True)
    assert site.broker.record("desktop-1").agent == "up"
    again = site.resume()
    again.take_up()
    assert again.run() is RollState.HALTED  # a canary's failure is not forgiven


def test_what_cannot_be_put_back_is_kept_from_users() -> None:
    site = Site(10, retries=0)
    site.cloud.rebuild_fault = lambda server: "no host" if server.name == "desktop-1" else ""
    roll = site.start()
    assert roll.run() is RollState.HALTED
    assert roll.log.held["desktop-1"].phase is Phase.QUARANTINED
    assert "no host" in roll.log.held["desktop-1"].reason
    (line,) = (line for line in as_lines(roll.log, site.now()) if "quarantined  " in line)
    assert line.endswith("the rebuild failed: no host; its old image did not help")
    assert site.held_back() == ["desktop-1"]
    site.cloud.rebuild_fault = lambda server: ""
    site.lines.clear()
    roll = site.start()  # another roll, once the host is well
    assert roll.run() is RollState.COMPLETED
    assert (images_of(site, site.names), site.held_back()) == ({site.new.id}, [])


def test_failures_within_the_budget_do_not_stop_the_others() -> None:
    site = Site(10, retries=0, max_failures=1, max_unavailable=2)
    site.cloud.silent_agents = lambda server: server.name == "desktop-5" and server.image_id == site.new.id
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert exit_code(roll.log) == 3
    assert site.phases(roll)["desktop-5"] is Phase.FAILED
    assert images_of(site, ["desktop-5"]) == {site.old.id}
    (line,) = (line for line in as_lines(roll.log, site.now()) if line.startswith("  desktop-5"))
    assert line.endswith("; it has its old image again")


def test_a_failure_beyond_the_budget_halts_and_a_person_may_go_on() -> None:
    site = Site(10, retries=0, max_failures=0, max_unavailable=1, boot_timeout="5m")
    site.cloud.silent_agents = lambda server: server.name == "desktop-5" and server.image_id == site.new.id
    roll = site.start()
    assert roll.run() is RollState.HALTED
    assert Phase.PENDING in site.phases(roll).values()
    again = site.resume()
    again.take_up()
    assert again.run() is RollState.COMPLETED
    assert [name for name, phase in site.phases(again).items() if phase is not Phase.DONE] == ["desktop-5"]


def test_a_user_is_waited_for_and_told() -> None:
    site = Site(3, drain_deadline="24h", notify_every="4h", min_available=1)
    site.broker.log_in("desktop-2", "kim")
    site.clock.at(9 * 3600, lambda: site.broker.log_out("desktop-2"))
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert exit_code(roll.log) == 0
    assert [user for user, _, _ in site.broker.messages] == ["kim"] * 3
    minutes = [left for _, _, left in site.broker.messages]
    assert minutes[0] == 24 * 60
    assert minutes == sorted(minutes, reverse=True)
    assert site.broker.cut == []


def test_who_does_not_leave_keeps_the_old_image_and_the_desktop() -> None:
    site = Site(3, drain_deadline="6h", min_available=1)
    site.broker.log_in("desktop-2", "kim")
    site.broker.disconnect("desktop-2")
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert exit_code(roll.log) == 3
    assert roll.log.held["desktop-2"].phase is Phase.SKIPPED
    assert roll.log.held["desktop-2"].reason == "a session is open on it, for 6h"
    assert (site.held_back(), site.broker.cut) == ([], [])
    assert images_of(site, ["desktop-2"]) == {site.old.id}


def test_a_session_is_ended_only_where_the_rules_say_so_and_after_the_notice() -> None:
    site = Site(3, logoff_policy="notify-then-force", force_after="2h", min_available=1)
    site.broker.log_in("desktop-2", "kim")
    begun = site.clock.now()
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert [(one.user, one.name) for one in site.broker.cut] == [("kim", "desktop-2")]
    assert site.broker.cut[0].at - begun >= 2 * 3600
    assert len(site.broker.messages) == 1


def test_without_messages_nobody_is_forced() -> None:
    site = Site(3, logoff_policy="notify-then-force", force_after="2h", drain_deadline="3h", min_available=1)
    plan = site.plan()
    site.broker.caps = site.broker.caps - {Cap.MESSAGE}
    site.broker.log_in("desktop-2", "kim")
    roll = site.start(plan)
    assert roll.run() is RollState.COMPLETED
    assert (site.broker.cut, site.phases(roll)["desktop-2"]) == ([], Phase.SKIPPED)


@pytest.mark.parametrize(("floor", "most"), [(9, 1), (7, 3), (1, 5)])
def test_no_more_are_taken_than_floor_and_limit_let(floor: int, most: int) -> None:
    site = Site(10, min_available=floor, max_unavailable="50%", parallel_boots=10)
    roll = site.start()
    seen = [0]

    def count(*_: object) -> None:
        seen.append(len(site.held_back()))

    roll.watch = count
    assert roll.run() is RollState.COMPLETED
    assert max(seen) == most


def test_users_who_come_get_back_what_was_not_begun() -> None:
    site = Site(6, min_available=3, max_unavailable="50%", settle="10m")
    roll = site.start()
    while len(site.held_back()) < 3:  # behind the canary
        assert not roll.turn()
        site.clock.sleep(15)
    for user in ("kim", "lee"):
        site.broker.arrive(POOL, user)
    roll.turn()
    site.clock.sleep(15)
    roll.turn()
    assert len([name for name in site.held_back() if site.broker.record(name).user is None]) == 1
    reasons = [one.reason for one in roll.log.held.values() if one.phase is Phase.PENDING and one.reason]
    assert reasons == ["users need it: the pool is at its floor"] * 2


def test_outside_the_window_nothing_is_begun_and_what_waits_goes_back() -> None:
    # the clock stands at 00:17 UTC
    site = Site(4, window={"hours": "01:00-02:00", "time_zone": "UTC"}, drain_deadline="3d")
    site.broker.log_in("desktop-3", "kim")
    roll = site.start()
    begun: list[int] = []

    def watch(*_: object) -> None:
        if roll.flying:
            begun.append(site.now().hour)

    roll.watch = watch
    site.clock.at(30 * 3600, lambda: site.broker.log_out("desktop-3"))  # at six in the morning of the next day
    assert roll.run() is RollState.COMPLETED
    assert set(begun) <= {1, 2}
    assert site.held_back() == []
    moments = [reason for name, available, reason in site.broker.reasons if name == "desktop-3" and available]
    assert len(moments) == 2 + 1  # two nights in vain, and once done


def test_a_lock_that_comes_late_is_respected_and_told() -> None:
    site = Site(4)
    roll = site.start()
    site.cloud.lock(site.server("desktop-3").id, "forensics")
    assert roll.run() is RollState.COMPLETED
    assert roll.log.held["desktop-3"].phase is Phase.SKIPPED
    assert "forensics" in roll.log.held["desktop-3"].reason
    assert site.server("desktop-3").locked


def test_what_an_operator_has_marked_unavailable_stays_so() -> None:
    site = Site(4)
    site.broker.record("desktop-2").available = False
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert images_of(site, ["desktop-2"]) == {site.new.id}
    assert site.held_back() == ["desktop-2"]


def test_a_desktop_that_is_off_is_off_again() -> None:
    site = Site(4)
    site.cloud.power_off(site.server("desktop-2").id)
    site.clock.sleep(10)
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert site.server("desktop-2").status == "SHUTOFF"
    assert (images_of(site, ["desktop-2"]), site.held_back()) == ({site.new.id}, [])


def test_a_broken_desktop_goes_first_after_the_canary() -> None:
    site = Site(4)
    site.cloud._set(site.server("desktop-4").id, status="ERROR", fault="disk", power_state=0)
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert [name for name, _ in site.cloud.rebuilds][:2] == ["desktop-1", "desktop-4"]
    assert site.server("desktop-4").status == "ACTIVE"


def test_a_replaced_desktop_keeps_name_and_address() -> None:
    site = Site(3, method="replace")
    before = {name: site.server(name) for name in site.names}
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    for name, old in before.items():
        new = site.server(name)
        assert (new.id != old.id, new.addresses, new.tags) == (True, old.addresses, old.tags)
    assert site.held_back() == []


def test_a_volume_is_overwritten_only_where_the_rules_allow_it() -> None:
    site = Site(2, allow_root_volume_wipe=True)
    request = ServerRequest("", site.old.id, site.flavor.id, site.network.id, metadata={IMAGE_ID: site.old.id})
    site.cloud.add_desktop("desktop-3", request, pool=POOL, volume_backed=True)
    site.broker.add(POOL, "desktop-3")
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert ("desktop-3", site.new.id) in site.cloud.rebuilds
    assert site.server("desktop-3").metadata[IMAGE_ID] == site.new.id


def test_a_pause_finishes_what_works_and_gives_back_what_waits() -> None:
    site = Site(6, max_unavailable="50%")
    site.broker.log_in("desktop-6", "kim")
    roll = site.start()
    while not any(one.phase is Phase.ACTING for one in roll.flying):
        roll.turn()
        site.clock.sleep(15)
    site.wish = "pause"
    assert roll.run() is RollState.PAUSED
    assert exit_code(roll.log) == 6
    assert set(site.phases(roll).values()) <= {Phase.DONE, Phase.PENDING}
    assert (site.held_back(), site.broker.pools[POOL].provisioning) == ([], True)
    site.wish = None
    site.broker.log_out("desktop-6")
    again = site.resume()
    again.take_up()
    assert again.run() is RollState.COMPLETED


def test_an_abort_leaves_the_rest_on_the_old_image() -> None:
    site = Site(6, auto_continue=False)
    site.start().run()
    site.wish = "abort"
    again = site.resume()
    assert again.run() is RollState.ABORTED
    assert exit_code(again.log) == 5
    assert len(site.cloud.rebuilds) == 1


def test_an_image_that_changes_under_way_halts_the_roll() -> None:
    site = Site(6)
    roll = site.start()
    site.clock.at(900, lambda: site.cloud._change_image(site.new.id, checksum="f" * 32))
    assert roll.run() is RollState.HALTED
    assert "its checksum has changed" in roll.log.reason


def test_an_image_is_known_by_the_better_hash_where_glance_makes_one() -> None:
    site = Site(6)
    site.cloud._change_image(site.new.id, os_hash="sha512:aa")
    roll = site.start()
    assert roll.log.assignment.checksum == "sha512:aa"
    site.clock.at(
        400, lambda: site.cloud._change_image(site.new.id, checksum=None)
    )  # a Glance that makes no MD5 any more
    site.clock.at(900, lambda: site.cloud._change_image(site.new.id, os_hash="sha512:bb"))
    assert roll.run() is RollState.HALTED
    assert "its checksum has changed" in roll.log.reason
    assert roll.done() > 1, "it was another hash that stopped it"


@pytest.mark.parametrize("before", [True, False])
def test_somebody_who_turns_provisioning_on_halts_the_roll(before: bool) -> None:
    site = Site(6)
    site.broker.pools[POOL].provisioning = before
    roll = site.start()
    site.clock.at(400, lambda: setattr(site.broker.pools[POOL], "provisioning", True))
    assert roll.run() is RollState.HALTED
    assert "provisioning" in roll.log.reason


def test_somebody_who_sets_another_image_for_new_desktops_halts_the_roll() -> None:
    site = Site(6)
    roll = site.start()
    site.clock.at(400, lambda: setattr(site.broker.pools[POOL], "image", "other"))
    assert roll.run() is RollState.HALTED
    assert "other" in roll.log.reason


@pytest.mark.parametrize("hidden", [True, False])
def test_a_broker_that_forgets_an_image_that_is_hidden_halts_nothing(hidden: bool) -> None:
    """Its own scan does that; that of one that is listed somebody takes away."""
    site = Site(6)
    site.cloud.update_image(site.old.id, hidden=hidden)
    roll = site.start()
    site.clock.at(100, lambda: setattr(site.broker.pools[POOL], "image", None))
    site.cloud.rebuild_seconds = lambda server: 400.0
    assert roll.run() is (RollState.COMPLETED if hidden else RollState.HALTED)
    assert site.broker.pools[POOL].image == ("small-v2" if hidden else None)


def test_until_the_window_opens_the_broker_goes_on_making_and_deleting_desktops() -> None:
    site = Site(10, window={"hours": "03:00-06:00", "time_zone": "UTC"})
    pool = site.broker.pools[POOL]
    roll = site.start()

    def come(name: str) -> None:
        site.broker.add(POOL, name)
        site.add_server(name)

    for number in range(1, 6):
        gone, new = site.server(f"desktop-{number}").id, f"desktop-{number + 10}"
        site.clock.at(600 * number, partial(site.cloud.delete_server, gone))
        site.clock.at(600 * number + 6000, partial(come, new))
    switched: list[tuple[int, bool]] = []
    roll.watch = lambda roll, _: switched.append((len(roll.flying), pool.provisioning))
    assert roll.run() is RollState.COMPLETED
    first = next(turn for turn, (flying, _) in enumerate(switched) if flying)
    assert first > 100
    assert {on for _, on in switched[:first]} == {True}, "a process that is gone by then leaves nothing behind"
    assert {on for _, on in switched[first:-1]} == {False}
    assert (pool.provisioning, roll.done()) == (True, 5)


def test_a_roll_that_goes_on_with_desktops_in_hand_pauses_the_broker_at_once() -> None:
    site = Site(6)
    roll = site.start()
    roll.turn()
    site.broker.pools[POOL].provisioning = True  # as a run leaves it that gives up with desktops in hand
    roll.log.note(provisioning=None)
    again = site.resume()
    again.turn()
    assert (site.broker.pools[POOL].provisioning, again.log.provisioning) == (False, True)
    assert again.run() is RollState.COMPLETED
    assert site.broker.pools[POOL].provisioning is True


def test_desktops_that_fall_ill_later_halt_the_roll() -> None:
    site = Site(10, max_unavailable=1)
    roll = site.start()
    ill = ["desktop-1", "desktop-2"]

    def fall_ill() -> None:
        for name in ill:
            site.broker.record(name).agent = "down"

    site.clock.at(1500, fall_ill)
    assert roll.run() is RollState.HALTED
    assert "have fallen ill: desktop-1, desktop-2" in roll.log.reason


def test_a_silent_broker_halts_the_roll_and_nothing_is_begun_on_old_words() -> None:
    site = Site(6)
    roll = site.start()
    roll.turn()
    before = len(site.cloud.rebuilds)
    site.broker.faults.fail("seats", BrokerUnreachable("503"), times=100)
    assert roll.run() is RollState.HALTED
    assert len(site.cloud.rebuilds) == before
    assert (site.held_back(), site.broker.pools[POOL].provisioning) == ([], True)


def test_a_broker_that_never_comes_back_is_left_with_a_word() -> None:
    site = Site(6)
    roll = site.start()
    roll.turn()
    for method in ("seats", "set_available", "set_provisioning"):
        site.broker.faults.fail(method, BrokerUnreachable("503"), times=10_000)
    with pytest.raises(Interrupted, match="still in hand: desktop-1"):
        roll.run()
    site.broker.faults._errors.clear()
    again = site.resume()
    again.take_up()
    assert again.run() is RollState.COMPLETED
    assert (site.held_back(), site.broker.pools[POOL].provisioning) == ([], True)


def test_a_broker_that_will_not_provision_from_an_image_that_is_hidden_by_now_does_not_keep_the_roll_at_its_stop() -> (
    None
):
    said = Told()
    site = Site(6, report=said, auto_continue=False)
    refuse = BrokerRefused("400 BAD_DATA", details=("provision_vm_id: Please select a template",))
    turn_on = site.broker.set_provisioning

    def set_provisioning(pool: str, *, on: bool) -> bool:
        if on and site.broker.pools[pool].image == "small-v1":
            raise refuse
        return turn_on(pool, on=on)

    site.broker.set_provisioning = set_provisioning  # type: ignore[method-assign]
    roll = site.start()
    assert roll.run() is RollState.BAKING
    assert (roll.log.provisioning, site.broker.pools[POOL].provisioning) == (True, False)
    assert any("stays paused: 400 BAD_DATA (provision_vm_id" in line for line in said.warnings)
    assert "  the broker's own provisioning is paused by this roll" in as_lines(roll.log, site.now())
    again = site.resume()
    again.take_up()
    assert again.run() is RollState.COMPLETED
    assert (again.log.provisioning, site.broker.pools[POOL].provisioning) == (None, True)


def test_a_broker_that_takes_nothing_more_at_the_end_is_not_waited_for_for_ever() -> None:
    site = Site(4)
    roll = site.start()
    roll.turn()
    site.broker.faults.fail("set_provisioning", BrokerUnreachable("503"), times=10_000)
    began = site.now()
    assert roll.run() is RollState.COMPLETED
    assert roll.log.provisioning is True
    assert site.now() - began < timedelta(hours=3)


def test_a_cloud_that_never_comes_back_is_left_with_a_word() -> None:
    site = Site(6)
    roll = site.start()
    roll.turn()
    site.cloud.faults.fail("servers", CloudUnreachable("503"), times=10_000)
    with pytest.raises(Interrupted, match="still in hand: desktop-1") as caught:
        roll.run()
    assert caught.value.hint == "invoke pool.continue staff"
    assert site.broker.pools[POOL].provisioning is True
    site.cloud.faults._errors.clear()
    again = site.resume()
    again.take_up()
    assert again.run() is RollState.COMPLETED
    assert site.held_back() == []


def test_a_cloud_that_is_away_from_the_first_turn_costs_nothing() -> None:
    site = Site(6)
    roll = site.start()
    site.cloud.faults.fail("servers", CloudUnreachable("503"), times=10_000)
    assert roll.run() is RollState.HALTED
    assert set(site.phases(roll).values()) == {Phase.PENDING}
    assert site.broker.reasons == []


def test_a_pool_that_is_no_longer_ours_is_left_at_once() -> None:
    site = Site(3)
    roll = site.start()
    roll.turn()

    def lost() -> None:
        raise Busy("the claim is another's")

    roll.wishes = lost  # type: ignore[assignment]
    before = len(site.broker.faults.calls)
    with pytest.raises(Busy):
        roll.turn()
    assert len(site.broker.faults.calls) == before


def test_a_server_that_somebody_deletes_is_told_not_made_anew() -> None:
    site = Site(6, max_unavailable=1)
    roll = site.start()
    site.clock.at(300, lambda: site.cloud._delete_server(site.server("desktop-6").id))
    assert roll.run() is RollState.COMPLETED
    assert roll.log.held["desktop-6"].phase is Phase.SKIPPED
    assert "its server is gone" in roll.log.held["desktop-6"].reason
    assert not site.has_server("desktop-6")


def test_users_are_not_asked_to_leave_while_there_are_free_ones_to_do() -> None:
    site = Site(10, max_unavailable=1)
    for number in range(4):
        site.broker.log_in(f"desktop-{number + 2}", f"user-{number}")
    roll = site.start()
    while not site.broker.messages:
        roll.turn()
        site.clock.sleep(15)
    assert set(images_of(site, ["desktop-1", "desktop-6", "desktop-7", "desktop-8", "desktop-9"])) == {site.new.id}
    assert len(site.broker.messages) == 1  # one place, one user asked


def test_among_users_who_come_and_go_no_desktop_is_taken_in_hand_in_vain() -> None:
    site = Site(6, max_unavailable=1, min_available=1)

    def somebody_else(turn: int = 0) -> None:
        if site.broker.record(name := site.names[turn % 6]).user is not None:
            site.broker.log_out(name)
            site.broker.arrive(POOL, f"user-{turn}")
        site.clock.at(20, lambda: somebody_else(turn + 1))

    for number in range(4):
        site.broker.arrive(POOL, f"first-{number}")
    somebody_else()
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    taken = [name for name, available, _ in site.broker.reasons if not available]
    assert sorted(taken) == site.names
    assert site.broker.cut == []


def test_no_more_than_so_many_boot_at_once() -> None:
    site = Site(10, max_unavailable="50%", parallel_boots=2)
    roll = site.start()
    most = []
    roll.watch = lambda roll, view: most.append(sum(one.working for one in roll.flying))
    assert roll.run() is RollState.COMPLETED
    assert max(most) == 2


def test_few_calls_a_desktop() -> None:
    site = Site(60, max_unavailable="20%", parallel_boots=12)
    before = site.cloud.faults.requests.copy()
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    calls = site.cloud.faults.requests - before
    listings = calls.pop("servers")
    assert (sum(calls.values()) - calls["rebuild_server"]) / 60 < 4
    assert listings < 150  # one a turn


def test_the_stamp_is_read_in_the_guest_and_another_one_fails() -> None:
    site = Site(3, retries=0)
    site.cloud.update_image(site.new.id, properties={BUILD: "small-2"})
    for name in site.names:
        site.witness.stamps[site.server(name).id] = {"recipe": "small", "build": "small-2"}
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert {one.stamp for one in roll.log.held.values()} == {MATCHES}

    other = Site(3, retries=0)
    other.cloud.update_image(other.new.id, properties={BUILD: "small-2"})
    other.witness.stamps[other.server("desktop-1").id] = {"recipe": "small", "build": "small-1"}
    roll = other.start()
    assert roll.run() is RollState.HALTED
    assert "its stamp says build=small-1, the image is build=small-2" in roll.log.reason


def test_a_roll_is_taken_up_without_its_journal() -> None:
    site = Site(6, auto_continue=True, max_unavailable="50%")
    roll = site.start()
    while len(site.cloud.rebuilds) < 3:
        roll.turn()
        site.clock.sleep(15)
    lost = site.lines.copy()
    site.lines.clear()
    pool = survey(site.definition, site.cloud, site.broker)
    found = find_roll(pool)
    assert found is not None
    roll_id, note = found
    assert (roll_id, note.to_image_id, note.provisioning) == ("roll-1", site.new.id, True)
    plan = site.plan(roll_id=roll_id)
    assert not plan.refused
    assignment = replace(roll.log.assignment, began_at=site.now())
    again = site.roll(recall(pool, plan, assignment, note=note, write=site.write))
    again.taken_up = True
    assert again.run() is RollState.COMPLETED
    assert set(site.phases(again).values()) == {Phase.DONE}
    assert len(site.cloud.rebuilds) == 6  # nobody twice
    assert (site.held_back(), site.broker.pools[POOL].provisioning) == ([], True)
    assert lost


def test_the_way_back_names_who_may_lose_something() -> None:
    site = Site(4)
    site.start().run()
    site.broker.log_in("desktop-2", "kim")
    pool = survey(site.definition, site.cloud, site.broker)
    way = find_way_back(pool)
    assert (way.image_id, len(way.names)) == (site.old.id, 4)
    assert any(line.startswith("desktop-2: somebody is") for line in way.used)
    site.clock.at(7200, lambda: site.broker.log_out("desktop-2"))
    site.lines.clear()
    roll = site.start(site.plan("small-v1", only=way.names, back=True), back=True)
    assert roll.run() is RollState.ROLLED_BACK
    assert images_of(site, site.names) == {site.old.id}
    assert (site.broker.cut, site.broker.pools[POOL].image) == ([], "small-v1")


def test_a_status_says_who_waits_for_what() -> None:
    site = Site(3, drain_deadline="6h", min_available=1)
    site.broker.log_in("desktop-2", "kim")
    roll = site.start()
    for _ in range(60):
        roll.turn()
        site.clock.sleep(60)
    lines = "\n".join(as_lines(roll.log, site.now()))
    assert "rolling: 2 done, 1 draining" in lines
    assert "somebody is on it" in lines
    assert "paused by this roll" in lines
    assert as_facts(roll.log)["desktops"]["desktop-2"]["phase"] == "draining"
    assert timedelta(0) < site.now() - roll.log.held["desktop-2"].since
