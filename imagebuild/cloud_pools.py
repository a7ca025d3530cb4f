"""What pools ask of a cloud beyond what builds do: servers, networks and ports that are made to stay. Part of imagebuild.cloud.Cloud."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from imagebuild.cloud_values import Network, Port, Rule, SecurityGroup, Server, ServerGroup, ServerRequest, Subnet


class PoolSide(Protocol):
    """The calls that no build makes; what holds for all of the Cloud's calls holds for these."""

    def servers(self, *, tags: Sequence[str] = (), changed_since: str = "") -> Sequence[Server]:
        """All servers of the project that carry all of these tags, in as few calls as pages; not those on their way out.

        `changed_since`, an `updated_at` of an earlier listing: only those that Nova changed then or later, and all that were
        deleted in the project (status DELETED; their tags went with them). A change of metadata or tags may be none to Nova.
        """
        ...

    def create_desktop(self, request: ServerRequest, *, pool: str, is_new: bool = False) -> Server:
        """A server of a pool, made to stay: POOL_KEY in its metadata and no owner, so no sweep of builds finds it.

        Find-or-create by pool, name and all metadata of the request: put the roll's id there, names are not unique. A new one comes
        back as it was asked for: its address is told by later looks. CloudRefused when another server has its port. `is_new`: the
        caller has not asked for it before and has seen none in a listing: the first look is saved. CloudError for a server group
        that is gone, CloudRefused for one that is full.
        """
        ...

    def rebuild_server(
        self,
        server_id: str,
        image_id: str,
        *,
        user_data: str | None = None,
        metadata: Mapping[str, str] | None = None,
        allow_root_volume_wipe: bool = False,
    ) -> None:
        """Replace the root disk by the image: from ACTIVE, SHUTOFF or ERROR, id, name, ports and addresses stay. DESTROYS THE ROOT DISK.

        `metadata` replaces all of the server's, as Nova does (the only way to change it in ERROR); None keeps it, and user_data
        likewise. CloudError for what Nova cannot rebuild (vTPM; a root volume, unless its wipe is allowed), CloudRefused
        for a locked one or a wrong state. A lost answer is not followed by a second rebuild.
        """
        ...

    def set_server_metadata(self, server_id: str, metadata: Mapping[str, str | None]) -> None:
        """Set these keys and leave the others; None removes one. CloudRefused for a locked server, and one in BUILD or ERROR."""
        ...

    def tag_server(self, server_id: str, tag: str, *, present: bool = True) -> None:
        """Give the server the tag (at most 60 characters, no comma or slash), or take it away. CloudRefused in BUILD and ERROR."""
        ...

    def delete_server(self, server_id: str) -> None:
        """Ask for its end and come back at once; nothing happens when it is going or gone. CloudRefused for a locked one."""
        ...

    def availability_zones(self) -> Sequence[str]:
        """The names of those in which servers can be made now."""
        ...

    def server_groups(self) -> Sequence[ServerGroup]:
        """The project's server groups with their members. Their names need not be unique."""
        ...

    def create_network(self, name: str) -> Network:
        """A network of the project, found by its name or made (without subnets)."""
        ...

    def subnets(self, network_id: str) -> Sequence[Subnet]:
        """The network's subnets."""
        ...

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
        """A subnet with DHCP, found by network and range or made. Without `gateway` the range's first address is it.

        `allocation`: the first and the last address that servers may get; without, all of the range but the gateway's.
        """
        ...

    def set_subnet_dns(self, subnet_id: str, dns: Sequence[str]) -> Subnet:
        """The name servers that DHCP tells, in this order and no others."""
        ...

    def find_security_group(self, name: str) -> SecurityGroup | None:
        """The project's group of that name or id; CloudRefused when several share the name."""
        ...

    def create_pool_group(self, name: str, *, pool: str) -> SecurityGroup:
        """A group made to stay, found by its name or made. What a new one lets through is the cloud's choice: look at `rules`."""
        ...

    def rules(self, group_id: str) -> Sequence[Rule]:
        """What the group lets through."""
        ...

    def add_rule(self, group_id: str, rule: Rule) -> None:
        """Let this through, too; nothing happens when it is let through already."""
        ...

    def remove_rule(self, rule_id: str) -> None:
        """No longer let it through."""
        ...

    def ports(self, *, server_id: str | None = None, pool: str | None = None) -> Sequence[Port]:
        """The project's ports: of one server, of one pool (those made by create_port)."""
        ...

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
        """A port made to stay, found by pool and name or made: what keeps a desktop's address when its server is replaced.

        `is_new`: not among the ports that the caller has listed, so the first look is saved.
        CloudRefused when the address is taken, or when the network is another project's (its owner alone chooses addresses).
        """
        ...
