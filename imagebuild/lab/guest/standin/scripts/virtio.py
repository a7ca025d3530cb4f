"""Install-VirtioDrivers and Get-DriverState: drivers from the attached CD, and the gate before the disk moves to virtio."""

from __future__ import annotations

import re
from typing import Any

from imagebuild.lab.guest.standin.model.drivers import (
    BOUND,
    FILE_MISSING,
    KINDS,
    NO_CATALOGUE,
    STAGED,
    Entity,
    inf_version,
)
from imagebuild.lab.guest.standin.model.edition import ARCHITECTURE, OS_FOLDER
from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.scripts.contract import Run, ScriptError, plays
from imagebuild.lab.guest.standin.scripts.media import find_media

SAME_BINARIES = {
    "2k25": "w11", "2k22": "w10", "2k19": "w10", "2k16": "w10", "w11": "w10",
    "2k12R2": "w8.1", "w8.1": "2k12R2", "2k12": "w8", "w8": "2k12", "2k8R2": "w7",
}  # fmt: skip
ALWAYS_SKIPPED = "sriov"
WORDS = {
    BOUND: "installed",
    STAGED: "staged: no present device needs it, or it is up to date already",
    FILE_MISSING: "a file of the driver is missing",
    NO_CATALOGUE: "the driver has no catalogue",
}
SIGNER = 'CN="Red Hat, Inc. (stand-in, nothing is signed)", O="Red Hat, Inc.", C=US'
GUEST_AGENTS = ("QEMU-GA", "QEMU Guest Agent VSS Provider", "BalloonService")


@plays("Install-VirtioDrivers", "media", "os", "architecture", "drivers", "skip")
def install_virtio_drivers(run: Run) -> dict[str, Any]:
    """Add the drivers of the CD that fit."""
    guest, parameters = run.guest, run.parameters
    letter, label = find_media(guest, parameters.text("media", "virtio-win"))
    first = parameters.text("os") or OS_FOLDER
    folders = [first, *([SAME_BINARIES[first]] if first in SAME_BINARIES else [])]
    architecture = parameters.text("architecture", ARCHITECTURE.lower())
    fits = f"{' or '.join(folders)}, {architecture}"
    plan, results = [], []
    for name in _wanted_drivers(run, letter):
        places = [f"{letter}\\{name}\\{folder}\\{architecture}" for folder in folders]
        place = next((one for one in places if guest.files.is_folder(one)), None)
        if place is not None:
            plan += [(name, f"{place}\\{inf}") for inf in guest.files.children(place) if inf.lower().endswith(".inf")]
        elif parameters.get("drivers") is not None:
            results.append({"name": name, "state": "absent", "words": f"the CD has no folder of it for {fits}"})
    if not plan:
        words = "is this the virtio-win CD, and the right one for this Windows?"
        raise ScriptError(f"nothing on {letter}\\ fits {fits}: {words}")
    for number, (name, inf) in enumerate(plan, 1):
        run.step(f"virtio driver {number} of {len(plan)}: {name}")
        results.append(_install_driver(guest, name, inf))
    failed = [one["name"] for one in results if one["state"] not in ("installed", "staged")]
    return {
        "media": letter,
        "label": label,
        "os_folders": folders,
        "architecture": architecture,
        "drivers": results,
        "failed": failed,
        "complete": not failed,
        "reboot_needed": any(one.get("reboot_needed") for one in results),
    }


def _wanted_drivers(run: Run, letter: str) -> list[str]:
    """Names of drivers: those that were asked for, or all folders of the CD, without those that are skipped."""
    files = run.guest.files
    present = [name for name in files.children(letter + "\\") if files.is_folder(f"{letter}\\{name}")]
    wanted = present if run.parameters.get("drivers") is None else run.parameters.texts("drivers")
    skipped = [*run.parameters.texts("skip"), ALWAYS_SKIPPED, *(["qemufwcfg"] if "fwcfg" in present else [])]
    folded = {name.casefold() for name in skipped}
    return [name for name in wanted if name.casefold() not in folded]


def _install_driver(guest: Guest, name: str, path: str) -> dict[str, Any]:
    inf, version = path.rsplit("\\", 1)[1], inf_version(guest.files.read_text(path))
    already = guest.drivers.in_store(inf, version)
    with guest.store.change():
        code = guest.drivers.add(path)
    state = {BOUND: "installed", STAGED: "staged"}.get(code, "failed")
    in_store = guest.drivers.in_store(inf, version)
    words = WORDS[code]
    answer = {
        "name": name, "inf": path, "version": version, "already_staged": already, "signer": SIGNER, "code": _format(code),
        "words": words, "state": state, "in_store": in_store, "reboot_needed": False,
    }  # fmt: skip
    return answer | {"output": [f"stand-in: {words}"]} if state == "failed" else answer


def _format(code: int) -> str:
    return f"0x{code:08X}" if code > 65535 else str(code)


@plays("Get-DriverState", "bus")
def get_driver_state(run: Run) -> dict[str, Any]:
    """May the system disk move to virtio?"""
    guest = run.guest
    bus = run.parameters.text("bus", "virtio")
    if bus not in ("virtio", "scsi"):
        raise ScriptError(f"parameter 'bus' is '{bus}'; known are virtio (viostor) and scsi (vioscsi)")
    kind = KINDS["viostor.inf" if bus == "virtio" else "vioscsi.inf"]
    devices = guest.drivers.entities()
    reasons = guest.drivers.loading_reasons(kind)
    if not any(one.service == kind.service and one.problem == 0 for one in devices):
        reasons.append(_binding_reason(kind.service, [one for one in devices if _number(one) in kind.devices]))
    warnings = []
    network = any(one.service == "netkvm" and one.problem == 0 for one in devices) or guest.drivers.in_store(
        "netkvm.inf"
    )
    if not network:
        warnings.append("NetKVM is neither bound nor in the driver store: a virtio NIC would have no driver")
    warnings += [f"device {one.id} has problem code {one.problem}" for one in devices if one.problem]
    services = [_service_state(guest, name) for name in GUEST_AGENTS]
    if not services[0]["present"]:
        warnings.append("QEMU-GA is not installed")
    bound_disks = [one for one in devices if one.service in ("viostor", "vioscsi")]
    return {
        "boot_ready": not reasons,
        "reasons": reasons,
        "network_ready": network,
        "warnings": warnings,
        "driver": kind.service,
        "devices": [one._asdict() for one in devices],
        "services": services,
        "virtio_disks": len(bound_disks),
    }


def _number(entity: Entity) -> int:
    found = re.search(r"&DEV_([0-9A-F]{4})&", entity.id)
    return int(found[1], 16) if found else 0


def _binding_reason(service: str, seen: list[Entity]) -> str:
    if not seen:
        return f"no device for {service} is present: boot the builder once with a blank disk on this bus and install the driver then"
    problems = "; ".join(f"problem {one.problem}, service '{one.service}'" for one in seen)
    return f"the present device is not bound to {service} ({problems})"


def _service_state(guest: Guest, name: str) -> dict[str, Any]:
    found = guest.services.find(name)
    if found is None:
        return {"name": name, "present": False, "state": None, "start_mode": None}
    return {"name": found.name, "present": True, "state": found.state, "start_mode": found.start_mode}
