"""Initialize-Workplace: the folder of the build, closed to others, and what this Windows says of itself."""

from __future__ import annotations

from typing import Any

from imagebuild.lab.guest.standin.model import edition
from imagebuild.lab.guest.standin.model.guest import SCRIPTS, WORKPLACE, Guest
from imagebuild.lab.guest.standin.model.registry import CONTROL, WINDOWS_NT
from imagebuild.lab.guest.standin.scripts.contract import SYSTEM, Run, plays

PRIVATE = "O:BAG:DUD:PAI(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)"
RUNS = WORKPLACE + "\\runs"
DISK_BYTES = 42_949_672_960


def close_workplace(guest: Guest) -> bool:
    """Take the folder from everybody but Administrators and SYSTEM; whether it had to be changed."""
    closed = guest.store.section("workplace")
    fresh = not guest.files.is_folder(WORKPLACE)
    guest.files.make_folder(WORKPLACE)
    if not fresh and closed.get("private"):
        return False
    with guest.store.change():
        closed["private"] = True
    return True


def free_bytes(guest: Guest) -> int:
    """What the modelled disk has left: what lies on it really, taken from what it says to hold."""
    return DISK_BYTES // 2 - guest.files.size("C:\\")


@plays("Initialize-Workplace")
def initialize_workplace(run: Run) -> dict[str, Any]:
    """Make and close the folders, describe this Windows."""
    guest = run.guest
    created = [path for path in (WORKPLACE, SCRIPTS, RUNS) if not guest.files.is_folder(path)]
    changed = close_workplace(guest)
    if changed:
        run.step(f"closing {WORKPLACE} to everybody but Administrators and SYSTEM")
    for path in (SCRIPTS, RUNS):
        guest.files.make_folder(path)
    read = guest.registry.get
    user_sid = "S-1-5-18" if run.account == SYSTEM else f"{guest.identity.sid}-500"
    return {
        "root": WORKPLACE,
        "scripts": SCRIPTS,
        "runs": RUNS,
        "created": created,
        "acl_changed": changed,
        "acl_sddl": PRIVATE,
        "powershell": edition.POWERSHELL,
        "clr": "2.0.50727.5420",
        "process_bits": 64,
        "os_version": edition.VERSION,
        "os_build": str(read(WINDOWS_NT, "CurrentBuildNumber", "")),
        "os_revision": read(WINDOWS_NT, "UBR"),
        "os_edition": str(read(WINDOWS_NT, "EditionID", "")),
        "installation_type": str(read(WINDOWS_NT, "InstallationType", "")),
        "architecture": str(read(CONTROL + "\\Session Manager\\Environment", "PROCESSOR_ARCHITECTURE", "")),
        "culture": edition.CULTURE,
        "ui_culture": edition.CULTURE,
        "ansi_code_page": str(read(CONTROL + "\\Nls\\CodePage", "ACP", "")),
        "oem_code_page": str(read(CONTROL + "\\Nls\\CodePage", "OEMCP", "")),
        "console_code_page": 65001,
        "disks": [{"name": "C:", "free_bytes": free_bytes(guest), "size_bytes": DISK_BYTES}],
        "session": {"user_sid": user_sid, "network_logon": run.account != SYSTEM, "elevated": True},
        "uptime_seconds": run.uptime(),
    }
