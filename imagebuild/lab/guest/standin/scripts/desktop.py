"""Set-Desktop: the named tweaks of a master for virtual desktops, each set, read back and safe to repeat."""

from __future__ import annotations

import re
from typing import Any

from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.scripts.contract import Run, ScriptError, plays
from imagebuild.lab.guest.standin.scripts.desktop_items import TASKS, Setting, list_items

SERVER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]*\Z")
FACTORY_TASKS = ("Defrag\\ScheduledDefrag", "Maintenance\\WinSAT", "Registry\\RegIdleBackup", "SystemRestore\\SR")


@plays("Set-Desktop", "items", "time_servers", "describe")
def set_desktop(run: Run) -> dict[str, Any]:
    """Apply the named items, or describe them."""
    servers = run.parameters.texts("time_servers")
    for server in servers:
        if not SERVER.match(server):
            raise ScriptError(f"parameter 'time_servers' has '{server}': not a host name or address")
    table = list_items(servers)
    if run.parameters.flag("describe", default=False):
        return {
            "items": [
                {"name": one.name, "why": one.why, "settings": [setting.id for setting in one.settings]}
                for one in table
            ]
        }
    run.parameters.required("items")
    asked, names = run.parameters.texts("items"), [one.name for one in table]
    wanted = names if asked == ["all"] else asked
    unknown = "', '".join(name for name in wanted if name not in names)
    if unknown:
        raise ScriptError(f"unknown items '{unknown}' (time_source needs time_servers); known are {', '.join(names)}")
    results, reboot = [], False
    with run.guest.store.change():
        for number, item in enumerate((one for one in table if one.name in wanted), 1):
            run.step(f"desktop setting {number} of {len(wanted)}: {item.name}")
            before = {setting.id: read_setting(run.guest, setting) for setting in item.settings}
            due = [setting for setting in item.settings if not holds(setting, before[setting.id])]
            for setting in due:
                _write(run.guest, setting)
            reboot = reboot or any(setting.kind != "task" for setting in due)
            after = {setting.id: read_setting(run.guest, setting) for setting in item.settings}
            ok = all(holds(setting, after[setting.id]) for setting in item.settings)
            results.append(
                {"name": item.name, "changed": bool(due), "ok": ok, "before": before, "after": after, "words": []}
            )
    failed = [one["name"] for one in results if not one["ok"]]
    return {"items": results, "failed": failed, "complete": not failed, "reboot_needed": reboot}


def holds(setting: Setting, value: Any) -> bool:
    """Whether the value that was read is one that will do."""
    return value == "absent" or value in setting.wanted


def read_setting(guest: Guest, setting: Setting) -> Any:
    """What it is now; 'absent': there is nothing to set on this Windows."""
    if setting.kind == "task":
        name = setting.path.removeprefix(TASKS)
        return guest.store.section("windows_tasks").get(setting.path, True) if name in FACTORY_TASKS else "absent"
    if setting.kind == "service" and not guest.registry.has_key(setting.path):
        return "absent"
    return guest.registry.get(setting.path, setting.name)


def _write(guest: Guest, setting: Setting) -> None:
    if setting.kind == "task":
        with guest.store.change():
            guest.store.section("windows_tasks")[setting.path] = setting.wanted[0]
    else:
        guest.registry.set(setting.path, setting.name, setting.wanted[0])
