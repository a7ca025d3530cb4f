"""Find-Updates and Install-Updates: one search, and one round of downloading and installing, as SYSTEM only."""

from __future__ import annotations

from typing import Any

from imagebuild.lab.guest.standin.model.catalogue import Update
from imagebuild.lab.guest.standin.scripts.contract import SYSTEM, Run, ScriptError, plays
from imagebuild.lab.guest.standin.scripts.update_selection import SELECTION, Rules, facts_of, read_rules, select

RESULTS = ("not_started", "in_progress", "succeeded", "succeeded_with_errors", "failed", "aborted")
MEANINGS = {
    "0x00000000": ("none", "done"),
    "0x00240005": ("none", "done; a reboot completes it"),
    "0x80070005": ("need_system", "access denied: not available in a remote session, or permissions were changed"),
    "0x80070020": ("retry", "a file is in use"),
    "0x800F0922": (
        "give_up",
        "an installer inside the package failed (often: no room in the system reserved partition)",
    ),
}
DENIED = "0x80070005"
SEARCH = ("criteria", "server_selection", "search_attempts", "retry_seconds")
SERVERS = ("default", "managed", "windows_update", "microsoft_update")
SEARCH_SECONDS = 0.5


def _failure(phase: str, hresult: str, message: str) -> dict[str, Any]:
    action, words = MEANINGS[hresult]
    return {"phase": phase, "hresult": hresult, "action": action, "words": words, "message": message}


def _search(run: Run) -> tuple[list[Update], int]:
    """What the update source offers now, and the seconds it took."""
    server = run.parameters.text("server_selection", "default")
    if server not in SERVERS:
        raise ScriptError(f"server_selection '{server}' is none of: {', '.join(SERVERS)}")
    began = run.uptime()
    run.step("searching for updates")
    run.pause.wait(SEARCH_SECONDS)
    return run.guest.updates.offered(), run.uptime() - began


def _choose(run: Run, offers: list[Update], rules: Rules) -> list[dict[str, Any]]:
    chosen = select([facts_of(one, run.guest.updates.state(one.kb)) for one in offers], rules)
    run.step(f"found {len(chosen)} updates, {sum(one['selected'] for one in chosen)} selected")
    return chosen


@plays("Find-Updates", *SELECTION, *SEARCH)
def find_updates(run: Run) -> dict[str, Any]:
    """One search, with what the selection takes of it."""
    rules = read_rules(run.parameters)
    offers, seconds = _search(run)
    updates = _choose(run, offers, rules)
    selected = [one for one in updates if one["selected"]]
    return {
        "updates": updates,
        "found_count": len(updates),
        "selected_count": len(selected),
        "selected_bytes": sum(one["size_bytes"] for one in selected),
        "failure": None,
        "warnings": [],
        "search_attempts": 1,
        "search_seconds": seconds,
    }


@plays("Install-Updates", *SELECTION, *SEARCH, "max_download_minutes", "max_install_minutes")
def install_updates(run: Run) -> dict[str, Any]:
    """One round; refused to a network logon as Windows refuses it."""
    rules = read_rules(run.parameters)
    report: dict[str, Any] = {
        "updates": [], "left_out": [], "warnings": [], "found_count": 0, "search_seconds": 0, "download_seconds": 0,
        "install_seconds": 0, "reboot_required": False, "failure": _obstacle(run),
    }  # fmt: skip
    if report["failure"] is None:
        offers, report["search_seconds"] = _search(run)
        chosen = _choose(run, offers, rules)
        report["found_count"] = len(chosen)
        report["left_out"] = [
            {name: one[name] for name in ("id", "kb", "title", "reason")} for one in chosen if not one["selected"]
        ]
        taken = [(offer, facts) for offer, facts in zip(offers, chosen, strict=True) if facts["selected"]]
        taken.sort(key=lambda pair: not pair[1]["exclusive"])
        _play_round(run, [offer for offer, _ in taken], report)
    if run.account == SYSTEM:
        report["reboot_required"] = run.guest.updates.reboot_required()
    results = [one["result"] for one in report["updates"]]
    report["installed_count"] = sum(str(one).startswith("succeeded") for one in results)
    report["failed_count"] = sum(one in ("failed", "aborted") for one in results)
    report["postponed_count"] = results.count("postponed")
    return report


def _obstacle(run: Run) -> dict[str, Any] | None:
    """Why no installation can begin now."""
    if run.account != SYSTEM:
        return _failure("start", DENIED, "Access is denied. (Exception from HRESULT: 0x80070005 (E_ACCESSDENIED))")
    if run.guest.updates.reboot_required():
        return {
            "phase": "start",
            "hresult": None,
            "action": "reboot_first",
            "words": "a restart is pending",
            "message": "",
        }
    return None


def _play_round(run: Run, work: list[Update], report: dict[str, Any]) -> None:
    download_limit = run.parameters.number("max_download_minutes", 0) * 60
    install_limit = run.parameters.number("max_install_minutes", 0) * 60
    records = [_record(update) for update in work]
    report["updates"] = records
    began = run.uptime()
    for number, (update, record) in enumerate(zip(work, records, strict=True), 1):
        if download_limit and run.uptime() - began >= download_limit:
            _postpone(record, f"downloads took {download_limit // 60} minutes")
            continue
        run.step(f"downloading {number} of {len(work)}: {update.title}")
        start = run.uptime()
        run.guest.updates.download(update, run.pause)
        record["download_seconds"] = run.uptime() - start
    report["download_seconds"] = run.uptime() - began
    ready = [(update, record) for update, record in zip(work, records, strict=True) if record["result"] is None]
    began = run.uptime()
    for number, (update, record) in enumerate(ready, 1):
        if install_limit and run.uptime() - began >= install_limit:
            _postpone(record, f"installations took {install_limit // 60} minutes")
            continue
        run.step(f"installing {number} of {len(ready)}: {update.title}")
        _install(run, update, record)
        run.step(f"  {record['result']} {record['hresult']} {record['words']}")
    report["install_seconds"] = run.uptime() - began


def _record(update: Update) -> dict[str, Any]:
    return {
        "id": update.id, "revision": 200, "kb": [update.kb], "title": update.title, "size_bytes": update.size_bytes, "phase": "download",
        "result_code": None, "result": None, "hresult": None, "words": None, "action": None, "reboot_required": False,
        "eula_accepted_now": False, "download_seconds": 0, "install_seconds": 0,
    }  # fmt: skip


def _postpone(record: dict[str, Any], why: str) -> None:
    record |= {"result": "postponed", "words": f"left for a later round: {why}", "action": "retry"}


def _install(run: Run, update: Update, record: dict[str, Any]) -> None:
    start = run.uptime()
    outcome = run.guest.updates.install(update, run.pause)
    action, words = MEANINGS[outcome.hresult]
    record |= {
        "phase": "install", "result_code": outcome.result_code, "result": RESULTS[outcome.result_code], "hresult": outcome.hresult,
        "words": words, "action": action, "reboot_required": outcome.reboot_required, "install_seconds": run.uptime() - start,
    }  # fmt: skip
