"""The calls of the fake cloud that a pool makes of Nova: listing, rebuilding, marking and ending desktops."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from uuid import uuid4

from imagebuild.cloud import POOL_KEY, Server, ServerGroup, ServerRequest
from imagebuild.errors import CloudError, CloudRefused
from tests.fakes.cloud_world import BOOT_SECONDS, STOP_SECONDS, Machine, World
from tests.fakes.faults import call

PAGE = 500
"""Servers in one answer of a listing."""
REBUILD_SECONDS = 20.0
_SETTLED = ("ACTIVE", "PAUSED", "SUSPENDED", "SHUTOFF")


class DesktopCalls(World):
    """The part of imagebuild.cloud.Cloud that is about desktops.

    `rebuild_seconds` and `rebuild_fault` are asked about each server: how long its rebuild takes (without the boot), and what Nova says
    when it fails ("" = it works). `rebuilds` is every rebuild that Nova accepted, (server name, image id).
    """

    rebuild_seconds: Callable[[Server], float] = staticmethod(lambda server: REBUILD_SECONDS)
    rebuild_fault: Callable[[Server], str] = staticmethod(lambda server: "")

    @property
    def rebuilds(self) -> list[tuple[str, str]]:
        """Every rebuild that was accepted: server's name, image id."""
        return self._rebuilds

    # ---------------------------------------------------------------------------------------------- what a test arranges

    def add_desktop(
        self,
        name: str,
        request: ServerRequest,
        *,
        pool: str,
        volume_backed: bool = False,
        status: str = "ACTIVE",
    ) -> Server:
        """A desktop that stands there already: tagged, with an address; quotas are not asked."""
        server = self._register(
            replace(request, name=name, tags=(*request.tags, f"vdi-pool={pool}")), {**request.metadata, POOL_KEY: pool}
        )
        if volume_backed:
            volume = self._make_volume("", gib=40, metadata={}, image_id=request.image_id)
            self._machines[server.id].volumes.append(volume.id)
            self._set(server.id, image_id=None, volume_ids=(volume.id,))
        self._boot(server.id)
        if status != "ACTIVE":
            self._set(server.id, status=status, power_state=4 if status == "SHUTOFF" else 1)
        return self._machines[server.id].server

    def lock(self, server_id: str, reason: str = "") -> None:
        """Somebody locks a server."""
        self._set(server_id, locked=True, locked_reason=reason or None)

    def unlock(self, server_id: str) -> None:
        """And unlocks it."""
        self._set(server_id, locked=False, locked_reason=None)

    def add_server_group(self, name: str, policy: str = "soft-anti-affinity") -> ServerGroup:
        """A server group that exists."""
        group = ServerGroup(str(uuid4()), name, policy)
        self._server_groups[group.id] = group
        return group

    def put_in_group(self, server_id: str, group_id: str) -> None:
        """The server was made in that group."""
        machine = self._machines[server_id]
        machine.request = replace(machine.request, group_id=group_id)

    def remove_server_group(self, group_id: str) -> None:
        """Its owner deletes it; its servers stand, and are in none."""
        del self._server_groups[group_id]

    # ---------------------------------------------------------------------------------------------- the calls

    @call
    def availability_zones(self) -> Sequence[str]:
        return tuple(self.zones)

    @call
    def server_groups(self) -> Sequence[ServerGroup]:
        self.faults.also("server_groups", bool(self._server_groups))  # a page that has nothing is the last
        return tuple(
            replace(group, members=tuple(one.server.id for one in self._members(group.id)))
            for group in self._server_groups.values()
        )

    @call
    def servers(self, *, tags: Sequence[str] = (), changed_since: str = "") -> Sequence[Server]:
        wanted = set(tags)
        found = tuple(
            server
            for server in (machine.server for machine in self._machines.values())
            if wanted <= set(server.tags)
            and server.name not in self.unlisted
            and (server.updated_at >= changed_since if changed_since else server.task_state != "deleting")
        )
        if changed_since:
            gone = itertools.takewhile(lambda one: one.updated_at >= changed_since, reversed(self._deleted))
            found = (*found, *gone)
        self.faults.also("servers", max(0, len(found) - 1) // PAGE)
        return found

    @call
    def create_desktop(self, request: ServerRequest, *, pool: str, is_new: bool = False) -> Server:
        self.faults.also("create_desktop", not is_new)  # it looks before
        metadata = {**request.metadata, POOL_KEY: pool}
        for server_id in () if is_new else self._named[request.name]:
            server = self._machines[server_id].server
            if server.task_state != "deleting" and metadata.items() <= server.metadata.items():
                return server
        return self._make_server(request, metadata)

    @call
    def rebuild_server(
        self,
        server_id: str,
        image_id: str,
        *,
        user_data: str | None = None,
        metadata: Mapping[str, str] | None = None,
        allow_root_volume_wipe: bool = False,
    ) -> None:
        machine = self._machine(server_id)
        server = machine.server
        self._check_rebuild(server, image_id, allow_root_volume_wipe=allow_root_volume_wipe)
        stays_off = server.status == "SHUTOFF"
        self._rebuilds.append((server.name, image_id))
        self.ends(server.name)
        self._act(server_id, "rebuild", user_id=self.user_id)
        if metadata is not None:
            self._set(server_id, metadata=dict(metadata))
        if user_data is not None:
            machine.request = replace(machine.request, user_data=user_data)
        if server.image_id is None:
            if allow_root_volume_wipe:
                self._volumes[machine.volumes[0]] = replace(self._volumes[machine.volumes[0]], image_id=image_id)
            self._set(server_id, status="REBUILD", task_state="rebuilding", fault=None)
        else:
            self._set(server_id, status="REBUILD", task_state="rebuilding", fault=None, image_id=image_id)
        fault = self.rebuild_fault(server)

        def spawned() -> None:
            if fault:
                self._fail_boot(server_id, fault)
                return
            self._set(server_id, launched_at=self._now())
            self._boot(server_id)
            if stays_off:
                self._set(server_id, task_state="powering-off")
                self._after(
                    STOP_SECONDS, lambda: self._set(server_id, status="SHUTOFF", power_state=4, task_state=None)
                )

        self._after(self.rebuild_seconds(server) + BOOT_SECONDS, spawned)

    @call
    def set_server_metadata(self, server_id: str, metadata: Mapping[str, str | None]) -> None:
        server = self._settled(server_id)
        self._check_unlocked(server)
        merged: dict[str, str | None] = {**server.metadata, **metadata}
        machine = self._machines[server_id]  # Nova does not count this as a change of the server: updated_at stays
        kept = {key: value for key, value in merged.items() if value is not None}
        removed = sum(value is None for value in metadata.values())
        self.faults.also("set_server_metadata", removed - (removed == len(metadata)))
        machine.server = replace(machine.server, metadata=kept)

    @call
    def tag_server(self, server_id: str, tag: str, *, present: bool = True) -> None:
        server = self._settled(server_id)
        if not 0 < len(tag) <= 60 or set(tag) & {",", "/"}:
            raise CloudError(f"400 Invalid input for the tag {tag!r}")
        tags = sorted({*server.tags, tag} if present else {*server.tags} - {tag})
        self._machines[server_id].server = replace(server, tags=tuple(tags))

    @call
    def delete_server(self, server_id: str) -> None:
        if server_id in self._machines:
            self._delete_server(server_id)

    # ---------------------------------------------------------------------------------------------- inside

    def _make_server(self, request: ServerRequest, metadata: Mapping[str, str]) -> Server:
        """What `POST /servers` does."""
        self._check_request(request)
        flavor = self._flavors[request.flavor_id]
        for what, more in (("instances", 1), ("cores", flavor.vcpus), ("ram_mib", flavor.ram_mib)):
            self._check_quota(what, self._used[what] + more)
        if request.group_id is not None:  # who is on his way out takes no place any more
            staying = sum(one.server.task_state != "deleting" for one in self._members(request.group_id))
            self._check_quota("group_members", staying + 1)
        server = self._register(request, metadata)
        fault, self.server_fault = self.server_fault, ""
        self._after(BOOT_SECONDS, lambda: self._fail_boot(server.id, fault) if fault else self._boot(server.id))
        return server

    def _register(self, request: ServerRequest, metadata: Mapping[str, str]) -> Server:
        """A server in BUILD, with its disks."""
        if request.port_id is not None:
            port = self._plugs.ports.get(request.port_id)
            if port is None or port.server_id is not None:
                kind = CloudError if port is None else CloudRefused
                raise kind(f"{400 if port is None else 409} the port {request.port_id} is gone, or in use")
        flavor = self._flavors[request.flavor_id]
        volumes = [disk.volume_id or self._make_volume("", gib=disk.gib, metadata={}).id for disk in request.disks]
        if request.root_gib is not None:
            volumes.insert(0, self._make_volume("", gib=request.root_gib, metadata={}, image_id=request.image_id).id)
        server = Server(
            id=str(uuid4()),
            name=request.name,
            status="BUILD",
            task_state="scheduling",
            power_state=0,
            metadata=dict(metadata),
            created_at=self._now(),
            updated_at=self._now(),
            image_id=request.image_id if request.root_gib is None else None,
            tags=tuple(sorted(request.tags)),
            flavor=flavor.name,
            flavor_specs=self._specs[flavor.id],
            volume_ids=tuple(volumes),
            security_groups=self._group_names(request),
        )
        self._machines[server.id] = Machine(server, request, flavor, volumes)
        self._named[server.name].append(server.id)
        self._use(flavor, 1)
        self._act(server.id, "create", user_id=self.user_id)
        return server

    def _group_names(self, request: ServerRequest) -> tuple[str, ...]:
        """What Nova tells of them: those of its port; of a port that Nova makes those that were asked for, else the default one."""
        if request.port_id is not None:
            groups = self._plugs.ports[request.port_id].security_groups
            return tuple(sorted(self._groups[one].name for one in groups if one in self._groups))
        named = (self._groups[one].name if one in self._groups else one for one in request.security_groups)
        return tuple(sorted(named)) or ("default",)

    def _check_rebuild(self, server: Server, image_id: str, *, allow_root_volume_wipe: bool) -> None:
        """As nova.compute.api.API.rebuild and its decorators, in their order."""
        machine = self._machines[server.id]
        current = self._images.get(machine.request.image_id)
        if "hw:tpm_version" in server.flavor_specs or (current and "hw_tpm_version" in current.properties):
            raise CloudError(f"400 Operation 'rebuild' not supported for vTPM-enabled instance {server.id}")
        self._check_unlocked(server)
        if server.status not in ("ACTIVE", "SHUTOFF", "ERROR") or server.task_state is not None:
            raise CloudRefused(
                f"409 Cannot 'rebuild' instance {server.id} while it is {server.status}, task {server.task_state}"
            )
        image = self._usable_image(image_id)
        if image.min_disk > machine.flavor.disk_gib or image.min_ram > machine.flavor.ram_mib:
            raise CloudError("400 Flavor's disk or memory is too small for the requested image")
        root = server.root_volume_id
        if root and self._volumes[root].image_id != image_id and not allow_root_volume_wipe:
            raise CloudError("400 Unable to rebuild with a different image for a volume-backed server.")

    def _settled(self, server_id: str) -> Server:
        """The server, unless it is in a state in which Nova changes neither metadata nor tags."""
        server = self._machine(server_id).server
        if server.status not in (*_SETTLED, "REBUILD"):  # while it is rebuilt its vm_state is still the one before
            raise CloudRefused(f"409 the server {server_id} is {server.status}")
        return server
