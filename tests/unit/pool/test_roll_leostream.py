"""Whole rolls with a broker that tells as little as Leostream does: assignments for sessions, old counts, no hold but a rule."""

import copy
import itertools
import random
from typing import Any

import pytest
import requests

from imagebuild.pool.model import Phase, RollState
from tests.unit.pool.leostream_site import LeostreamSite
from tests.unit.pool.rolling import images_of

DRAINS = ("attribute_rule", "none")


def image_of(site: LeostreamSite) -> str | None:
    return site.broker.standin.center.image_name(site.broker.pool["provision"]["provision_vm_id"])


@pytest.mark.parametrize("drain", DRAINS)
def test_everybody_gets_the_image_and_the_pool_is_as_it_was(drain: str) -> None:
    site = LeostreamSite(6, drain=drain)
    before = copy.deepcopy(site.broker.pool)
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert set(site.phases(roll).values()) == {Phase.DONE}
    assert images_of(site, site.names) == {site.new.id}
    assert image_of(site) == site.new.name
    before["provision"]["provision_vm_id"] = site.broker.pool["provision"]["provision_vm_id"]
    assert site.broker.pool == before
    assert site.broker.standin.state.wishes == [], "the broker has made no desktop by itself"


@pytest.mark.parametrize("drain", DRAINS)
def test_users_are_waited_for_and_nobody_is_cut_off(drain: str) -> None:
    site = LeostreamSite(6, drain=drain)
    seating = site.broker.standin.seating
    for user in ("ann", "bob"):
        seating.log_in(user, "staff")
    seating.disconnect("bob")
    site.clock.at(7200, lambda: seating.log_out("ann"))
    site.clock.at(9000, lambda: seating.log_out("bob"))
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert set(site.phases(roll).values()) == {Phase.DONE}
    assert (site.broker.verdict.sessions_cut, site.broker.verdict.logouts) == (0, 2)


@pytest.mark.parametrize("count_seconds", [10.0, 60.0, 300.0])
@pytest.mark.parametrize("seed", range(3))
def test_where_a_rule_holds_desktops_back_an_old_look_is_never_the_last(seed: int, count_seconds: float) -> None:
    """People come every few minutes all the time. Without the rule one or two in three hundred of them are cut off."""
    site = LeostreamSite(12, drain="attribute_rule", count_seconds=count_seconds)
    dice, seating, numbers = random.Random(seed), site.broker.standin.seating, itertools.count()

    def come() -> None:
        user = f"user-{next(numbers)}"
        if seating.log_in(user, "staff"):
            site.clock.at(dice.expovariate(1 / 900), lambda: seating.log_out(user))
        if site.clock.now() < 40_000:
            site.clock.at(dice.expovariate(1 / 150), come)

    come()
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert set(site.phases(roll).values()) == {Phase.DONE}
    assert site.broker.verdict.sessions_cut == 0
    assert site.broker.verdict.logins > 10


def test_a_broker_that_goes_away_between_its_image_and_its_switch_is_turned_on_again() -> None:
    site = LeostreamSite(4, drain="none", min_available=0, pause_broker_provisioning=False)
    provision = site.broker.pool["provision"]
    provision.update({"provision_on_off": 1, "provision_threshold": 0})
    wire, away = site.broker.wire, [0.0, 0.0]
    send = wire.send

    def cut_off(request: requests.PreparedRequest, **more: Any) -> requests.Response:
        if away[0] <= site.clock.now() < away[1]:
            raise requests.ConnectionError("gone")
        answer = send(request, **more)
        if request.method == "PUT" and not wire.puts[-1]["provision"]["provision_on_off"] and not away[1]:
            away[:] = [site.clock.now(), site.clock.now() + 120]
        return answer

    wire.send = cut_off  # type: ignore[method-assign]
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert away[1], "it was turned off, and cut off"
    assert (image_of(site), site.broker.pool["provision"]["provision_on_off"]) == (site.new.name, 1)


@pytest.mark.parametrize(
    "trouble",
    [
        {"forget_logins": 5},
        {"busy": 4, "busy_seconds": 10},
        {"lose_answers": 2},
        {"put_empties": True},
        {"scan_seconds": 300.0},
    ],
)
def test_a_broker_that_has_trouble_costs_time_and_nothing_else(trouble: dict[str, Any]) -> None:
    site = LeostreamSite(4, drain="attribute_rule")
    definition = copy.deepcopy(site.broker.pool["pool_definition"])
    roll = site.start()
    site.broker.standin.troubles.switch(trouble)
    assert roll.run() is RollState.COMPLETED
    assert set(site.phases(roll).values()) == {Phase.DONE}
    assert site.broker.pool["pool_definition"] == definition
    assert site.broker.pool["provision"]["provision_on_off"] == 1
    assert site.broker.verdict.sessions_cut == 0
