"""Get-UpdateHistory and Test-UpdatePrerequisites: what the update agent recorded, and what must be in before it works."""

from __future__ import annotations

import re
from typing import Any

from imagebuild.lab.guest.standin.model.catalogue import SOURCE
from imagebuild.lab.guest.standin.model.edition import VERSION
from imagebuild.lab.guest.standin.model.registry import SERVICING
from imagebuild.lab.guest.standin.model.updates import FAILED, HOTFIXES
from imagebuild.lab.guest.standin.scripts.contract import Run, ScriptError, plays
from imagebuild.lab.guest.standin.scripts.update_rounds import MEANINGS, RESULTS

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")
STATES = {80: "superseded", 96: "pending", 112: "installed"}
PREREQUISITES = (
    ("4490628", "servicing_stack", ("KB4490628", "KB4592510", "KB4570673", "KB4536952"), False),
    ("4474419", "sha2", ("KB4474419",), False),
    ("3138612", "update_agent", ("KB3138612",), False),
    ("3140245", "tls12", ("KB3140245",), False),
    ("4592510", "servicing_stack", ("KB4592510",), True),
    ("4575903", "extended_support_license", ("KB4575903", "KB4538483"), True),
)


@plays("Get-UpdateHistory", "since", "max_entries")
def get_update_history(run: Run) -> dict[str, Any]:
    """What was installed and what failed, newest first."""
    since, limit = run.parameters.text("since", "1980-01-01T00:00:00Z"), run.parameters.number("max_entries", 1000)
    if not TIME.match(since):
        raise ScriptError(f"since '{since}' is not a time like 2026-01-31T10:00:00Z")
    recorded = run.guest.updates.history()
    entries = [_entry(one) for one in recorded[:limit] if one["date"] >= since]
    return {
        "entries": entries,
        "recorded_count": len(recorded),
        "cut": len(recorded) > limit,
        "installed_count": sum(one["result"].startswith("succeeded") for one in entries),
        "failed_count": sum(one["result"] == RESULTS[FAILED] for one in entries),
    }


def _entry(recorded: dict[str, Any]) -> dict[str, Any]:
    kb = next(one.kb for one in SOURCE if one.id == recorded["id"])
    return {
        "date": recorded["date"],
        "operation": "install",
        "result": RESULTS[recorded["result_code"]],
        "hresult": recorded["hresult"],
        "words": MEANINGS[recorded["hresult"]][1],
        "id": recorded["id"],
        "revision": 200,
        "kb": kb,
        "title": recorded["title"],
        "client": "imagebuild",
    }


@plays("Test-UpdatePrerequisites", "extended_support")
def test_update_prerequisites(run: Run) -> dict[str, Any]:
    """The packages that Windows 7 needs before it takes updates."""
    registry = run.guest.registry
    extended = run.parameters.flag("extended_support", default=False)
    packages = registry.subkeys(HOTFIXES)
    prerequisites = []
    for kb, purpose, names, only_extended in PREREQUISITES:
        if only_extended and not extended:
            continue
        found = [name for name in packages if re.match(rf"Package_for_({'|'.join(names)})(_SP\d)?~", name)]
        states = [STATES.get(registry.get(f"{HOTFIXES}\\{name}", "CurrentState", 0), "missing") for name in found]
        best = next((state for state in ("installed", "superseded", "pending") if state in states), "missing")
        prerequisites.append({"kb": kb, "purpose": purpose, "state": best, "packages": found})
    return {
        "version": VERSION,
        "servicing_stack_version": next(iter(registry.value_names(SERVICING + "\\Version")), None),
        "servicing_stack_in_cumulative": False,
        "prerequisites": prerequisites,
        "missing": [one["kb"] for one in prerequisites if one["state"] == "missing"],
        "reboot_pending": registry.has_key(SERVICING + "\\RebootPending"),
    }
