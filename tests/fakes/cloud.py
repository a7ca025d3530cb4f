"""A cloud in memory that behaves as Nova, Glance, Cinder and Neutron do where the pipeline could be wrong about them.

States pass only when time passes on the given clock. Quotas, names, protection and things in use are refused as the real
services refuse them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import uuid4

from imagebuild.cloud import (
    OWNER_KEY,
    ROLE_KEY,
    Action,
    Flavor,
    Headroom,
    Kind,
    Owned,
    SecurityGroup,
    Server,
    ServerRequest,
    Volume,
)
from imagebuild.errors import CloudError, CloudRefused
from imagebuild.waiting import Deadline, wait_for
from tests.fakes.cloud_desktops import DesktopCalls
from tests.fakes.cloud_images import ImageCalls
from tests.fakes.cloud_networks import NetworkCalls
from tests.fakes.cloud_world import BOOT_SECONDS, STOP_SECONDS, owner_of
from tests.fakes.faults import call


class FakeCloud(ImageCalls, DesktopCalls, NetworkCalls):
    """imagebuild.cloud.Cloud. A test fills it with add_..., breaks it with `faults` and the attributes, and plays the guests."""

    name = "fake"

    @call
    def find_flavor(self, name: str) -> Flavor | None:
        return next((f for f in self._flavors.values() if name in (f.name, f.id)), None)

    @call
    def headroom(self, *, volumes: bool = True, network: bool = True) -> Headroom:
        self.faults.also("headroom", volumes + network)
        return Headroom(
            instances=self.limits.instances - self._used["instances"],
            cores=self.limits.cores - self._used["cores"],
            ram_mib=self.limits.ram_mib - self._used["ram_mib"],
            volumes=self.limits.volumes - len(self._volumes) if volumes else None,
            gigabytes=self.limits.gigabytes - sum(volume.gib for volume in self._volumes.values()) if volumes else None,
            security_groups=self.limits.security_groups - len(self._groups) if network else None,
            group_members=self.limits.group_members,
            ports=self.limits.ports - len(self._plugs.ports) if network else None,
        )

    @call
    def create_security_group(self, name: str, *, owner: str, allow_from: str, ports: Sequence[int]) -> SecurityGroup:
        for group in self._groups.values():
            if group.name == name and owner_of(group) == owner:
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
        return self._make_volume(name, gib=gib, metadata=tags, image_id=image_id)

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
        return self._make_server(request, {**request.metadata, **tags})

    @call
    def server(self, server_id: str) -> Server | None:
        machine = self._machines.get(server_id)
        return replace(machine.server, group_id=self._group_of(machine)) if machine else None

    @call
    def actions(self, server_id: str) -> Sequence[Action]:
        return self._machine(server_id).actions

    @call
    def console_log(self, server_id: str) -> str:
        machine = self._machines.get(server_id)
        return machine.console if machine and machine.server.status != "SHUTOFF" else ""  # as Nova's libvirt driver

    @call
    def console_picture(self, server_id: str, *, deadline: Deadline) -> bytes | None:
        machine = self._machines.get(server_id)
        return self.screen if machine and machine.server.status == "ACTIVE" else None

    @call
    def image_uses(self) -> Mapping[str, Sequence[str]]:
        uses: dict[str, tuple[str, ...]] = {}
        for server in (machine.server for machine in self._machines.values()):
            if server.image_id:
                uses[server.image_id] = (*uses.get(server.image_id, ()), f"server {server.name} ({server.id})")
        for volume in self._volumes.values():
            if volume.image_id:
                uses[volume.image_id] = (*uses.get(volume.image_id, ()), f"volume {volume.name} ({volume.id})")
        return uses

    @call
    def stop_server(self, server_id: str) -> None:
        server = self._machine(server_id).server
        if server.status == "SHUTOFF" or server.task_state == "powering-off":
            return
        if server.status != "ACTIVE":
            raise CloudRefused(f"could not stop the server {server_id}: it is {server.status}")
        self._check_unlocked(server)
        self._act(server_id, "stop", user_id=self.user_id)
        self._set(server_id, task_state="powering-off")
        self.ends(server.name)
        self._after(STOP_SECONDS, lambda: self._set(server_id, status="SHUTOFF", power_state=4, task_state=None))

    @call
    def start_server(self, server_id: str) -> None:
        server = self._machine(server_id).server
        if server.status == "ACTIVE" or server.task_state == "powering-on":
            return
        if server.status != "SHUTOFF":
            raise CloudRefused(f"could not start the server {server_id}: it is {server.status}")
        self._check_unlocked(server)
        self._act(server_id, "start", user_id=self.user_id)
        self._set(server_id, task_state="powering-on")
        self._after(BOOT_SECONDS, lambda: self._boot(server_id))

    @call
    def owned(self, owner: str | None = None) -> Mapping[str, Owned]:
        servers = [m.server for m in self._machines.values() if m.server.task_state != "deleting"]
        owners = {server.metadata.get(OWNER_KEY) for server in servers}
        owners |= {volume.metadata.get(OWNER_KEY) for volume in self._volumes.values()}
        owners |= {owner_of(group) for group in self._groups.values()}
        owners |= {image.properties.get(OWNER_KEY) for image in self._own_images()}
        return {
            one: Owned(
                servers=tuple(s for s in servers if s.metadata.get(OWNER_KEY) == one),
                volumes=tuple(v for v in self._volumes.values() if v.metadata.get(OWNER_KEY) == one),
                security_groups=tuple(g for g in self._groups.values() if owner_of(g) == one),
                images=tuple(i for i in self._own_images() if i.properties.get(OWNER_KEY) == one),
            )
            for one in sorted(each for each in owners if each)
            if owner in (None, one)
        }

    @call
    def begin_delete(self, server_id: str) -> None:
        if server_id in self._machines:
            self._delete_server(server_id)

    @call
    def delete(self, kind: Kind, thing_id: str, *, deadline: Deadline) -> None:
        begin = {
            "server": self._delete_server,
            "volume": self._delete_volume,
            "security_group": self._delete_group,
            "image": self._delete_image,
            "port": self._delete_port,
        }[kind]
        tables: Mapping[Kind, Mapping[str, object]] = {
            "server": self._machines,
            "volume": self._volumes,
            "security_group": self._groups,
            "image": self._images,
            "port": self._plugs.ports,
        }
        things = tables[kind]

        def probe() -> bool | None:
            self.go_on()
            if thing_id in things:
                begin(thing_id)
            return None if thing_id in things else True

        wait_for(probe, f"the {kind} {thing_id} to be gone", deadline=deadline, every=0.5)
