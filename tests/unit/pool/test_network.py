"""A pool's network: made where it is missing, mended where it is ours, only told where it is somebody else's."""

import pytest

from imagebuild.cloud import Rule
from imagebuild.errors import CloudUnreachable, RecipeError
from imagebuild.pool.definition import PoolDefinition
from imagebuild.pool.network import compare_network, make_network, rule_words, wanted_rules
from imagebuild.report import SilentReport
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud
from tests.unit.pool.pools import define

INTRANET = {
    "subnet": "172.16.100.0/24",
    "dns": ["172.16.1.1", "172.16.1.2"],
    "rdp_from": ["172.16.0.0/16"],
    "agent_from": ["172.16.1.5/32"],
    "reach": ["172.16.0.0/12"],
}
DEFINITION = define(intranet=INTRANET)
RULES = {
    "in tcp 3389 from 172.16.0.0/16",
    "in tcp 8080 from 172.16.1.5/32",
    "out everything to 172.16.100.0/24",
    "out everything to 172.16.0.0/12",
}


def make(cloud: FakeCloud, definition: PoolDefinition = DEFINITION) -> list[str]:
    return [str(one) for one in make_network(definition, cloud, report=SilentReport())]


def rules_of(cloud: FakeCloud) -> set[str]:
    group = cloud.find_security_group("vdi-desktop")
    assert group is not None
    return {rule_words(rule) for rule in cloud.rules(group.id)}


def changes(cloud: FakeCloud) -> list[str]:
    return [name for name in cloud.faults.calls if name.startswith(("create", "set", "add", "remove", "delete"))]


def test_a_new_network_is_as_the_file_wants_it_and_lets_nothing_onto_the_internet() -> None:
    cloud = FakeCloud(FakeClock())
    assert make(cloud) == []
    network = cloud.find_network("vdi")
    assert network is not None and network.cidrs == ("172.16.100.0/24",)
    (subnet,) = cloud.subnets(network.id)
    assert (subnet.dns, subnet.gateway) == (("172.16.1.1", "172.16.1.2"), "172.16.100.1")
    assert rules_of(cloud) == RULES


@pytest.mark.parametrize(
    "rules", [(), (Rule("egress"), Rule("egress", ipv6=True)), (Rule("ingress", "tcp", 22, 22, "0.0.0.0/0"),)]
)
def test_whatever_a_new_group_lets_through_in_this_cloud_ours_lets_what_the_file_says(rules: tuple[Rule, ...]) -> None:
    cloud = FakeCloud(FakeClock())
    cloud.default_rules = rules
    assert make(cloud) == []
    assert rules_of(cloud) == RULES


def test_a_second_time_changes_nothing() -> None:
    cloud = FakeCloud(FakeClock())
    make(cloud)
    before = rules_of(cloud), cloud.find_network("vdi")
    assert make(cloud) == []
    assert (rules_of(cloud), cloud.find_network("vdi")) == before


def test_a_run_that_breaks_off_anywhere_is_finished_by_the_next() -> None:
    whole = FakeCloud(FakeClock())
    make(whole)
    steps = changes(whole)
    assert steps
    for method in dict.fromkeys(steps):
        for number in range(steps.count(method)):
            cloud = FakeCloud(FakeClock())
            for _ in range(number):
                cloud.faults.fail(method, CloudUnreachable("cut off"))
                with pytest.raises(CloudUnreachable):
                    make(cloud)
            cloud.faults.lose_answer(method)
            with pytest.raises(CloudUnreachable):
                make(cloud)
            assert make(cloud) == []
            assert rules_of(cloud) == RULES


def test_a_look_changes_nothing_and_names_what_is_missing() -> None:
    cloud = FakeCloud(FakeClock())
    assert [str(one) for one in compare_network(DEFINITION, cloud)] == [
        "there is no network vdi",
        "there is no security group vdi-desktop",
    ]
    cloud.add_network("vdi", "10.0.0.0/24")
    assert "vdi has 10.0.0.0/24 and not the subnet 172.16.100.0/24" in map(str, compare_network(DEFINITION, cloud))
    assert changes(cloud) == []


def test_a_subnet_s_name_servers_are_mended_its_gateway_only_told() -> None:
    cloud = FakeCloud(FakeClock())
    network = cloud.create_network("vdi")
    cloud.create_subnet("old", network_id=network.id, cidr="172.16.100.0/24", gateway="172.16.100.9", dns=["8.8.8.8"])
    definition = define(intranet={**INTRANET, "gateway": "172.16.100.1"})
    assert [one.what for one in compare_network(definition, cloud)][:2] == [
        "old tells the name servers 8.8.8.8, wanted: 172.16.1.1, 172.16.1.2",
        "old has the gateway 172.16.100.9, wanted: 172.16.100.1",
    ]
    (left,) = make(cloud, definition)
    assert left.startswith(
        "old has the gateway 172.16.100.9, wanted: 172.16.100.1; while no desktop runs: openstack subnet set"
    )


def test_another_project_s_network_is_only_told_of_and_the_rest_is_made() -> None:
    cloud = FakeCloud(FakeClock())
    cloud.add_network("vdi", "172.16.100.0/24", project_id="p1")
    (left,) = make(cloud)
    assert left.startswith(
        "vdi-subnet tells no name servers, wanted: 172.16.1.1, 172.16.1.2; an administrator, or vdi's owner (project p1), must do that:"
        " openstack subnet set --no-dns-nameservers --dns-nameserver 172.16.1.1 --dns-nameserver 172.16.1.2 "
    )
    assert rules_of(cloud) == RULES
    assert not any("subnet" in name for name in changes(cloud)), "nobody tries, also not with an administrator's rights"


def test_another_project_s_network_without_the_subnet_gets_none() -> None:
    cloud = FakeCloud(FakeClock())
    network = cloud.add_network("vdi", project_id="p1")
    (left,) = make(cloud)
    assert left.startswith("vdi does not have the subnet 172.16.100.0/24; an administrator, or")
    assert left.endswith(f"openstack subnet create --network {network.id} --subnet-range 172.16.100.0/24 NAME")
    assert cloud.subnets(network.id) == ()


def test_what_somebody_opened_in_our_group_is_closed_again() -> None:
    cloud = FakeCloud(FakeClock())
    make(cloud)
    group = cloud.find_security_group("vdi-desktop")
    assert group is not None
    cloud.add_rule(group.id, Rule("ingress", "tcp", 3389, 3389, "0.0.0.0/0"))
    assert [str(one) for one in compare_network(DEFINITION, cloud)] == [
        "vdi-desktop lets in tcp 3389 from 0.0.0.0/0, the file does not"
    ]
    assert make(cloud) == []
    assert rules_of(cloud) == RULES


def test_in_a_group_of_somebody_else_s_nothing_is_closed() -> None:
    cloud = FakeCloud(FakeClock())
    cloud.create_pool_group("vdi-desktop", pool="students")
    everything, ipv6 = make(cloud)
    told = "the file does not; the group was not made for this pool: openstack security group rule delete "
    assert everything.startswith(f"vdi-desktop lets out everything to anywhere, {told}")
    assert ipv6.startswith(f"vdi-desktop lets out everything to anywhere (IPv6), {told}")
    assert rules_of(cloud) > RULES


def test_what_stays_allowed_is_never_closed_in_between() -> None:
    cloud = FakeCloud(FakeClock())
    make(cloud)
    wider = define(intranet={**INTRANET, "rdp_from": ["172.16.0.0/16", "10.1.0.0/16"]})
    make(cloud, wider)
    cloud.faults.calls.clear()
    narrower = define(intranet={**INTRANET, "rdp_from": ["10.1.0.0/16", "10.2.0.0/16"]})
    make(cloud, narrower)
    assert [name for name in changes(cloud) if "rule" in name] == ["add_rule", "remove_rule"]


def test_a_pool_that_does_not_say_what_it_wants_is_told_how_to() -> None:
    with pytest.raises(RecipeError, match="does not say how its network is to be"):
        compare_network(define(), FakeCloud(FakeClock()))


def test_a_new_subnet_gives_away_what_the_file_says() -> None:
    for allocation, asked in ((None, None), ("172.16.100.10 - 172.16.100.99", ("172.16.100.10", "172.16.100.99"))):
        cloud = FakeCloud(FakeClock())
        make(cloud, define(intranet={**INTRANET, "allocation": allocation}))
        assert cloud.allocations == {"172.16.100.0/24": asked}


def test_a_range_that_stands_twice_is_one_rule() -> None:
    definition = define(intranet={**INTRANET, "reach": ["172.16.100.0/24", "172.16.0.0/12"]})
    assert definition.intranet is not None
    rules = wanted_rules(definition.intranet)
    assert len(rules) == len(set(rules)) == 4


def test_ranges_are_as_neutron_gives_them_back() -> None:
    cloud = FakeCloud(FakeClock())
    definition = define(intranet={**INTRANET, "agent_from": ["172.16.1.5"], "rdp_from": ["FD00::/8"]})
    assert make(cloud, definition) == []
    group = cloud.find_security_group("vdi-desktop")
    assert group is not None
    told = {(rule.cidr, rule.ipv6) for rule in cloud.rules(group.id) if rule.direction == "ingress"}
    assert told == {("172.16.1.5/32", False), ("fd00::/8", True)}


def test_words_of_rules() -> None:
    assert rule_words(Rule("ingress", "tcp", 10, 20, group_id="g1")) == "in tcp 10-20 from g1"
    assert rule_words(Rule("egress", "icmp")) == "out icmp to anywhere"
