"""The first desktops of a pool: servers by its file, from the current version of its image, each with a port that keeps its address.

Names and numbers are find-or-create: what is there is left alone, what is missing is made, and a server of that name which is not the
pool's is nobody's to guess about. Nova gives no promise that names are unique.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from imagebuild.broker import PoolSettings
from imagebuild.cloud import Cloud, Flavor, Network, Port, SecurityGroup, Server, ServerGroup, ServerRequest
from imagebuild.cloud_values import shortages
from imagebuild.errors import CloudRefused, NotFound, StepFailed
from imagebuild.images import Version
from imagebuild.pool.definition import PoolDefinition
from imagebuild.pool.marks import EXTRA, IMAGE_ID, IMAGE_VERSION, SEQUENCE
from imagebuild.pool.quantities import count_of
from imagebuild.pool.server_groups import explain_fault, pick_group
from imagebuild.report import Report
from imagebuild.waiting import Clock, Deadline, wait_for

_POLL_SECONDS = 5.0


@dataclass(frozen=True)
class Parts:
    """What desktops of a pool are made of, found in the cloud."""

    version: Version
    flavor: Flavor
    network: Network
    group: SecurityGroup
    server_group: ServerGroup | None = None


@dataclass(frozen=True)
class Made:
    """What `create_desktops` has left: the names it made, and those that were there; `broken`: which of these are in ERROR, and why."""

    made: tuple[str, ...]
    there: tuple[str, ...]
    broken: tuple[str, ...] = ()


def find_parts(definition: PoolDefinition, cloud: Cloud, *, version: Version) -> Parts:
    """Flavor, network and groups of the pool. Raises NotFound with what to do; StepFailed when the image does not fit."""
    flavor, network = cloud.find_flavor(definition.flavor), cloud.find_network(definition.network)
    group = cloud.find_security_group(definition.security_group)
    if flavor is None:
        raise NotFound(
            f"there is no flavor {definition.flavor} in {cloud.name}", hint="put one that is there into the pool's file"
        )
    if network is None or group is None:
        lacking = f"network {definition.network}" if network is None else f"security group {definition.security_group}"
        raise NotFound(f"there is no {lacking} in {cloud.name}", hint=f"make it: invoke pool.network {definition.pool}")
    if trouble := zone_trouble(definition, cloud):
        raise NotFound(trouble, hint="put one that is there into the pool's file, or leave it to Nova")
    image, disk_gib = version.image, definition.root_volume_gib or flavor.disk_gib
    if image.min_ram > flavor.ram_mib or (disk_gib and image.min_disk > disk_gib):
        has = f"{flavor.name} has {disk_gib} GiB and {flavor.ram_mib} MiB"
        words = f"{version.name} needs a disk of {image.min_disk} GiB and {image.min_ram} MiB of memory: {has}"
        raise StepFailed(words, hint="give the pool a larger flavor, or a larger root_volume_gib")
    server_groups = cloud.server_groups() if definition.server_group else ()
    return Parts(version, flavor, network, group, pick_group(definition, server_groups))


def zone_trouble(definition: PoolDefinition, cloud: Cloud) -> str:
    """Why Nova would make no server in the zone that the pool's file names; '' when it would, or when it names none."""
    if definition.availability_zone is None:
        return ""
    zone = definition.availability_zone.partition(":")[0]  # an administrator may name a host behind it
    zones = cloud.availability_zones()
    return (
        ""
        if zone in zones
        else f"there is no availability zone {zone} that is up, only {', '.join(sorted(zones)) or 'none'}"
    )


def desktop_request(
    definition: PoolDefinition, name: str, parts: Parts, *, port: Port | None = None, group_id: str | None = None
) -> ServerRequest:
    """A server as this pool's desktops are. `port`: one that is there already, with the pool's security group; `group_id`: the server
    group of the server whose place it takes."""
    notes = {IMAGE_ID: parts.version.image.id, IMAGE_VERSION: parts.version.name, **definition.domain_notes}
    number = definition.number_of(name)
    if number is not None:
        notes[SEQUENCE] = str(number)
    return ServerRequest(
        name=name,
        image_id=parts.version.image.id,
        flavor_id=parts.flavor.id,
        network_id=parts.network.id,
        security_groups=() if port else (parts.group.name,),
        metadata=notes,
        availability_zone=definition.availability_zone,
        root_gib=definition.root_volume_gib,
        port_id=port.id if port else None,
        tags=(definition.tag,),
        group_id=group_id or (parts.server_group.id if parts.server_group else None),
    )


def missing_names(definition: PoolDefinition, cloud: Cloud) -> tuple[tuple[str, ...], tuple[Server, ...]]:
    """The names that are to be made, and the members that are there. Raises CloudRefused for names that strangers or extra ones have."""
    every = cloud.servers()
    tagged = tuple(server for server in every if definition.tag in server.tags)
    ours = tuple(server for server in tagged if EXTRA not in server.metadata)
    strangers = {server.name.casefold(): server for server in every if definition.tag not in server.tags}
    have = {server.name.casefold() for server in ours}
    names = [definition.name_of(definition.first + number) for number in range(definition.size)]
    missing = tuple(name for name in names if name.casefold() not in have)
    if taken := [strangers[name.casefold()] for name in missing if name.casefold() in strangers]:
        listed = ", ".join(f"{server.name} ({server.id})" for server in taken[:5])
        raise CloudRefused(
            f"{count_of(len(taken), 'server')} outside of the pool {definition.pool} with a name that it needs: {listed}",
            hint=f"take them over: invoke pool.adopt {definition.pool}; or begin with another number: `first:`",
        )
    wanted = {name.casefold() for name in missing}
    if extras := [one.name for one in tagged if EXTRA in one.metadata and one.name.casefold() in wanted]:
        raise CloudRefused(
            f"{', '.join(extras)}: extra desktops that a roll has made, under names that members are to have now",
            hint=f"they go when a roll ends: invoke pool.continue {definition.pool}, or invoke pool.roll {definition.pool}",
        )
    return missing, ours


def create_desktops(
    definition: PoolDefinition,
    cloud: Cloud,
    parts: Parts,
    *,
    keep: Callable[[], object] = lambda: None,
    report: Report,
    clock: Clock | None = None,
) -> Made:
    """Make the desktops that are missing, few at a time (roll.parallel_boots), and wait until Nova has them all ACTIVE.

    `keep` is called again and again meanwhile: it keeps the claim of whoever makes them, or raises when that is lost.

    Raises CloudRefused before anything is made when the quota is too small, StepFailed naming those that Nova could not start;
    after the first such one nothing more is begun.
    """
    names, ours = missing_names(definition, cloud)
    if names:
        _check_quota(definition, cloud, parts, names)
    nursery = _Nursery(definition, cloud, parts, keep, report, waiting=list(reversed(names)))
    nursery.begun = {server.id: server.name for server in ours if server.status == "BUILD"}  # of a run that was cut off
    if names or nursery.begun:
        rounds = 1 + len(names) // definition.roll.parallel_boots
        limit = definition.roll.act_timeout + definition.roll.boot_timeout
        deadline = Deadline.after((limit * rounds).total_seconds(), clock)
        wait_for(nursery.tend, f"the desktops of {definition.pool}", deadline=deadline, every=_POLL_SECONDS)
    if nursery.failed:
        todo = f"look at them, delete them, and run invoke pool.create {definition.pool} again: it goes on where it stopped"
        raise StepFailed(f"{count_of(len(nursery.failed), 'desktop')} did not start", hint=todo, details=nursery.failed)
    broken = (f"{server.name}: {server.fault or server.status}" for server in ours if server.status == "ERROR")
    return Made(names, tuple(server.name for server in ours), tuple(broken))


@dataclass
class _Nursery:
    """Desktops that are being made: names that wait (the next one last), servers that boot, and what became of those that failed."""

    definition: PoolDefinition
    cloud: Cloud
    parts: Parts
    keep: Callable[[], object]
    report: Report
    waiting: list[str]
    begun: dict[str, str] = field(default_factory=dict)
    """Names by server id."""
    failed: list[str] = field(default_factory=list)

    def tend(self) -> bool | None:
        """Look at those that boot, in one listing, and begin as many as there is room for; True when nothing is left to do."""
        self.keep()
        servers = self.cloud.servers(tags=(self.definition.tag,)) if self.begun else ()
        states = {server.id: server for server in servers}
        for server_id, name in list(self.begun.items()):
            server = states.get(server_id)
            if server is not None and server.status == "BUILD":
                continue
            del self.begun[server_id]
            if server is not None and server.status == "ACTIVE":
                self.report.note(f"{name} is there")
            else:
                fault = (
                    explain_fault(server.fault or server.status, self.definition.server_group)
                    if server
                    else "it is gone"
                )
                self.failed.append(f"{name}: {fault}")
        while self.waiting and not self.failed and len(self.begun) < self.definition.roll.parallel_boots:
            name = self.waiting.pop()
            self.begun[create_desktop(self.definition, self.cloud, name, self.parts).id] = name
        return None if self.begun else True


def create_desktop(definition: PoolDefinition, cloud: Cloud, name: str, parts: Parts) -> Server:
    """One desktop with a port of its own, found or made: the port outlives its server, so a replaced desktop keeps its address."""
    port = cloud.create_port(name, pool=definition.pool, network_id=parts.network.id, security_groups=(parts.group.id,))
    return cloud.create_desktop(desktop_request(definition, name, parts, port=port), pool=definition.pool)


def broker_clashes(definition: PoolDefinition, settings: PoolSettings) -> Iterator[str]:
    """Why the broker and this file would get into each other's way, a sentence each."""
    if not settings.provisioning:
        return
    yield "the broker makes desktops of this pool by itself: turn its provisioning off, or let it make them all"
    last = definition.first + definition.size - 1
    if settings.next_value is not None and settings.next_value <= last:
        yield f"its next desktop is number {settings.next_value}, this file goes up to {last}: the name would be there twice"


def _check_quota(definition: PoolDefinition, cloud: Cloud, parts: Parts, names: Sequence[str]) -> None:
    count, root_volume_gib = len(names), definition.root_volume_gib
    room = cloud.headroom(volumes=root_volume_gib is not None)
    needs = room.for_servers(count, parts.flavor, root_volume_gib=root_volume_gib)
    kept = {port.name for port in cloud.ports(pool=definition.pool)}  # by a server that is gone
    needs["ports"] = (len(set(names) - kept), room.ports)
    if (group := parts.server_group) is not None and room.group_members is not None:
        places = max(0, room.group_members - len(group.members))
        needs[f"places in the server group {group.name} (server_group_members)"] = (count, places)
    if lacking := shortages(needs):
        raise CloudRefused(
            f"the quota is too small for {count_of(count, 'new desktop')}: {'; '.join(lacking)}",
            hint="raise the project's quota, or lower `size:`",
        )
