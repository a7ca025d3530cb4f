"""The lab itself: up, down and status on this machine, and what a kill does to it.

In file order: what one test leaves is what the next begins with.
"""

import errno
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openstack import exceptions

from imagebuild.lab import catalogue, lifecycle, supervision
from imagebuild.lab.layout import NETWORK, Layout
from imagebuild.lab.processes import find_processes
from imagebuild.report import SilentReport
from imagebuild.waiting import Deadline, wait_for

pytestmark = pytest.mark.lab

ADDRESS = "172.16.100.250"
UP_SECONDS = 30
"""Twelve are promised for a machine that does nothing else; a test machine does."""


@pytest.fixture(scope="module")
def place(lab: lifecycle.LabCloud) -> Layout:
    """Where the lab is."""
    return Layout(lab.root)


@pytest.fixture
def builder(place: Layout) -> Any:
    """The ordinary user."""
    return catalogue.connect(place, "imagebuild-lab")


@pytest.fixture(scope="module")
def server(place: Layout) -> Iterator[str]:
    """A running machine, by id."""
    cloud = catalogue.connect(place, "imagebuild-lab")
    image = cloud.image.find_image("win7-sp1-x64", ignore_missing=False)
    flavor = cloud.compute.find_flavor("1cpu_256MB_4GB", ignore_missing=False)
    network = cloud.network.find_network(NETWORK, ignore_missing=False)
    made = cloud.compute.create_server(
        name="lab-test", image_id=image.id, flavor_id=flavor.id, networks=[{"uuid": network.id}]
    )
    cloud.compute.wait_for_server(made, interval=0.5, wait=120)
    yield made.id
    cloud = catalogue.connect(place, "imagebuild-lab")
    cloud.compute.delete_server(made.id)
    cloud.compute.wait_for_delete(made, interval=0.5, wait=60)


def pids(place: Layout) -> dict[str, int]:
    running = supervision.read_running(place)
    assert running is not None
    return {name: service["pid"] for name, service in running.services.items()}


def test_up_again_is_quick_and_changes_nothing(place: Layout) -> None:
    before, ids = pids(place), [image.id for image in catalogue.connect(place, "imagebuild-lab").image.images()]
    begun = time.monotonic()
    lab = lifecycle.up(SilentReport())
    assert time.monotonic() - begun < UP_SECONDS / 2
    assert pids(place) == before
    assert [image.id for image in catalogue.connect(place, lab.name).image.images()] == ids


def test_status_tells_what_runs(place: Layout) -> None:
    status = lifecycle.status()
    assert status.state == "running"
    assert {s.name for s in status.services} == {"supervisor", *pids(place)}
    assert all(s.memory_mb > 0 for s in status.services)
    assert status.memory_mb > 0
    assert status.blocked
    assert len(status.bridges) >= 1
    assert status.lines()[0].startswith("lab: running")


def test_any_openstack_client_finds_the_cloud(lab: lifecycle.LabCloud, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    command = ["openstack", "--os-cloud", lab.name, "image", "list", "-f", "value", "-c", "Name"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert {"win7-sp1-x64", "virtio-win-0.1.173", "vdi-media"} <= set(done.stdout.split())


def test_the_base_image_says_what_it_is(builder: Any) -> None:
    image = builder.image.find_image("win7-sp1-x64", ignore_missing=False)
    assert (image.hw_disk_bus, image.hw_vif_model, image.os_type) == ("ide", "e1000", "windows")
    assert image.properties["imagebuild_standin"] == "yes"
    assert "not Windows" in image.properties["description"]
    assert image.visibility == "public"


def test_the_ordinary_user_is_no_administrator(builder: Any) -> None:
    with pytest.raises(exceptions.ForbiddenException):
        list(builder.compute.services())
    with pytest.raises(exceptions.ForbiddenException):
        builder.compute.create_flavor(name="mine", vcpus=1, ram=64, disk=1)
    with pytest.raises(exceptions.ForbiddenException):
        builder.image.delete_image(builder.image.find_image("win7-sp1-x64").id)
    with pytest.raises(exceptions.ForbiddenException):
        list(builder.identity.users())


def test_quotas_answer_with_numbers(builder: Any) -> None:
    limits = builder.compute.get_limits().absolute
    assert limits.instances > 0
    assert limits.total_cores > 0
    assert builder.network.get_quota(builder.current_project_id).ports > 0
    assert builder.block_storage.get_limits().absolute.max_total_volumes > 0


def test_a_killed_service_is_restarted_and_that_is_said(place: Layout, lab: lifecycle.LabCloud) -> None:
    killed = pids(place)["glance"]
    os.kill(killed, signal.SIGKILL)
    wait_for(
        lambda: True if pids(place)["glance"] not in (0, killed) else None,
        "another glance",
        deadline=Deadline.after(30),
        every=0.1,
    )
    supervision.await_services(place, deadline=Deadline.after(60))
    assert catalogue.connect(place, lab.name).image.find_image("vdi-media")
    assert any(f"pid={killed}" in event and "died" in event for event in lifecycle.status().events)


def test_a_killed_supervisor_costs_no_guest(place: Layout, lab: lifecycle.LabCloud, server: str) -> None:
    guests = [process.pid for process in find_processes(place) if process.is_guest]
    running = supervision.read_running(place)
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    wait_for(
        lambda: True if lifecycle.status().state == "broken" else None,
        "the lab to be broken",
        deadline=Deadline.after(10),
        every=0.1,
    )
    lifecycle.up(SilentReport())
    assert lifecycle.status().state == "running"
    assert [process.pid for process in find_processes(place) if process.is_guest] == guests
    assert catalogue.connect(place, lab.name).compute.get_server(server).status == "ACTIVE"


def test_down_leaves_no_process_and_no_way_out(place: Layout, server: str) -> None:
    begun = time.monotonic()
    lifecycle.down(SilentReport())
    lifecycle.down(SilentReport())
    assert time.monotonic() - begun < UP_SECONDS / 2
    assert find_processes(place) == []
    status = lifecycle.status()
    assert (status.state, status.bridges, status.blocked) == ("stopped", (), True)
    with socket.socket() as outside:
        outside.settimeout(5)
        assert outside.connect_ex((ADDRESS, 5985)) in (errno.EHOSTUNREACH, errno.ENETUNREACH)


def test_up_brings_back_what_there_was(place: Layout, lab: lifecycle.LabCloud, server: str) -> None:
    begun = time.monotonic()
    lifecycle.up(SilentReport())
    assert time.monotonic() - begun < UP_SECONDS
    cloud = catalogue.connect(place, lab.name)
    assert cloud.compute.get_server(server).status == "SHUTOFF"
    cloud.compute.start_server(server)
    wait_for(
        lambda: True if cloud.compute.get_server(server).status == "ACTIVE" else None,
        "the server to run again",
        deadline=Deadline.after(60),
        every=0.5,
    )
    assert lifecycle.status().memory_mb < 1024  # it grows by the hour under load
