"""What we ask of a cloud: one Protocol. Adapters fulfil it; steps see nothing else of OpenStack. Its values are in
cloud_values.py, the calls that only pools make in cloud_pools.py.

Ownership: everything that is made for a build carries the build's id in the cloud itself, so a leftover is found without our
journal: servers and volumes in their metadata, security groups in their description, images in their properties, all under
OWNER_KEY. What is made to stay (a pool's desktops, ports and security group) carries POOL_KEY instead: `owned` never lists it.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from imagebuild.cloud_pools import PoolSide
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
    ServerGroup,
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
    "ServerGroup",
    "ServerRequest",
    "Subnet",
    "Volume",
]


class Cloud(PoolSide, Protocol):
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

    def borrowed_images(self, *, properties: Mapping[str, str]) -> Sequence[Image]:
        """Other projects' images that this one may use, public or shared and accepted, with these property values; hidden ones too."""
        ...

    def find_flavor(self, name: str) -> Flavor | None:
        """The flavor of that name or id."""
        ...

    def find_network(self, name: str) -> Network | None:
        """The network of that name or id."""
        ...

    def headroom(self, *, volumes: bool = True, network: bool = True) -> Headroom:
        """What quotas leave; without `volumes` or `network` nothing is told about what is Cinder's or Neutron's, which is not asked."""
        ...

    def create_security_group(self, name: str, *, owner: str, allow_from: str, ports: Sequence[int]) -> SecurityGroup:
        """A group that lets TCP `ports` in from the address range `allow_from` (and everything out)."""
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
