"""What every Cloud keeps about things that stay, desktops with their ports and networks, the fake and a real OpenStack alike."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import pytest

from imagebuild.cloud import OWNER_KEY, POOL_KEY, Image, Network, Port, Rule, SecurityGroup, Server
from imagebuild.errors import CloudError, CloudRefused, DeadlinePassed, NotFound
from tests.contract.benches import LOCKED, CloudBench, fake_cloud_bench, lab_desktop_bench

NOWHERE = "00000000-0000-4000-8000-000000000000"
DNS = ("192.0.2.2", "192.0.2.1")


@pytest.fixture(scope="module", params=["fake", pytest.param("lab", marks=pytest.mark.lab)])
def bench(request: pytest.FixtureRequest) -> Iterator[CloudBench]:
    """One cloud for all tests of this file; no sweep finds what stays, so it is removed by its pool."""
    with nullcontext(fake_cloud_bench()) if request.param == "fake" else lab_desktop_bench() as bench:
        try:
            yield bench
        finally:
            clean(bench)


def clean(bench: CloudBench) -> None:
    for server in bench.cloud.servers(tags=(tag_of(bench),)):
        if server.locked:
            bench.unlock(server.id)
        bench.cloud.delete("server", server.id, deadline=bench.soon())
    for port in bench.cloud.ports(pool=bench.owner):
        bench.cloud.delete("port", port.id, deadline=bench.soon())
    group = bench.cloud.find_security_group(f"{bench.owner}-desktops")
    if group is not None:
        bench.cloud.delete("security_group", group.id, deadline=bench.soon())


def tag_of(bench: CloudBench) -> str:
    return f"vdi-pool={bench.owner}"


def now(bench: CloudBench, server_id: str) -> Server:
    server = bench.cloud.server(server_id)
    assert server is not None
    return server


def settled(bench: CloudBench, server_id: str, status: str) -> Server:
    """The server when Nova has nothing more to do with it."""

    def there() -> bool:
        server = now(bench, server_id)
        assert server.status != "ERROR" or status == "ERROR", server.fault
        return (server.status, server.task_state) == (status, None)

    bench.wait(there, f"the server to be {status}")
    return now(bench, server_id)


@pytest.fixture(scope="module")
def group(bench: CloudBench) -> SecurityGroup:
    made = bench.cloud.create_pool_group(f"{bench.owner}-desktops", pool=bench.owner)
    assert bench.cloud.create_pool_group(f"{bench.owner}-desktops", pool=bench.owner).id == made.id
    return made


@pytest.fixture(scope="module")
def own(bench: CloudBench) -> Iterator[Network]:
    """A network of the project's own; its range is one for examples (RFC 5737)."""
    made = bench.cloud.create_network(f"{bench.owner}-net")
    try:
        assert bench.cloud.create_network(made.name).id == made.id
        yield made
    finally:
        bench.remove_network(made.id)


@pytest.fixture(scope="module")
def port(bench: CloudBench, group: SecurityGroup) -> Port:
    asked = {"pool": bench.owner, "network_id": bench.network.id, "security_groups": (group.id,)}
    made = bench.cloud.create_port("desktop-1", **asked)  # type: ignore[arg-type]
    assert bench.cloud.create_port("desktop-1", **asked) == made  # type: ignore[arg-type]
    return made


@pytest.fixture(scope="module")
def spread(bench: CloudBench) -> Iterator[str]:
    """The id of a server group."""
    made = bench.add_server_group(f"{bench.owner}-spread")
    try:
        yield made
    finally:
        bench.remove_server_group(made)


@pytest.fixture(scope="module")
def desktop(bench: CloudBench, port: Port, spread: str) -> Server:
    """A desktop that runs, on a port of ours, in a server group."""
    known = {"tags": (tag_of(bench),), "metadata": {"vdi_roll_id": "r1"}}
    request = replace(bench.request("desktop-1"), port_id=port.id, group_id=spread, **known)  # type: ignore[arg-type]
    made = bench.cloud.create_desktop(request, pool=bench.owner)
    assert bench.cloud.create_desktop(request, pool=bench.owner).id == made.id
    return settled(bench, made.id, "ACTIVE")


def other_image(bench: CloudBench) -> Image:
    found = bench.cloud.find_image("vdi-media")
    assert found is not None
    return found


class TestNetworks:
    def test_the_network_tells_its_subnets(self, bench: CloudBench) -> None:
        (subnet,) = bench.cloud.subnets(bench.network.id)
        assert (subnet.cidr, subnet.gateway) == ("172.16.100.0/24", "172.16.100.1") and subnet.dhcp
        assert bench.cloud.subnets(NOWHERE) == ()

    def test_a_network_that_is_there_is_taken(self, bench: CloudBench) -> None:
        assert bench.cloud.create_network(bench.network.name).id == bench.network.id

    def test_a_network_of_somebody_else_s_is_used_and_not_changed(self, bench: CloudBench) -> None:
        cloud, network = bench.cloud, bench.network
        assert network.project_id != cloud.project_id
        (subnet,) = cloud.subnets(network.id)
        with pytest.raises(CloudRefused):
            cloud.set_subnet_dns(subnet.id, ("172.16.100.2",))
        with pytest.raises(CloudRefused):
            cloud.create_subnet("another", network_id=network.id, cidr="192.0.2.0/24")
        with pytest.raises(CloudRefused):
            cloud.create_port("chosen", pool=bench.owner, network_id=network.id, address="172.16.100.200")
        assert cloud.subnets(network.id) == (subnet,)

    def test_one_s_own_has_the_subnet_that_was_asked_for(self, bench: CloudBench, own: Network) -> None:
        cloud = bench.cloud
        ends = ("192.0.2.10", "192.0.2.20")
        for _ in range(2):
            made = cloud.create_subnet(
                "desktops", network_id=own.id, cidr="192.0.2.0/24", gateway="192.0.2.254", dns=DNS, allocation=ends
            )
        assert cloud.subnets(own.id) == (made,)
        assert (made.cidr, made.gateway, made.dns, made.dhcp) == ("192.0.2.0/24", "192.0.2.254", DNS, True)
        assert cloud.set_subnet_dns(made.id, DNS[::-1]).dns == DNS[::-1] == cloud.subnets(own.id)[0].dns
        found = cloud.find_network(own.name)
        assert found is not None and (found.cidrs, found.project_id) == (("192.0.2.0/24",), cloud.project_id)

    def test_an_address_in_one_s_own_is_chosen_and_one_port_s(self, bench: CloudBench, own: Network) -> None:
        asked = {"pool": bench.owner, "network_id": own.id, "address": "192.0.2.15"}
        made = bench.cloud.create_port("chosen", **asked)  # type: ignore[arg-type]
        assert made.addresses == ("192.0.2.15",)
        with pytest.raises(CloudRefused):
            bench.cloud.create_port("another", **asked)  # type: ignore[arg-type]
        bench.cloud.delete("port", made.id, deadline=bench.soon())
        assert made.id not in {each.id for each in bench.cloud.ports(pool=bench.owner)}

    def test_rules_are_added_once_and_removed(self, bench: CloudBench, group: SecurityGroup) -> None:
        cloud = bench.cloud
        before = set(cloud.rules(group.id))  # what a new group lets through is the cloud's choice
        rdp = Rule("ingress", "tcp", 3389, 3389, "172.16.100.0/24")
        cloud.add_rule(group.id, rdp)
        cloud.add_rule(group.id, rdp)
        (made,) = set(cloud.rules(group.id)) - before
        assert made == rdp and made.id
        cloud.remove_rule(made.id)
        cloud.remove_rule(made.id)
        assert set(cloud.rules(group.id)) == before

    def test_a_group_is_found_by_name_and_by_id(self, bench: CloudBench, group: SecurityGroup) -> None:
        assert bench.cloud.find_security_group(group.name) == bench.cloud.find_security_group(group.id) == group
        assert bench.cloud.find_security_group("no-such-group") is None


class TestDesktop:
    def test_it_is_its_pools_and_nobody_sweeps_it(self, bench: CloudBench, desktop: Server, port: Port) -> None:
        assert desktop.metadata == {"vdi_roll_id": "r1", POOL_KEY: bench.owner}
        assert desktop.addresses == port.addresses
        assert OWNER_KEY not in desktop.metadata and bench.cloud.owned(bench.owner) == {}

    def test_it_is_listed_by_its_tag_with_all_that_is_known(self, bench: CloudBench, desktop: Server) -> None:
        (listed,) = bench.cloud.servers(tags=(tag_of(bench),))
        assert (listed.id, listed.tags, listed.locked) == (desktop.id, (tag_of(bench),), False)
        assert (listed.flavor, listed.image_id, listed.root_volume_id) == (bench.flavor.name, bench.image.id, None)
        assert listed.launched_at and listed.updated_at
        assert desktop.id in {server.id for server in bench.cloud.servers()}
        assert bench.cloud.servers(tags=(tag_of(bench), "no-such-tag")) == ()

    def test_its_port_is_plugged_in(self, bench: CloudBench, desktop: Server, port: Port) -> None:
        (plugged,) = bench.cloud.ports(server_id=desktop.id)
        assert (plugged.id, plugged.server_id, plugged.addresses) == (port.id, desktop.id, desktop.addresses)
        with pytest.raises(DeadlinePassed):
            bench.cloud.delete("port", port.id, deadline=bench.soon(1))

    def test_its_port_takes_no_second_server(self, bench: CloudBench, desktop: Server, port: Port) -> None:
        request = replace(bench.request("desktop-3"), port_id=port.id, tags=(tag_of(bench),))
        with pytest.raises(CloudRefused):
            bench.cloud.create_desktop(request, pool=bench.owner)
        assert bench.cloud.ports(server_id=desktop.id)[0].id == port.id

    def test_marks_are_set_and_removed_and_others_stay(self, bench: CloudBench, desktop: Server) -> None:
        bench.cloud.set_server_metadata(desktop.id, {"vdi_roll_state": "draining", "vdi_image_version": "win7-3"})
        bench.cloud.set_server_metadata(desktop.id, {"vdi_roll_state": "acting", "vdi_image_version": None})
        wanted = {"vdi_roll_id": "r1", POOL_KEY: bench.owner, "vdi_roll_state": "acting"}
        assert now(bench, desktop.id).metadata == wanted

    def test_a_tag_comes_and_goes_alone(self, bench: CloudBench, desktop: Server) -> None:
        bench.cloud.tag_server(desktop.id, "canary")
        bench.cloud.tag_server(desktop.id, "canary")
        assert [one.id for one in bench.cloud.servers(tags=("canary", tag_of(bench)))] == [desktop.id]
        bench.cloud.tag_server(desktop.id, "canary", present=False)
        bench.cloud.tag_server(desktop.id, "canary", present=False)
        assert now(bench, desktop.id).tags == (tag_of(bench),)
        with pytest.raises(CloudError):
            bench.cloud.tag_server(desktop.id, "x" * 61)

    def test_a_locked_one_is_left_alone_by_us_and_by_nova(self, bench: CloudBench, desktop: Server) -> None:
        cloud = bench.cloud
        bench.lock(desktop.id)
        (listed,) = cloud.servers(tags=(tag_of(bench),))
        assert listed.locked and listed.locked_reason == LOCKED == now(bench, desktop.id).locked_reason
        with pytest.raises(CloudRefused):
            cloud.rebuild_server(desktop.id, bench.image.id)
        with pytest.raises(CloudRefused):
            cloud.set_server_metadata(desktop.id, {"a": "b"})
        with pytest.raises(CloudRefused):
            cloud.delete_server(desktop.id)
        bench.unlock(desktop.id)
        assert now(bench, desktop.id).status == "ACTIVE"


def test_only_zones_that_are_told_are_taken(bench: CloudBench, desktop: Server) -> None:
    zones = bench.cloud.availability_zones()
    assert zones and "nowhere" not in zones
    with pytest.raises(CloudError):
        bench.cloud.create_desktop(replace(bench.request("desktop-4"), availability_zone="nowhere"), pool=bench.owner)
    assert [one.id for one in bench.cloud.servers(tags=(tag_of(bench),))] == [desktop.id]


def test_a_listing_tells_what_a_server_has_beyond_its_image(bench: CloudBench, desktop: Server) -> None:
    (listed,) = bench.cloud.servers(tags=(tag_of(bench),))
    assert (listed.security_groups, listed.floating, listed.key_name) == ((f"{bench.owner}-desktops",), (), "")


class TestServerGroup:
    def test_one_looked_at_alone_tells_it_and_no_listing_does(
        self, bench: CloudBench, desktop: Server, spread: str
    ) -> None:
        assert now(bench, desktop.id).group_id == spread
        (listed,) = bench.cloud.servers(tags=(tag_of(bench),))
        assert listed.group_id is None and listed == now(bench, desktop.id)
        (group,) = [one for one in bench.cloud.server_groups() if one.id == spread]
        assert (group.name, group.policy) == (f"{bench.owner}-spread", "soft-anti-affinity")
        assert group.members == (desktop.id,)
        limit = bench.cloud.headroom(volumes=False, network=False).group_members
        assert limit is None or limit > 0

    def test_none_is_made_in_one_that_is_not_there(self, bench: CloudBench, desktop: Server) -> None:
        request = replace(bench.request("desktop-3"), group_id=NOWHERE, tags=(tag_of(bench),))
        with pytest.raises(CloudError):
            bench.cloud.create_desktop(request, pool=bench.owner)
        assert [one.id for one in bench.cloud.servers(tags=(tag_of(bench),))] == [desktop.id]


class TestRebuild:
    def test_from_no_image_it_is_refused_and_nothing_happens(self, bench: CloudBench, desktop: Server) -> None:
        with pytest.raises(CloudError):
            bench.cloud.rebuild_server(desktop.id, NOWHERE)
        with pytest.raises(NotFound):
            bench.cloud.rebuild_server(NOWHERE, bench.image.id)
        assert now(bench, desktop.id).launched_at == desktop.launched_at

    def test_all_but_the_disk_stays_and_the_marks_are_those_given(self, bench: CloudBench, desktop: Server) -> None:
        cloud = bench.cloud
        marks = {POOL_KEY: bench.owner, "vdi_roll_id": "r2"}
        cloud.rebuild_server(desktop.id, bench.image.id, metadata=marks)
        with pytest.raises(CloudRefused):
            cloud.rebuild_server(desktop.id, bench.image.id)
        cloud.set_server_metadata(desktop.id, {"vdi_roll_state": "booting"})
        after = settled(bench, desktop.id, "ACTIVE")
        assert after.launched_at > desktop.launched_at and after.created_at == desktop.created_at
        assert (after.name, after.addresses, after.tags) == (desktop.name, desktop.addresses, (tag_of(bench),))
        assert (after.image_id, after.metadata) == (bench.image.id, {**marks, "vdi_roll_state": "booting"})
        assert [action.name for action in cloud.actions(desktop.id)].count("rebuild") == 1

    def test_one_that_is_off_is_off_again(self, bench: CloudBench, desktop: Server) -> None:
        bench.cloud.stop_server(desktop.id)
        settled(bench, desktop.id, "SHUTOFF")
        before = now(bench, desktop.id)
        bench.cloud.rebuild_server(desktop.id, bench.image.id)
        bench.wait(lambda: now(bench, desktop.id).launched_at > before.launched_at, "the rebuild")
        after = settled(bench, desktop.id, "SHUTOFF")
        assert after.metadata == before.metadata, "none given: kept"

    def test_a_root_volume_is_not_wiped_without_leave(self, bench: CloudBench, group: SecurityGroup) -> None:
        request = replace(
            bench.request("desktop-2"), root_bus=None, root_gib=bench.flavor.disk_gib, tags=(tag_of(bench),)
        )
        made = bench.cloud.create_desktop(request, pool=bench.owner)
        running = settled(bench, made.id, "ACTIVE")
        assert running.image_id is None and running.root_volume_id is not None
        volume = bench.cloud.volume(running.root_volume_id)
        assert volume is not None and (volume.image_id, volume.gib) == (bench.image.id, bench.flavor.disk_gib)
        with pytest.raises(CloudError):
            bench.cloud.rebuild_server(made.id, other_image(bench).id)
        assert now(bench, made.id).launched_at == running.launched_at
        bench.cloud.delete("server", made.id, deadline=bench.soon())
        root = running.root_volume_id  # goes after its server: Nova only asks Cinder for it
        bench.wait(lambda: bench.cloud.volume(root) is None, "the end of the server's own volume")


class TestEnd:
    def test_the_server_goes_and_our_port_stays_with_its_address(
        self, bench: CloudBench, desktop: Server, port: Port
    ) -> None:
        cloud, tags = bench.cloud, (tag_of(bench),)
        since = now(bench, desktop.id).updated_at
        cloud.delete_server(desktop.id)
        cloud.delete_server(desktop.id)
        bench.wait(lambda: cloud.server(desktop.id) is None, "the server to be gone")
        cloud.delete_server(desktop.id)
        assert cloud.servers(tags=tags) == ()
        changed = {server.id: server.status for server in cloud.servers(tags=tags, changed_since=since)}
        assert changed[desktop.id] == "DELETED"
        assert desktop.id not in {member for one in cloud.server_groups() for member in one.members}
        (kept,) = cloud.ports(pool=bench.owner)
        assert (kept.id, kept.server_id, kept.addresses) == (port.id, None, port.addresses)
        cloud.delete("port", port.id, deadline=bench.soon())
        assert cloud.ports(pool=bench.owner) == ()
