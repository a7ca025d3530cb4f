"""What the contracts run against: a fake and the real thing, each with what the test needs to know of its world."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from imagebuild import windows
from imagebuild.adapters.openstack_cloud import connect_cloud
from imagebuild.adapters.openstack_servers import WITH_REASONS
from imagebuild.adapters.vnc_screen import Screen
from imagebuild.adapters.winrm_guest import connect_guest
from imagebuild.cloud import OWNER_KEY, Cloud, Flavor, Image, Kind, Network, ServerRequest
from imagebuild.guest import Guest, read_certificate
from imagebuild.lab import catalogue, layout, lifecycle
from imagebuild.report import SilentReport
from imagebuild.secrets import Secret, make_password
from imagebuild.waiting import Clock, Deadline, SystemClock, wait_for
from tests.contract import standin_process
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud
from tests.fakes.guest import FakeGuest

PROJECT = Path(__file__).resolve().parents[2]
PASSWORD = Secret("Stand-in.2026")
LOCKED = "looked at"


@dataclass(frozen=True)
class GuestBench:
    """A guest that is up, has our scripts, and whose Install-Updates never ends."""

    guest: Guest
    clock: Clock

    def soon(self, seconds: float = 60) -> Deadline:
        """A deadline on the guest's clock."""
        return Deadline.after(seconds, self.clock)


def fake_guest_bench() -> GuestBench:
    """FakeGuest with the scripts that the contract runs."""
    clock = FakeClock()
    guest = FakeGuest(clock, settle_seconds=0.5)
    guest.plays("Get-Ready", lambda parameters, say: guest.ready())
    guest.returns("Get-PendingReboot", {"reboot_needed": False, "wait": False, "reasons": []})
    guest.breaks("Get-SystemJob", "the parameter id is missing")
    guest.hang("Install-Updates")
    return GuestBench(guest, clock)


@contextmanager
def standin_guest_bench(folder: Path, *, faults: str = "update-hangs") -> Iterator[GuestBench]:
    """WinRmGuest over TLS to the stand-in's server on loopback, pinned by what the stand-in said on its console."""
    with standin(folder, faults=faults) as (port, certificate):
        clock = SystemClock()
        guest = connect_guest(
            "127.0.0.1",
            user="Administrator",
            password=PASSWORD,
            certificate_sha256=certificate,
            port=port,
            clock=clock,
            settle_seconds=0.5,
        )
        yield from _prepared(GuestBench(guest, clock))


@contextmanager
def lab_guest_bench() -> Iterator[GuestBench]:
    """The same, in a virtual machine of the lab: a slow guest, a real network, real reboots."""
    with lab_machine(faults="update-hangs") as (address, password, certificate):
        guest = connect_guest(
            address, user="Administrator", password=password, certificate_sha256=certificate, settle_seconds=0.5
        )
        yield from _prepared(GuestBench(guest, SystemClock()))


@contextmanager
def lab_machine(*, faults: str = "") -> Iterator[tuple[str, Secret, str]]:
    """A stand-in that the lab has booted: its address, its administrator's password, and the certificate that it told."""
    cloud = lab_cloud_bench()
    password = make_password()
    request = replace(
        cloud.request(cloud.owner),
        user_data=windows.user_data(),
        admin_password=password,
        metadata={"standin-faults": faults} if faults else {},
    )
    try:
        server = cloud.cloud.create_server(request, owner=cloud.owner, role="guest")
        certificate = wait_for(
            lambda: read_certificate(cloud.cloud.console_log(server.id)),
            "the certificate on the console",
            deadline=cloud.soon(240),
            every=1,
        )
        booted = cloud.cloud.server(server.id)
        assert booted is not None
        yield booted.addresses[0], password, certificate
    finally:
        cloud.sweep()


def _prepared(bench: GuestBench) -> Iterator[GuestBench]:
    try:
        bench.guest.wait_until_ready(deadline=bench.soon(120))
        bench.guest.send_scripts(deadline=bench.soon())
        bench.guest.run("Initialize-Workplace", deadline=bench.soon())
        yield bench
    finally:
        bench.guest.close()


@contextmanager
def standin(folder: Path, *, faults: str = "") -> Iterator[tuple[int, str]]:
    """The stand-in in processes of its own: its HTTPS port and the certificate that it told."""
    meta = {"admin_pass": PASSWORD.reveal(), "standin-faults": faults}
    (folder / "meta_data.json").write_text(json.dumps({"uuid": "host-1", "hostname": "host-1", "meta": meta}))
    console = folder / "console.log"
    console.touch()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", standin_process.MODULE, str(folder), str(port)]
    process = subprocess.Popen(command, cwd=PROJECT, start_new_session=True)
    try:
        certificate = wait_for(
            lambda: read_certificate(console.read_text()),
            "the stand-in's certificate",
            deadline=Deadline.after(30),
            every=0.1,
        )
        wait_for(lambda: _listens(port), "the stand-in's port", deadline=Deadline.after(10), every=0.1)
        yield port, certificate
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)


def _listens(port: int) -> bool | None:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return None
    return True


@dataclass(frozen=True)
class CloudBench:
    """A cloud with an image, a flavor that fits it and a network; `owner` is this run's."""

    cloud: Cloud
    clock: Clock
    image: Image
    flavor: Flavor
    network: Network
    owner: str
    lock: Callable[[str], None]
    """Lock a server as an operator does, with the reason `looked at`."""
    unlock: Callable[[str], None]
    remove_network: Callable[[str], None]
    """By its id; the network given above is another project's."""
    add_server_group: Callable[[str], str]
    """One of that name whose servers may share a host; gives its id."""
    remove_server_group: Callable[[str], None]
    """By its id."""
    lend: Callable[..., AbstractContextManager[tuple[str, Callable[[], object]]]]
    """Another project's hidden image with these properties, shared with this one while that is open: its id, and what accepts it."""

    def soon(self, seconds: float = 120) -> Deadline:
        """A deadline on the cloud's clock."""
        return Deadline.after(seconds, self.clock)

    def wait(self, probe: Callable[[], bool], what: str, *, seconds: float = 120) -> None:
        """Until the probe is true."""
        wait_for(lambda: probe() or None, what, deadline=self.soon(seconds), every=0.5)

    def request(self, name: str) -> ServerRequest:
        """The smallest server."""
        return ServerRequest(name, self.image.id, self.flavor.id, self.network.id, root_bus="ide")

    def sweep(self) -> None:
        """Delete all that this run has made."""
        for owned in self.cloud.owned(self.owner).values():
            things = [
                *(("server", thing.id) for thing in owned.servers),
                *(("volume", thing.id) for thing in owned.volumes),
                *(("security_group", thing.id) for thing in owned.security_groups),
                *(("image", thing.id) for thing in owned.images),
            ]
            for kind, thing_id in things:
                self.cloud.delete(cast("Kind", kind), thing_id, deadline=self.soon())


def fake_cloud_bench() -> CloudBench:
    """FakeCloud with what the contract needs."""
    clock = FakeClock()
    cloud = FakeCloud(clock)
    cloud.screen = Screen(1, 1, b"\0\0\0").png()
    image = cloud.add_image("win7-sp1-x64", hw_disk_bus="ide", os_type="windows")
    cloud.add_image("vdi-media")
    flavor = cloud.add_flavor("small", vcpus=1, ram_mib=256, disk_gib=4)
    network = cloud.add_network("vdi-network", "172.16.100.0/24", project_id="the operator's")
    lock, unlock = partial(cloud.lock, reason=LOCKED), cloud.unlock
    return CloudBench(
        cloud,
        clock,
        image,
        flavor,
        network,
        "contract",
        lock,
        unlock,
        cloud.remove_network,
        add_server_group=lambda name: cloud.add_server_group(name).id,
        remove_server_group=cloud.remove_server_group,
        lend=partial(_lend_fake, cloud),
    )


@contextmanager
def _lend_fake(cloud: FakeCloud, **properties: str) -> Iterator[tuple[str, Callable[[], object]]]:
    image = cloud.add_image("lent", image=Image("", "", "active", hidden=True), **properties)
    cloud.give_away(image.id)
    yield image.id, partial(cloud.accept, image.id)


@contextmanager
def _lend_in_lab(**properties: str) -> Iterator[tuple[str, Callable[[], object]]]:
    admin = catalogue.connect(layout.find_layout(), layout.ADMIN_CLOUD)
    project, accept = admin.identity.find_project(layout.PROJECT), _operator().image.update_member
    content = {"disk_format": "raw", "container_format": "bare", "data": b"", "allow_duplicates": True}
    image = admin.image.create_image(f"lent-{uuid4().hex[:8]}", visibility="shared", **content, **properties)
    try:
        admin.image.update_image(image, is_hidden=True)
        admin.image.add_member(image, member_id=project.id)
        yield image.id, partial(accept, project.id, image.id, status="accepted")
    finally:
        admin.image.delete_image(image)


def lab_cloud_bench() -> CloudBench:
    """The lab, as the tool's ordinary user."""
    lab = lifecycle.up(SilentReport())
    cloud = connect_cloud(lab.name, config_files=[lab.clouds_yaml])
    image, flavor, network = (
        cloud.find_image("win7-sp1-x64"), cloud.find_flavor("1cpu_256MB_4GB"), cloud.find_network("vdi-network")
    )  # fmt: skip
    assert image and flavor and network
    operator = _operator()
    return CloudBench(
        cloud,
        SystemClock(),
        image,
        flavor,
        network,
        owner=f"contract-{uuid4().hex[:8]}",
        lock=partial(operator.compute.lock_server, locked_reason=LOCKED),
        unlock=operator.compute.unlock_server,
        remove_network=operator.network.delete_network,
        add_server_group=lambda name: operator.compute.create_server_group(name=name, policy="soft-anti-affinity").id,
        remove_server_group=operator.compute.delete_server_group,
        lend=_lend_in_lab,
    )


@contextmanager
def lab_desktop_bench() -> Iterator[CloudBench]:
    """The lab with an image of nothing, whose servers Nova switches off without asking them: what is tried is Nova, no guest."""
    bench = lab_cloud_bench()
    images = _operator().image
    properties = {OWNER_KEY: f"{bench.owner}-image", "os_shutdown_timeout": "0"}
    made = images.create_image(
        bench.owner, disk_format="raw", container_format="bare", data=bytes(2**20), allow_duplicates=True, **properties
    )
    try:
        image = bench.cloud.image(made.id)
        assert image is not None and image.status == "active", image
        yield replace(bench, image=image)
    finally:
        images.delete_image(made.id)


def _operator() -> Any:
    """A connection of the SDK with the rights of the tool's ordinary user."""
    operator = catalogue.connect(layout.find_layout(), layout.CLOUD)
    operator.compute.default_microversion = WITH_REASONS
    return operator
