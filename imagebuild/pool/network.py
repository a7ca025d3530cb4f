"""The network of a pool's desktops as its file wants it: found or made, compared, and told where it is other.

What belongs to others is told and left alone: a network may carry servers that are not the pool's, and a security group that we did not
make may be in use elsewhere. A group that carries the pool's mark is ours, and is brought to exactly the rules of the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from imagebuild.cloud import POOL_KEY, Cloud, Network, Rule, SecurityGroup, Subnet
from imagebuild.errors import RecipeError
from imagebuild.pool.definition import PoolDefinition
from imagebuild.pool.intranet import Intranet
from imagebuild.report import Report

RDP = 3389


@dataclass(frozen=True)
class Unlike:
    """One thing that is other than the pool's file wants. `todo`: who must mend it and how; '' = making the network again does."""

    what: str
    todo: str = ""

    def __str__(self) -> str:
        return f"{self.what}; {self.todo}" if self.todo else self.what


def compare_network(definition: PoolDefinition, cloud: Cloud) -> tuple[Unlike, ...]:
    """Everything that is other than in the file. Reads only. Raises RecipeError for a file that does not say what it wants."""
    return tuple(_compare(definition, cloud))


def make_network(definition: PoolDefinition, cloud: Cloud, *, report: Report) -> tuple[Unlike, ...]:
    """Make what is missing and mend what is ours; gives what still is other. Safe to repeat, also after it was cut off."""
    intranet = _intranet(definition)
    network = cloud.create_network(definition.network)
    if not _owner_of(network, cloud):
        _fit_subnet(cloud, network, intranet, report)
    group = cloud.create_pool_group(definition.security_group, pool=definition.pool)
    _fit_rules(definition, cloud, group, report)
    return compare_network(definition, cloud)


def wanted_rules(intranet: Intranet) -> tuple[Rule, ...]:
    """What the desktops' group lets through: Remote Desktop and the agent's port in, the intranet and their own subnet out."""
    doors = [(RDP, cidr) for cidr in intranet.rdp_from] + [(intranet.agent_port, cidr) for cidr in intranet.agent_from]
    inward = [Rule("ingress", "tcp", port, port, cidr, ipv6=":" in cidr) for port, cidr in doors]
    outward = [Rule("egress", cidr=cidr, ipv6=":" in cidr) for cidr in (intranet.subnet, *intranet.reach)]
    return tuple(dict.fromkeys([*inward, *outward]))


def _compare(definition: PoolDefinition, cloud: Cloud) -> Iterator[Unlike]:
    intranet = _intranet(definition)
    network = cloud.find_network(definition.network)
    if network is None:
        yield Unlike(f"there is no network {definition.network}")
    else:
        yield from _compare_subnet(cloud, network, intranet)
    group = cloud.find_security_group(definition.security_group)
    if group is None:
        yield Unlike(f"there is no security group {definition.security_group}")
    else:
        yield from _compare_rules(definition, cloud, group)


def _compare_subnet(cloud: Cloud, network: Network, intranet: Intranet) -> Iterator[Unlike]:
    """A subnet's gateway and its DHCP are told, never changed: whoever is in it would lose the way."""
    owner = _owner_of(network, cloud)
    subnet = _find_subnet(cloud, network, intranet)
    if subnet is None:
        has = f"has {', '.join(network.cidrs)} and not" if network.cidrs else "does not have"
        command = f"openstack subnet create --network {network.id} --subnet-range {intranet.subnet} NAME"
        yield Unlike(f"{network.name} {has} the subnet {intranet.subnet}", owner and f"{owner}: {command}")
        return
    by = owner or "while no desktop runs"
    if subnet.dns != intranet.dns:
        told = f"the name servers {', '.join(subnet.dns)}" if subnet.dns else "no name servers"
        tells = f"{subnet.name} tells {told}, wanted: {', '.join(intranet.dns)}"
        options = " ".join(["--no-dns-nameservers", *(f"--dns-nameserver {one}" for one in intranet.dns)])
        yield Unlike(tells, owner and f"{owner}: openstack subnet set {options} {subnet.id}")
    if intranet.gateway is not None and subnet.gateway != intranet.gateway:
        has = f"{subnet.name} has the gateway {subnet.gateway or 'none'}, wanted: {intranet.gateway}"
        yield Unlike(has, f"{by}: openstack subnet set --gateway {intranet.gateway} {subnet.id}")
    if not subnet.dhcp:
        yield Unlike(f"{subnet.name} has no DHCP", f"{by}: openstack subnet set --dhcp {subnet.id}")


def _compare_rules(definition: PoolDefinition, cloud: Cloud, group: SecurityGroup) -> Iterator[Unlike]:
    there, wanted = cloud.rules(group.id), wanted_rules(_intranet(definition))
    for rule in wanted:
        if rule not in there:
            yield Unlike(f"{group.name} does not let {rule_words(rule)}")
    why = "" if _is_ours(definition, group) else "the group was not made for this pool"
    for rule in sorted(there, key=rule_words):
        if rule not in wanted:
            asks = why and f"{why}: openstack security group rule delete {rule.id}"
            yield Unlike(f"{group.name} lets {rule_words(rule)}, the file does not", asks)


def _fit_rules(definition: PoolDefinition, cloud: Cloud, group: SecurityGroup, report: Report) -> None:
    """First let through what is wanted, then take away what is not: nobody at work is cut off from what stays allowed."""
    there, wanted = cloud.rules(group.id), wanted_rules(_intranet(definition))
    for rule in wanted:
        if rule not in there:
            cloud.add_rule(group.id, rule)
            report.note(f"{group.name} lets {rule_words(rule)}")
    for rule in there:
        if rule not in wanted and _is_ours(definition, group):
            cloud.remove_rule(rule.id)
            report.note(f"{group.name} no longer lets {rule_words(rule)}")


def _fit_subnet(cloud: Cloud, network: Network, intranet: Intranet, report: Report) -> None:
    subnet = _find_subnet(cloud, network, intranet)
    if subnet is None:
        name = f"{network.name}-v4"
        subnet = cloud.create_subnet(
            name,
            network_id=network.id,
            cidr=intranet.subnet,
            gateway=intranet.gateway,
            dns=intranet.dns,
            allocation=intranet.first_and_last,
        )
        report.note(f"{network.name} has the subnet {name}, {intranet.subnet}")
    if subnet.dns != intranet.dns:
        cloud.set_subnet_dns(subnet.id, intranet.dns)
        told = ", ".join(intranet.dns)
        report.note(f"{subnet.name} tells {told} as name servers; desktops hear it when they renew their lease")


def rule_words(rule: Rule) -> str:
    """`in tcp 3389 from 10.0.0.0/8`."""
    way, other = ("in", "from") if rule.direction == "ingress" else ("out", "to")
    ports = {rule.first_port, rule.last_port} - {None}
    what = " ".join(
        filter(None, (rule.protocol or "everything", "-".join(str(port) for port in sorted(ports, key=str))))
    )
    anywhere = "anywhere (IPv6)" if rule.ipv6 else "anywhere"
    return f"{way} {what} {other} {rule.cidr or rule.group_id or anywhere}"


def _is_ours(definition: PoolDefinition, group: SecurityGroup) -> bool:
    return f"{POOL_KEY}={definition.pool}" in group.description.split()


def _owner_of(network: Network, cloud: Cloud) -> str:
    """Who may change the network, '' when this project may: an administrator's rights are not used on what others own."""
    if network.project_id in ("", cloud.project_id):
        return ""
    return f"an administrator, or {network.name}'s owner (project {network.project_id}), must do that"


def _find_subnet(cloud: Cloud, network: Network, intranet: Intranet) -> Subnet | None:
    return next((one for one in cloud.subnets(network.id) if one.cidr == intranet.subnet), None)


def _intranet(definition: PoolDefinition) -> Intranet:
    if definition.intranet is None:
        raise RecipeError(
            f"the pool {definition.pool} does not say how its network is to be",
            hint="give its file an `intranet:` section with subnet, dns, rdp_from and reach",
        )
    return definition.intranet
