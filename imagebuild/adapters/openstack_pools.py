"""What OpenStackCloud does for pools: servers, networks and ports that stay."""

from collections.abc import Mapping, Sequence

from imagebuild.adapters.openstack_desktops import Desktops
from imagebuild.adapters.openstack_pool_networks import PoolNetworks
from imagebuild.cloud import Network, Port, Rule, SecurityGroup, Server, ServerGroup, ServerRequest, Subnet


class PoolSide:
    """The calls of imagebuild.cloud.Cloud that no build makes."""

    def __init__(self, desktops: Desktops, networks: PoolNetworks) -> None:
        self._desktops = desktops
        self._pool_networks = networks

    def servers(self, *, tags: Sequence[str] = (), changed_since: str = "") -> Sequence[Server]:
        """One paged listing."""
        return self._desktops.all(tags=tags, changed_since=changed_since)

    def create_desktop(self, request: ServerRequest, *, pool: str, is_new: bool = False) -> Server:
        """Find-or-create by pool, name and the request's metadata."""
        return self._desktops.create(request, pool=pool, is_new=is_new)

    def rebuild_server(
        self,
        server_id: str,
        image_id: str,
        *,
        user_data: str | None = None,
        metadata: Mapping[str, str] | None = None,
        allow_root_volume_wipe: bool = False,
    ) -> None:
        """With a microversion that leaves root volumes alone, unless their wipe is allowed."""
        self._desktops.rebuild(
            server_id,
            image_id,
            user_data=user_data,
            metadata=metadata,
            allow_root_volume_wipe=allow_root_volume_wipe,
        )

    def set_server_metadata(self, server_id: str, metadata: Mapping[str, str | None]) -> None:
        """These keys only."""
        self._desktops.set_metadata(server_id, metadata)

    def tag_server(self, server_id: str, tag: str, *, present: bool = True) -> None:
        """This tag only."""
        self._desktops.tag(server_id, tag, present=present)

    def delete_server(self, server_id: str) -> None:
        """Without waiting."""
        self._desktops.delete(server_id)

    def availability_zones(self) -> Sequence[str]:
        """Nova's."""
        return self._desktops.zones()

    def server_groups(self) -> Sequence[ServerGroup]:
        """Of the project."""
        return self._desktops.groups()

    def create_network(self, name: str) -> Network:
        """Find-or-create by name."""
        return self._pool_networks.create_network(name)

    def subnets(self, network_id: str) -> Sequence[Subnet]:
        """Of one network."""
        return self._pool_networks.subnets(network_id)

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
        """Find-or-create by network and range."""
        return self._pool_networks.create_subnet(
            name, network_id=network_id, cidr=cidr, gateway=gateway, dns=dns, allocation=allocation
        )

    def set_subnet_dns(self, subnet_id: str, dns: Sequence[str]) -> Subnet:
        """All name servers at once."""
        return self._pool_networks.set_dns(subnet_id, dns)

    def find_security_group(self, name: str) -> SecurityGroup | None:
        """By name or id."""
        return self._pool_networks.find_group(name)

    def create_pool_group(self, name: str, *, pool: str) -> SecurityGroup:
        """Find-or-create by name."""
        return self._pool_networks.create_group(name, pool=pool)

    def rules(self, group_id: str) -> Sequence[Rule]:
        """Of one security group."""
        return self._pool_networks.rules(group_id)

    def add_rule(self, group_id: str, rule: Rule) -> None:
        """Unless it is there."""
        self._pool_networks.add_rule(group_id, rule)

    def remove_rule(self, rule_id: str) -> None:
        """Unless it is gone."""
        self._pool_networks.remove_rule(rule_id)

    def ports(self, *, server_id: str | None = None, pool: str | None = None) -> Sequence[Port]:
        """Of the project."""
        return self._pool_networks.ports(server_id=server_id, pool=pool)

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
        """Find-or-create by pool and name."""
        return self._pool_networks.create_port(
            name,
            pool=pool,
            network_id=network_id,
            address=address,
            security_groups=security_groups,
            is_new=is_new,
        )
