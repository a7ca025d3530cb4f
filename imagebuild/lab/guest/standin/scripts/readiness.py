"""Get-Ready, Get-PendingReboot, Restart-Guest: is Windows up, does it want a restart, and the restart itself."""

from __future__ import annotations

from typing import Any

from imagebuild.lab.guest.standin.model.edition import COMPLETE, VERSION
from imagebuild.lab.guest.standin.model.guest import LOGON_MARK, Guest
from imagebuild.lab.guest.standin.model.identity import NAMES
from imagebuild.lab.guest.standin.model.power import ALREADY_SCHEDULED, IN_PROGRESS
from imagebuild.lab.guest.standin.model.registry import CONTROL, SERVICING, SETUP_STATE
from imagebuild.lab.guest.standin.model.updates import REBOOT_REQUIRED
from imagebuild.lab.guest.standin.scripts.contract import SYSTEM, Run, ScriptError, describe_error, plays

DENIED = "0x80070005"
SHUTDOWN_WORDS = {0: "armed", IN_PROGRESS: "a shutdown is already under way"}


@plays("Get-Ready")
def get_ready(run: Run) -> dict[str, Any]:
    """Is Windows up, and has it finished what a reboot started?"""
    guest = run.guest
    busy = (
        ["component servicing is finishing a reboot"]
        if guest.registry.has_key(SERVICING + "\\RebootInProgress")
        else []
    )
    state = str(guest.registry.get(SETUP_STATE, "ImageState", ""))
    if state != COMPLETE:
        busy.append(f"image state is {state}")
    mark = guest.power.mark()
    return {
        "uptime_seconds": mark.uptime_seconds,
        "boot_time": mark.boot_time,
        "version": VERSION,
        "busy": busy,
        "logon_screen_shown": guest.registry.has_key(LOGON_MARK),
    }


def pending_reasons(guest: Guest) -> list[dict[str, str]]:
    """Why this Windows wants a restart, as pending.ps1 finds it; the reasons that this model can come to."""
    reasons = []

    def add(word: str, kind: str, text: str) -> None:
        reasons.append({"word": word, "kind": kind, "text": text})

    if guest.registry.has_key(REBOOT_REQUIRED):
        add("windows_update", "hard", "Windows Update asks for a restart")
    if guest.registry.has_key(SERVICING + "\\RebootPending"):
        add("servicing", "hard", "component servicing asks for a restart")
    if guest.registry.has_key(SERVICING + "\\RebootInProgress"):
        add("servicing_in_progress", "wait", "component servicing is finishing a restart")
    for name in ("PendingFileRenameOperations", "PendingFileRenameOperations2"):
        files = [one for one in guest.registry.get(CONTROL + "\\Session Manager", name, []) if one]
        if files:
            add("file_renames" + name[27:], "soft", f"{len(files)} paths in {name}, first {files[0]}")
    active, wanted = (
        guest.registry.get(f"{NAMES}\\{key}", "ComputerName", "") for key in ("ActiveComputerName", "ComputerName")
    )
    if active != wanted:
        add("computer_name", "hard", f"the name {active} becomes {wanted}")
    return reasons


@plays("Get-PendingReboot")
def get_pending_reboot(run: Run) -> dict[str, Any]:
    """Every reason to restart."""
    reasons = pending_reasons(run.guest)
    not_asked = []
    if run.account != SYSTEM:
        refusal = ScriptError("Access is denied.", hresult=DENIED, kind="System.UnauthorizedAccessException")
        not_asked.append({"word": "update_agent", "error": describe_error("Get-PendingReboot", refusal)})
    elif run.guest.updates.reboot_required():
        reasons.append({"word": "update_agent", "kind": "hard", "text": "the update agent asks for a restart"})
    kinds = [reason["kind"] for reason in reasons]
    return {"reboot_needed": "hard" in kinds, "wait": "wait" in kinds, "reasons": reasons, "not_asked": not_asked}


@plays("Restart-Guest", "reason", "delay_seconds")
def restart_guest(run: Run) -> dict[str, Any]:
    """Arm a restart and give the marks that prove it afterwards."""
    power = run.guest.power
    reason = run.parameters.required("reason")
    delay = min(600, max(2, run.parameters.number("delay_seconds", 5)))
    before = power.mark()
    mark_removed = run.guest.registry.remove_key(LOGON_MARK)
    run.step(f"restarting: {reason}")
    code = power.shutdown(restart=True, delay=delay)
    already = code in (ALREADY_SCHEDULED, IN_PROGRESS)
    if code == ALREADY_SCHEDULED:
        power.abort()
        code = power.shutdown(restart=True, delay=delay)
    return {
        "reason": reason,
        "delay_seconds": delay,
        "already": already,
        "before": before.as_json(),
        "logon_mark_removed": mark_removed,
        "code": code,
        "armed": code in (0, IN_PROGRESS),
        "words": SHUTDOWN_WORDS.get(code, "shutdown.exe refused"),
    }
