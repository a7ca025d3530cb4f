"""The moment before a disk is destroyed, and the moment after: every single guard by itself, whatever else would have helped."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from imagebuild.broker import Cap, Seat
from imagebuild.cloud import Server
from imagebuild.errors import (
    BrokerUnreachable,
    Busy,
    CloudRefused,
    CloudUnreachable,
    DeadlinePassed,
    ImagebuildError,
    Interrupted,
)
from imagebuild.pool.marks import PERSISTENT, ROLL_STATE
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.roll import Roll
from tests.unit.pool.rolling import POOL, Killed, Site

NO_HOLD = frozenset({Cap.SESSIONS, Cap.PROVISIONING})


def until(site: Site, roll: Roll, phase: Phase, name: str = "desktop-1") -> None:
    """Turn until the desktop has come to that phase."""
    for _ in range(200):
        if roll.log.held[name].phase is phase:
            return
        roll.turn()
        site.clock.sleep(15)
    raise AssertionError(f"{name} is {roll.log.held[name]}")


def at_the_last_look(site: Site, action: Callable[[Server], None]) -> None:
    """Let something happen when the server is looked at for the last time, and only then."""
    inner = site.cloud.server
    happened: list[str] = []

    def server(server_id: str) -> Server | None:
        found = inner(server_id)
        if found is not None and not happened:
            happened.append(found.name)
            action(found)
            return inner(server_id)
        return found

    site.cloud.server = server  # type: ignore[method-assign]


@pytest.mark.parametrize("method", ["rebuild", "replace"])
def test_who_logs_in_at_the_last_moment_keeps_the_desktop(method: str) -> None:
    site = Site(2, min_available=0, method=method, allow_unheld=True)
    site.broker.caps = NO_HOLD
    at_the_last_look(site, lambda server: site.broker.log_in(server.name, "kim"))
    site.clock.at(7200, lambda: site.broker.log_out("desktop-1"))
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert (site.broker.cut, site.broker.logins) == ([], 1)
    assert set(site.phases(roll).values()) == {Phase.DONE}


def test_a_lock_at_the_last_moment_is_respected() -> None:
    site = Site(2, min_available=0)
    at_the_last_look(site, lambda server: site.cloud.lock(server.id, "forensics"))
    roll = site.start()
    while "locked" not in roll.log.held["desktop-1"].reason:
        assert not roll.turn()
        site.clock.sleep(15)
    assert site.cloud.rebuilds == []
    assert (
        "rebuild_server" not in site.cloud.faults.calls
    )  # not even tried: an administrator's token would have done it
    assert roll.run() is RollState.COMPLETED
    assert roll.log.held["desktop-1"].phase is Phase.SKIPPED


def test_a_server_that_is_taken_out_of_the_pool_at_the_last_moment_is_left_alone() -> None:
    site = Site(2, min_available=0)
    at_the_last_look(site, lambda server: site.cloud.tag_server(server.id, site.definition.tag, present=False))
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert [name for name, _ in site.cloud.rebuilds] == ["desktop-2"]
    assert (site.phases(roll)["desktop-1"], site.held_back()) == (Phase.SKIPPED, [])


def test_nothing_is_done_before_the_broker_shows_that_it_holds_the_desktop_back() -> None:
    site = Site(2, min_available=0)
    record = site.broker.record("desktop-1")

    def undo() -> None:
        record.available = True

    for _ in range(3):  # it says yes, and forgets
        site.broker.between("set_available", undo)
    roll = site.start()
    until(site, roll, Phase.ACTING)
    assert record.available is False
    assert [name for name, available, _ in site.broker.reasons if not available] == ["desktop-1"] * 4


def test_two_looks_of_the_brokers_own_are_needed_not_two_of_ours() -> None:
    site = Site(2, min_available=0)
    inner = site.broker.seats
    first: list[datetime] = []

    def seats(pool: str, *, names: Sequence[str] = ()) -> Sequence[Seat]:
        """What is held back it knows at once; sessions it has counted once."""
        told = inner(pool, names=names)
        first.extend([one.observed_at for one in told if one.observed_at][:1] if not first else [])
        late = site.clock.now() > 2000
        return [one if late else replace(one, observed_at=first[0]) for one in told]

    site.broker.seats = seats  # type: ignore[method-assign]
    roll = site.start()
    acted: list[float] = []
    site.cloud.rebuild_fault = lambda server: acted.append(site.clock.now()) or ""  # type: ignore[func-returns-value]
    assert roll.run() is RollState.COMPLETED
    assert min(acted) > 2000


def test_a_broker_without_a_hold_is_believed_only_while_its_word_is_fresh() -> None:
    site = Site(6, min_available=0, max_unavailable=3, parallel_boots=1, allow_unheld=True)
    site.broker.caps = NO_HOLD
    site.broker.count_every = 600.0
    site.cloud.rebuild_seconds = lambda server: 1500.0  # the next one is empty long before there is room for its boot
    ages: list[float] = []
    inner = site.cloud.rebuild_server

    def rebuild(server_id: str, image_id: str, **more: object) -> None:
        counted_at, _ = site.broker._counted[POOL]
        ages.append(site.clock.now() - counted_at)
        inner(server_id, image_id, **more)

    site.cloud.rebuild_server = rebuild  # type: ignore[method-assign,assignment]
    assert site.start().run() is RollState.COMPLETED
    assert len(ages) == 6
    assert max(ages) <= 60


def test_who_locks_a_desktop_with_a_user_on_it_gets_it_back_at_once() -> None:
    site = Site(3, min_available=0)
    site.broker.log_in("desktop-2", "kim")
    roll = site.start()
    until(site, roll, Phase.DRAINING, "desktop-2")
    site.cloud.lock(site.server("desktop-2").id, "forensics")
    for _ in range(8):
        roll.turn()
        site.clock.sleep(60)
    assert "desktop-2" not in site.held_back()
    assert roll.run() is RollState.COMPLETED
    assert roll.log.held["desktop-2"].phase is Phase.SKIPPED


def test_nothing_is_begun_while_the_broker_is_silent() -> None:
    site = Site(4, bake_time="0")
    roll = site.start()
    until(site, roll, Phase.DONE)
    assert roll.flying == []
    before = len(site.broker.reasons)
    site.broker.faults.fail("seats", BrokerUnreachable("503"), times=20)
    for _ in range(8):
        roll.turn()
        assert roll.flying == []
        site.clock.sleep(60)
    assert len(site.broker.reasons) == before
    site.broker.faults._errors.clear()
    assert roll.run() is RollState.COMPLETED


@pytest.mark.parametrize("method", ["rebuild", "replace"])
def test_killed_before_the_call_the_user_is_looked_for_again(method: str) -> None:
    site = Site(2, min_available=0, method=method, allow_unheld=True)
    site.broker.caps = NO_HOLD
    roll = site.start()

    def kill(*args: object, **more: object) -> None:
        raise Killed

    name = "rebuild_server" if method == "rebuild" else "delete_server"
    inner = getattr(site.cloud, name)
    setattr(site.cloud, name, kill)
    with pytest.raises(Killed):
        roll.run()
    setattr(site.cloud, name, inner)
    assert roll.log.held["desktop-1"].phase is Phase.ACTING
    site.broker.log_in("desktop-1", "kim")  # while no process is there
    again = site.resume()
    for _ in range(8):
        again.turn()
        site.clock.sleep(15)
    assert site.broker.cut == []
    assert again.log.held["desktop-1"].phase is Phase.DRAINING
    site.broker.log_out("desktop-1")
    assert again.run() is RollState.COMPLETED
    assert again.log.held["desktop-1"].attempt == 1


@pytest.mark.parametrize("method", ["rebuild", "replace"])
def test_killed_after_the_call_it_is_not_done_twice(method: str) -> None:
    site = Site(2, min_available=0, method=method)
    roll = site.start()
    inner = site.write

    def write(event: str, **facts: object) -> None:
        if facts.get("accepted"):
            raise Killed
        inner(event, **facts)

    roll.log.write = write
    with pytest.raises(Killed):
        roll.run()
    assert site.lines[-1][1]["phase"] == "acting"
    again = site.resume()
    assert again.run() is RollState.COMPLETED
    calls = site.cloud.faults.calls
    assert calls.count("rebuild_server") + calls.count("delete_server") == 2
    assert len(site.broker.pools[POOL].records["desktop-1"]) == 1


@pytest.mark.parametrize("lost", [True, False])
def test_an_answer_that_is_lost_is_looked_for_on_the_server(lost: bool) -> None:
    site = Site(2, min_available=0)
    if lost:
        site.cloud.faults.lose_answer("rebuild_server")
    else:
        site.cloud.faults.fail("rebuild_server", CloudUnreachable("503"))
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert len(site.cloud.rebuilds) == 2
    assert {one.attempt for one in roll.log.held.values()} == {1}


def test_what_nova_refuses_is_told_and_the_desktop_goes_back_as_it_is() -> None:
    site = Site(6, max_failures=3, max_unavailable=1)
    roll = site.start()
    until(site, roll, Phase.DONE)
    site.cloud.faults.fail("rebuild_server", CloudRefused("403 policy"))
    assert roll.run() is RollState.COMPLETED
    failed = [one for one in roll.log.held.values() if one.phase is Phase.FAILED]
    assert len(failed) == 1
    assert failed[0].reason == "the cloud refused to rebuild it: 403 policy"
    assert (site.held_back(), failed[0].acted) == ([], False)


def test_a_rebuild_that_never_ends_is_given_up_and_left_for_a_person() -> None:
    site = Site(4, act_timeout="10m")
    site.cloud.rebuild_seconds = lambda server: 10_000.0
    roll = site.start()
    assert roll.run() is RollState.HALTED
    assert roll.log.held["desktop-1"].phase is Phase.QUARANTINED
    assert site.held_back() == ["desktop-1"]


def test_marks_of_others_on_a_server_survive_a_rebuild() -> None:
    site = Site(2, min_available=0)
    site.cloud.set_server_metadata(site.server("desktop-2").id, {"asset": "4711"})
    roll = site.start()
    site.clock.at(100, lambda: site.cloud.set_server_metadata(site.server("desktop-2").id, {"ticket": "17"}))
    assert roll.run() is RollState.COMPLETED
    metadata = site.server("desktop-2").metadata
    assert (metadata["asset"], metadata["ticket"]) == ("4711", "17")


def test_killed_right_after_a_desktop_was_held_back_that_takes_no_marks_it_still_comes_back() -> None:
    site = Site(3, min_available=0)
    site.cloud._set(site.server("desktop-3").id, status="ERROR", fault="disk", power_state=0)
    roll = site.start()

    inner = site.broker.set_available

    def set_available(seat: Seat, *, available: bool, reason: str) -> None:
        inner(seat, available=available, reason=reason)
        if seat.name == "desktop-3":
            raise Killed

    site.broker.set_available = set_available  # type: ignore[method-assign]
    with pytest.raises(Killed):
        roll.run()
    site.broker.set_available = inner  # type: ignore[method-assign]
    assert site.held_back() == ["desktop-3"]
    again = site.resume()
    assert again.run() is RollState.COMPLETED
    assert site.held_back() == []


@pytest.mark.parametrize(("ahead", "state"), [(5, Phase.DONE), (6, Phase.SKIPPED)])
def test_a_broker_whose_clock_is_ahead_is_not_believed_without_a_hold(ahead: int, state: Phase) -> None:
    site = Site(2, min_available=0, allow_unheld=True, drain_deadline="30m", bake_time="0")
    site.broker.caps = NO_HOLD
    inner = site.broker.seats

    def seats(pool: str, *, names: Sequence[str] = ()) -> Sequence[Seat]:
        told = inner(pool, names=names)
        return [
            replace(one, observed_at=one.observed_at and one.observed_at + timedelta(seconds=ahead)) for one in told
        ]

    site.broker.seats = seats  # type: ignore[method-assign]
    roll = site.start()
    until(site, roll, state)
    if state is Phase.SKIPPED:
        assert roll.log.held["desktop-1"].reason.startswith("the broker's clock is 6 s ahead of ours: ")
        assert site.cloud.rebuilds == []


@pytest.mark.parametrize("included", [False, True])
def test_one_that_has_become_somebodys_own_since_the_last_whole_listing_is_left_to_him(included: bool) -> None:
    site = Site(2, min_available=0, include_persistent=included)
    roll = site.start()
    until(site, roll, Phase.DRAINING, "desktop-2")
    site.cloud.set_server_metadata(site.server("desktop-2").id, {PERSISTENT: "yes"})
    assert roll.run() is RollState.COMPLETED
    assert ("desktop-2" in [name for name, _ in site.cloud.rebuilds]) is included
    if not included:
        assert roll.log.held["desktop-2"].phase is Phase.SKIPPED
        assert (
            site.broker.reasons.count(("desktop-2", False, "roll-1 brings small-v2")) == 1
        )  # not held back ever again
    assert site.held_back() == []


@pytest.mark.parametrize("when", ["before", "meanwhile", "last"])
def test_one_that_somebody_has_renamed_is_no_longer_what_its_user_is_on_by_the_brokers_word(when: str) -> None:
    site = Site(2, min_available=0)
    site.broker.add(POOL, "desktop-40").agent = "up"  # free, and left by a machine of last year

    def rename(server: Server) -> None:
        site.cloud._set(server.id, name="desktop-40")
        site.cloud._named["desktop-40"].append(site.cloud._named[server.name].pop())

    roll = site.start()
    if when == "last":
        at_the_last_look(site, rename)
    else:
        if when == "meanwhile":
            until(site, roll, Phase.DRAINING)
        rename(site.server("desktop-1"))
    assert roll.run() is RollState.COMPLETED
    assert (len(site.cloud.rebuilds), roll.log.held["desktop-1"].phase) == (1, Phase.SKIPPED)
    assert roll.log.held["desktop-1"].reason == "somebody has renamed its server: it is desktop-40 now"
    assert site.server("desktop-40").metadata[ROLL_STATE] == "skipped"
    assert site.held_back() == []
    assert "desktop-40" not in [name for name, available, _ in site.broker.reasons if not available]


def test_one_that_nova_does_not_switch_on_fails_alone() -> None:
    site = Site(4, max_failures=1, boot_timeout="10m", act_timeout="10m")
    site.cloud._set(site.server("desktop-3").id, status="SHUTOFF", power_state=4)
    inner = site.cloud.rebuild_server

    def rebuild(server_id: str, image_id: str, **more: Any) -> None:
        inner(server_id, image_id, **more)
        if server_id == site.server("desktop-3").id:
            site.clock.at(5, lambda: site.cloud.lock(server_id, "forensics"))

    site.cloud.rebuild_server = rebuild  # type: ignore[method-assign]
    roll = site.start()
    until(site, roll, Phase.BOOTING, "desktop-3")
    site.clock.sleep(15)
    roll.turn()
    assert roll.log.held["desktop-3"].reason.startswith("it does not start: 409 Instance ")
    assert roll.run() is RollState.COMPLETED
    assert site.phases(roll) == dict.fromkeys(site.names, Phase.DONE) | {"desktop-3": Phase.QUARANTINED}
    assert roll.log.held["desktop-3"].reason == "somebody has locked it: forensics"


@pytest.mark.parametrize(("error", "ends"), [(Busy, True), (Interrupted, True), (DeadlinePassed, False)])
def test_only_what_is_about_the_whole_roll_ends_its_process(error: type[ImagebuildError], ends: bool) -> None:
    site = Site(3, min_available=0)
    roll = site.start()
    site.cloud.faults.fail("rebuild_server", error("so it is"))
    if ends:
        with pytest.raises(error):
            roll.run()
    else:
        assert roll.run() is RollState.COMPLETED
        assert set(site.phases(roll).values()) == {Phase.DONE}


def test_a_journal_that_cannot_grow_ends_the_process_before_the_next_effect() -> None:
    site = Site(3)
    roll = site.start()

    def full(event: str, **facts: object) -> None:
        if event == "desktop":
            raise ImagebuildError("the journal cannot be written: No space left on device")

    roll.log.write = full
    begun = site.clock.now()
    with pytest.raises(ImagebuildError, match="No space left"):
        roll.run()
    assert site.clock.now() - begun < 60, "it has not tried again and again"
    assert site.cloud.rebuilds == []


def test_a_server_tells_that_its_desktop_is_quarantined_also_when_nova_was_away_at_that_moment() -> None:
    site = Site(4, retries=0, put_back=False, boot_timeout="5m")
    site.cloud.silent_agents = lambda server: True
    inner, away = site.cloud.set_server_metadata, [CloudUnreachable("503")]

    def mark(server_id: str, metadata: Mapping[str, str | None]) -> None:
        if metadata[ROLL_STATE] == "quarantined" and away:
            raise away.pop()
        inner(server_id, metadata)

    site.cloud.set_server_metadata = mark  # type: ignore[method-assign]
    assert site.start().run() is RollState.HALTED
    assert site.server("desktop-1").metadata[ROLL_STATE] == "quarantined"
    assert site.held_back() == ["desktop-1"]


def test_of_two_servers_of_one_name_none_is_taken_whatever_becomes_of_one_of_them() -> None:
    site = Site(8, max_unavailable=1, allow_unheld=True)
    site.broker.caps = NO_HOLD
    roll = site.start()
    until(site, roll, Phase.DONE)
    first = site.server("desktop-8")
    site.add_server("desktop-8")
    assert not roll.turn()
    site.clock.sleep(15)
    site.cloud._set(first.id, status="SHUTOFF", power_state=4)
    assert roll.run() is RollState.COMPLETED
    assert "desktop-8" not in [name for name, _ in site.cloud.rebuilds]
    assert roll.log.held["desktop-8"].phase is Phase.SKIPPED
    assert "2 servers are called desktop-8" in roll.log.held["desktop-8"].reason
