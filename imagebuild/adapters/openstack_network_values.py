"""From Neutron's JSON about subnets, ports and rules to our values, and back. Pure functions, no calls."""

from collections.abc import Mapping
from typing import Any

from imagebuild.cloud import POOL_KEY, Port, Rule, Subnet

Json = Mapping[str, Any]


def read_subnet(item: Json) -> Subnet:
    """A Neutron subnet."""
    return Subnet(
        id=item["id"],
        name=item.get("name") or "",
        network_id=item["network_id"],
        cidr=item["cidr"],
        gateway=item.get("gateway_ip"),
        dns=tuple(item.get("dns_nameservers") or ()),
        dhcp=bool(item.get("enable_dhcp", True)),
    )


def read_port(item: Json) -> Port:
    """A Neutron port; `server_id` only of those that a server has (a router's is another device)."""
    of_server = str(item.get("device_owner") or "").startswith("compute:")
    return Port(
        id=item["id"],
        name=item.get("name") or "",
        network_id=item["network_id"],
        status=item.get("status") or "",
        addresses=tuple(fixed["ip_address"] for fixed in item.get("fixed_ips") or ()),
        mac=item.get("mac_address") or "",
        server_id=item.get("device_id") or None if of_server else None,
        security_groups=tuple(item.get("security_groups") or ()),
        description=item.get("description") or "",
    )


def read_rule(item: Json) -> Rule:
    """A Neutron security group rule."""
    return Rule(
        direction=item["direction"],
        protocol=item.get("protocol"),
        first_port=item.get("port_range_min"),
        last_port=item.get("port_range_max"),
        cidr=item.get("remote_ip_prefix"),
        ipv6=item.get("ethertype") == "IPv6",
        group_id=item.get("remote_group_id"),
        id=item["id"],
    )


def write_rule(rule: Rule) -> dict[str, Any]:
    """The body of a security group rule, but for its group; Neutron takes null for "any"."""
    return {
        "direction": rule.direction,
        "ethertype": "IPv6" if rule.ipv6 else "IPv4",
        "protocol": rule.protocol,
        "port_range_min": rule.first_port,
        "port_range_max": rule.last_port,
        "remote_ip_prefix": rule.cidr,
        "remote_group_id": rule.group_id,
    }


def describe_pool(pool: str) -> str:
    """A port's or a security group's description that says which pool it belongs to; it stays, so no owner is in it."""
    return f"{POOL_KEY}={pool}"
