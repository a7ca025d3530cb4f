"""The network of a pool's desktops as its file wants it: found or made, compared, and told where it is other.

What belongs to others is told and left alone: a network may carry servers that are not the pool's, and a security group that we did not
make may be in use elsewhere. A group that carries the pool's mark is ours, and is brought to exactly the rules of the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from imagebuild.cloud import POOL_KEY, Cloud, Network, Rule, SecurityGroup, Subnet
from imagebuild.errors import CloudRefused, RecipeError
from imagebuild.pool.definition import Intranet, PoolDefinition
from imagebuild.report import Report

RDP = 3389


@dataclass(frozen=True)
class Unlike:
    """One thing that is other than the pool's file wants. `ours`: making the network again mends it."""

    thing: str
    found: str
    wanted: str
    ours: bool = True

    def __str__(self) -> str:
        left = "" if self.ours else " (not ours to change)"
        return f"{self.thing}: is {self.found}, wanted is {self.wanted}{left}"


def compare_network(definition: PoolDefinition, cloud: Cloud) -> tuple[Unlike, ...]:
    """Everything that is other than in the file. Reads only. Raises RecipeError for a file that does not say what it wants."""
    return tuple(_compare(definition, cloud))


def make_network(definition: PoolDefinition, cloud: Cloud, *, report: Report) -> tuple[Unlike, ...]:
    """Make what is missing and mend what is ours; gives what still is other. Safe to repeat, also after it was cut off."""
    intranet = _intranet(definition)
    network = cloud.create_network(definition.network)
    subnet = _find_subnet(cloud, network, intranet)
    if subnet is None:
        name = f"{definition.network}-v4"
        subnet = cloud.create_subnet(
            name,
            network_id=network.id,
            cidr=intranet.subnet,
            gateway=intranet.gateway,
            dns=intranet.dns,
            allocation=intranet.first_and_last,
        )
        report.note(f"{definition.network} has the subnet {name}, {intranet.subnet}")
    if subnet.dns != intranet.dns:
        _set_dns(cloud, subnet, intranet, report)
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
    subnet = _find_subnet(cloud, network, intranet) if network else None
    if network is None:
        yield Unlike(f"network {definition.network}", "not there", "there")
    elif subnet is None:
        there = ", ".join(network.cidrs) or "nothing"
        yield Unlike(f"subnets of {definition.network}", there, intranet.subnet)
    else:
        yield from _compare_subnet(subnet, intranet)
    group = cloud.find_security_group(definition.security_group)
    if group is None:
        yield Unlike(f"security group {definition.security_group}", "not there", "there")
    else:
        yield from _compare_rules(definition, cloud, group)


def _compare_subnet(subnet: Subnet, intranet: Intranet) -> Iterator[Unlike]:
    """A subnet's gateway and its DHCP are told, never changed: whoever is in it would lose the way."""
    name = f"subnet {subnet.name}"
    if subnet.dns != intranet.dns:
        yield Unlike(f"{name}, name servers", ", ".join(subnet.dns) or "none", ", ".join(intranet.dns))
    if intranet.gateway is not None and subnet.gateway != intranet.gateway:
        yield Unlike(f"{name}, gateway", subnet.gateway or "none", intranet.gateway, ours=False)
    if not subnet.dhcp:
        yield Unlike(f"{name}, DHCP", "off", "on", ours=False)


def _compare_rules(definition: PoolDefinition, cloud: Cloud, group: SecurityGroup) -> Iterator[Unlike]:
    there, wanted = set(cloud.rules(group.id)), wanted_rules(_intranet(definition))
    for rule in wanted:
        if rule not in there:
            yield Unlike(f"security group {group.name}", "without it", f"lets {rule_words(rule)}")
    for rule in sorted(there - set(wanted), key=rule_words):
        ours = _is_ours(definition, group)
        yield Unlike(f"security group {group.name}", f"lets {rule_words(rule)}", "does not", ours=ours)


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


def _set_dns(cloud: Cloud, subnet: Subnet, intranet: Intranet, report: Report) -> None:
    try:
        cloud.set_subnet_dns(subnet.id, intranet.dns)
    except CloudRefused as error:  # another project's network: its owner must do it
        report.warn(f"the name servers of {subnet.name} stay as they are: {error}")
    else:
        report.note(
            f"{subnet.name} tells {', '.join(intranet.dns)} as name servers; desktops hear it when they renew their lease"
        )


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


def _find_subnet(cloud: Cloud, network: Network, intranet: Intranet) -> Subnet | None:
    return next((one for one in cloud.subnets(network.id) if one.cidr == intranet.subnet), None)


def _intranet(definition: PoolDefinition) -> Intranet:
    if definition.intranet is None:
        raise RecipeError(
            f"the pool {definition.pool} does not say how its network is to be",
            hint="give its file an `intranet:` section with subnet, dns, rdp_from and reach",
        )
    return definition.intranet
