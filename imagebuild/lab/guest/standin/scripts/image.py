"""Set-ImageStamp and Get-CloneState: what image this is, and what a clone of it became."""

from __future__ import annotations

import re
from typing import Any

from imagebuild.lab.guest.standin.model.cloudbase import DONE, EVERY_BOOT, MEMORY
from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.model.network import INTERFACE
from imagebuild.lab.guest.standin.model.registry import STAMP
from imagebuild.lab.guest.standin.model.services import CLOUDBASE
from imagebuild.lab.guest.standin.scripts.contract import Run, ScriptError, as_text, plays
from imagebuild.lab.guest.standin.scripts.readiness import pending_reasons

LICENSED = 1


@plays("Set-ImageStamp", "stamp")
def set_image_stamp(run: Run) -> dict[str, Any]:
    """Write what image this is; an older stamp is replaced."""
    registry = run.guest.registry
    stamp = dict(run.parameters.required("stamp"))
    for name in ("version", "build"):
        if name not in stamp:
            raise ScriptError(f"the stamp needs '{name}': a clone is told apart by it")
    if "sealed" in stamp:
        raise ScriptError("the stamp may not hold 'sealed': Start-Generalize writes it at the very end")
    for name in stamp:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ScriptError(f"stamp name '{name}': small letters, digits and _ only")
    with run.guest.store.change():
        removed = [
            name for name in registry.value_names(STAMP) if name not in stamp and registry.remove_value(STAMP, name)
        ]
        changed = bool(removed)
        for name, value in stamp.items():
            if as_text(registry.get(STAMP, name)) != as_text(value):
                registry.set(STAMP, name, as_text(value), "String")
                changed = True
    written = {name: registry.get(STAMP, name) for name in stamp}
    return {"path": STAMP, "stamp": written, "already": not changed, "removed": removed}


@plays("Get-CloneState", "plugins", "paths")
def get_clone_state(run: Run) -> dict[str, Any]:
    """Name, SID, addresses, Cloudbase-Init, drivers, stamp of this machine."""
    guest = run.guest
    names = guest.registry.value_names(STAMP)
    stamp = {name: guest.registry.get(STAMP, name) for name in names} if guest.registry.has_key(STAMP) else None
    problems = [{"id": one.id, "code": one.problem} for one in guest.drivers.entities() if one.problem]
    port = guest.remote.desktop_port()
    return {
        "computer_name": guest.identity.computer_name(),
        "machine_sid": guest.identity.sid,
        "image_state": guest.sysprep.state().image_state,
        "uptime_seconds": run.uptime(),
        "cloudbase_init": _cloudbase_state(guest, run.parameters.texts("plugins")),
        "addresses": adapters(guest),
        "rdp": {"enabled": guest.remote.desktop_enabled(), "port": port, "listening": port in guest.listening_ports()},
        "pending_reboot": [reason["text"] for reason in pending_reasons(guest) if reason["kind"] != "soft"],
        "drivers": {"problems": len(problems), "devices": problems},
        "licence": {"machine_id": f"stand-in-{guest.identity.sid}", "statuses": [LICENSED]},
        "stamp": stamp,
        "sealed": stamp is not None and "sealed" in stamp,
        "left": [path for path in run.parameters.texts("paths") if guest.files.exists(path)],
    }


def adapters(guest: Guest) -> list[dict[str, Any]]:
    """The one network adapter, when it has an address."""
    address = guest.machine.address()
    if address is None:
        return []
    server = str(guest.registry.get(INTERFACE, "DhcpServer", ""))
    return [{"mac": (guest.machine.mac() or "").upper(), "ip": [address], "dhcp": True, "server": server}]


def _cloudbase_state(guest: Guest, wanted: list[str]) -> dict[str, Any]:
    found = guest.services.find(CLOUDBASE)
    service = None if found is None else {"state": found.state, "start_mode": found.start_mode}
    instances: list[dict[str, Any]] = []
    for name in guest.registry.subkeys(MEMORY):
        key = f"{MEMORY}\\{name}\\Plugins"
        instances.append(
            {
                "id": name,
                "plugins": {plugin: guest.registry.get(key, plugin) for plugin in guest.registry.value_names(key)},
            }
        )
    finished = [
        bool(one["plugins"]) and all(value == DONE or plugin in EVERY_BOOT for plugin, value in one["plugins"].items())
        for one in instances
    ]
    ran = {
        plugin for one in instances for plugin, value in one["plugins"].items() if value == DONE or plugin in EVERY_BOOT
    }
    at_rest = service == {"state": "Stopped", "start_mode": "Auto"}
    return {
        "service": service,
        "instances": instances,
        "done": at_rest and bool(instances) and all(finished) and set(wanted) <= ran,
    }
