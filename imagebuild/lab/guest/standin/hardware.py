"""The real machine below the stand-in: what sysfs and the config drive tell about it, its network card, its power."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imagebuild.lab.guest.standin.dhcp import DhcpClient
from imagebuild.lab.guest.standin.machine import Device
from imagebuild.lab.guest.standin.spawning import BUSYBOX, call

INTERFACE = "eth0"
SERIAL = Path("/dev/ttyS0")
SYSFS = Path("/sys")
MEDIA = Path("/media")
DRIVERS_LOADED = Path("/run/drivers")
"""Made when the drivers of CD and power button are in (element: guest/prepare)."""
DRIVERS_SECONDS = 120.0
"""Generous: on a machine with much to do a boot takes minutes, and one without its config drive would be a wrong one."""
LINK_SECONDS = 60.0
CONFIG_DRIVE = "config-2"
NIC_DRIVERS = {"e1000": "e1000", "e1000e": "e1000e", "virtio_net": "virtio"}
DISK_DRIVERS = {"ata_piix": "ide", "ahci": "sata", "virtio_blk": "virtio"}
# ISO 9660: the primary volume descriptor is sector 16, its volume identifier 32 bytes at 40
LABEL_AT, LABEL_LENGTH = 16 * 2048 + 40, 32


class Hardware:
    """The `Machine` of a running guest."""

    def __init__(self) -> None:
        self._serial = SERIAL.open("wb", buffering=0)
        self._serial_lock = threading.Lock()
        self._dhcp = DhcpClient(INTERFACE)
        self._discs: dict[str, Path] | None = None
        self._discs_lock = threading.Lock()

    def console(self, text: str) -> None:
        """One line; what a terminal would act on is shown as '?'."""
        line = "".join(char if char.isprintable() else "?" for char in text.rstrip("\r\n"))
        with self._serial_lock:
            self._serial.write(line.encode("utf-8", "replace") + b"\n")  # the terminal makes \r\n of it

    def uptime_seconds(self) -> float:
        """Since the kernel started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def devices(self) -> tuple[Device, ...]:
        """From the PCI bus."""
        return read_devices(SYSFS)

    def root_bus(self) -> str:
        """By the driver of the disk that / is on."""
        return read_root_bus(SYSFS, Path("/proc/mounts").read_text())

    def nic(self) -> str | None:
        """By the driver of the first network card."""
        return NIC_DRIVERS.get((SYSFS / "class/net" / INTERFACE / "device/driver").resolve().name)

    def mac(self) -> str | None:
        """The first network card's address."""
        file = SYSFS / "class/net" / INTERFACE / "address"
        return file.read_text().strip().lower() if file.exists() else None

    def cdroms(self) -> dict[str, Path]:
        """Mounted on first use."""
        return {label: path for label, path in self._mount_discs().items() if label != CONFIG_DRIVE}

    def metadata(self) -> dict[str, Any]:
        """The config drive's; {} without one."""
        file = self._config_file("meta_data.json")
        return json.loads(file.read_bytes()) if file else {}

    def user_data(self) -> bytes | None:
        """The config drive's."""
        file = self._config_file("user_data")
        return file.read_bytes() if file else None

    def ask_dhcp(self, stale: str | None) -> str | None:
        """A real request, or with `stale` none at all."""
        if self.mac() is None:
            return None
        wait_until(
            self._link_is_up, LINK_SECONDS
        )  # a request on a dead link is lost, and the next comes a second later
        return self._dhcp.assume(stale) if stale else self._dhcp.ask()

    def release_dhcp(self) -> None:
        """A real DHCPRELEASE."""
        self._dhcp.release()

    def address(self) -> str | None:
        """The card's."""
        return self._dhcp.address()

    def unplug(self) -> None:
        """Take the link down: a card without a driver for Windows."""
        call([BUSYBOX, "ip", "link", "set", INTERFACE, "down"])

    def make_certificate(self, common_name: str, folder: Path) -> tuple[Path, Path]:
        """A new key (P-256: RSA takes seconds here) and a certificate signed with it, valid for ten years."""
        return make_certificate(common_name, folder)

    def certificate_sha256(self, certificate: Path) -> str:
        """Of the DER form."""
        return certificate_sha256(certificate)

    def reboot(self) -> None:
        """Restart now."""
        self._leave("reboot")

    def power_off(self) -> None:
        """Switch off now."""
        self._leave("poweroff")

    def _leave(self, how: str) -> None:
        os.sync()
        # fails while a file is open for writing; sync has done what matters
        call([BUSYBOX, "mount", "-o", "remount,ro", "/"])
        call([BUSYBOX, how, "-f"])

    def _link_is_up(self) -> bool:
        try:
            return (SYSFS / "class/net" / INTERFACE / "carrier").read_text().strip() == "1"
        except OSError:
            return False  # the interface is not up yet

    def _config_file(self, name: str) -> Path | None:
        drive = self._mount_discs().get(CONFIG_DRIVE)
        file = drive / "openstack/latest" / name if drive else None
        return file if file and file.exists() else None

    def _mount_discs(self) -> dict[str, Path]:
        with self._discs_lock:
            if self._discs is None:
                wait_until(DRIVERS_LOADED.exists, DRIVERS_SECONDS)
                self._discs = {}
                for entry in sorted((SYSFS / "block").glob("sr*")):
                    device = Path("/dev") / entry.name
                    label = read_label(device)
                    folder = MEDIA / entry.name
                    folder.mkdir(exist_ok=True)
                    if label and call([BUSYBOX, "mount", "-t", "iso9660", "-o", "ro", str(device), str(folder)]) == 0:
                        self._discs[label] = folder
            return self._discs


def wait_until(true: Callable[[], bool], seconds: float) -> bool:
    """Look every 20 ms; False when it is still not true at the end."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def read_devices(sysfs: Path) -> tuple[Device, ...]:
    """Vendor and device of all that is on the PCI bus."""
    folders = sorted((sysfs / "bus/pci/devices").iterdir())
    return tuple(Device(*(int((folder / name).read_text(), 16) for name in ("vendor", "device"))) for folder in folders)


def read_root_bus(sysfs: Path, mounts: str) -> str:
    """'ide', 'sata' or 'virtio': the first driver that we know on the way from the root disk's device up to the bus."""
    entries = [line.split() for line in mounts.splitlines()]
    device = next(entry[0] for entry in entries if entry[1] == "/" and entry[0].startswith("/dev/"))
    folder = (sysfs / "class/block" / Path(device).name / "device").resolve()
    for place in (folder, *folder.parents):
        found = DISK_DRIVERS.get((place / "driver").resolve().name)
        if found:
            return found
    raise LookupError(f"{device} hangs on a bus that is not known")


def read_label(device: Path) -> str | None:
    """The volume label of an ISO 9660 file system; None for an empty drive."""
    try:
        with device.open("rb") as disc:
            disc.seek(LABEL_AT)
            return disc.read(LABEL_LENGTH).decode("ascii", "replace").rstrip() or None
    except OSError:
        return None


def make_certificate(common_name: str, folder: Path) -> tuple[Path, Path]:
    """Self-signed, by the openssl program; gives (certificate, key)."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = folder / "winrm.pem", folder / "winrm.key"
    options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "3650"]
    names = ["-subj", f"/CN={common_name}", "-addext", f"subjectAltName=DNS:{common_name}"]
    use = ["-addext", "extendedKeyUsage=serverAuth", "-keyout", str(key), "-out", str(certificate)]
    code = call(["/usr/bin/openssl", "req", *options, *names, *use])
    if code != 0:
        raise OSError(f"openssl ended with code {code}")
    return certificate, key


def certificate_sha256(certificate: Path) -> str:
    """64 hex digits over the DER form of the first certificate in a PEM file."""
    text = certificate.read_text()
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    return hashlib.sha256(base64.b64decode(text.split(begin, 1)[1].split(end, 1)[0])).hexdigest()
