"""What a cloud gives and takes, as frozen values: no calls here, and nothing of a library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from imagebuild.secrets import Secret

OWNER_KEY = "imagebuild_owner"
ROLE_KEY = "imagebuild_role"
POOL_KEY = "vdi_pool"
"""In the metadata of desktops, and in the descriptions of what belongs to their pool: never beside OWNER_KEY, so no sweep sees them."""


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
    """MD5, from a cloud that still makes one."""
    os_hash: str | None = None
    """The algorithm and what it gave: sha512:3b2c... (Glance: os_hash_algo, os_hash_value; since Rocky)."""
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str | None:
        """What tells its data from any others; None when Glance knows neither."""
        return self.os_hash or self.checksum

    def has_data(self, fingerprint: str) -> bool:
        """Are its data those that had this fingerprint?"""
        return fingerprint in (self.os_hash, self.checksum)


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
    """A Neutron network with the address ranges of its subnets, and whose it is: only its own project chooses addresses in it."""

    id: str
    name: str
    cidrs: tuple[str, ...]
    project_id: str = ""


@dataclass(frozen=True)
class Headroom:
    """What the project may still use; None = no limit (or the service does not tell)."""

    instances: int | None
    cores: int | None
    ram_mib: int | None
    volumes: int | None
    gigabytes: int | None
    security_groups: int | None
    group_members: int | None = None
    """So many servers one server group may have."""
    ports: int | None = None

    def for_servers(
        self, count: int, flavor: Flavor, *, root_volume_gib: int | None = None
    ) -> dict[str, tuple[int, int | None]]:
        """What so many servers of a flavor need and what is left of it, for `shortages`; with a size their roots are volumes."""
        return {
            "instances": (count, self.instances),
            "cores": (count * flavor.vcpus, self.cores),
            "MiB of memory": (count * flavor.ram_mib, self.ram_mib),
            "ports": (count, self.ports),
            **self.for_volumes([root_volume_gib] * count if root_volume_gib else []),
        }

    def for_volumes(self, gib: Sequence[int]) -> dict[str, tuple[int, int | None]]:
        """The same of volumes of these sizes."""
        return {"volumes": (len(gib), self.volumes), "GiB of volumes": (sum(gib), self.gigabytes)}


def shortages(needs: Mapping[str, tuple[int, int | None]]) -> tuple[str, ...]:
    """A line for each thing of which less is left than is needed; None is no limit.

    Less than nothing is left when a quota was lowered below what is in use: what needs nothing does not mind.
    """
    short = {what: (need, left) for what, (need, left) in needs.items() if need and left is not None and left < need}
    return tuple(f"{what}: {need} needed, {left} left" for what, (need, left) in short.items())


@dataclass(frozen=True)
class ServerGroup:
    """A Nova server group: `policy` says how its members are spread over hosts. A server joins one when it is made, or never.

    `members` are the ids of those that stand; deleted ones, which Nova remembers until its operator purges them, take no place.
    """

    id: str
    name: str
    policy: str
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Server:
    """A Nova server. `fault` is Nova's own message when status is ERROR; `image_id` is None for volume-backed ones.

    Nova sets `image_id` when it accepts a rebuild, long before the disk is the new one; `launched_at` moves when that is done,
    `created_at` never does. A server in a part of the cloud that is down has the status UNKNOWN and little else.
    """

    id: str
    name: str
    status: str
    task_state: str | None = None
    power_state: int | None = None
    addresses: tuple[str, ...] = ()
    cards: int = 1
    """So many network cards have an address."""
    fault: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    created_at: str = ""
    image_id: str | None = None
    tags: tuple[str, ...] = ()
    locked: bool = False
    locked_reason: str | None = None
    launched_at: str = ""
    updated_at: str = ""
    flavor: str = ""
    flavor_specs: Mapping[str, str] = field(default_factory=dict)
    """The flavor's extra specs as they were when the server was made; {} where the cloud keeps them from ordinary users."""
    volume_ids: tuple[str, ...] = ()
    key_name: str = ""
    """The key pair that it was made with."""
    floating: tuple[str, ...] = ()
    """Those of its addresses that are floating ones: they belong to a port of its."""
    security_groups: tuple[str, ...] = ()
    """Their names, sorted; those of all its ports."""
    group_id: str | None = field(default=None, compare=False)
    """The server group that it is in. Nova tells it of a server that is looked at alone, in no listing."""

    @property
    def root_volume_id(self) -> str | None:
        """The volume that it runs from, None when its root is a disk of the hypervisor's.

        Of several volumes it is the first: Nova does not say which is the root, and lists them in the order of their making.
        """
        return self.volume_ids[0] if self.image_id is None and self.volume_ids else None

    @property
    def further_volume_ids(self) -> tuple[str, ...]:
        """The volumes that are attached to it beside its root."""
        return self.volume_ids[1:] if self.root_volume_id else self.volume_ids


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
    """A server to be made from an image: root disk on the hypervisor, bus by `root_bus`, config drive always on.

    `root_gib`: the root is a new volume of that size, which goes with the server. `port_id`: a port that is there already, with
    its address and its own security groups; the server's are not used then. `group_id`: the server group that it joins for good.
    """

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
    root_gib: int | None = None
    port_id: str | None = None
    tags: tuple[str, ...] = ()
    group_id: str | None = None


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
class Rule:
    """What a security group lets through. None = any; `protocol` as Neutron names it (tcp, udp, icmp), `cidr` is the other side's range."""

    direction: Literal["ingress", "egress"]
    protocol: str | None = None
    first_port: int | None = None
    last_port: int | None = None
    cidr: str | None = None
    ipv6: bool = False
    group_id: str | None = None
    """Not a range but the members of this group are the other side (the default group lets its own members in)."""
    id: str = field(default="", compare=False)


@dataclass(frozen=True)
class Subnet:
    """An address range of a network, with what its DHCP tells the machines in it."""

    id: str
    name: str
    network_id: str
    cidr: str
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    dhcp: bool = True


@dataclass(frozen=True)
class Port:
    """A plug in a network with a fixed address. One that we made outlives its server; one that Nova made goes with it."""

    id: str
    name: str
    network_id: str
    status: str
    addresses: tuple[str, ...] = ()
    mac: str = ""
    server_id: str | None = None
    security_groups: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class Owned:
    """Everything in the cloud that carries an owner's id."""

    servers: tuple[Server, ...] = ()
    volumes: tuple[Volume, ...] = ()
    security_groups: tuple[SecurityGroup, ...] = ()
    images: tuple[Image, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.servers or self.volumes or self.security_groups or self.images)


Kind = Literal["server", "volume", "security_group", "image", "port"]
