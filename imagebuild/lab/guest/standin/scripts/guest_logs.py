"""Get-GuestLogs: the ends of the logs that this Windows has; it writes no event log."""

from __future__ import annotations

from typing import Any

from imagebuild.lab.guest.standin.model.cloudbase import LOG as CLOUDBASE_LOG
from imagebuild.lab.guest.standin.model.files import WINDOWS
from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.model.sysprep import LOGS as SYSPREP_LOGS
from imagebuild.lab.guest.standin.scripts.contract import Run, plays
from imagebuild.lab.guest.standin.scripts.workplace import RUNS

PLACES = {
    "setup-errors": WINDOWS + "\\Panther\\setuperr.log",
    "sysprep-errors": SYSPREP_LOGS[1],
    "sysprep": SYSPREP_LOGS[0],
    "windows-update": WINDOWS + "\\WindowsUpdate.log",
    "update-events": WINDOWS + "\\SoftwareDistribution\\ReportingEvents.log",
    "servicing": WINDOWS + "\\Logs\\CBS\\CBS.log",
    "drivers": WINDOWS + "\\inf\\setupapi.dev.log",
    "cloudbase-init": CLOUDBASE_LOG,
    "cloudbase-init-unattend": CLOUDBASE_LOG.replace(".log", "-unattend.log"),
}


@plays("Get-GuestLogs", "lines", "most_bytes")
def get_guest_logs(run: Run) -> dict[str, Any]:
    """As the script: those that are there, the last jobs after them, oldest first."""
    guest = run.guest
    lines, most = run.parameters.number("lines", 200), run.parameters.number("most_bytes", 24576)
    logs = [
        {"name": name, "path": path} | _read_end(guest.files.read(path), lines, most)
        for name, path in (PLACES | _job_outputs(guest)).items()
        if guest.files.exists(path)
    ]
    return {"logs": logs, "unreadable": []}


def _job_outputs(guest: Guest) -> dict[str, str]:
    folders = [name for name in guest.files.children(RUNS) if guest.files.is_folder(f"{RUNS}\\{name}")]
    folders.sort(key=lambda name: guest.files.locate(f"{RUNS}\\{name}").stat().st_mtime)
    return {f"job-{name}": f"{RUNS}\\{name}\\output.txt" for name in folders[-3:]}


def _read_end(content: bytes, lines: int, most: int) -> dict[str, Any]:
    start = max(0, len(content) - most)
    start -= start % 2
    encoding = "utf-16-le" if content.startswith(b"\xff\xfe") else "utf-8"
    text = content[start:].decode(encoding, "replace").lstrip("\ufeff").rstrip()
    found = text.replace("\r\n", "\n").split("\n")[1 if start else 0 :]
    return {"bytes": len(content), "lines": found[-lines:]}
