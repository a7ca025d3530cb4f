"""A cloud in memory that behaves as Nova, Glance, Cinder and Neutron do where the pipeline could be wrong about them.

States pass only when time passes on the given clock. Quotas, names, protection and things in use are refused as the real
services refuse them.
"""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from imagebuild.cloud import (
    OWNER_KEY,
    ROLE_KEY,
    Action,
    Flavor,
    Headroom,
    Image,
    Kind,
    Network,
    Owned,
    SecurityGroup,
    Server,
    ServerRequest,
    Volume,
)
from imagebuild.errors import CloudError, CloudRefused, CloudUnreachable, NotFound
from imagebuild.waiting import Clock, Deadline, wait_for
from tests.fakes.faults import Faults, call

BOOT_SECONDS = 3.0
STOP_SECONDS = 2.0
DELETE_SECONDS = 1.5
VOLUME_SECONDS = 1.0
SNAPSHOT_SECONDS = 4.0

_OWNER = re.compile(rf"^{OWNER_KEY}=(\S+)")


@dataclass(frozen=True)
class Limits:
    """The project's quota."""

    instances: int = 10
    cores: int = 20
    ram_mib: int = 51200
    volumes: int = 10
    gigabytes: int = 1000
    security_groups: int = 10


@dataclass
class Machine:
    """A server with what Nova keeps about it beside the public value."""

    server: Server
    request: ServerRequest
    flavor: Flavor
    volumes: list[str]
    console: str = ""
    actions: tuple[Action, ...] = ()


class FakeCloud:
    """imagebuild.cloud.Cloud. A test fills it with add_..., breaks it with `faults` and the attributes, and plays the guests."""

    name = "fake"
    project_id = "project-of-the-builder"
    user_id = "user-of-the-builder"

    def __init__(self, clock: Clock, *, limits: Limits | None = None) -> None:
        self.clock = clock
        self.limits = limits or Limits()
        self.faults = Faults(lambda: CloudUnreachable("the connection broke before the answer came"))
        self.server_fault = ""  # what Nova says of the next server, which goes to ERROR; "" = it boots
        self.snapshot_fails = False  # Nova drops the next image when its upload fails
        self.boots: Callable[[str], None] = lambda server_id: None  # called when a server becomes ACTIVE
        self._flavors: dict[str, Flavor] = {}
        self._networks: dict[str, Network] = {}
        self._images: dict[str, Image] = {}
        self._foreign: set[str] = set()
        self._volumes: dict[str, Volume] = {}
        self._groups: dict[str, SecurityGroup] = {}
        self._machines: dict[str, Machine] = {}
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._hosts = itertools.count(10)

    # ---------------------------------------------------------------------------------------------- what a test arranges

    def add_flavor(self, name: str, *, vcpus: int = 2, ram_mib: int = 2048, disk_gib: int = 40) -> Flavor:
        """A flavor that exists."""
        flavor = Flavor(id=str(uuid4()), name=name, vcpus=vcpus, ram_mib=ram_mib, disk_gib=disk_gib)
        self._flavors[flavor.id] = flavor
        return flavor

    def add_network(self, name: str, *cidrs: str) -> Network:
        """A network that exists."""
        network = Network(id=str(uuid4()), name=name, cidrs=cidrs)
        self._networks[network.id] = network
        return network

    def add_image(self, name: str, *, foreign: bool = True, image: Image | None = None, **properties: str) -> Image:
        """An active image; a foreign one is public and belongs to another project. `image` gives its other members."""
        made = image or Image(id="", name=name, status="active", visibility="public" if foreign else "private")
        made = replace(
            made,
            id=str(uuid4()),
            name=name,
            disk_format=made.disk_format or "qcow2",
            size=made.size or 1_000_000,
            created_at=self._now(),
            properties={**made.properties, **properties},
        )
        self._images[made.id] = made
        if foreign:
            self._foreign.add(made.id)
        return made

    def say(self, server_id: str, text: str) -> None:
        """A line on the server's serial console."""
        self._machines[server_id].console += text + "\r\n"

    def power_off(self, server_id: str) -> None:
        """The guest switches itself off. Nova notices, and records a stop under no user."""
        self._act(server_id, "stop", user_id=None)
        self._after(STOP_SECONDS, lambda: self._set(server_id, status="SHUTOFF", power_state=4, task_state=None))

    def request_of(self, server_id: str) -> ServerRequest:
        """What the server was asked for with."""
        return self._machines[server_id].request

    def act_as(self, user_id: str, server_id: str, action: str) -> None:
        """Somebody else's act on a server, as its history shows it."""
        self._act(server_id, action, user_id=user_id)

    # ---------------------------------------------------------------------------------------------- imagebuild.cloud.Cloud

    @call
    def find_image(self, name_or_id: str) -> Image | None:
        if name_or_id in self._images:
            return self._images[name_or_id]
        named = [i for i in self._images.values() if i.name == name_or_id and i.status == "active" and not i.hidden]
        if len(named) > 1:
            raise CloudRefused(f"{len(named)} active images are called '{name_or_id}'", hint="name one by its id")
        return named[0] if named else None

    @call
    def images(self, *, properties: Mapping[str, str] | None = None) -> Sequence[Image]:
        wanted = (properties or {}).items()
        return tuple(i for i in self._own_images() if wanted <= i.properties.items())

    @call
    def find_flavor(self, name: str) -> Flavor | None:
        return next((f for f in self._flavors.values() if name in (f.name, f.id)), None)

    @call
    def find_network(self, name: str) -> Network | None:
        return next((n for n in self._networks.values() if name in (n.name, n.id)), None)

    @call
    def headroom(self) -> Headroom:
        flavors = [machine.flavor for machine in self._machines.values()]
        return Headroom(
            instances=self.limits.instances - len(flavors),
            cores=self.limits.cores - sum(flavor.vcpus for flavor in flavors),
            ram_mib=self.limits.ram_mib - sum(flavor.ram_mib for flavor in flavors),
            volumes=self.limits.volumes - len(self._volumes),
            gigabytes=self.limits.gigabytes - sum(volume.gib for volume in self._volumes.values()),
            security_groups=self.limits.security_groups - len(self._groups),
        )

    @call
    def create_security_group(self, name: str, *, owner: str, allow_from: str, ports: Sequence[int]) -> SecurityGroup:
        for group in self._groups.values():
            if group.name == name and _owner_of(group) == owner:
                return group
        self._check_quota("security_groups", len(self._groups) + 1)
        description = f"{OWNER_KEY}={owner} lets {list(ports)} in from {allow_from}"
        group = SecurityGroup(id=str(uuid4()), name=name, description=description)
        self._groups[group.id] = group
        return group

    @call
    def create_volume(self, name: str, *, owner: str, role: str, gib: int, image_id: str | None = None) -> Volume:
        tags = {OWNER_KEY: owner, ROLE_KEY: role}
        for volume in self._volumes.values():
            if volume.name == name and volume.status != "deleting" and tags.items() <= volume.metadata.items():
                return volume
        if image_id is not None:
            image = self._usable_image(image_id)
            if gib < max(image.min_disk, -(-(image.size or 0) // 2**30)):
                raise CloudError(f"could not create the volume '{name}': 400 the image is larger than {gib} GiB")
        return self._make_volume(name, gib=gib, metadata=tags)

    @call
    def volume(self, volume_id: str) -> Volume | None:
        return self._volumes.get(volume_id)

    @call
    def create_server(self, request: ServerRequest, *, owner: str, role: str) -> Server:
        tags = {OWNER_KEY: owner, ROLE_KEY: role}
        for machine in self._machines.values():
            server = machine.server
            if (
                server.name == request.name
                and server.task_state != "deleting"
                and tags.items() <= server.metadata.items()
            ):
                return server
        self._check_request(request)
        flavor = self._flavors[request.flavor_id]
        self._check_quota("instances", len(self._machines) + 1)
        self._check_quota("cores", sum(m.flavor.vcpus for m in self._machines.values()) + flavor.vcpus)
        self._check_quota("ram_mib", sum(m.flavor.ram_mib for m in self._machines.values()) + flavor.ram_mib)
        server = Server(
            id=str(uuid4()),
            name=request.name,
            status="BUILD",
            task_state="scheduling",
            power_state=0,
            metadata={**request.metadata, **tags},
            created_at=self._now(),
        )
        volumes = [disk.volume_id or self._make_volume("", gib=disk.gib, metadata={}).id for disk in request.disks]
        self._machines[server.id] = Machine(server, request, flavor, volumes)
        self._act(server.id, "create", user_id=self.user_id)
        fault, self.server_fault = self.server_fault, ""
        self._after(BOOT_SECONDS, lambda: self._fail_boot(server.id, fault) if fault else self._boot(server.id))
        return server

    @call
    def server(self, server_id: str) -> Server | None:
        machine = self._machines.get(server_id)
        return machine.server if machine else None

    @call
    def actions(self, server_id: str) -> Sequence[Action]:
        return self._machine(server_id).actions

    @call
    def console_log(self, server_id: str) -> str:
        machine = self._machines.get(server_id)
        return machine.console if machine else ""

    @call
    def stop_server(self, server_id: str) -> None:
        server = self._machine(server_id).server
        if server.status == "SHUTOFF" or server.task_state == "powering-off":
            return
        if server.status != "ACTIVE":
            raise CloudRefused(f"could not stop the server {server_id}: it is {server.status}")
        self._act(server_id, "stop", user_id=self.user_id)
        self._set(server_id, task_state="powering-off")
        self._after(STOP_SECONDS, lambda: self._set(server_id, status="SHUTOFF", power_state=4, task_state=None))

    @call
    def start_server(self, server_id: str) -> None:
        server = self._machine(server_id).server
        if server.status == "ACTIVE" or server.task_state == "powering-on":
            return
        if server.status != "SHUTOFF":
            raise CloudRefused(f"could not start the server {server_id}: it is {server.status}")
        self._act(server_id, "start", user_id=self.user_id)
        self._set(server_id, task_state="powering-on")
        self._after(BOOT_SECONDS, lambda: self._boot(server_id))

    @call
    def snapshot(self, server_id: str, name: str, *, owner: str, properties: Mapping[str, str]) -> Image:
        for image in self._own_images():
            if image.name == name and image.properties.get(OWNER_KEY) == owner:
                return image
        machine = self._machine(server_id)
        if machine.server.status not in ("ACTIVE", "SHUTOFF") or machine.server.task_state:
            raise CloudRefused(f"could not make the image '{name}': 409 the server is {machine.server.status}")
        base = self._images.get(machine.request.image_id)
        image = Image(
            id=str(uuid4()),
            name=name,
            status="queued",
            min_disk=machine.flavor.disk_gib,
            created_at=self._now(),
            # Nova copies the source image's properties onto the snapshot.
            properties={
                **(base.properties if base else {}),
                "base_image_ref": machine.request.image_id,
                "image_type": "snapshot",
                **properties,
                OWNER_KEY: owner,
            },
        )
        self._images[image.id] = image
        self._act(server_id, "createImage", user_id=self.user_id)
        self._set(server_id, task_state="image_uploading")
        self._after(SNAPSHOT_SECONDS / 2, lambda: self._change_image(image.id, status="saving"))
        self._after(SNAPSHOT_SECONDS, lambda: self._upload(server_id, image.id))
        return image

    @call
    def image(self, image_id: str) -> Image | None:
        return self._images.get(image_id)

    @call
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
        image = self._own_image(image_id)
        merged: dict[str, str | None] = {**image.properties, **(properties or {})}
        return self._change_image(
            image_id,
            name=image.name if name is None else name,
            visibility=image.visibility if visibility is None else visibility,
            protected=image.protected if protected is None else protected,
            min_disk=image.min_disk if min_disk is None else min_disk,
            min_ram=image.min_ram if min_ram is None else min_ram,
            hidden=image.hidden if hidden is None else hidden,
            properties={key: value for key, value in merged.items() if value is not None},
        )

    @call
    def owned(self, owner: str | None = None) -> Mapping[str, Owned]:
        servers = [m.server for m in self._machines.values() if m.server.task_state != "deleting"]
        owners = {server.metadata.get(OWNER_KEY) for server in servers}
        owners |= {volume.metadata.get(OWNER_KEY) for volume in self._volumes.values()}
        owners |= {_owner_of(group) for group in self._groups.values()}
        owners |= {image.properties.get(OWNER_KEY) for image in self._own_images()}
        return {
            one: Owned(
                servers=tuple(s for s in servers if s.metadata.get(OWNER_KEY) == one),
                volumes=tuple(v for v in self._volumes.values() if v.metadata.get(OWNER_KEY) == one),
                security_groups=tuple(g for g in self._groups.values() if _owner_of(g) == one),
                images=tuple(i for i in self._own_images() if i.properties.get(OWNER_KEY) == one),
            )
            for one in sorted(each for each in owners if each)
            if owner in (None, one)
        }

    @call
    def delete(self, kind: Kind, thing_id: str, *, deadline: Deadline) -> None:
        begin = {
            "server": self._delete_server,
            "volume": self._delete_volume,
            "security_group": self._delete_group,
            "image": self._delete_image,
        }[kind]
        tables: Mapping[Kind, Mapping[str, object]] = {
            "server": self._machines,
            "volume": self._volumes,
            "security_group": self._groups,
            "image": self._images,
        }
        things = tables[kind]

        def probe() -> bool | None:
            self.go_on()
            if thing_id in things:
                begin(thing_id)
            return None if thing_id in things else True

        wait_for(probe, f"the {kind} {thing_id} to be gone", deadline=deadline, every=0.5)

    # ---------------------------------------------------------------------------------------------- how the world goes on

    def go_on(self) -> None:
        """Let happen what is due, in order."""
        while self._due and min(self._due)[0] <= self.clock.now():
            first = min(self._due)
            self._due.remove(first)
            first[2]()

    def _after(self, seconds: float, event: Callable[[], object]) -> None:
        self._due.append((self.clock.now() + seconds, next(self._order), event))

    def _now(self) -> str:
        hours, rest = divmod(int(self.clock.now()), 3600)
        return f"2026-01-{1 + hours // 24:02d}T{hours % 24:02d}:{rest // 60:02d}:{rest % 60:02d}Z"

    def _set(self, server_id: str, **changes: object) -> None:
        machine = self._machines.get(server_id)
        if machine is not None and machine.server.task_state != "deleting":
            machine.server = replace(machine.server, **changes)  # type: ignore[arg-type]

    def _act(self, server_id: str, name: str, *, user_id: str | None) -> None:
        machine = self._machine(server_id)
        machine.actions += (Action(name=name, begun_at=self._now(), user_id=user_id),)

    def _boot(self, server_id: str) -> None:
        machine = self._machines.get(server_id)
        if machine is None or machine.server.task_state == "deleting":
            return
        addresses = machine.server.addresses or (f"10.0.0.{next(self._hosts)}",)
        self._set(server_id, status="ACTIVE", power_state=1, task_state=None, addresses=addresses)
        for volume_id in machine.volumes:
            self._volumes[volume_id] = replace(self._volumes[volume_id], status="in-use")
        self.boots(server_id)

    def _fail_boot(self, server_id: str, fault: str) -> None:
        self._set(server_id, status="ERROR", task_state=None, fault=fault)

    def _upload(self, server_id: str, image_id: str) -> None:
        self._set(server_id, task_state=None)
        if self.snapshot_fails:
            self.snapshot_fails = False
            self._images.pop(image_id, None)
            return
        formats = {"disk_format": "qcow2", "container_format": "bare"}
        self._change_image(image_id, status="active", size=30_000_000, checksum="0" * 32, **formats)

    def _change_image(self, image_id: str, **changes: object) -> Image:
        if image_id in self._images:
            self._images[image_id] = replace(self._images[image_id], **changes)  # type: ignore[arg-type]
            return self._images[image_id]
        raise NotFound(f"could not change the image {image_id}: 404")

    def _make_volume(self, name: str, *, gib: int, metadata: Mapping[str, str]) -> Volume:
        self._check_quota("volumes", len(self._volumes) + 1)
        self._check_quota("gigabytes", sum(volume.gib for volume in self._volumes.values()) + gib)
        volume = Volume(
            id=str(uuid4()), name=name, status="creating", gib=gib, metadata=dict(metadata), created_at=self._now()
        )
        self._volumes[volume.id] = volume

        def ready() -> None:
            if self._volumes.get(volume.id) == volume:
                self._volumes[volume.id] = replace(volume, status="available")

        self._after(VOLUME_SECONDS, ready)
        return volume

    # ---------------------------------------------------------------------------------------------- what is refused

    def _machine(self, server_id: str) -> Machine:
        if server_id not in self._machines:
            raise NotFound(f"there is no server {server_id}: 404")
        return self._machines[server_id]

    def _own_images(self) -> list[Image]:
        return [image for image in self._images.values() if image.id not in self._foreign]

    def _own_image(self, image_id: str) -> Image:
        if image_id not in self._images:
            raise NotFound(f"there is no image {image_id}: 404")
        if image_id in self._foreign:
            raise CloudRefused(f"the image {image_id} belongs to another project: 403")
        return self._images[image_id]

    def _usable_image(self, image_id: str) -> Image:
        image = self._images.get(image_id)
        if image is None or image.status != "active":
            raise CloudError(f"the image {image_id} cannot be used: 400")
        return image

    def _check_quota(self, what: str, wanted: int) -> None:
        limit: int = getattr(self.limits, what)
        if wanted > limit:
            raise CloudRefused(f"403 Quota exceeded for {what}: {wanted} of {limit}", hint="free something")

    def _check_request(self, request: ServerRequest) -> None:
        self._usable_image(request.image_id)
        if request.flavor_id not in self._flavors or request.network_id not in self._networks:
            raise CloudError("400 the flavor or the network cannot be found by its id")
        groups = {name for group in self._groups.values() for name in (group.id, group.name)} | {"default"}
        if not set(request.security_groups) <= groups:
            raise CloudError(f"400 no security group of {request.security_groups}")
        for disk in request.disks:
            if disk.volume_id is not None:
                volume = self._volumes.get(disk.volume_id)
                if volume is None or volume.status != "available":
                    state = volume.status if volume else "gone"
                    raise CloudError(f"400 the volume {disk.volume_id} is {state}, available is needed")

    def _delete_server(self, server_id: str) -> None:
        machine = self._machines[server_id]
        if machine.server.task_state == "deleting":
            return
        machine.server = replace(machine.server, task_state="deleting")

        def gone() -> None:
            del self._machines[server_id]
            for volume_id in machine.volumes:  # every disk of a ServerRequest goes with its server
                self._volumes.pop(volume_id, None)

        self._after(DELETE_SECONDS, gone)

    def _delete_volume(self, volume_id: str) -> None:
        if self._volumes[volume_id].status in ("available", "error"):
            self._volumes[volume_id] = replace(self._volumes[volume_id], status="deleting")
            self._after(DELETE_SECONDS, lambda: self._volumes.pop(volume_id, None))

    def _delete_group(self, group_id: str) -> None:
        group = self._groups[group_id]
        used = any({group.id, group.name} & set(m.request.security_groups) for m in self._machines.values())
        if not used:
            del self._groups[group_id]

    def _delete_image(self, image_id: str) -> None:
        if self._own_image(image_id).protected:
            raise CloudRefused(f"could not delete the image {image_id}: it is protected (403)")
        del self._images[image_id]


def _owner_of(group: SecurityGroup) -> str | None:
    found = _OWNER.match(group.description)
    return found.group(1) if found else None
