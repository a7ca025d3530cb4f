"""What a turn finds without a look at every desktop."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from imagebuild.broker import Seat
from imagebuild.pool.model import Desktop, Phase
from imagebuild.pool.progress import Progress
from imagebuild.pool.roster import Lineup, Roster

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def progress(name: str, phase: Phase = Phase.PENDING, *, server_id: str = "") -> Progress:
    return Progress(
        name=name, server_id=server_id or name, method="replace", from_image_id=None, phase=phase, since=NOW
    )


def desktop(server_id: str, name: str = "", **more: str) -> Desktop:
    seat = Seat(name=name or server_id, pool="staff", session="none", availability="available", agent="up")
    return Desktop(**{"id": server_id, "name": name or server_id, "status": "ACTIVE", "seat": seat, **more})


def test_a_desktop_is_in_one_group_at_a_time() -> None:
    held = Roster([progress("a"), progress("b"), progress("c", Phase.DONE)])
    assert (list(held), list(held.pending), list(held.flying), list(held.ended)) == (
        ["a", "b", "c"],
        ["a", "b"],
        [],
        ["c"],
    )
    for phase in (Phase.DRAINING, Phase.DRAINED, Phase.ACTING):
        held.put(progress("a", phase))
    assert (list(held.pending), list(held.flying)) == (["b"], ["a"])
    assert (held.counts[Phase.ACTING], held.counts[Phase.DRAINED], held.counts[Phase.PENDING]) == (1, 0, 1)
    held.put(progress("a"))
    assert list(held.pending) == ["b", "a"], "one that was given back comes after the others"
    held.put(progress("new", Phase.BOOTING))
    assert list(held) == ["a", "b", "c", "new"]


def test_failures_are_kept_apart_whatever_their_phase() -> None:
    held = Roster([progress("a")])
    held.put(replace(progress("a", Phase.CHECKING), going_back=True))
    assert list(held.failed) == ["a"]
    held.put(progress("a", Phase.DONE))
    assert not held.failed


def test_who_ended_of_late_is_found_from_the_end() -> None:
    held = Roster(progress(name, Phase.CHECKING) for name in "abc")
    for minutes, name in enumerate("cab"):
        held.put(held[name].to(Phase.DONE, NOW + timedelta(minutes=minutes)))
    assert [one.name for one in held.ended_since(NOW)] == ["b", "a"]


def test_a_lineup_follows_what_comes_changes_and_goes() -> None:
    held, seen = Roster([progress("a"), progress("b")]), Lineup()
    seen.meet({"a": desktop("a"), "b": desktop("b"), "x": desktop("x")}, held)
    assert (sorted(seen), sorted(seen.offered), seen.unwell) == (["a", "b", "x"], ["a", "b", "x"], set())
    silent = desktop("b", seat=replace(desktop("b").seat, agent="down"))
    seen.meet({"a": desktop("a", status="SHUTOFF"), "b": silent}, held)
    assert (sorted(seen), sorted(seen.offered), seen.unwell) == (["a", "b"], [], {"b", "x"})
    seen.meet({"a": desktop("a")}, held)
    assert (sorted(seen), sorted(seen.offered), seen.unwell) == (["a"], ["a"], {"b", "x"})


def test_of_two_servers_of_a_name_the_one_in_hand_counts() -> None:
    held, seen = Roster([progress("a", Phase.ACTING, server_id="old")]), Lineup()
    seen.meet({"old": desktop("old", "a"), "new": desktop("new", "a")}, held)
    assert seen["a"].id == "old"
    held.put(progress("a", Phase.BOOTING, server_id="new"))
    seen.meet({"old": desktop("old", "a"), "new": desktop("new", "a")}, held)
    assert seen["a"].id == "new"


def test_one_that_is_gone_when_a_roll_is_taken_up_is_not_well() -> None:
    seen = Lineup()
    seen.meet({"a": desktop("a")}, Roster([progress("a", Phase.DONE), progress("b", Phase.DONE)]))
    assert seen.unwell == {"b"}


def test_who_follows_one_goes_by_its_name() -> None:
    held, seen = Roster([progress("a"), progress("b")]), Lineup()
    servers = {"a": desktop("a"), "b": desktop("b"), "n": desktop("n")}
    seen.meet(servers, held)
    held.put(replace(progress("a", phase=Phase.BOOTING), server_id="n", follower="n"))
    del servers["a"]
    seen.meet(servers, held)
    assert (sorted(seen), seen["a"].id, sorted(seen.offered)) == (["a", "b"], "n", ["a", "b"])
    servers["n"] = desktop("n", status="SHUTOFF")
    seen.meet(servers, held)
    assert (seen["a"].status, sorted(seen.offered)) == ("SHUTOFF", ["b"])
    held.put(replace(held["a"], phase=Phase.DONE))
    del servers["n"]
    seen.meet(servers, held)
    assert (sorted(seen), held.name_of("n"), held.name_of("b")) == (["b"], "a", "b")


def test_one_that_the_broker_wanted_no_other_for_is_done_without() -> None:
    held = Roster([progress("a", phase=Phase.DONE), replace(progress("b", phase=Phase.DONE), server_id="")])
    assert (held.counts[Phase.DONE], held.without) == (2, {"b"})
