"""The users' side of the stand-in broker: who gets what, and what counts as cut or refused."""

from collections.abc import Callable
from typing import Any

import pytest
from broker_wire import POOL, Site, sessions

from imagebuild.lab.broker.machines import LATELY
from imagebuild.lab.broker.portal import BASE, tell_verdict
from imagebuild.lab.broker.rest import Request
from imagebuild.lab.broker.state import KEPT, Incident, Verdict, load


@pytest.fixture
def site() -> Site:
    return Site("desktop-1", "desktop-2")


def ask(site: Site, path: str, **body: Any) -> tuple[int, Any]:
    answer = site.portal.answer(Request("POST", BASE + path, body))
    return answer.status, answer.body


def incidents(site: Site) -> list[tuple[str, str, str]]:
    return [(one.what, one.user, one.place) for one in site.broker.state.verdict.incidents]


def test_a_session_from_login_to_logout(site: Site) -> None:
    assert ask(site, "/login", user="ada", pool=POOL) == (200, {"desktop": "desktop-1"})
    assert ask(site, "/login", user="bob", pool=POOL) == (200, {"desktop": "desktop-2"})
    assert ask(site, "/disconnect", user="ada") == (200, {"had_session": True})
    assert [one.session for one in site.broker.state.desktops] == ["disconnected", "active"]
    assert ask(site, "/login", user="ada", pool=POOL) == (200, {"desktop": "desktop-1"})
    assert ask(site, "/logout", user="ada") == (200, {"had_session": True})
    assert ask(site, "/logout", user="ada") == (200, {"had_session": False})
    assert ask(site, "/disconnect", user="ada") == (200, {"had_session": False})
    told = tell_verdict(site.broker.state.verdict)
    assert (told["logins"], told["disconnects"], told["logouts"], told["incidents"]) == (2, 1, 1, [])


def test_who_finds_no_free_desktop_is_refused_and_counted_with_the_time(site: Site) -> None:
    for user in ("ada", "bob"):
        site.broker.seating.log_in(user, POOL)
    assert ask(site, "/login", user="eve", pool=POOL)[0] == 409
    told = tell_verdict(site.broker.state.verdict)
    assert told["logins_refused"] == 1
    assert told["incidents"] == [
        {
            "what": "logins_refused",
            "user": "eve",
            "place": POOL,
            "at": site.now().isoformat(timespec="milliseconds"),
            "why": "of 2 desktops 2 have a session, and no other is offered",
        }
    ]


def not_available(site: Site) -> None:
    ask(site, "/availability", desktop="DESKTOP-1", available=False)


def no_agent(site: Site) -> None:
    site.broker.machines.ended("desktop-1")


def left_out(site: Site) -> None:
    rule = {"vm_table_field": "name", "condition_type": "ne", "text_to_match": "DESKTOP-1"}
    site.broker.state.pools[site.pool]["pool_definition"]["attributes"].append(rule)


@pytest.mark.parametrize("away", [not_available, no_agent, left_out])
def test_what_is_not_offered_is_given_to_nobody_new(site: Site, away: Callable[[Site], None]) -> None:
    away(site)
    assert ask(site, "/login", user="ada", pool=POOL) == (200, {"desktop": "desktop-2"})
    assert ask(site, "/login", user="bob", pool=POOL)[0] == 409


def test_who_is_on_a_desktop_keeps_it_when_it_is_taken_from_others(site: Site) -> None:
    site.broker.seating.log_in("ada", POOL)
    site.broker.seating.disconnect("ada")
    not_available(site)
    left_out(site)
    assert ask(site, "/login", user="ada", pool=POOL) == (200, {"desktop": "desktop-1"})


def test_a_user_gets_the_desktop_that_he_had_else_the_one_that_rested_longest(site: Site) -> None:
    for user, desktop in (("ada", "desktop-2"), ("bob", "desktop-1")):
        site.clock.sleep(1)
        site.broker.seating.log_in_on(user, desktop)
    for user in ("ada", "bob"):
        site.broker.seating.log_out(user)
    site.clock.sleep(1)
    assert ask(site, "/login", user="eve", pool=POOL)[1] == {"desktop": "desktop-2"}
    site.broker.seating.log_out("eve")
    assert ask(site, "/login", user="eve", pool=POOL)[1] == {"desktop": "desktop-2"}
    assert ask(site, "/login", user="bob", pool=POOL)[1] == {"desktop": "desktop-1"}


@pytest.mark.parametrize(
    ("path", "body"),
    [("/login", {"user": "ada", "pool": "moon"}), ("/login", {}), ("/availability", {"desktop": "moon"})],
)
def test_what_makes_no_sense_is_refused(site: Site, path: str, body: dict[str, str]) -> None:
    assert ask(site, path, **body)[0] == 400
    assert site.portal.answer(Request("GET", f"{BASE}/nothing")).status == 404


def gone(site: Site) -> None:
    site.cloud.drop("desktop-1")
    site.go_on(1)


def stopped(site: Site) -> None:
    site.cloud.change("desktop-1", running=False)
    site.go_on(1)


def rebuilt(site: Site) -> None:
    site.cloud.change("desktop-1", mark="v2")
    site.go_on(1)


def rebooted(site: Site) -> None:
    site.boot("desktop-1")


def told(site: Site) -> None:
    site.broker.machines.ended("desktop-1")


@pytest.mark.parametrize("end", [gone, stopped, rebuilt, rebooted, told])
@pytest.mark.parametrize("session", ["active", "disconnected"])
def test_a_machine_that_ends_under_a_session_cuts_it_once(
    site: Site, end: Callable[[Site], None], session: str
) -> None:
    site.broker.seating.log_in("ada", POOL)
    if session == "disconnected":
        site.broker.seating.disconnect("ada")
    site.clock.sleep(1)
    end(site)
    site.go_on(1)
    assert incidents(site) == [("sessions_cut", "ada", "desktop-1")]
    assert list(sessions(site)) == []
    assert not site.broker.seating.log_out("ada")


@pytest.mark.parametrize("end", [gone, stopped, rebuilt, rebooted, told])
def test_a_machine_that_ends_with_nobody_on_it_harms_nobody(site: Site, end: Callable[[Site], None]) -> None:
    site.broker.seating.log_in("ada", POOL)
    site.broker.seating.log_out("ada")
    site.clock.sleep(1)
    end(site)
    assert incidents(site) == []


def test_a_rebuilt_desktop_is_offered_once_its_agent_has_reported(site: Site) -> None:
    rebuilt(site)
    assert [desktop.free for desktop in site.broker.state.desktops] == [False, True]
    site.boot("desktop-1")
    assert [desktop.free for desktop in site.broker.state.desktops] == [True, True]


def test_what_an_agent_said_before_its_machine_ended_counts_no_more(site: Site) -> None:
    site.clock.sleep(30)
    late = site.now().isoformat()
    site.clock.sleep(30)
    stopped(site)
    site.agents.append({"name": "desktop-1", "at": late})
    site.go_on()
    assert not site.broker.state.desktops[0].agent


def test_an_agent_that_nobody_knows_is_a_desktop_until_a_scan_finds_its_machine(site: Site) -> None:
    site.boot("desktop-7")
    assert site.names()[-1] == "DESKTOP-7"
    site.cloud.add("desktop-7")
    site.scan()
    assert [(one.machine, one.name) for one in site.broker.state.named("DESKTOP-7")] == [("server-3", "desktop-7")]
    assert site.broker.state.named("desktop-7")[0].agent


def test_what_an_older_machine_s_agent_said_does_not_count_for_a_new_one_of_its_name(site: Site) -> None:
    site.cloud.drop("desktop-1")
    site.scan()
    site.cloud.add("desktop-1")
    site.cloud.change("desktop-1", launched_at=site.now().timestamp())
    site.scan()
    (made,) = site.broker.state.named("desktop-1")
    assert not made.agent
    site.boot("desktop-1")
    assert made.agent


def test_a_desktop_that_no_center_has_is_forgotten_after_a_while(site: Site) -> None:
    site.boot("desktop-7", "desktop-8")
    site.broker.seating.log_in_on("ada", "desktop-8", assigned=False)
    site.go_on(LATELY)
    site.scan()
    assert site.names() == ["desktop-1", "desktop-2", "DESKTOP-8"]
    site.agents.append({"name": "desktop-9", "at": "2025-01-01T00:00:00+00:00"})
    site.go_on(1)
    assert site.broker.state.named("desktop-9") == []


def test_registrations_that_make_no_sense_are_nobodys(site: Site) -> None:
    before = site.names()
    site.agents += [{"name": 7}, {"at": "now"}, {"name": "desktop-9", "at": "soon"}, {"name": ""}]
    site.go_on()
    assert site.names() == before


def test_a_cloud_that_is_silent_changes_nothing_but_the_rest_goes_on(site: Site) -> None:
    site.broker.seating.log_in("ada", POOL)
    site.cloud.silent = True
    with pytest.raises(ConnectionRefusedError):
        site.go_on(30)
    assert incidents(site) == []
    assert site.tell()["pool_stats"]["total_connected"] == 1


def test_the_state_goes_through_a_file_unchanged(site: Site) -> None:
    site.broker.seating.log_in("ada", POOL)
    rebuilt(site)
    site.broker.center.begin_scan()
    text = site.broker.state.dump()
    assert load(text).dump() == text
    assert load(text) == site.broker.state


def test_many_incidents_are_counted_and_the_last_ones_remembered() -> None:
    verdict = Verdict()
    for number in range(KEPT + 10):
        verdict.note(Incident("logins_refused", f"user {number}", POOL, 0.0, ""))
    assert (verdict.logins_refused, len(verdict.incidents)) == (KEPT + 10, KEPT)
    assert verdict.incidents[-1].user == f"user {KEPT + 9}"


def test_troubles_are_switched_by_their_names(site: Site) -> None:
    assert ask(site, "/troubles", busy=2, scan_seconds=3)[1]["busy"] == 2
    assert ask(site, "/troubles", busy=1, nonsense=1)[0] == 400
    assert ask(site, "/troubles", busy="many")[0] == 400
    assert site.portal.answer(Request("GET", f"{BASE}/troubles")).body["busy"] == 2
