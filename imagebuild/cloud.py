"""What we ask of a cloud: one Protocol. Adapters fulfil it; steps see nothing else of OpenStack. Its values are in cloud_values.py.

Ownership: everything that is made for a build carries the build's id in the cloud itself, so a leftover is found without our
journal: servers and volumes in their metadata, security groups in their description, images in their properties, all under
OWNER_KEY. What is made to stay (a pool's desktops, ports and security group) carries POOL_KEY instead: `owned` never lists it.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from imagebuild.cloud_values import (
    OWNER_KEY,
    POOL_KEY,
    ROLE_KEY,
    Action,
    Disk,
    Flavor,
    Headroom,
    Image,
    Kind,
    Network,
    Owned,
    Port,
    Rule,
    SecurityGroup,
    Server,
    ServerRequest,
    Subnet,
    Volume,
)
from imagebuild.waiting import Deadline

__all__ = [
    "Action",
    "Cloud",
    "Disk",
    "Flavor",
    "Headroom",
    "Image",
    "Kind",
    "Network",
    "OWNER_KEY",
    "Owned",
    "POOL_KEY",
    "Port",
    "ROLE_KEY",
    "Rule",
    "SecurityGroup",
    "Server",
    "ServerRequest",
    "Subnet",
    "Volume",
]


class Cloud(Protocol):
    """One project of one cloud. Every call may raise CloudRefused, CloudUnreachable or CloudError; a `find_` gives None, not NotFound.

    Creating calls are find-or-create by owner, role and name: a second call after a lost answer gives the thing that exists.
    Calls return as soon as the cloud has accepted; waiting for readiness is the caller's, with its own deadline.
    """

    @property
    def name(self) -> str:
        """The name in clouds.yaml, or how else a person calls it."""
        ...

    @property
    def project_id(self) -> str:
        """The project that everything is made in."""
        ...

    def find_image(self, name_or_id: str) -> Image | None:
        """The image with that id, or the one active image with that name; CloudRefused when several active ones share it."""
        ...

    def images(self, *, properties: Mapping[str, str] | None = None) -> Sequence[Image]:
        """Images of this project (hidden ones too) whose properties have these values; all of the project without."""
        ...

    def find_flavor(self, name: str) -> Flavor | None:
        """The flavor of that name or id."""
        ...

    def find_network(self, name: str) -> Network | None:
        """The network of that name or id."""
        ...

    def headroom(self, *, volumes: bool = True, groups: bool = True) -> Headroom:
        """What quotas leave; without `volumes` or security `groups` nothing is told about these, and a service less is asked."""
        ...

    def create_security_group(self, name: str, *, owner: str, allow_from: str, ports: Sequence[int]) -> SecurityGroup:
        """A group that lets TCP `ports` in from the address range `allow_from` (and everything out)."""
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

    def create_volume(self, name: str, *, owner: str, role: str, gib: int, image_id: str | None = None) -> Volume:
        """A volume, blank or filled from an image."""
        ...

    def volume(self, volume_id: str) -> Volume | None:
        """The volume as it is now."""
        ...

    def create_server(self, request: ServerRequest, *, owner: str, role: str) -> Server:
        """A server by the request, with owner and role in its metadata."""
        ...

    def server(self, server_id: str) -> Server | None:
        """The server as it is now, None when it is gone."""
        ...

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
        caller has not asked for it before and has seen none in a listing: the first look is saved.
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

    def actions(self, server_id: str) -> Sequence[Action]:
        """What was asked of the server through Nova, oldest first."""
        ...

    def console_log(self, server_id: str) -> str:
        """The whole serial console log that Nova still has; '' when there is none."""
        ...

    def stop_server(self, server_id: str) -> None:
        """Ask for an orderly stop."""
        ...

    def start_server(self, server_id: str) -> None:
        """Start a stopped server."""
        ...

    def snapshot(self, server_id: str, name: str, *, owner: str, properties: Mapping[str, str]) -> Image:
        """Begin an image of the server's root disk (createImage). The image exists at once, its data comes later."""
        ...

    def image(self, image_id: str) -> Image | None:
        """The image as it is now."""
        ...

    def update_image(
        self,
        image_id: str,
        *,
        properties: Mapping[str, str | None] | None = None,
        name: str | None = None,
        visibility: str | None = None,
        protected: bool | None = None,
        min_disk: int | None = None,
        min_ram: int | None = None,
        hidden: bool | None = None,
    ) -> Image:
        """Change what is named and nothing else; a property of None is removed. Returns the image as the cloud has it now.

        Not safe against another who changes the same image at the same moment: hold a claim where that may be.
        """
        ...

    def reserve_image(self, image_id: str, name: str, *, properties: Mapping[str, str]) -> Image | None:
        """Make an empty, hidden, private image record with this id (a UUID); None when somebody else has it or ever had it.

        Glance keeps the ids of deleted images: an id can be taken once and never again, by whomever. That is what makes
        it a claim. A record with the same id and the same properties is our own, made by a call whose answer was lost.
        """
        ...

    def set_image_active(self, image_id: str, *, active: bool) -> Image:
        """Deactivate (no server can be made or rebuilt from it) or reactivate. Before Wallaby only administrators may: CloudRefused."""
        ...

    def image_uses(self) -> Mapping[str, Sequence[str]]:
        """By image id, what in this project was made from it and still stands: lines like `server desktop-1 (ID)`, `volume data (ID)`."""
        ...

    def console_picture(self, server_id: str, *, deadline: Deadline) -> bytes | None:
        """What the server's screen shows now, as a PNG, over VNC through Nova's console; None when the cloud offers no VNC console."""
        ...

    def owned(self, owner: str | None = None) -> Mapping[str, Owned]:
        """Everything of ours in this project, by owner id; only that owner's when one is given. Finished images are not in it."""
        ...

    def begin_delete(self, server_id: str) -> None:
        """Ask for a server's deletion and come back at once: `delete` waits until it is gone. No error when it is gone already."""
        ...

    def delete(self, kind: Kind, thing_id: str, *, deadline: Deadline) -> None:
        """Delete one thing and wait until it is gone; nothing happens when it is gone already. A protected image raises CloudRefused."""
        ...
