"""Virtio drivers: the store, what is bound to devices that are really present, and so whether the loader finds its boot disk.

Adding a driver only stages it. The service with Start 0 and the entry in CriticalDeviceDatabase, without which Windows 7 stops with
0x7B on a virtio disk, come when the driver is bound to a present device. A network driver needs no more than to be staged.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from imagebuild.lab.guest.standin.machine import Device, Machine
from imagebuild.lab.guest.standin.model.faults import Faults
from imagebuild.lab.guest.standin.model.files import WINDOWS, Files, leaf
from imagebuild.lab.guest.standin.model.registry import CONTROL, SERVICES, Registry

REDHAT = 0x1AF4
REPOSITORY = WINDOWS + "\\System32\\DriverStore\\FileRepository"
ENUM = "HKLM:\\SYSTEM\\CurrentControlSet\\Enum"
CRITICAL = CONTROL + "\\CriticalDeviceDatabase"
INACCESSIBLE_BOOT_DEVICE = "0x0000007B"
NO_DRIVER = 28  # problem code of a device without one
BOUND, STAGED, FILE_MISSING, NO_CATALOGUE = 0, 259, 2, 0xE000022F


class Kind(NamedTuple):
    """What a driver serves: its service, its PCI devices, its setup class, whether the boot disk may hang on it."""

    service: str
    devices: tuple[int, ...]
    setup_class: str
    boot: bool = False


_DISK = "{4d36e97b-e325-11ce-bfc1-08002be10318}"
_NET = "{4d36e972-e325-11ce-bfc1-08002be10318}"
_SYSTEM = "{4d36e97d-e325-11ce-bfc1-08002be10318}"
KINDS = {
    "viostor.inf": Kind("viostor", (0x1001, 0x1042), _DISK, boot=True),
    "vioscsi.inf": Kind("vioscsi", (0x1004, 0x1048), _DISK, boot=True),
    "netkvm.inf": Kind("netkvm", (0x1000, 0x1041), _NET),
    "balloon.inf": Kind("balloon", (0x1002, 0x1045), _SYSTEM),
    "vioser.inf": Kind("vioserial", (0x1003, 0x1043), _SYSTEM),
    "viorng.inf": Kind("viorng", (0x1005, 0x1044), _SYSTEM),
}
NOTHING = Kind("", (), _SYSTEM)


class Entity(NamedTuple):
    """A present virtio device and what is bound to it, as Win32_PnPEntity and the registry tell it."""

    id: str
    service: str
    problem: int
    driver: str
    driver_version: str
    inf: str


def inf_version(text: str) -> str:
    """The version in an INF's DriverVer line; empty without one."""
    found = re.search(r"(?im)^\s*DriverVer\s*=\s*[\d/]+\s*,\s*([\d.]+)", text)
    return found[1] if found else ""


class Drivers:
    """The driver store and the bindings, all kept in files and the registry as Windows keeps them."""

    def __init__(self, files: Files, registry: Registry, machine: Machine, faults: Faults) -> None:
        self._files = files
        self._registry = registry
        self._machine = machine
        self._faults = faults

    def in_store(self, inf: str, version: str | None = None) -> bool:
        """Whether the store holds a package of this INF, of this version where one is named."""
        folder = self._package(inf)
        if folder is None:
            return False
        return version is None or inf_version(self._files.read_text(f"{folder}\\{inf}")) == version

    def add(self, path: str) -> int:
        """What pnputil.exe does with an INF: stage it, bind it where a device waits for it. Gives back pnputil's exit code."""
        inf, folder = leaf(path).lower(), path.rsplit("\\", 1)[0]
        names = {name.lower(): name for name in self._files.children(folder)}
        if not any(name.endswith(".cat") for name in names):
            return NO_CATALOGUE
        if not any(name.endswith(".sys") for name in names):
            return FILE_MISSING
        content = self._files.read(path)
        store = f"{REPOSITORY}\\{inf}_amd64_neutral_{hashlib.sha256(content).hexdigest()[:16]}"
        for name in names.values():
            self._files.write(f"{store}\\{name}", self._files.read(f"{folder}\\{name}"))
        if self._oem_name(content) is None:
            number = len([name for name in self._files.children(WINDOWS + "\\INF") if name.startswith("oem")])
            self._files.write(f"{WINDOWS}\\INF\\oem{number}.inf", content)
        return BOUND if self._bind(inf) else STAGED

    def bind_present(self) -> None:
        """What Plug and Play does at boot: bind what the store has for devices that came meanwhile."""
        for inf in KINDS:
            if self._package(inf) is not None:
                self._bind(inf)

    def entities(self) -> list[Entity]:
        """The virtio devices that are present, bound or not."""
        return [
            self._entity(device)
            for device in sorted(set(self._machine.devices()), key=lambda one: one.device)
            if device.vendor == REDHAT
        ]

    def loading_reasons(self, kind: Kind) -> list[str]:
        """Why the boot loader would not load this driver; none when it would. The words of Get-DriverState."""
        key = f"{SERVICES}\\{kind.service}"
        if not self._registry.has_key(key):
            return [
                f"the service {kind.service} does not exist: the driver is staged at most, no device was ever bound to it"
            ]
        reasons = []
        start = self._registry.get(key, "Start", "")
        if start != 0:
            reasons.append(f"service {kind.service}: Start is '{start}', not 0 (boot)")
        file = f"{WINDOWS}\\System32\\drivers\\{kind.service}.sys"
        if not self._files.exists(file):
            reasons.append(f"service {kind.service}: its file {file} is not there")
        entries = [self._registry.get(f"{CRITICAL}\\{critical_name(device)}", "Service", "") for device in kind.devices]
        if kind.service not in entries:
            wanted = f"PCI#VEN_1AF4&DEV_{kind.devices[0]:04X}"
            reasons.append(f"CriticalDeviceDatabase has no {wanted} entry for {kind.service}")
        return reasons

    def stop_code(self) -> str | None:
        """The stop code of a boot on the bus where the root disk really is; None when the disk is found."""
        if self._machine.root_bus() != "virtio" or not self.loading_reasons(KINDS["viostor.inf"]):
            return None
        return INACCESSIBLE_BOOT_DEVICE

    def network_works(self) -> bool:
        """Whether the NIC has a driver: Windows brings those of e1000 and e1000e along."""
        nic = self._machine.nic()
        return nic in ("e1000", "e1000e") or (nic == "virtio" and self.in_store("netkvm.inf"))

    def _bind(self, inf: str) -> bool:
        """Bind the store's package to the present devices; whether any was not bound to it before."""
        kind = KINDS.get(inf, NOTHING)
        folder = self._package(inf)
        if "drivers-only-staged" in self._faults or folder is None:
            return False
        present = [one for one in self._machine.devices() if one.vendor == REDHAT and one.device in kind.devices]
        fresh = [one for one in present if not self._registry.get(f"{ENUM}\\{device_id(one)}", "Driver")]
        if fresh:
            self._make_service(kind, folder)
        for device in fresh:
            self._make_binding(kind, f"{folder}\\{inf}", device)
        return bool(fresh)

    def _make_service(self, kind: Kind, folder: str) -> None:
        system_file = next(name for name in self._files.children(folder) if name.lower().endswith(".sys"))
        self._files.write(
            f"{WINDOWS}\\System32\\drivers\\{kind.service}.sys", self._files.read(f"{folder}\\{system_file}")
        )
        key = f"{SERVICES}\\{kind.service}"
        self._registry.set(key, "Start", 0 if kind.boot else 3)
        self._registry.set(key, "Type", 1)
        self._registry.set(key, "ErrorControl", 1)
        self._registry.set(key, "ImagePath", f"system32\\drivers\\{kind.service}.sys", "ExpandString")
        for device in kind.devices if kind.boot else ():
            self._registry.set(f"{CRITICAL}\\{critical_name(device)}", "Service", kind.service)
            self._registry.set(f"{CRITICAL}\\{critical_name(device)}", "ClassGUID", kind.setup_class)

    def _make_binding(self, kind: Kind, inf_path: str, device: Device) -> None:
        content = self._files.read(inf_path)
        number = len(self._registry.subkeys(f"{CONTROL}\\Class\\{kind.setup_class}"))
        driver = f"{kind.setup_class}\\{number:04d}"
        self._registry.set(
            f"{CONTROL}\\Class\\{driver}", "DriverVersion", inf_version(content.decode("utf-8", "replace"))
        )
        self._registry.set(f"{CONTROL}\\Class\\{driver}", "InfPath", self._oem_name(content) or "")
        self._registry.set(f"{ENUM}\\{device_id(device)}", "Driver", driver)
        self._registry.set(f"{ENUM}\\{device_id(device)}", "Service", kind.service)

    def _entity(self, device: Device) -> Entity:
        name = device_id(device)
        driver = str(self._registry.get(f"{ENUM}\\{name}", "Driver", ""))
        binding = f"{CONTROL}\\Class\\{driver}"
        return Entity(
            id=name,
            service=str(self._registry.get(f"{ENUM}\\{name}", "Service", "")),
            problem=0 if driver else NO_DRIVER,
            driver=driver,
            driver_version=str(self._registry.get(binding, "DriverVersion", "")) if driver else "",
            inf=str(self._registry.get(binding, "InfPath", "")) if driver else "",
        )

    def _package(self, inf: str) -> str | None:
        start = f"{inf.lower()}_"
        found = [name for name in self._files.children(REPOSITORY) if name.lower().startswith(start)]
        return f"{REPOSITORY}\\{found[0]}" if found else None

    def _oem_name(self, content: bytes) -> str | None:
        folder = WINDOWS + "\\INF"
        return next(
            (name for name in self._files.children(folder) if self._files.read(f"{folder}\\{name}") == content), None
        )


def device_id(device: Device) -> str:
    """The name that Plug and Play gives to a device; two alike share it here, which no decision hangs on."""
    number = device.device
    return f"PCI\\VEN_{device.vendor:04X}&DEV_{number:04X}&SUBSYS_00021AF4&REV_00\\3&13C0B0C5&0&{number & 0xFF:02X}"


def critical_name(device: int) -> str:
    """Legacy devices (0x1000 to 0x103F) are revision 0, modern ones revision 1."""
    return f"PCI#VEN_1AF4&DEV_{device:04X}&REV_{0 if device < 0x1040 else 1:02d}"
