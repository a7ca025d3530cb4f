"""Boots the builder: root disk on the bus of its image, a small disk on the target bus, the media as CD-ROMs beside it."""

from functools import partial
from typing import Any

from imagebuild import windows
from imagebuild.cloud import Disk, Server, ServerRequest, Volume
from imagebuild.errors import StepFailed
from imagebuild.recipe_header import NOBODY
from imagebuild.resolution import EXTRA_DISK_GIB
from imagebuild.step import Context, Minutes, Step
from imagebuild.waiting import Deadline, wait_for, wait_for_cloud

WINRM_PORT = 5986


class BootBuilder(Step):
    """Makes a security group that lets WinRM in from the builder's side only, the volumes, and the server. All carry the build's id."""

    name = "boot-builder"
    title = "boot the builder"
    gives = frozenset({"server_id"})
    anew = True

    deadline_minutes: Minutes = 15

    def describe(self) -> str:
        """What is made."""
        return "security group, volumes for the CD-ROMs and the extra disk, server with a config drive"

    def inputs(self, templates: Any) -> dict[str, str]:
        """The user data is part of what the builder becomes."""
        del templates
        return {"user_data": windows.user_data()}

    def run(self, context: Context) -> None:
        """Everything is find-or-create by the build's id, so a second run takes up what the first has made."""
        deadline = context.deadline(self.deadline_minutes)
        cloud, build, builder = context.cloud, context.build, context.header.builder
        groups = _groups(context)
        disks = _disks(context, deadline)
        server = cloud.create_server(
            ServerRequest(
                name=build.id,
                image_id=context.facts["boot_image_id"],
                flavor_id=context.facts["flavor_id"],
                network_id=context.facts["network_id"],
                root_bus=context.facts["root_bus"],
                disks=disks,
                security_groups=groups,
                user_data=windows.user_data(),
                admin_password=context.password,
                metadata=dict(builder.metadata),
                availability_zone=builder.availability_zone,
            ),
            owner=build.id,
            role="builder",
        )
        context.remember(server_id=server.id)
        context.report.note(f"server {server.id}")
        wait_for_cloud(lambda: _active(context, server.id), "Nova to start the builder", deadline=deadline)


def _groups(context: Context) -> tuple[str, ...]:
    """The group that lets WinRM in. Where nobody is to talk to the builder it gets the project's default one, as Nova's servers do."""
    allow_from, build = context.facts["allow_from"], context.build
    if allow_from == NOBODY:
        return ()
    made = context.cloud.create_security_group(build.id, owner=build.id, allow_from=allow_from, ports=[WINRM_PORT])
    return (made.name,)


def _disks(context: Context, deadline: Deadline) -> tuple[Disk, ...]:
    """The extra disk first (it must be the first of its bus), where one is wanted, then a CD-ROM for each medium; all ready to attach."""
    cloud, build, builder = context.cloud, context.build, context.header.builder
    made: list[tuple[Volume, Disk]] = []
    if builder.extra_disk_bus != "none":
        extra = cloud.create_volume(f"{build.id}-extra", owner=build.id, role="extra-disk", gib=EXTRA_DISK_GIB)
        made.append((extra, Disk(bus=builder.extra_disk_bus, volume_id=extra.id)))
    for medium in context.facts["media"]:
        name, role = f"{build.id}-{medium['name']}"[:255], f"media-{medium['name']}"
        volume = cloud.create_volume(name, owner=build.id, role=role, gib=medium["gib"], image_id=medium["id"])
        bus = "sata" if context.facts["root_bus"] == "sata" else "ide"  # q35 machines have no IDE
        made.append((volume, Disk(bus=bus, volume_id=volume.id, gib=volume.gib, cdrom=True)))
    for volume, _ in made:
        wait_for(
            partial(_available, context, volume.id),
            f"volume {volume.name}",
            deadline=deadline,
            every=0.2,
            slowest=1.0,
        )
    return tuple(disk for _, disk in made)


def _available(context: Context, volume_id: str) -> bool | None:
    volume = context.cloud.volume(volume_id)
    if volume is None or volume.status.startswith("error"):
        state = volume.status if volume else "gone"
        raise StepFailed(f"volume {volume_id} is {state}", hint="ask who runs Cinder: its log says why")
    return True if volume.status in ("available", "in-use") else None


def _active(context: Context, server_id: str) -> Server | None:
    server = context.cloud.server(server_id)
    if server is None:
        raise StepFailed("the builder is gone: somebody deleted it", hint="run the build again")
    if server.status == "ERROR":
        raise StepFailed(
            f"Nova could not start the builder: {server.fault or 'no reason given'}", hint="ask who runs the cloud"
        )
    return server if server.status == "ACTIVE" else None
