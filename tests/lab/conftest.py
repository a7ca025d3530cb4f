"""The lab for tests on real virtual machines: brought up once, one cloud, clones that are always deleted again."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
import requests

from imagebuild import windows
from imagebuild.adapters.openstack_cloud import OpenStackCloud, connect_cloud
from imagebuild.adapters.winrm_guest import connect_guest
from imagebuild.cleaning import leftovers, remove
from imagebuild.cloud import Server, ServerRequest
from imagebuild.errors import DeadlinePassed
from imagebuild.guest import Guest, read_certificate
from imagebuild.lab import lifecycle
from imagebuild.lab.broker_settings import AGENTS_PORT
from imagebuild.lab.layout import GATEWAY
from imagebuild.properties import CHECKPOINT, RECIPE
from imagebuild.report import ConsoleReport, SilentReport
from imagebuild.secrets import Secret, make_password
from imagebuild.waiting import Deadline, wait_for
from tests.lab.project import LINE, Project

FLAVOR = "2cpu_2GB_40GB"
NETWORK = "vdi-network"


@pytest.fixture(scope="session")
def lab() -> lifecycle.LabCloud:
    """The lab, brought up when it is not there."""
    return lifecycle.up(ConsoleReport())


@pytest.fixture(scope="session")
def cloud(lab: lifecycle.LabCloud) -> OpenStackCloud:
    """The tool's ordinary user in the lab."""
    return connect_cloud(lab.name, config_files=[lab.clouds_yaml])


@dataclass(frozen=True)
class Machine:
    """A server of a test and the way into it."""

    cloud: OpenStackCloud
    server: Server
    password: Secret

    @property
    def address(self) -> str:
        """Where Neutron has put it."""
        return self.server.addresses[0]

    def console(self) -> str:
        """What its serial console has shown so far."""
        return self.cloud.console_log(self.server.id)

    def wait_for_console(self, text: str, *, seconds: float = 120) -> str:
        """The console log once it holds the text."""
        deadline = Deadline.after(seconds)
        return wait_for(
            lambda: log if text in (log := self.console()) else None,
            f"{text!r} on the console",
            deadline=deadline,
            every=1,
        )

    def wait_for_status(self, status: str, *, seconds: float = 120) -> None:
        """Nova's word."""

        def probe() -> bool | None:
            server = self.cloud.server(self.server.id)
            return True if server and server.status == status and server.task_state is None else None

        wait_for(probe, status, deadline=Deadline.after(seconds), every=1)

    @contextmanager
    def guest(self, *, seconds: float = 180) -> Iterator[Guest]:
        """A session, pinned by the console, with our scripts in place."""
        deadline = Deadline.after(seconds)
        certificate = wait_for(
            lambda: read_certificate(self.console()), "certificate on the console", deadline=deadline, every=1
        )
        guest = connect_guest(
            self.address, user="Administrator", password=self.password, certificate_sha256=certificate
        )
        try:
            guest.wait_until_ready(deadline=deadline)
            guest.send_scripts(deadline=deadline)
            guest.run("Initialize-Workplace", deadline=deadline)
            yield guest
        finally:
            guest.close()

    def answers(self, *, seconds: float) -> bool:
        """Whether anything ever answers on WinRM's port at its address within that time; asked again and again."""

        def probe() -> bool | None:
            with socket.socket() as link:
                link.settimeout(2)
                return True if link.connect_ex((self.address, 5986)) == 0 else None

        try:
            return wait_for(probe, "an answer", deadline=Deadline.after(seconds), every=1)
        except DeadlinePassed:
            return False


class Machines:
    """Boots servers for a test and deletes every one of them afterwards."""

    def __init__(self, cloud: OpenStackCloud) -> None:
        self.cloud = cloud
        self.owner = f"test-{uuid4().hex[:8]}"

    def boot(
        self, image: str, *, name: str, root_bus: str | None = None, faults: str = "", opens_winrm: bool = True
    ) -> Machine:
        """A server from an image by its own properties; with our user data it opens WinRM to us."""
        password = make_password()
        found, flavor, network = (
            self.cloud.find_image(image),
            self.cloud.find_flavor(FLAVOR),
            self.cloud.find_network(NETWORK),
        )
        assert found and flavor and network
        request = ServerRequest(
            name=name,
            image_id=found.id,
            flavor_id=flavor.id,
            network_id=network.id,
            root_bus=root_bus,
            user_data=windows.user_data() if opens_winrm else None,
            admin_password=password,
            metadata={"standin-faults": faults} if faults else {},
        )
        server = self.cloud.create_server(request, owner=self.owner, role=name)
        machine = Machine(self.cloud, server, password)
        machine.wait_for_status("ACTIVE")
        ready = self.cloud.server(server.id)
        assert ready
        return Machine(self.cloud, ready, password)

    def snapshot(self, machine: Machine, properties: dict[str, str]) -> str:
        """An image of the stopped machine, ours until the test ends; its id."""
        image = self.cloud.snapshot(machine.server.id, f"{self.owner}-image", owner=self.owner, properties=properties)
        deadline = Deadline.after(120)
        wait_for(
            lambda: True if (i := self.cloud.image(image.id)) and i.status == "active" else None,
            "image",
            deadline=deadline,
            every=1,
        )
        return image.id

    def delete_all(self) -> None:
        """Everything that was made here."""
        remove(self.cloud, leftovers(self.cloud, self.owner), report=SilentReport(), deadline=Deadline.after(300))


@pytest.fixture
def machines(cloud: OpenStackCloud) -> Iterator[Machines]:
    """Machines for one test."""
    made = Machines(cloud)
    yield made
    made.delete_all()


@dataclass(frozen=True)
class Broker:
    """The lab's connection broker."""

    url: str

    def registrations(self) -> list[dict[str, Any]]:
        """What agents have registered with, oldest first."""
        answer = requests.get(self.url, timeout=10)
        answer.raise_for_status()
        told: list[dict[str, Any]] = answer.json()
        return told


@pytest.fixture(scope="session")
def broker(lab: lifecycle.LabCloud) -> Broker:
    """Where the recipe says it is."""
    return Broker(f"http://{GATEWAY}:{AGENTS_PORT}/registrations")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, lab: lifecycle.LabCloud) -> Project:
    """One copy for the whole session."""
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def built(project: Project, cloud: OpenStackCloud) -> Iterator[str]:
    """The image of a whole build of the recipe that we ship, from its source on; removed again at the end."""
    code, output = project.run("build", LINE, "--fresh")
    assert code == 0, output
    last = output.strip().splitlines()[-1]
    found = re.match(rf"built ({LINE}-v\d+) \(([0-9a-f-]{{36}})\) in \d+:\d\d", last)
    assert found, f"the last line names the image: {last!r}"
    yield found[2]
    checkpoints = [one.id for one in cloud.images(properties={RECIPE: LINE}) if CHECKPOINT in one.properties]
    for image in (found[2], *checkpoints):
        cloud.update_image(image, protected=False)
        cloud.delete("image", image, deadline=Deadline.after(60))
