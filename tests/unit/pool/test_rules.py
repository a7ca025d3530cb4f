"""Who is begun, who is given back, when a roll halts: the rules by themselves."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imagebuild.broker import Seat
from imagebuild.pool.definition import Rules
from imagebuild.pool.model import Desktop, Phase, Trouble
from imagebuild.pool.progress import Note, Progress, as_facts, from_facts
from imagebuild.pool.roster import Lineup, Roster
from imagebuild.pool.rules import Pace, choose, free_desktops, occupied, taken_places, to_give_back, why_halt

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
WIDE = Pace(limit=10, spare=10, boots=10, room=10)


def seat(name: str, **more: Any) -> Seat:
    """One that nobody is on."""
    return Seat(
        **{"name": name, "pool": "staff", "session": "none", "availability": "available", "agent": "up", **more}
    )


def desktop(name: str, *, free: bool = True, **more: Any) -> Desktop:
    """A healthy one; not `free`: somebody is on it."""
    held = seat(name) if free else seat(name, session="active", assigned_user="kim")
    return Desktop(**{"id": name, "name": name, "status": "ACTIVE", "power_state": 1, "seat": held, **more})


def pending(*desktops: Desktop, **phases: Phase) -> tuple[Lineup, Roster]:
    """The pool by name and its progress; `phases` by name for those that are further."""
    held = Roster(
        Progress(
            name=one.name,
            server_id=one.id,
            method="rebuild",
            from_image_id="old",
            since=NOW - timedelta(hours=1),
            phase=phases.get(one.name, Phase.PENDING),
        )
        for one in desktops
    )
    return Lineup(desktops), held


def chosen(known: tuple[Lineup, Roster], *, pace: Pace = WIDE, now: datetime = NOW, **rules: Any) -> list[str]:
    """Who may be begun by these rules."""
    return list(choose(*known, rules=Rules.model_validate(rules), pace=pace, now=now))


@pytest.mark.parametrize(
    ("held", "more", "expected"),
    [
        (seat("a"), {}, False),
        (seat("a", session="active"), {}, True),
        (seat("a", session="disconnected"), {}, True),
        (seat("a", session="unknown"), {}, True),
        (seat("a", assigned_user="kim"), {}, True),
        (None, {}, True),
        (None, {"status": "SHUTOFF", "power_state": 4}, True),
        (None, {"status": "ERROR", "power_state": 1}, True),
        (None, {"status": "ERROR", "power_state": 0}, False),
    ],
)
def test_unknown_is_busy(held: Seat | None, more: dict[str, Any], expected: bool) -> None:
    assert occupied(desktop("a", seat=held, **more), Rules()) is expected


def test_a_disconnected_session_may_be_lost_only_where_the_rules_say_so() -> None:
    one = desktop("a", seat=seat("a", session="disconnected", assigned_user="kim"))
    assert not occupied(one, Rules(disconnected_is_busy=False))
    assert occupied(desktop("a", seat=seat("a", session="active")), Rules(disconnected_is_busy=False))


def test_broken_ones_first_then_free_ones_then_whoever_leaves_soonest() -> None:
    known = pending(
        desktop("working", free=False),
        desktop("away", seat=seat("away", session="disconnected", assigned_user="lee")),
        desktop("on"),
        desktop("off", status="SHUTOFF", power_state=4),
        desktop("broken", status="ERROR", fault="disk", power_state=4),
    )
    assert chosen(known) == ["broken", "off", "on", "away", "working"]
    assert chosen(known, order=["free", "broken"]) == ["on", "broken", "off", "away", "working"]


def test_one_whose_agent_is_silent_is_of_no_use_and_goes_with_the_broken_but_not_as_canary() -> None:
    silent = desktop("silent", seat=seat("silent", agent="down"))
    talking = desktop("talking", seat=seat("talking", agent="down", session="active", assigned_user="kim"))
    known = pending(desktop("off", status="SHUTOFF", power_state=4), desktop("on"), talking, silent)
    assert chosen(known) == ["silent", "off", "on", "talking"]
    assert chosen(known, pace=replace(WIDE, room=1, canary=True)) == ["on"]
    assert chosen(known, pace=replace(WIDE, spare=0)) == ["silent", "off", "talking"]  # no user loses a free one by it


def test_the_canary_is_free_and_healthy_or_the_one_that_is_named() -> None:
    known = pending(desktop("ill", status="ERROR", fault="x"), desktop("busy", free=False), desktop("good"))
    canary = replace(WIDE, room=1, canary=True)
    assert chosen(known, pace=canary) == ["good"]
    assert chosen(known, pace=canary, canary_names=["BUSY"]) == ["busy"]
    assert chosen(pending(desktop("busy", free=False)), pace=canary) == []


def test_the_floor_is_of_free_desktops_that_run() -> None:
    known = pending(*(desktop(name) for name in "abcd"), desktop("off", status="SHUTOFF", power_state=4))
    assert free_desktops(known[0], {"a"}) == 3
    assert chosen(known, pace=replace(WIDE, spare=1)) == ["off", "a"]
    assert chosen(known, pace=replace(WIDE, spare=0)) == ["off"]


def test_at_the_floor_a_busy_one_may_still_be_waited_for() -> None:
    known = pending(desktop("free"), desktop("busy", free=False))
    assert chosen(known, pace=replace(WIDE, spare=0)) == ["busy"]


def test_places_boots_and_room_bound_each_other() -> None:
    names = "abcdef"
    known = pending(*(desktop(name) for name in names), a=Phase.CHECKING, b=Phase.DRAINED)
    assert chosen(known, pace=replace(WIDE, limit=4)) == ["c", "d"]
    assert chosen(known, pace=replace(WIDE, boots=2)) == ["c"]  # one is drained and waits for its boot already
    assert chosen(known, pace=replace(WIDE, room=1)) == ["c"]
    assert chosen(known, pace=replace(WIDE, limit=2)) == []


def test_one_with_a_user_takes_no_place_while_it_waits() -> None:
    desktops, held = pending(desktop("a", free=False), desktop("b"), a=Phase.DRAINING, b=Phase.DRAINING)
    assert taken_places(desktops, held, rules=Rules(), now=NOW) == 1


def test_no_more_users_are_waited_for_than_places_are_left_for_their_desktops() -> None:
    desktops, held = pending(*(desktop(name, free=False) for name in "abcd"), a=Phase.ACTING, b=Phase.DRAINING)
    assert chosen((desktops, held), pace=replace(WIDE, limit=1)) == []
    assert chosen((desktops, held), pace=replace(WIDE, limit=3)) == ["c"]
    assert chosen((desktops, held), pace=replace(WIDE, limit=4)) == ["c", "d"]


def test_a_place_rests_before_it_is_taken_again() -> None:
    desktops, held = pending(desktop("a"), desktop("b"), a=Phase.DONE)
    held.put(replace(held["a"], since=NOW - timedelta(seconds=20), acted=True))
    pace = replace(WIDE, limit=1)
    assert chosen((desktops, held), pace=pace, batch_pause="30s") == []
    assert chosen((desktops, held), pace=pace, batch_pause="20s") == ["b"]


def test_who_is_locked_or_gone_is_not_begun() -> None:
    locked = desktop("a", troubles=(Trouble("locked", "somebody has locked it", excludes=True),))
    _, held = pending(locked, desktop("b"), desktop("c"))
    assert chosen((Lineup([locked, desktop("c")]), held)) == ["c"]


def test_nothing_is_begun_outside_the_window() -> None:
    known = pending(desktop("a"))
    window = {"hours": "22:00-05:00", "time_zone": "Asia/Seoul"}
    assert chosen(known, window=window) == []  # 21:00 there
    assert chosen(known, window=window, now=NOW + timedelta(hours=1)) == ["a"]


def given_back(known: tuple[Lineup, Roster], pace: Pace, **rules: Any) -> list[str]:
    wanted = Rules.model_validate(rules)
    return [name for name, _ in to_give_back(*known, rules=wanted, pace=pace, now=NOW)]


def test_what_users_need_is_given_back_the_last_begun_first_and_no_more_than_they_need() -> None:
    desktops, held = pending(*(desktop(name) for name in "abc"), a=Phase.DRAINED, b=Phase.DRAINING, c=Phase.ACTING)
    held.put(replace(held["b"], since=NOW))
    assert given_back((desktops, held), replace(WIDE, spare=-1)) == ["b"]
    assert given_back((desktops, held), replace(WIDE, spare=-5)) == ["b", "a"]  # what is acted on cannot be
    assert given_back((desktops, held), WIDE) == []
    silent = Lineup([desktops["a"], desktop("b", seat=seat("b", agent="down")), desktops["c"]])
    assert given_back((silent, held), replace(WIDE, spare=-1)) == ["a"]  # b would help no user


def test_one_whose_user_left_when_all_places_were_taken_goes_back_for_now() -> None:
    known = pending(desktop("a"), desktop("b"), a=Phase.ACTING, b=Phase.DRAINING)
    assert given_back(known, replace(WIDE, limit=1)) == ["b"]


def test_a_closed_window_gives_back_what_is_not_begun() -> None:
    known = pending(desktop("a", free=False), desktop("b"), a=Phase.DRAINING, b=Phase.CHECKING)
    assert given_back(known, WIDE, window={"hours": "01:00-02:00", "time_zone": "UTC"}) == ["a"]


def test_failures_are_counted_against_the_pools_size() -> None:
    names = [f"d{number}" for number in range(4)]
    desktops, held = pending(*(desktop(name) for name in names), d0=Phase.FAILED, d1=Phase.QUARANTINED)

    def halts(size: int, **more: Any) -> str | None:
        return why_halt(held, desktops, rules=Rules(), size=size, **{"canaries": (), **more})

    assert halts(40) is None  # 5 % are two
    assert "2 desktops failed, 1 may" in (halts(10) or "")
    assert halts(10, forgiven=("d0",)) is None
    assert "the canary d0 failed" in (halts(40, canaries=("d0",), forgiven=("d0",)) or "")


def test_progress_and_note_come_back_from_what_was_written() -> None:
    _, held = pending(desktop("a"))
    before = held["a"]
    after = replace(before.to(Phase.ACTING, NOW, addresses=("10.0.0.9",)), free_since=NOW, outcome=Phase.FAILED)
    assert from_facts(as_facts(before)) == before
    written = as_facts(after, before)
    assert "method" not in written
    assert from_facts(written, before) == after
    note = Note(to_image_id="image", attempt=2, held=True, provisioning=True)
    assert Note.read(str(note)) == note
    assert len(str(replace(note, to_image_id="x" * 36, was_off=True, back=True, going_back=True))) < 255
    assert Note.read("something else") is None
