"""Neutron again, for what stays: a pool's network and subnet, its security group with all rules, ports that keep addresses."""

from collections.abc import Sequence
from typing import Any

from imagebuild.adapters.openstack_api import Service, find_or_create
from imagebuild.adapters.openstack_network_values import describe_pool, read_port, read_rule, read_subnet, write_rule
from imagebuild.adapters.openstack_networks import Networks
from imagebuild.adapters.openstack_values import read_security_group
from imagebuild.cloud import Network, Port, Rule, SecurityGroup, Subnet
from imagebuild.errors import CloudRefused
from imagebuild.waiting import Clock, Deadline, wait_for


class PoolNetworks:
    """Networks, rules and ports of one project, as pools need them."""

    def __init__(self, neutron: Service, networks: Networks, *, project_id: str, clock: Clock) -> None:
        self._neutron = neutron
        self._networks = networks
        self._project_id = project_id
        self._clock = clock

    def create_network(self, name: str) -> Network:
        """Find-or-create by name."""

        def create() -> Network:
            body = {"network": {"name": name}}
            made = self._neutron.call("POST", "/networks", doing=f"create the network '{name}'", body=body).json()
            return Network(id=made["network"]["id"], name=name, cidrs=(), project_id=self._project_id)

        return find_or_create(lambda: self._networks.find(name), create, f"the network '{name}'", clock=self._clock)

    def subnets(self, network_id: str) -> tuple[Subnet, ...]:
        """All of one network."""
        doing = f"list the subnets of {network_id}"
        items = self._neutron.list("/subnets", "subnets", doing=doing, params={"network_id": network_id})
        return tuple(read_subnet(item) for item in items)

    def create_subnet(
        self,
        name: str,
        *,
        network_id: str,
        cidr: str,
        gateway: str | None,
        dns: Sequence[str],
        allocation: tuple[str, str] | None = None,
    ) -> Subnet:
        """Find-or-create by network and range."""
        asked: dict[str, Any] = {
            "name": name,
            "network_id": network_id,
            "cidr": cidr,
            "ip_version": 6 if ":" in cidr else 4,
            "dns_nameservers": list(dns),
        }
        if gateway is not None:
            asked["gateway_ip"] = gateway
        if allocation is not None:
            asked["allocation_pools"] = [{"start": allocation[0], "end": allocation[1]}]

        def find() -> Subnet | None:
            return next((subnet for subnet in self.subnets(network_id) if subnet.cidr == cidr), None)

        def create() -> Subnet:
            doing = f"create the subnet '{name}' with {cidr}"
            return read_subnet(
                self._neutron.call("POST", "/subnets", doing=doing, body={"subnet": asked}).json()["subnet"]
            )

        return find_or_create(find, create, f"the subnet '{name}'", clock=self._clock)

    def set_dns(self, subnet_id: str, dns: Sequence[str]) -> Subnet:
        """All name servers at once."""
        body = {"subnet": {"dns_nameservers": list(dns)}}
        doing = f"set the name servers of the subnet {subnet_id}"
        answer = self._neutron.call("PUT", f"/subnets/{subnet_id}", doing=doing, body=body, repeat=True)
        return read_subnet(answer.json()["subnet"])

    def find_group(self, name: str) -> SecurityGroup | None:
        """By name or id, among the project's own."""
        found = [group for group in self._networks.groups() if name in (group.name, group.id)]
        if len(found) > 1:
            hint = "name one by its id: " + ", ".join(group.id for group in found)
            raise CloudRefused(f"{len(found)} security groups are called '{name}'", hint=hint)
        return found[0] if found else None

    def create_group(self, name: str, *, pool: str) -> SecurityGroup:
        """Find-or-create by name."""

        def create() -> SecurityGroup:
            body = {"security_group": {"name": name, "description": describe_pool(pool)}}
            doing = f"create the security group '{name}'"
            answer = self._neutron.call("POST", "/security-groups", doing=doing, body=body)
            return read_security_group(answer.json()["security_group"])

        return find_or_create(lambda: self.find_group(name), create, f"the security group '{name}'", clock=self._clock)

    def rules(self, group_id: str) -> tuple[Rule, ...]:
        """All of one group."""
        doing = f"list the rules of the security group {group_id}"
        params = {"security_group_id": group_id}
        items = self._neutron.list("/security-group-rules", "security_group_rules", doing=doing, params=params)
        return tuple(read_rule(item) for item in items)

    def add_rule(self, group_id: str, rule: Rule) -> None:
        """409 with SecurityGroupRuleExists is what was wanted."""
        doing = f"add a rule to the security group {group_id}"
        body = {"security_group_rule": {"security_group_id": group_id, **write_rule(rule)}}
        answer = self._neutron.call("POST", "/security-group-rules", doing=doing, body=body, expect=(409,), repeat=True)
        if answer.status == 409 and "SecurityGroupRuleExists" not in answer.text:
            raise CloudRefused(f"could not {doing}: over quota or in conflict", hint="look at the security group quota")

    def remove_rule(self, rule_id: str) -> None:
        """No error when it is gone."""
        doing = f"remove the security group rule {rule_id}"
        self._neutron.call("DELETE", f"/security-group-rules/{rule_id}", doing=doing, expect=(404,), repeat=True)

    def ports(self, *, server_id: str | None, pool: str | None, name: str | None = None) -> tuple[Port, ...]:
        """The project's, filtered by Neutron and once more here: it ignores a filter that it does not know."""
        description = None if pool is None else describe_pool(pool)
        filters = {"device_id": server_id, "description": description, "name": name}
        params = {"project_id": self._project_id, **{key: value for key, value in filters.items() if value is not None}}
        found = (read_port(item) for item in self._neutron.list("/ports", "ports", doing="list ports", params=params))
        return tuple(
            port
            for port in found
            if server_id in (None, port.server_id)
            and description in (None, port.description)
            and name in (None, port.name)
        )

    def create_port(
        self,
        name: str,
        *,
        pool: str,
        network_id: str,
        address: str | None,
        security_groups: Sequence[str],
        is_new: bool = False,
    ) -> Port:
        """Find-or-create by pool and name."""
        asked: dict[str, Any] = {"name": name, "network_id": network_id, "description": describe_pool(pool)}
        if address is not None:
            asked["fixed_ips"] = [{"ip_address": address}]
        if security_groups:
            asked["security_groups"] = list(security_groups)

        def find() -> Port | None:
            return next(iter(self.ports(server_id=None, pool=pool, name=name)), None)

        def create() -> Port:
            doing = f"create the port '{name}'" + (f" with the address {address}" if address else "")
            return read_port(self._neutron.call("POST", "/ports", doing=doing, body={"port": asked}).json()["port"])

        return find_or_create(find, create, f"the port '{name}'", clock=self._clock, is_new=is_new)

    def delete_port(self, port_id: str, *, deadline: Deadline) -> None:
        """Delete one that no server has: Neutron would pull the plug of a running one."""

        def probe() -> bool | None:
            path = f"/ports/{port_id}"
            answer = self._neutron.get(path, doing=f"look at the port {port_id}", expect=(404,))
            if answer.status == 404:
                return True
            if read_port(answer.json()["port"]).server_id is None:
                self._neutron.call("DELETE", path, doing=f"delete the port {port_id}", expect=(404, 409), repeat=True)
            return None

        hint = "a server still has it: it goes after the server"
        wait_for(probe, f"the port {port_id} to be gone", deadline=deadline, every=0.2, slowest=4.0, hint=hint)
