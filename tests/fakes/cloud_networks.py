"""The calls of the fake cloud to Neutron: a pool's network, its security group, ports that keep addresses."""

import ipaddress
from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

from imagebuild.cloud import POOL_KEY, Network, Port, Rule, SecurityGroup, Subnet
from imagebuild.errors import CloudError, CloudRefused, NotFound
from tests.fakes.cloud_world import World
from tests.fakes.faults import call


class NetworkCalls(World):
    """The part of imagebuild.cloud.Cloud that is about networks."""

    @call
    def find_network(self, name: str) -> Network | None:
        self.faults.also("find_network", 1)  # its subnets
        return next((n for n in self._networks.values() if name in (n.name, n.id)), None)

    @call
    def create_network(self, name: str) -> Network:
        found = next((network for network in self._networks.values() if network.name == name), None)
        return found or self.add_network(name, project_id=self.project_id)

    @call
    def subnets(self, network_id: str) -> Sequence[Subnet]:
        return tuple(one for one in self._subnets.values() if one.network_id == network_id)

    @call
    def create_subnet(
        self,
        name: str,
        *,
        network_id: str,
        cidr: str,
        gateway: str | None = None,
        dns: Sequence[str] = (),
        allocation: tuple[str, str] | None = None,
    ) -> Subnet:
        if network_id not in self._networks:
            raise NotFound(f"404 Network {network_id} could not be found")
        for one in self._subnets.values():
            if (one.network_id, one.cidr) == (network_id, cidr):
                return one
        self._check_ours(self._networks[network_id], "create_subnet")
        ranged = ipaddress.ip_network(cidr)
        first = str(gateway or ranged.network_address + 1)
        if ipaddress.ip_address(first) not in ranged:
            raise CloudError(f"400 the gateway {first} is not in {cidr}")
        ends = [ipaddress.ip_address(one) for one in allocation or ()]
        if ends and not (ends == sorted(ends, key=int) and all(one in ranged for one in ends)):
            raise CloudError(f"400 {ends} is no part of {cidr}")
        self.allocations[cidr] = allocation
        made = Subnet(str(uuid4()), name, network_id, cidr, gateway=first, dns=tuple(dns))
        self._subnets[made.id] = made
        network = self._networks[network_id]
        self._networks[network_id] = replace(network, cidrs=(*network.cidrs, cidr))
        return made

    @call
    def set_subnet_dns(self, subnet_id: str, dns: Sequence[str]) -> Subnet:
        self._check_ours(self._networks[self._subnets[subnet_id].network_id], "update_subnet")
        self._subnets[subnet_id] = replace(self._subnets[subnet_id], dns=tuple(dns))
        return self._subnets[subnet_id]

    @call
    def find_security_group(self, name: str) -> SecurityGroup | None:
        found = [group for group in self._groups.values() if name in (group.name, group.id)]
        if len(found) > 1:
            raise CloudRefused(f"{len(found)} security groups are called '{name}'", hint="name one by its id")
        return found[0] if found else None

    @call
    def create_pool_group(self, name: str, *, pool: str) -> SecurityGroup:
        found = [group for group in self._groups.values() if group.name == name]
        if found:
            return found[0]
        self._check_quota("security_groups", len(self._groups) + 1)
        group = SecurityGroup(id=str(uuid4()), name=name, description=f"{POOL_KEY}={pool}")
        self._groups[group.id] = group
        for rule in self.default_rules:
            self._add_rule(group.id, rule)
        return group

    @call
    def rules(self, group_id: str) -> Sequence[Rule]:
        return tuple(rule for of, rule in self._rules.values() if of == group_id)

    @call
    def add_rule(self, group_id: str, rule: Rule) -> None:
        if group_id not in self._groups:
            raise NotFound(f"404 Security group {group_id} does not exist")
        if (group_id, rule) not in self._rules.values():
            self._add_rule(group_id, rule)

    @call
    def remove_rule(self, rule_id: str) -> None:
        self._rules.pop(rule_id, None)

    @call
    def ports(self, *, server_id: str | None = None, pool: str | None = None) -> Sequence[Port]:
        found = self._plugs.of(server_id) if server_id else tuple(self._plugs.ports.values())
        return tuple(port for port in found if pool is None or port.description == f"{POOL_KEY}={pool}")

    @call
    def create_port(
        self,
        name: str,
        *,
        pool: str,
        network_id: str,
        address: str | None = None,
        security_groups: Sequence[str] = (),
        is_new: bool = False,
    ) -> Port:
        if network_id not in self._networks:
            raise NotFound(f"404 Network {network_id} could not be found")
        description = f"{POOL_KEY}={pool}"
        found = None if is_new else self._plugs.named(name, description)
        self.faults.also("create_port", not is_new and found is None)  # it looks before
        if address is not None and found is None:
            self._check_ours(self._networks[network_id], "create_port:fixed_ips")
        return found or self._plugs.make(
            name, network_id=network_id, address=address, description=description, security_groups=security_groups
        )

    def _check_ours(self, network: Network, act: str) -> None:
        """Neutron's policy: what a network is like, and who has which address there, is its owner's and the administrators' to say."""
        if network.project_id not in ("", self.project_id):
            raise CloudRefused(f"403 rule:{act} is disallowed by policy", hint="this user's role does not allow it")

    def _add_rule(self, group_id: str, rule: Rule) -> None:
        made = replace(rule, id=str(uuid4()))
        self._rules[made.id] = (group_id, made)
