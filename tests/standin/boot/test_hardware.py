"""How the machine below the stand-in is read, on trees and files as Linux shows them."""

import ssl
from hashlib import sha256
from pathlib import Path

import pytest

from imagebuild.lab.guest.standin.hardware import (
    certificate_sha256,
    make_certificate,
    read_devices,
    read_label,
    read_root_bus,
    wait_until,
)
from imagebuild.lab.guest.standin.machine import Device


def make_disk(sysfs: Path, name: str, *way: str, driver: str, at: str) -> None:
    """A block device in sysfs whose device lies at pci0000:00/WAY; the folder `at` on that way is bound to `driver`."""
    device = sysfs.joinpath("devices", "pci0000:00", *way)
    device.mkdir(parents=True)
    drivers = sysfs / "bus" / "drivers" / driver
    drivers.mkdir(parents=True, exist_ok=True)
    (next(folder for folder in (device, *device.parents) if folder.name == at) / "driver").symlink_to(drivers)
    block = sysfs / "class" / "block" / name
    block.mkdir(parents=True)
    (block / "device").symlink_to(device)


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """The root disk's three places at once."""
    ata = ("host0", "target0:0:0", "0:0:0:0")
    make_disk(tmp_path, "sda", "0000:00:01.1", "ata1", *ata, driver="ata_piix", at="0000:00:01.1")
    make_disk(tmp_path, "sdb", "0000:00:1f.2", "ata1", *ata, driver="ahci", at="0000:00:1f.2")
    make_disk(tmp_path, "vda", "0000:00:04.0", "virtio1", driver="virtio_blk", at="virtio1")
    make_disk(tmp_path, "nvme0n1", "0000:00:05.0", "nvme0", driver="nvme", at="nvme0")
    return tmp_path


@pytest.mark.parametrize("disk, bus", [("sda", "ide"), ("sdb", "sata"), ("vda", "virtio")])
def test_the_root_bus_is_where_the_mounted_disk_hangs(sysfs: Path, disk: str, bus: str) -> None:
    assert (
        read_root_bus(sysfs, f"none /proc proc rw 0 0\n/dev/{disk} / ext4 rw 0 0\n/dev/sr0 /media iso9660 ro 0 0\n")
        == bus
    )


def test_a_bus_that_windows_7_could_not_have_is_not_guessed(sysfs: Path) -> None:
    with pytest.raises(LookupError, match="nvme0n1"):
        read_root_bus(sysfs, "/dev/nvme0n1 / ext4 rw 0 0\n")


def test_devices_are_read_from_the_bus(tmp_path: Path) -> None:
    for slot, vendor, device in (("0000:00:02.0", "0x1af4", "0x1001"), ("0000:00:01.1", "0x8086", "0x7010")):
        folder = tmp_path / "bus/pci/devices" / slot
        folder.mkdir(parents=True)
        (folder / "vendor").write_text(vendor + "\n")
        (folder / "device").write_text(device + "\n")
    assert read_devices(tmp_path) == (Device(0x8086, 0x7010), Device(0x1AF4, 0x1001))


def test_the_label_of_a_disc(tmp_path: Path) -> None:
    (tmp_path / "cd").write_bytes(
        bytes(16 * 2048) + b"\1CD001\1\0" + b"LINUX".ljust(32) + b"VDI-MEDIA".ljust(32) + bytes(2000)
    )
    assert read_label(tmp_path / "cd") == "VDI-MEDIA"
    (tmp_path / "empty").write_bytes(b"")
    assert read_label(tmp_path / "empty") is None
    assert read_label(tmp_path / "missing") is None


def test_a_certificate_names_the_computer_and_serves(tmp_path: Path) -> None:
    certificate, key = make_certificate("WIN-1", tmp_path / "new" / "folder")
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    assert b"WIN-1" in der
    assert certificate_sha256(certificate) == sha256(der).hexdigest()
    assert key.stat().st_mode & 0o077 == 0


def test_waiting_ends_with_what_is_true_or_with_time() -> None:
    answers = iter([False, False, True])
    assert wait_until(lambda: next(answers), 5)
    assert not wait_until(lambda: False, 0.05)
