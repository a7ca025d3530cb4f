"""The stand-in's real image in real virtual machines (QEMU, TCG, no cloud): what it finds decides whether and how it boots."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from emulated import Guest, make_config_drive, started

from imagebuild import windows
from imagebuild.adapters.winrm_guest import connect_guest
from imagebuild.guest import read_certificate
from imagebuild.lab.guest.media import VIRTIO_LABEL, make_virtio_iso
from imagebuild.secrets import Secret
from imagebuild.waiting import Deadline, wait_for

pytestmark = pytest.mark.lab
PASSWORD = "Passw0rd!"
OPEN = {"uuid": "one", "hostname": "standin-1", "admin_pass": PASSWORD, "meta": {"standin-listeners": "http"}}
SLOWEST_BOOT = 60.0
"""Seconds. A quiet machine needs 5 to 8; tests run beside other work."""


@pytest.fixture
def disk(image: Path, tmp_path: Path) -> Path:
    """A machine's own root disk."""
    disk = tmp_path / "root.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", image, disk], check=True, timeout=60)
    return disk


def reach(guest: Guest) -> bytes:
    """The answer to Identify, as soon as there is one."""
    return wait_for(guest.identify, "an answer to Identify", deadline=Deadline.after(SLOWEST_BOOT), every=0.1)


def wait_for_console(guest: Guest, text: str, *, times: int = 1) -> str:
    """The console log once it holds the text that often."""

    def probe() -> str | None:
        log = guest.console()
        return log if log.count(text) >= times else None

    return wait_for(probe, f"{text!r} on the console", deadline=Deadline.after(SLOWEST_BOOT), every=0.1)


@contextmanager
def booted(disk: Path, hardware: str, folder: Path, *discs: Path, spare: bool = False) -> Iterator[Guest]:
    """A guest that is switched off by its power button at the end, as Nova does it: again and again until it obeys."""
    with started(disk, hardware, folder, discs=discs, spare_disk=spare) as guest:
        yield guest

        def press() -> int | None:
            guest.press_power_button()
            try:
                return guest.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                return None

        assert wait_for(press, "the power button to work", deadline=Deadline.after(30), every=0.1) == 0


@pytest.mark.parametrize("hardware", ["ide", "sata"])
def test_on_the_hardware_that_windows_knows_it_boots_and_answers(disk: Path, tmp_path: Path, hardware: str) -> None:
    with booted(disk, hardware, tmp_path / "run", make_config_drive(tmp_path, meta_data=OPEN)) as guest:
        assert b"stand-in for Windows, not Windows" in reach(guest)
        print(f"{hardware}: Identify after {guest.seconds():.1f} s")
    assert "not Windows" in guest.console().splitlines()[0]


def test_on_virtio_without_drivers_it_stops(disk: Path, tmp_path: Path) -> None:
    with started(disk, "virtio", tmp_path / "run", discs=(make_config_drive(tmp_path, meta_data=OPEN),)) as guest:
        assert "INACCESSIBLE_BOOT_DEVICE" in wait_for_console(guest, "*** STOP: 0x0000007B")
        assert guest.identify() is None
        assert guest.process.poll() is None


def test_with_drivers_installed_for_a_present_disk_it_moves_to_virtio(disk: Path, tmp_path: Path) -> None:
    """The road of a master image without the cloud: user data opens HTTPS, drivers go in, a real restart, then the new hardware."""
    config = make_config_drive(
        tmp_path,
        meta_data={"uuid": "one", "hostname": "standin-1", "admin_pass": PASSWORD},
        user_data=windows.user_data(),
    )
    drivers = make_virtio_iso(tmp_path / "drivers.iso")
    deadline = Deadline.after(240)
    with booted(disk, "ide", tmp_path / "before", config, drivers, spare=True) as machine:
        certificate = read_certificate(wait_for_console(machine, "imagebuild: winrm ready"))
        guest = connect_guest(
            "127.0.0.1",
            user="Administrator",
            password=Secret(PASSWORD),
            certificate_sha256=certificate,
            port=machine.tls_port,
            settle_seconds=1.0,
        )
        guest.wait_until_ready(deadline=deadline)
        guest.send_scripts(deadline=deadline)
        installed = guest.run("Install-VirtioDrivers", {"media": VIRTIO_LABEL}, deadline=deadline)
        assert installed["complete"]
        assert {one["name"]: one["state"] for one in installed["drivers"]}["viostor"] == "installed"
        guest.restart("drivers", deadline=deadline)
        assert guest.run("Get-DriverState", {"bus": "virtio"}, deadline=deadline)["boot_ready"]
        guest.close()
    with booted(disk, "virtio", tmp_path / "after", config) as machine:
        log = wait_for_console(machine, " has 10.0.2.15 ")
        print(f"virtio: address after {machine.seconds():.1f} s")
        assert "STOP" not in log
