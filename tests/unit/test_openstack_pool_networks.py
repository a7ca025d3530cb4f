"""What is asked of Neutron for pools, and what its answers mean."""

import pytest
from keystoneauth1 import exceptions as keystone

from imagebuild.adapters.openstack_networks import Networks
from imagebuild.adapters.openstack_pool_networks import PoolNetworks
from imagebuild.cloud import Rule
from imagebuild.errors import CloudRefused, DeadlinePassed
from imagebuild.waiting import Deadline
from tests.unit.openstack_wire import Response, Wire

PORT = {
    "id": "p1", "name": "desktop-1", "network_id": "n1", "status": "ACTIVE", "mac_address": "fa:16:3e:00:00:01",
    "fixed_ips": [{"subnet_id": "x", "ip_address": "172.16.100.7"}], "device_id": "s1", "device_owner": "compute:nova",
    "security_groups": ["g1"], "description": "vdi_pool=staff",
}  # fmt: skip
SUBNET = {
    "id": "x", "name": "vdi-subnet", "network_id": "n1", "cidr": "172.16.100.0/24", "gateway_ip": "172.16.100.1",
    "dns_nameservers": ["172.16.100.2"], "enable_dhcp": True,
}  # fmt: skip


def networks(wire: Wire) -> PoolNetworks:
    neutron = wire.service()
    plain = Networks(neutron, project_id="p", clock=wire.clock)
    return PoolNetworks(neutron, plain, project_id="p", clock=wire.clock)


def test_a_servers_ports_tell_address_and_groups() -> None:
    wire = Wire(Response(200, {"ports": [PORT]}))
    (port,) = networks(wire).ports(server_id="s1", pool=None)
    assert (port.addresses, port.server_id, port.security_groups) == (("172.16.100.7",), "s1", ("g1",))
    params = wire.sent[0].options["params"]
    assert (params["device_id"], params["project_id"]) == ("s1", "p")


def test_a_filter_that_neutron_ignored_is_applied_here() -> None:
    others = [{**PORT, "id": "p2", "description": ""}, {**PORT, "id": "p3", "device_owner": "network:dhcp"}]
    wire = Wire(Response(200, {"ports": [PORT, *others]}))
    assert [port.id for port in networks(wire).ports(server_id="s1", pool="staff")] == ["p1"]


def test_a_port_whose_create_was_cut_off_is_found_again() -> None:
    free = {**PORT, "device_id": "", "device_owner": ""}
    wire = Wire(Response(200, {"ports": []}), keystone.ConnectFailure("reset"), Response(200, {"ports": [free]}))
    made = networks(wire).create_port(
        "desktop-1", pool="staff", network_id="n1", address="172.16.100.7", security_groups=("g1",)
    )
    assert (made.id, made.server_id) == ("p1", None)
    assert wire.sent[0].options["params"]["name"] == "desktop-1", "not all of the pool for each"
    asked = wire.sent[1].body["port"]
    assert (asked["fixed_ips"], asked["description"]) == ([{"ip_address": "172.16.100.7"}], "vdi_pool=staff")


def test_a_port_that_is_known_to_be_new_is_made_without_a_look_and_after_a_lost_answer_with_one() -> None:
    asked = {"pool": "staff", "network_id": "n1", "address": None, "security_groups": (), "is_new": True}
    wire = Wire(keystone.ConnectFailure("reset"), Response(200, {"ports": [PORT]}))
    assert networks(wire).create_port("desktop-1", **asked).id == "p1"  # type: ignore[arg-type]
    assert wire.paths() == ["POST /ports", "GET /ports"]


def test_an_address_that_is_taken_is_refused() -> None:
    taken = Response(409, {"NeutronError": {"type": "IpAddressAlreadyAllocated", "message": "already allocated"}})
    with pytest.raises(CloudRefused, match="create the port 'd' with the address 172.16.100.7"):
        networks(Wire(Response(200, {"ports": []}), taken)).create_port(
            "d", pool="staff", network_id="n1", address="172.16.100.7", security_groups=()
        )


def test_a_port_in_use_is_not_deleted() -> None:
    wire = Wire(*[Response(200, {"port": PORT})] * 50)
    with pytest.raises(DeadlinePassed, match="port p1 to be gone"):
        networks(wire).delete_port("p1", deadline=Deadline.after(10, wire.clock))
    assert not any(path.startswith("DELETE") for path in wire.paths())


def test_a_free_port_is_deleted() -> None:
    wire = Wire(Response(200, {"port": {**PORT, "device_id": "", "device_owner": ""}}), Response(204), Response(404))
    networks(wire).delete_port("p1", deadline=Deadline.after(10, wire.clock))
    assert wire.paths() == ["GET /ports/p1", "DELETE /ports/p1", "GET /ports/p1"]


def test_a_subnet_is_known_by_its_range() -> None:
    wire = Wire(Response(200, {"subnets": [SUBNET]}))
    found = networks(wire).create_subnet("any", network_id="n1", cidr="172.16.100.0/24", gateway=None, dns=("x",))
    assert (found.id, found.dns, found.gateway) == ("x", ("172.16.100.2",), "172.16.100.1")
    assert len(wire.sent) == 1, "what differs is the caller's business"


def test_a_new_subnet_tells_its_machines_the_domain_controllers() -> None:
    wire = Wire(Response(200, {"subnets": []}), Response(201, {"subnet": SUBNET}))
    networks(wire).create_subnet(
        "vdi-subnet",
        network_id="n1",
        cidr="172.16.100.0/24",
        gateway="172.16.100.1",
        dns=("172.16.100.2",),
        allocation=("172.16.100.10", "172.16.100.254"),
    )
    asked = wire.sent[1].body["subnet"]
    assert asked["allocation_pools"] == [{"start": "172.16.100.10", "end": "172.16.100.254"}]
    assert (asked["dns_nameservers"], asked["gateway_ip"], asked["ip_version"]) == (["172.16.100.2"], "172.16.100.1", 4)


def test_a_network_of_that_name_is_taken() -> None:
    wire = Wire(
        Response(200, {"networks": [{"id": "n1", "name": "vdi", "project_id": "theirs"}]}),
        Response(200, {"subnets": [SUBNET]}),
    )
    found = networks(wire).create_network("vdi")
    assert (found.cidrs, found.project_id) == (("172.16.100.0/24",), "theirs")


def test_a_new_network_is_made() -> None:
    empty = Response(200, {"networks": []})
    wire = Wire(empty, empty, Response(201, {"network": {"id": "n2", "name": "vdi"}}))
    assert networks(wire).create_network("vdi").id == "n2"


def test_two_groups_of_one_name_are_a_question() -> None:
    twins = [{"id": "1", "name": "desktops"}, {"id": "2", "name": "desktops"}]
    with pytest.raises(CloudRefused, match="2 security groups"):
        networks(Wire(Response(200, {"security_groups": twins}))).find_group("desktops")


def test_a_rule_comes_back_as_it_was_made() -> None:
    rdp = Rule("ingress", "tcp", 3389, 3389, "10.0.0.0/8")
    wire = Wire(Response(201, {}), Response(200, {"security_group_rules": []}))
    networks(wire).add_rule("g1", rdp)
    stored = {**wire.sent[0].body["security_group_rule"], "id": "r1"}
    wire.answers = [Response(200, {"security_group_rules": [stored]})]
    assert networks(wire).rules("g1") == (rdp,), "the id is no part of what it lets through"
    assert networks(Wire(Response(200, {"security_group_rules": [stored]}))).rules("g1")[0].id == "r1"


def test_a_rule_that_exists_is_fine_and_another_conflict_is_not() -> None:
    exists = Response(409, {"NeutronError": {"type": "SecurityGroupRuleExists", "message": "exists"}})
    networks(Wire(exists)).add_rule("g1", Rule("egress"))
    over = Response(409, {"NeutronError": {"type": "OverQuota", "message": "Quota exceeded"}})
    with pytest.raises(CloudRefused):
        networks(Wire(over)).add_rule("g1", Rule("egress"))
