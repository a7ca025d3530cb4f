"""Server groups: a desktop that is replaced stays in the group that it has, new ones join the pool's; what stands against it is told."""

from dataclasses import replace
from typing import Any

import pytest

from imagebuild.cloud import Server, ServerGroup
from imagebuild.errors import CloudRefused, NotFound, StepFailed
from imagebuild.pool.marks import PERSISTENT
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.network import make_network
from imagebuild.pool.provision import Made, create_desktops, find_parts
from imagebuild.pool.server_groups import explain_fault, pick_group
from imagebuild.pool.situation import Finding
from imagebuild.report import SilentReport
from tests.unit.pool import pools, rolling
from tests.unit.pool.rolling import Killed

INTRANET = {"subnet": "10.0.0.0/8", "dns": ["10.0.0.2"], "rdp_from": ["10.0.0.0/8"], "reach": ["10.0.0.0/8"]}


def rolled(size: int = 3, *, members: int = 0, policy: str = "anti-affinity", **rules: Any) -> rolling.Site:
    """A pool that is replaced, with the group `spread`; the first `members` of its desktops are in it."""
    site = rolling.Site(size, method="replace", min_available=0, **rules)
    group = site.cloud.add_server_group("spread", policy)
    for name in site.names[:members]:
        site.cloud.put_in_group(site.server(name).id, group.id)
    return site


def spread(cloud: Any) -> ServerGroup:
    group: ServerGroup = next(one for one in cloud.server_groups() if one.name == "spread")
    return group


def in_group(site: rolling.Site) -> list[str]:
    return [name for name in site.names if site.server(name).id in spread(site.cloud).members]


def told(plan: Any) -> list[Finding]:
    return [one for one in plan.findings if one.name == "server group"]


class TestRoll:
    def test_a_follower_is_made_in_the_group_of_the_server_that_it_replaces(self) -> None:
        site = rolled(3, members=2)
        before = {site.server(name).id for name in site.names}
        assert site.start().run() is RollState.COMPLETED
        assert in_group(site) == ["desktop-1", "desktop-2"]
        assert before.isdisjoint(site.server(name).id for name in site.names)

    def test_one_without_a_group_joins_the_one_that_the_pool_s_file_names(self) -> None:
        site = rolled(3, members=1)
        other = site.cloud.add_server_group("other")
        site.definition = site.definition.model_copy(update={"server_group": "other"})
        assert site.start().run() is RollState.COMPLETED
        assert in_group(site) == ["desktop-1"]
        assert {one.id: len(one.members) for one in site.cloud.server_groups()}[other.id] == 2

    def test_a_rebuild_stays_where_it_is_and_asks_for_no_group(self) -> None:
        site = rolled(2, members=2)
        site.definition = rolling.a_pool(2, min_available=0)
        site.cloud.faults.calls.clear()
        assert site.start().run() is RollState.COMPLETED
        assert "server_groups" not in site.cloud.faults.calls
        assert in_group(site) == ["desktop-1", "desktop-2"]

    def test_a_group_that_is_gone_by_then_is_not_asked_for(self) -> None:
        site = rolled(2, members=2)
        roll = site.start()
        site.cloud.remove_server_group(spread(site.cloud).id)
        assert roll.run() is RollState.COMPLETED
        assert {site.cloud.server(site.server(name).id).group_id for name in site.names} == {None}  # type: ignore[union-attr]

    def test_what_else_stands_on_a_server_stands_on_its_follower(self) -> None:
        site = rolled(2, include_persistent=True)
        before = site.server("desktop-1")
        site.cloud.set_server_metadata(before.id, {PERSISTENT: "yes", "cost_centre": "4711"})
        site.cloud.tag_server(before.id, "kiosk")
        assert site.start().run() is RollState.COMPLETED
        after = site.server("desktop-1")
        assert (after.metadata[PERSISTENT], after.metadata["cost_centre"]) == ("yes", "4711")
        assert set(after.tags) == {"kiosk", "vdi-pool=staff"}
        assert after.metadata["vdi_image_version"] == "small-v2", "what it says of its image is of the new one"

    def test_killed_between_the_old_server_and_the_new_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        site = rolled(3, members=3)

        def killed(request: Any, *, pool: str, is_new: bool = False) -> Server:
            raise Killed

        monkeypatch.setattr(site.cloud, "create_desktop", killed)
        with pytest.raises(Killed):
            site.start().run()
        monkeypatch.undo()
        site.clock.sleep(60)
        assert not site.has_server("desktop-1"), "nobody but the journal knows its group"
        assert site.resume().run() is RollState.COMPLETED
        assert in_group(site) == site.names

    def test_a_replaced_one_frees_its_place_first(self) -> None:
        site = rolled(3, members=3)
        site.cloud.limits = replace(site.cloud.limits, group_members=3)
        site.cloud.hosts = 3
        assert site.start().run() is RollState.COMPLETED
        assert in_group(site) == site.names

    def test_where_no_host_is_left_the_group_is_told(self) -> None:
        site = rolled(2, members=2, retries=0, put_back=False)
        roll = site.start()
        site.cloud.hosts = 1
        assert roll.run() is RollState.HALTED
        failed = next(one for one in roll.log.held.values() if one.phase is Phase.QUARANTINED)
        assert "No valid host was found" in failed.reason
        assert f"openstack server group show {spread(site.cloud).id}" in failed.reason


class TestPlan:
    def test_it_tells_group_policy_and_members(self) -> None:
        site = rolled(3, members=2, policy="soft-anti-affinity")
        ok, warn = told(site.plan())
        assert (ok.level, ok.words) == ("ok", "spread (soft-anti-affinity) has 2 servers, to be replaced in it: 2")
        assert (warn.level, warn.todo) == ("warn", "server_group: spread")
        site.definition = site.definition.model_copy(update={"server_group": "spread"})
        (only,) = told(site.plan())
        assert only.words == "spread (soft-anti-affinity) has 2 servers, to join it: 1, to be replaced in it: 2"

    def test_of_groups_of_others_it_says_nothing(self) -> None:
        assert told(rolled(3).plan()) == []

    @pytest.mark.parametrize(("limit", "level"), [(3, "ok"), (2, "refuse")])
    def test_a_group_that_would_be_too_full_refuses(self, limit: int, level: str) -> None:
        site = rolled(3, members=2, policy="soft-anti-affinity")
        site.definition = site.definition.model_copy(update={"server_group": "spread"})
        site.cloud.limits = replace(site.cloud.limits, group_members=limit)
        (finding,) = told(site.plan())
        assert finding.level == level
        assert ("server_group_members" in str(finding)) == (level == "refuse")

    @pytest.mark.parametrize(
        ("policy", "members", "level"),
        [
            ("anti-affinity", 2, "warn"),
            ("anti-affinity", 3, "ok"),
            ("soft-anti-affinity", 2, "ok"),
            ("affinity", 2, "ok"),
        ],
    )
    def test_who_joins_one_that_has_a_place_a_host_may_find_none(self, policy: str, members: int, level: str) -> None:
        site = rolled(3, members=members, policy=policy)
        site.definition = site.definition.model_copy(update={"server_group": "spread"})
        (finding,) = told(site.plan())
        assert finding.level == level
        assert ("soft-anti-affinity" in finding.todo) == (level == "warn")

    @pytest.mark.parametrize(("method", "level"), [("replace", "refuse"), ("rebuild", "warn")])
    def test_one_that_is_not_there(self, method: str, level: str) -> None:
        site = rolling.Site(2, method=method, min_available=0)
        site.definition = site.definition.model_copy(update={"server_group": "nowhere"})
        (finding,) = told(site.plan())
        assert finding.level == level
        assert "server group create --policy soft-anti-affinity nowhere" in finding.todo


class TestCreate:
    def site(self, size: int = 4, **limits: int) -> pools.Site:
        site = pools.a_site(0, size=size, intranet=INTRANET, server_group="spread")
        site.cloud.limits = replace(site.cloud.limits, **{"instances": size, **limits})
        make_network(site.definition, site.cloud, report=SilentReport())
        return site

    def create(self, site: pools.Site) -> Made:
        parts = find_parts(site.definition, site.cloud, version=site.to)
        return create_desktops(site.definition, site.cloud, parts, report=SilentReport(), clock=site.clock)

    def test_new_desktops_join_the_pool_s(self) -> None:
        site = self.site()
        site.cloud.add_server_group("spread")
        self.create(site)
        assert set(spread(site.cloud).members) == {one.id for one in site.cloud.servers()}

    def test_one_that_is_not_there_is_told_with_the_command_that_makes_it(self) -> None:
        with pytest.raises(NotFound, match="no server group spread") as caught:
            self.create(self.site())
        assert "server group create" in caught.value.hint

    def test_nothing_is_made_where_it_has_too_few_places(self) -> None:
        site = self.site(4, group_members=3)
        site.cloud.add_server_group("spread")
        with pytest.raises(CloudRefused, match=r"places in the server group spread .*: 4 needed, 3 left"):
            self.create(site)
        assert site.cloud.servers() == ()

    def test_where_no_host_is_left_it_stops_and_says_why(self) -> None:
        site = self.site()
        site.cloud.add_server_group("spread", "anti-affinity")
        site.cloud.hosts = 2
        with pytest.raises(StepFailed) as caught:
            self.create(site)
        assert "No valid host was found" in caught.value.details[0]
        assert "openstack server group show spread" in caught.value.details[0]


def test_a_name_that_several_have_is_nobody_s_to_guess_about() -> None:
    groups = [ServerGroup("g1", "spread", "affinity"), ServerGroup("g2", "spread", "anti-affinity")]
    with pytest.raises(CloudRefused, match="2 server groups are called spread") as caught:
        pick_group(pools.define(server_group="spread"), groups)
    assert "g1, g2" in caught.value.hint
    assert pick_group(pools.define(server_group="g2"), groups) == groups[1]
    assert pick_group(pools.define(), groups) is None


def test_only_a_host_that_is_missing_is_the_group_s_doing() -> None:
    assert explain_fault("Volume could not be made", "g") == "Volume could not be made"
    assert explain_fault("No valid host was found.", None) == "No valid host was found."
