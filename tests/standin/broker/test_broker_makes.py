"""Rolls with `method: broker` through the tool's Leostream adapter: the stand-in broker makes the new desktops, and people are at work."""

from collections.abc import Mapping
from typing import Any

import pytest
from test_broker_roll import Office

from imagebuild.cloud import ServerRequest
from imagebuild.lab.broker.cloud_view import Refused
from imagebuild.pool.marks import pool_tag
from imagebuild.pool.model import Phase, RollState
from tests.unit.pool.rolling import POOL


class Making(Office):
    """The office whose broker provisions: it wants `threshold` desktops to be nobody's."""

    def __init__(self, size: int, *, users: int, seed: int, threshold: int, enforces: bool = False) -> None:
        super().__init__(size, users=users, seed=seed, method="broker", refills=True)
        wanted = {
            "provision_on_off": 1,
            "provision_threshold": threshold,
            "provision_max": 2 * size,
            "provision_limits_enforce": int(enforces),
            "provision_vm_name_next_value": size + 1,
        }
        self.provision.update(wanted)

    @property
    def provision(self) -> dict[str, Any]:
        """How the broker provisions the pool."""
        provision: dict[str, Any] = self.standin.state.pools[self.pool]["provision"]
        return provision

    def make(self, name: str, image: str, provision: Mapping[str, Any]) -> None:
        """A server that carries no mark of ours."""
        found = next(one.id for one in self.cloud._images.values() if one.name == image)
        request = ServerRequest(name=name, image_id=found, flavor_id=self.flavor.id, network_id=self.network.id)
        self.cloud._make_server(request, {})
        self.cloud._broker.pools[POOL].records.add(name.casefold())

    def remove(self, machine: str) -> None:
        """At once."""
        if machine in self.cloud._machines:
            self.cloud.delete_server(machine)


@pytest.mark.parametrize("seed", range(3))
def test_nobody_notices_and_the_broker_s_pool_is_as_it_was(seed: int) -> None:
    office = Making(10, users=5, seed=seed, threshold=4, enforces=seed % 2 == 1)
    rules = list(office.standin.state.pools[office.pool]["pool_definition"]["attributes"])
    assert office.roll_it() is RollState.COMPLETED
    verdict = office.standin.state.verdict
    assert (verdict.sessions_cut, verdict.logins_refused) == (0, 0), verdict.incidents
    assert verdict.logins > office.logins_before
    assert office.standin.state.pools[office.pool]["pool_definition"]["attributes"] == rules
    assert office.standin.center.image_name(office.provision["provision_vm_id"]) == office.new.name
    assert office.provision["provision_on_off"] == 1
    members = [one.server for one in office.cloud._machines.values() if pool_tag(POOL) in one.server.tags]
    assert {server.image_id for server in members} == {office.new.id}
    assert not any(office.has_server(name) for name in office.names)


def test_a_quota_that_is_used_up_halts_at_the_canary_with_the_broker_s_job(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Making(6, users=1, seed=2, threshold=4)

    def refuse(name: str, image: str, provision: Mapping[str, Any]) -> None:
        raise Refused("403 Quota exceeded")

    monkeypatch.setattr(office, "make", refuse)
    roll = office.start()
    assert roll.run() is RollState.HALTED
    assert "the broker has made no other" in roll.log.reason
    assert office.standin.pools.jobs[-1]["problem"] == "403 Quota exceeded"
    assert office.standin.center.image_name(office.provision["provision_vm_id"]) == office.old.name
    assert sum(one.phase is Phase.FAILED for one in roll.log.held.values()) == 1
