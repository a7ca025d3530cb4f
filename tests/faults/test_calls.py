"""Every call of the cloud in every bad weather, on real services: what creates makes one thing, what reads tells the truth."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple
from uuid import uuid4

import pytest

from imagebuild.cloud import OWNER_KEY, Owned
from tests.faults.calls import CALLS, CHAINS, CHANGES, CREATES, DISCOVERIES, READS, Standing
from tests.faults.conftest import Site
from tests.faults.matrix import Outcome, Ways, crossed
from tests.faults.proxy import Fault, Rule, Weather

pytestmark = pytest.mark.lab
WAYS = 16  # most calls wait for what the service has asked for, or for it to settle


@pytest.fixture(scope="module")
def standing(site: Site) -> Iterator[Standing]:
    """A stopped server, and a record."""
    owner = f"{site.owner}-standing"
    try:
        server = site.cloud.create_server(site.request, owner=owner, role="builder")
        image = site.cloud.reserve_image(str(uuid4()), "faults", properties={OWNER_KEY: owner})
        site.wait(lambda: _status(site, server.id) == "ACTIVE", "the server")
        site.cloud.stop_server(server.id)
        site.wait(lambda: _status(site, server.id) == "SHUTOFF", "the server to stop")
        stopped = site.cloud.server(server.id)
        assert stopped and image
        yield Standing(site, stopped, image, owner)
    finally:
        site.sweep(owner)


def _status(site: Site, server_id: str) -> str:
    server = site.cloud.server(server_id)
    assert server is not None
    return server.status if server.task_state is None else "under way"


@pytest.fixture(scope="module")
def ways(site: Site) -> Iterator[Ways]:
    """Ways through bad weather."""
    with Ways(site, WAYS).opened() as opened:
        yield opened


class Made(NamedTuple):
    """What came of a creating call, what then stood of its owner, and the ports that its group lets in."""

    outcome: Outcome
    owned: Owned
    ports: list[int]


@pytest.fixture(scope="module")
def made(standing: Standing, ways: Ways) -> dict[tuple[str, Fault], Made]:
    """Every creating call in every weather; those of a chain come one after the other, beside all else."""

    def create(name: str, fault: Fault) -> Made:
        owner = f"{standing.owner}-{name.replace(' ', '-')}-{fault.name.lower()}"
        try:
            method, place, run = CALLS[name]
            outcome = ways.attempt(Rule(method, place, fault), lambda cloud: run(standing, cloud, owner))
            owned = standing.site.cloud.owned(owner).get(owner, Owned())
            for image in owned.images if name == "snapshot" else ():
                standing.site.wait(partial(_is_complete, standing.site, image.id), "the image")
            return Made(
                outcome, owned, [port for group in owned.security_groups for port in _ports(standing, group.id)]
            )
        finally:
            standing.site.sweep(owner)

    def create_all(chain: list[tuple[str, Fault]]) -> dict[tuple[str, Fault], Made]:
        return {(name, fault): create(name, fault) for name, fault in chain}

    chains = [*CHAINS, *([key] for key in crossed(CREATES))]
    found = ways.all({number: partial(create_all, chain) for number, chain in enumerate(chains)})
    return {key: value for each in found.values() for key, value in each.items()}


def _is_complete(site: Site, image_id: str) -> bool:
    image = site.cloud.image(image_id)
    return image is not None and image.status == "active"


def _ports(there: Standing, group_id: str) -> list[int]:
    neutron = there.site.cloud._networks._neutron
    rules = neutron.list(
        "/security-group-rules", "security_group_rules", doing="look", params={"security_group_id": group_id}
    )
    return sorted(rule["port_range_min"] for rule in rules if rule["direction"] == "ingress")


@pytest.fixture(scope="module")
def read(standing: Standing, ways: Ways) -> dict[tuple[str, Fault], Outcome]:
    """Every reading and changing call in every weather."""

    def attempt(name: str, fault: Fault) -> Outcome:
        method, place, run = CALLS[name]
        way = ways.attempt_anew if name in DISCOVERIES else ways.attempt
        return way(
            Rule(method, place, fault), lambda cloud: run(standing, cloud, f"{name} {fault.name}".replace(" ", "-"))
        )

    return ways.all({key: partial(attempt, *key) for key in crossed({**READS, **DISCOVERIES, **CHANGES})})


@pytest.mark.parametrize(("name", "fault"), [*crossed(CREATES), *(key for chain in CHAINS for key in chain)], ids=str)
def test_what_creates_makes_exactly_one_thing(made: dict[tuple[str, Fault], Made], name: str, fault: Fault) -> None:
    outcome, owned, ports = made[name, fault]
    assert outcome.met == 1, "the weather has struck"
    things = [*owned.servers, *owned.volumes, *owned.security_groups, *owned.images]
    assert [thing.id for thing in things] == [getattr(outcome.result, "id", outcome.result)]
    assert ports == ([5985, 5986] if owned.security_groups else [])


@pytest.mark.parametrize(("name", "fault"), crossed({**READS, **DISCOVERIES}), ids=str)
def test_what_reads_tells_what_is_so(
    read: dict[tuple[str, Fault], Outcome], standing: Standing, name: str, fault: Fault
) -> None:
    outcome = read[name, fault]
    assert outcome.met == (0 if name in DISCOVERIES and fault is Fault.EXPIRED else 1), "they are asked without a token"
    assert outcome.result == CALLS[name].run(standing, standing.site.cloud, "")
    assert outcome.result or name == "console_log", "an empty answer would show nothing"


@pytest.mark.parametrize(("name", "fault"), crossed(CHANGES), ids=str)
def test_what_changes_is_changed(read: dict[tuple[str, Fault], Outcome], name: str, fault: Fault) -> None:
    assert read[name, fault] == Outcome(1, True)


def test_a_token_that_expires_is_renewed_and_the_call_goes_on(site: Site) -> None:
    weather = Weather([Rule("GET", r"compute/v2\.1/servers/detail$", Fault.EXPIRED, nth=nth) for nth in (1, 3)])
    with site.through(weather) as cloud:
        for _ in range(3):
            assert cloud.owned(f"{site.owner}-nobody") == {}
    assert len(weather.met()) == 2
    assert Counter(call.place for call in weather.calls)["identity/v3/auth/tokens"] == 3


def test_counts(
    made: dict[tuple[str, Fault], Made],
    read: dict[tuple[str, Fault], Outcome],
    site: Site,
    record_property: Callable[[str, object], None],
) -> None:
    struck = sum(each.outcome.met for each in made.values()) + sum(each.met for each in read.values())
    record_property("told", f"{len(made)} creating and {len(read)} other calls, struck {struck} times")
    assert not [
        owner for owner in site.cloud.owned() if owner.startswith(site.owner) and not owner.endswith("-standing")
    ]
