"""What we ask of a cloud: frozen values and one Protocol. Adapters fulfil it; steps see nothing else of OpenStack.

Ownership: everything that is made carries the id of its owner (a build or a roll) in the cloud itself, so a leftover is
found without our journal: servers and volumes in their metadata, security groups in their description, images in their
properties, all under OWNER_KEY.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from imagebuild.secrets import Secret
from imagebuild.waiting import Deadline

OWNER_KEY = "imagebuild_owner"
ROLE_KEY = "imagebuild_role"


@dataclass(frozen=True)
class Image:
    """A Glance image. Sizes as Glance counts them: `size` in bytes, `min_disk` in GiB, `min_ram` in MiB."""

    id: str
    name: str
    status: str
    visibility: str = "private"
    protected: bool = False
    disk_format: str | None = None
    container_format: str | None = None
    size: int | None = None
    min_disk: int = 0
    min_ram: int = 0
    hidden: bool = False
    created_at: str = ""
    checksum: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Flavor:
    """A Nova flavor: cores, MiB of memory, GiB of root disk."""

    id: str
    name: str
    vcpus: int
    ram_mib: int
    disk_gib: int


@dataclass(frozen=True)
class Network:
    """A Neutron network with the address ranges of its subnets."""

    id: str
    name: str
    cidrs: tuple[str, ...]


@dataclass(frozen=True)
class Headroom:
    """What the project may still use; None = no limit (or the service does not tell)."""

    instances: int | None
    cores: int | None
    ram_mib: int | None
    volumes: int | None
    gigabytes: int | None
    security_groups: int | None


@dataclass(frozen=True)
class Server:
    """A Nova server. `fault` is Nova's own message when status is ERROR; `image_id` is None for volume-backed ones."""

    id: str
    name: str
    status: str
    task_state: str | None = None
    power_state: int | None = None
    addresses: tuple[str, ...] = ()
    fault: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    created_at: str = ""
    image_id: str | None = None


@dataclass(frozen=True)
class Action:
    """One line of a server's history in Nova: who asked for what, when (ISO time)."""

    name: str
    begun_at: str
    user_id: str | None = None


@dataclass(frozen=True)
class Disk:
    """A disk of a new server beside its root. `volume_id`: a ready volume; None: a blank one of `gib` made with the server."""

    bus: str
    volume_id: str | None = None
    gib: int = 1
    cdrom: bool = False


@dataclass(frozen=True)
class ServerRequest:
    """A server to be made from an image: root disk on the hypervisor, bus by `root_bus`, config drive always on."""

    name: str
    image_id: str
    flavor_id: str
    network_id: str
    root_bus: str | None = None
    disks: tuple[Disk, ...] = ()
    security_groups: tuple[str, ...] = ()
    user_data: str | None = None
    admin_password: Secret | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    availability_zone: str | None = None


@dataclass(frozen=True)
class Volume:
    """A Cinder volume; `gib` is whole GiB."""

    id: str
    name: str
    status: str
    gib: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    created_at: str = ""
    image_id: str | None = None
    """The image that it was filled from."""


@dataclass(frozen=True)
class SecurityGroup:
    """A Neutron security group."""

    id: str
    name: str
    description: str


@dataclass(frozen=True)
class Owned:
    """Everything in the cloud that carries an owner's id."""

    servers: tuple[Server, ...] = ()
    volumes: tuple[Volume, ...] = ()
    security_groups: tuple[SecurityGroup, ...] = ()
    images: tuple[Image, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.servers or self.volumes or self.security_groups or self.images)


Kind = Literal["server", "volume", "security_group", "image"]


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

    def headroom(self) -> Headroom:
        """What quotas leave."""
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
