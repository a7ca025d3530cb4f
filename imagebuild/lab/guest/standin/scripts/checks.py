"""Test-Generalize and Test-DomainState: what would make sysprep fail, looked at before it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from imagebuild.lab.guest.standin.model.edition import COMPLETE
from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.model.registry import CONTROL
from imagebuild.lab.guest.standin.model.services import CLOUDBASE
from imagebuild.lab.guest.standin.scripts.contract import Run, plays
from imagebuild.lab.guest.standin.scripts.readiness import pending_reasons
from imagebuild.lab.guest.standin.scripts.workplace import free_bytes

GIBIBYTE = 1 << 30
NEEDED_SERVICES = (
    "MSDTC",
    "sppsvc",
    "CryptSvc",
    "TrustedInstaller",
    "AppXSvc",
    "ClipSVC",
    "StateRepository",
    "wuauserv",
    "Dhcp",
)


class Look(NamedTuple):
    """One check: what it finds wrong, in words, and what to do then."""

    name: str
    blocking: bool
    find: Callable[[Run], list[str]]
    fix: str


def _nothing(run: Run) -> list[str]:
    """This model never comes to it."""
    return []


def _domain(run: Run) -> list[str]:
    name = run.guest.domain.name
    return [] if name is None else [f"the machine is a member of {name}"]


def _renames(run: Run) -> list[str]:
    names = ("PendingFileRenameOperations", "PendingFileRenameOperations2")
    return [f"{name} is set" for name in names if run.guest.registry.get(CONTROL + "\\Session Manager", name)]


def _image_state(run: Run) -> list[str]:
    state = run.guest.sysprep.state().image_state
    return [] if state == COMPLETE else [f"the image state is {state}"]


def _sysprep_status(run: Run) -> list[str]:
    state = run.guest.sysprep.state()
    words = [] if state.generalization_state in (None, 7) else [f"GeneralizationState is {state.generalization_state}"]
    return words + ([] if state.cleanup_state in (None, 2) else [f"CleanupState is {state.cleanup_state}"])


def _rearm(run: Run) -> list[str]:
    left, needed = run.guest.sysprep.rearms_left(), run.parameters.number("rearms_needed", 1)
    return [] if left >= needed else [f"{left} rearms are left, {needed} needed"]


def _upgraded(run: Run) -> list[str]:
    there = run.guest.registry.has_key("HKLM:\\SYSTEM\\Setup\\Upgrade")
    return ["HKLM\\SYSTEM\\Setup\\Upgrade is there"] if there else []


def _disk_space(run: Run) -> list[str]:
    free, needed = free_bytes(run.guest), run.parameters.number("free_bytes", 3 * GIBIBYTE)
    return [] if free >= needed else [f"{free} bytes are free, {needed} needed"]


def _services(run: Run) -> list[str]:
    return [
        f"{one.name} is disabled"
        for one in run.guest.services.all()
        if one.start_mode == "Disabled" and one.name in NEEDED_SERVICES
    ]


def _network(run: Run) -> list[str]:
    return [f"route {name}" for name in run.guest.network.persistent_routes()]


def _hibernation(run: Run) -> list[str]:
    on = run.guest.registry.get(CONTROL + "\\Power", "HibernateEnabled", 0) != 0
    return ["hibernation is on: its file is part of the image"] if on else []


def _cloudbase(run: Run) -> list[str]:
    found = run.guest.services.find(CLOUDBASE)
    quiet = found is None or (found.state == "Stopped" and found.start_mode != "Auto")
    return [] if quiet or found is None else [f"it is {found.state}, start {found.start_mode}"]


def _tag(run: Run) -> list[str]:
    return ["Sysprep_succeeded.tag of an earlier generalize is there"] if run.guest.sysprep.state().tag_written else []


LOOKS = (
    Look("pending_reboot", True, lambda run: [one["text"] for one in pending_reasons(run.guest) if one["kind"] != "soft"],
         "reboot, wait until Windows is at rest, look again"),
    Look("pending_renames", False, _renames, "reboot once; if it returns it is harmless (sysprep only warns)"),
    Look("image_state", True, _image_state,
         "wait until setup is finished; a machine generalized before must not be started again before it is imaged"),
    Look("sysprep_status", True, _sysprep_status, "an earlier sysprep stopped half way: rebuild from the seed image"),
    Look("earlier_generalize", False, _tag,
         "nothing to do: Start-Generalize removes it, so that it cannot be taken for a new success"),
    Look("domain", True, _domain, "take it out of the domain and reboot; clones are joined after their first boot"),
    Look("bitlocker", True, _nothing, "manage-bde.exe -off, wait until it is fully decrypted; PreventDeviceEncryption=1 at installation"),
    Look("rearm", True, _rearm, "build from the seed image again instead of from a captured master"),
    Look("upgraded", True, _upgraded,
         "before Windows 10 1607 build from a clean installation; later it is allowed"),
    Look("disk_space", True, _disk_space, "clean up or give the builder a larger disk"),
    Look("servicing", True, lambda run: ["sysprep.exe"] if run.guest.sysprep.running else [], "wait until it ends"),
    Look("reserved_storage", True, _nothing,
         "finish the updates and reboot; or dism.exe /online /set-reservedstoragestate /state:disabled"),
    Look("services", True, _services, "set them to manual (WMPNetworkSvc: stop and disable it)"),
    Look("network", True, _network, "back to DHCP; delete the persistent route"),
    Look("hibernation", False, _hibernation, "powercfg.exe -h off"),
    Look("cloudbase_init", True, _cloudbase, "run Install-CloudbaseInit again: it makes the service wait for the clone"),
)  # fmt: skip


@plays("Test-Generalize", "free_bytes", "rearms_needed", "accept")
def test_generalize(run: Run) -> dict[str, Any]:
    """Look at everything that would make sysprep fail."""
    accepted = run.parameters.texts("accept")
    checks = []
    for look in LOOKS:
        run.step(f"checking {look.name}")
        words = look.find(run)
        checks.append({
            "name": look.name, "ok": not words, "blocking": look.blocking and look.name not in accepted, "words": "; ".join(words),
            "fix": look.fix if words else "",
        })  # fmt: skip
    return {"ready": not any(one["blocking"] and not one["ok"] for one in checks), "checks": checks, "packages": []}


@plays("Test-DomainState")
def test_domain_state(run: Run) -> dict[str, Any]:
    """Domain membership, rearms and licence."""
    guest: Guest = run.guest
    state, rearm = guest.sysprep.state(), guest.sysprep.rearms_left()
    reasons = []
    if rearm < 1:
        reasons.append("no rearm is left: sysprep would fail with 0xC004D307; build again from the seed image")
    if state.image_state != COMPLETE:
        reasons.append(f"image state is '{state.image_state}', not {COMPLETE}")
    product = {
        "channel": "VOLUME_KMSCLIENT", "status": 1, "grace_minutes": 259200, "windows": True,
        "description": "imagebuild stand-in, VOLUME_KMSCLIENT channel",
    }  # fmt: skip
    return {
        "ready_for_sysprep": not reasons,
        "reasons": reasons,
        "part_of_domain": guest.domain.name is not None,
        "domain": guest.domain.name or "WORKGROUP",
        "domain_role": 0 if guest.domain.name is None else 1,
        "rearm_remaining": rearm,
        "licensed": True,
        "products": [product],
        "image_state": state.image_state,
        "generalization_state": state.generalization_state,
    }
