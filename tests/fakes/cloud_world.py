"""The inside of the fake cloud: what there is, how it goes on when time passes, and what the services would refuse."""

import heapq
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from imagebuild.cloud import (
    OWNER_KEY,
    Action,
    Flavor,
    Image,
    Network,
    Rule,
    SecurityGroup,
    Server,
    ServerRequest,
    Subnet,
    Volume,
)
from imagebuild.errors import CloudError, CloudRefused, CloudUnreachable, NotFound
from imagebuild.waiting import Clock
from tests.fakes.cloud_plugs import Plugs
from tests.fakes.faults import Faults

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)  # when the clock stands at 0
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


class World:
    """All state of one cloud. Its clock is the test's; nothing happens but in go_on."""

    user_id = "user-of-the-builder"

    def __init__(self, clock: Clock, *, limits: Limits | None = None) -> None:
        self.clock = clock
        self.limits = limits or Limits()
        self.faults = Faults(lambda: CloudUnreachable("the connection broke before the answer came"))
        self.server_fault = ""  # what Nova says of the next server, which goes to ERROR; "" = it boots
        self.snapshot_fails = False  # Nova drops the next image when its upload fails
        self.boots: Callable[[str], None] = lambda server_id: None  # called when a server becomes ACTIVE
        self.may_deactivate = True  # before Wallaby only administrators could, by Glance's default policy
        self.screen: bytes | None = (
            None  # what a running server's console shows, a PNG; None = a cloud without consoles
        )
        self._flavors: dict[str, Flavor] = {}
        self._specs: dict[str, Mapping[str, str]] = {}
        self._networks: dict[str, Network] = {}
        self._images: dict[str, Image] = {}
        self._images_ever: set[str] = set()  # Glance keeps the ids of deleted images
        self._foreign: set[str] = set()
        self._volumes: dict[str, Volume] = {}
        self._groups: dict[str, SecurityGroup] = {}
        self._machines: dict[str, Machine] = {}
        self._used: Counter[str] = Counter()  # of the quotas of servers
        self._named: dict[str, list[str]] = defaultdict(list)  # ids of servers by name, which is not unique
        self._deleted: list[Server] = []
        self._rebuilds: list[tuple[str, str]] = []
        self._plugs = Plugs()
        self._subnets: dict[str, Subnet] = {}
        self._rules: dict[str, tuple[str, Rule]] = {}  # rule id -> group id, rule
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()

    # ---------------------------------------------------------------------------------------------- what a test arranges

    def add_flavor(
        self,
        name: str,
        *,
        vcpus: int = 2,
        ram_mib: int = 2048,
        disk_gib: int = 40,
        specs: Mapping[str, str] | None = None,
    ) -> Flavor:
        """A flavor that exists; `specs` are its extra specs."""
        flavor = Flavor(id=str(uuid4()), name=name, vcpus=vcpus, ram_mib=ram_mib, disk_gib=disk_gib)
        self._flavors[flavor.id] = flavor
        self._specs[flavor.id] = specs or {}
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
        self._images_ever.add(made.id)
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

    # ---------------------------------------------------------------------------------------------- how the world goes on

    def go_on(self) -> None:
        """Let happen what is due, in order."""
        while self._due and self._due[0][0] <= self.clock.now():
            heapq.heappop(self._due)[2]()

    def next_event(self) -> float | None:
        """When the next thing happens by itself, None when nothing will."""
        return self._due[0][0] if self._due else None

    def _after(self, seconds: float, event: Callable[[], object]) -> None:
        heapq.heappush(self._due, (self.clock.now() + seconds, next(self._order), event))

    def _now(self) -> str:
        return (EPOCH + timedelta(seconds=int(self.clock.now()))).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _set(self, server_id: str, **changes: object) -> None:
        machine = self._machines.get(server_id)
        if machine is not None and machine.server.task_state != "deleting":
            machine.server = replace(machine.server, updated_at=self._now(), **changes)  # type: ignore[arg-type]

    def _act(self, server_id: str, name: str, *, user_id: str | None) -> None:
        machine = self._machine(server_id)
        machine.actions += (Action(name=name, begun_at=self._now(), user_id=user_id),)

    def _boot(self, server_id: str) -> None:
        machine = self._machines.get(server_id)
        if machine is None or machine.server.task_state == "deleting":
            return
        if not self._plugs.of(server_id):
            self._plugs.plug(self._plugs.make("", network_id=machine.request.network_id).id, server_id)
        addresses = tuple(address for port in self._plugs.of(server_id) for address in port.addresses)
        launched_at = machine.server.launched_at or self._now()
        self._set(
            server_id, status="ACTIVE", power_state=1, task_state=None, addresses=addresses, launched_at=launched_at
        )
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

    def _use(self, flavor: Flavor, count: int) -> None:
        """Count a server in (1) or out (-1)."""
        for what, each in (("instances", 1), ("cores", flavor.vcpus), ("ram_mib", flavor.ram_mib)):
            self._used[what] += count * each

    def _make_volume(self, name: str, *, gib: int, metadata: Mapping[str, str], image_id: str | None = None) -> Volume:
        self._check_quota("volumes", len(self._volumes) + 1)
        self._check_quota("gigabytes", sum(volume.gib for volume in self._volumes.values()) + gib)
        volume = Volume(
            id=str(uuid4()),
            name=name,
            status="creating",
            gib=gib,
            metadata=dict(metadata),
            created_at=self._now(),
            image_id=image_id,
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
        self._check_unlocked(machine.server)
        machine.server = replace(machine.server, task_state="deleting", updated_at=self._now())

        def gone() -> None:
            self._forget_machine(server_id)
            self._plugs.unplug(server_id)
            for volume_id in machine.volumes:  # every disk of a ServerRequest goes with its server
                self._volumes.pop(volume_id, None)

        self._after(DELETE_SECONDS, gone)

    def _forget_machine(self, server_id: str) -> None:
        machine = self._machines.pop(server_id)
        self._named[machine.server.name].remove(server_id)
        self._deleted.append(replace(machine.server, status="DELETED", task_state=None, updated_at=self._now()))
        self._use(machine.flavor, -1)

    def _check_unlocked(self, server: Server) -> None:
        if server.locked:
            raise CloudRefused(f"409 Instance {server.id} is locked", hint="somebody locked it")

    def _delete_port(self, port_id: str) -> None:
        if self._plugs.ports[port_id].server_id is None:
            self._plugs.drop(port_id)

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


def owner_of(group: SecurityGroup) -> str | None:
    found = _OWNER.match(group.description)
    return found.group(1) if found else None
