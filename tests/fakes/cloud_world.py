"""The inside of the fake cloud: what there is, how it goes on when time passes, and what the services would refuse."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

from imagebuild.cloud import (
    OWNER_KEY,
    Action,
    Flavor,
    Image,
    Network,
    SecurityGroup,
    Server,
    ServerRequest,
    Subnet,
    Volume,
)
from imagebuild.errors import CloudError, CloudRefused, NotFound
from tests.fakes.cloud_state import (
    BOOT_SECONDS,
    DELETE_SECONDS,
    SNAPSHOT_SECONDS,
    STOP_SECONDS,
    VOLUME_SECONDS,
    Limits,
    Machine,
    State,
)

__all__ = ["BOOT_SECONDS", "SNAPSHOT_SECONDS", "STOP_SECONDS", "Limits", "Machine", "World", "owner_of"]

_OWNER = re.compile(rf"^{OWNER_KEY}=(\S+)")


class World(State):
    """The state of one cloud and what changes it."""

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

    def add_network(self, name: str, *cidrs: str, project_id: str = "") -> Network:
        """A network that exists; `project_id` is whose it is."""
        network = Network(id=str(uuid4()), name=name, cidrs=cidrs, project_id=project_id)
        self._networks[network.id] = network
        for cidr in cidrs:
            first = str(ipaddress.ip_network(cidr).network_address + 1)
            subnet = Subnet(str(uuid4()), f"{name}-subnet", network.id, cidr, gateway=first)
            self._subnets[subnet.id] = subnet
        return network

    def remove_network(self, network_id: str) -> None:
        """Its owner deletes it, its subnets go with it."""
        del self._networks[network_id]
        self._subnets = {key: one for key, one in self._subnets.items() if one.network_id != network_id}

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

    def give_away(self, image_id: str) -> None:
        """From now on the image is another project's, which shares it with this one; it waits to be accepted."""
        self._change_image(image_id, visibility="shared")
        self._foreign.add(image_id)
        self._pending.add(image_id)

    def accept(self, image_id: str) -> None:
        """An operator of this project accepts the shared image."""
        self._pending.discard(image_id)

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
        if not (machine.server.launched_at or self._has_host(machine)):
            self._fail_boot(server_id, "No valid host was found. There are not enough hosts available.")
            return
        if not self._plug(server_id, machine.request):
            self._fail_boot(server_id, "Exceeded maximum number of retries.")
            return
        addresses = tuple(address for port in self._plugs.of(server_id) for address in port.addresses)
        launched_at = machine.server.launched_at or self._now()
        self._set(
            server_id, status="ACTIVE", power_state=1, task_state=None, addresses=addresses, launched_at=launched_at
        )
        for volume_id in machine.volumes:
            self._volumes[volume_id] = replace(self._volumes[volume_id], status="in-use")
        self.boots(server_id)

    def _group_of(self, machine: Machine) -> str | None:
        """The server group that it is in; of one that is gone nobody is a member."""
        return machine.request.group_id if machine.request.group_id in self._server_groups else None

    def _members(self, group_id: str) -> list[Machine]:
        """The group's, those on their way out among them."""
        return [one for one in self._machines.values() if self._group_of(one) == group_id]

    def _has_host(self, machine: Machine) -> bool:
        """Is there a host for it that its server group allows?"""
        group = self._server_groups.get(machine.request.group_id or "")
        if group is None or group.policy != "anti-affinity" or self.hosts is None:
            return True
        return sum(bool(one.server.launched_at) for one in self._members(group.id)) < self.hosts

    def _plug(self, server_id: str, request: ServerRequest) -> bool:
        """Its port, which nova-compute plugs in only now; False when another server was quicker, or it is gone."""
        if self._plugs.of(server_id):
            return True
        port_id = request.port_id or self._plugs.make("", network_id=request.network_id).id
        port = self._plugs.ports.get(port_id)
        if port is None or port.server_id is not None:
            return False
        self._plugs.plug(port_id, server_id)
        return True

    def _fail_boot(self, server_id: str, fault: str) -> None:
        self._set(server_id, status="ERROR", task_state=None, fault=fault)

    def _upload(self, server_id: str, image_id: str) -> None:
        self._set(server_id, task_state=None)
        if self.snapshot_fails:
            self.snapshot_fails = False
            self._images.pop(image_id, None)
            return
        formats = {"disk_format": "qcow2", "container_format": "bare"}
        hashes = {"checksum": "0" * 32, "os_hash": f"sha512:{'0' * 128}"}
        self._change_image(image_id, status="active", size=30_000_000, **hashes, **formats)

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
        if request.availability_zone not in (None, *self.zones):
            raise CloudError("400 The requested availability zone is not available")
        if request.group_id is not None and request.group_id not in self._server_groups:
            raise CloudError(f"400 Instance group {request.group_id} could not be found.")
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
        self.ends(machine.server.name)

        def gone() -> None:
            self._forget_machine(server_id)
            self._plugs.unplug(server_id)
            for volume_id in machine.volumes:  # every disk of a ServerRequest goes with its server
                self._volumes.pop(volume_id, None)

        self._after(DELETE_SECONDS, gone)

    def _forget_machine(self, server_id: str) -> None:
        machine = self._machines.pop(server_id)
        self._named[machine.server.name].remove(server_id)
        self._deleted.append(
            replace(machine.server, status="DELETED", task_state=None, tags=(), updated_at=self._now())
        )
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
