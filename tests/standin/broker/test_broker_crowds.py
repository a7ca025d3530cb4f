"""Simulated users that the broker itself sends to its pools: seeded, switched on and off through the portal, there again after a kill."""

from typing import Any

import pytest
from broker_wire import POOL, Site

from imagebuild.lab.broker.crowds import HASTY, Crowds
from imagebuild.lab.broker.portal import PortalService
from imagebuild.lab.broker.rest import Answer, Request
from imagebuild.lab.broker.state import Incident, load

NAMES = ("desktop-1", "desktop-2", "desktop-3")


class Day:
    """A site whose pool has users, on its simulated clock."""

    def __init__(self) -> None:
        self.site = Site(*NAMES)
        self.crowds = Crowds(self.site.broker)
        self.portal = PortalService(self.site.broker, self.crowds)

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        return self.portal.answer(Request(method, f"/portal/v1{path}", body))

    def pass_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            self.site.go_on(1.0)
            self.crowds.advance()

    def on_desktops(self) -> set[str]:
        return {one.user for one in self.site.broker.state.desktops if one.user}


@pytest.fixture
def day() -> Day:
    return Day()


def test_users_come_and_go_and_nobody_is_cut(day: Day) -> None:
    assert day.ask("POST", "/crowd", {"pool": POOL, "users": 3, "seed": 7}).status == 200
    day.pass_seconds(1800)
    verdict = day.ask("GET", "/verdict").body
    told = day.ask("GET", "/crowd").body[POOL]
    assert (told["users"], told["seed"], told["habits"]["work"]) == (3, 7, HASTY.work)
    assert told["diary"]["logins"] >= verdict["logins"] > 10
    assert (verdict["sessions_cut"], verdict["logins_refused"], told["diary"]["lost"]) == (0, 0, 0)
    assert all(user.startswith(f"{POOL}-user-000") for user in day.on_desktops())


def test_the_same_seed_wishes_the_same(day: Day) -> None:
    other = Day()
    for one in (day, other):
        one.ask("POST", "/crowd", {"pool": POOL, "users": 2, "seed": 5})
        one.pass_seconds(600)
    assert day.ask("GET", "/crowd").body == other.ask("GET", "/crowd").body
    assert day.ask("GET", "/verdict").body == other.ask("GET", "/verdict").body


def test_a_cut_session_is_in_the_verdict_until_it_begins_anew(day: Day) -> None:
    day.ask("POST", "/crowd", {"pool": POOL, "users": 3, "habits": {"away": 0.1, "work": 9000}})
    day.pass_seconds(10)
    assert len(day.on_desktops()) == 3
    day.site.cloud.change("desktop-2", mark="begun anew")
    day.pass_seconds(2)
    assert day.ask("GET", "/verdict").body["sessions_cut"] == 1
    assert day.ask("DELETE", "/verdict").body["incidents"] == []
    assert day.ask("GET", "/verdict").body["sessions_cut"] == 0


def test_sent_home_they_log_out(day: Day) -> None:
    day.ask("POST", "/crowd", {"pool": POOL, "users": 3, "habits": {"away": 0.1, "work": 9000}})
    day.pass_seconds(10)
    assert day.ask("POST", "/crowd", {"pool": POOL, "users": 0}).body == {}
    assert day.on_desktops() == set()
    day.pass_seconds(60)
    assert day.on_desktops() == set()
    assert day.ask("GET", "/verdict").body["sessions_cut"] == 0


def test_after_a_kill_they_find_their_sessions_again(day: Day) -> None:
    day.ask("POST", "/crowd", {"pool": POOL, "users": 2, "habits": {"away": 0.1, "work": 9000}})
    day.pass_seconds(10)
    broker = day.site.broker
    before = {one.name: one.user for one in broker.state.desktops}
    kept = load(broker.state.dump())
    assert kept.crowds == broker.state.crowds
    day.crowds = Crowds(broker)  # what a start does with the state that it reads
    day.pass_seconds(10)
    assert {one.name: one.user for one in broker.state.desktops} == before
    assert day.ask("GET", "/crowd").body[POOL]["diary"]["logins"] == 2


def test_a_pool_that_goes_takes_its_users_along_and_what_they_had_to_bear(day: Day) -> None:
    day.ask("POST", "/crowd", {"pool": POOL, "users": 2, "habits": {"away": 0.1, "work": 9000}})
    day.pass_seconds(10)
    machines, verdict = day.site.broker.machines, day.site.broker.state.verdict
    machines.ended(next(one.name for one in day.site.broker.state.desktops if one.user))
    verdict.note(Incident("sessions_cut", "kim", "elsewhere", 0.0, "of another pool"))
    assert verdict.sessions_cut == 2
    day.pass_seconds(1)
    assert day.ask("POST", "/forget-pool", {"pool": POOL}).status == 200
    assert (verdict.sessions_cut, [one.place for one in verdict.incidents]) == (1, ["elsewhere"])
    assert day.ask("GET", "/crowd").body == {}
    assert day.on_desktops() == set()
    assert POOL not in {pool["name"] for pool in day.site.broker.state.pools.values()}
    assert day.ask("POST", "/forget-pool", {"pool": POOL}).status == 400
    assert day.ask("POST", "/forget-pool", {"pool": "All Desktops"}).status == 400


@pytest.mark.parametrize(
    "body",
    [
        {"pool": "nobody's", "users": 1},
        {"pool": POOL},
        {"pool": POOL, "users": -1},
        {"pool": POOL, "users": True},
        {"pool": POOL, "users": 100_000},
        {"pool": POOL, "users": 1, "seed": "one"},
        {"pool": POOL, "users": 1, "habits": {"sleeps": 3}},
        {"pool": POOL, "users": 1, "habits": {"work": "long"}},
    ],
)
def test_what_is_no_crowd_is_refused_and_changes_nothing(day: Day, body: dict[str, Any]) -> None:
    day.ask("POST", "/crowd", {"pool": POOL, "users": 1})
    before = day.ask("GET", "/crowd").body
    assert day.ask("POST", "/crowd", body).status == 400
    assert day.ask("GET", "/crowd").body == before


def test_a_cloud_without_desktops_is_looked_at_only_in_scans() -> None:
    site = Site()
    site.cloud.silent = True
    site.go_on(1.0)
    site.cloud.silent = False
    site.cloud.add("desktop-9")
    site.scan()
    site.cloud.silent = True
    with pytest.raises(OSError, match="away"):
        site.go_on(1.0)
