"""Install-Package and Clear-UpdateLeftovers: a package from a file by dism.exe, and the clean-up after the last update."""

from __future__ import annotations

import re
from typing import Any

from imagebuild.lab.guest.standin.model.files import leaf
from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.model.registry import SERVICING
from imagebuild.lab.guest.standin.model.updates import DISTRIBUTION, DOWNLOADS, HOTFIXES
from imagebuild.lab.guest.standin.scripts.contract import Run, ScriptError, plays

IN_PLACE = (80, 96, 112, 128)
MEANINGS = {
    0: ("0x00000000", "none", "done"),
    0x800F0805: ("0x800F0805", "fix_parameters", "not a package"),
    0x800F0806: ("0x800F0806", "reboot_first", "servicing operations are pending"),
}
STAND_IN_PACKAGE = b"#!imagebuild stand-in package"


@plays("Install-Package", "path", "sha256", "work_folder")
def install_package(run: Run) -> dict[str, Any]:
    """A .msu or .cab of the stand-in; anything else is no package."""
    guest = run.guest
    path, digest = str(run.parameters.required("path")), run.parameters.text("sha256")
    if re.match(r"[\\/]{2}", path):
        raise ScriptError(f"'{path}' is on a share: a WinRM session cannot reach it; copy it to this machine first")
    if not re.search(r"\.(msu|cab)\Z", path, re.IGNORECASE):
        raise ScriptError(f"'{path}' is neither a .msu nor a .cab")
    if not guest.files.exists(path):
        raise ScriptError(f"'{path}' is not there")
    if digest and guest.files.sha256(path) != digest.lower():
        raise ScriptError(f"'{path}' has SHA-256 {guest.files.sha256(path)} and not {digest}")
    found = re.search(r"KB([0-9]{5,8})(?:-v([0-9]{1,3})(?![0-9]))?", leaf(path), re.IGNORECASE)
    kb, revision = (found[1], int(found[2] or 0)) if found else (None, 0)
    installed = _installed_packages(guest, kb, revision)
    result: dict[str, Any] = {
        "kb": kb,
        "path": path,
        "parts": [],
        "reboot_required": False,
        "installed_packages": installed,
    }
    if installed:
        return result | {"outcome": "already_installed"}
    run.step(f"installing {leaf(path)}")
    genuine = guest.files.read(path).startswith(STAND_IN_PACKAGE)
    if genuine and kb is not None:
        guest.registry.set(
            f"{HOTFIXES}\\Package_for_KB{kb}~31bf3856ad364e35~amd64~~6.1.{revision or 1}.0", "CurrentState", 112
        )
    part = _dism(0 if genuine else 0x800F0805) | {"file": path, "seconds": 0}
    return result | {"parts": [part], "outcome": "installed" if genuine else "failed"}


def _installed_packages(guest: Guest, kb: str | None, revision: int) -> list[str]:
    names = []
    for name in guest.registry.subkeys(HOTFIXES):
        found = re.match(rf"Package_for_KB{kb}(_SP\d)?~.*~\d+\.\d+\.(\d+)\.\d+\Z", name)
        state = guest.registry.get(f"{HOTFIXES}\\{name}", "CurrentState", 0)
        if found is not None and int(found[2]) >= revision and state in IN_PLACE:
            names.append(name)
    return names


def _dism(code: int) -> dict[str, Any]:
    hresult, action, words = MEANINGS[code]
    signed = code - (1 << 32) if code > 0x7FFFFFFF else code
    return {
        "hresult": hresult,
        "action": action,
        "words": words,
        "exit_code": signed,
        "output": [f"stand-in for dism.exe: {words}"],
    }


@plays("Clear-UpdateLeftovers", "component_store", "reset_base", "download_folder", "data_store")
def clear_update_leftovers(run: Run) -> dict[str, Any]:
    """Empty what Windows Update downloaded."""
    guest, flag = run.guest, run.parameters.flag
    result: dict[str, Any] = {
        "component_store": None,
        "folders": [],
        "services_stopped": [],
        "services_failed": [],
        "warnings": [],
    }
    if flag("component_store", default=True):
        result["component_store"] = _clean_component_store(run)
        if not result["component_store"]["done"]:
            result["warnings"].append(f"the component store was not cleaned: {result['component_store']['words']}")
    folders = [DOWNLOADS] if flag("download_folder", default=True) else []
    folders += [DISTRIBUTION + "\\DataStore"] if flag("data_store", default=False) else []
    stopped = [name for name in ("wuauserv", "BITS") if (one := guest.services.find(name)) is not None and one.running]
    for name in stopped if folders else []:
        guest.services.stop(name)
        result["services_stopped"].append(name)
    for folder in folders:
        run.step(f"emptying {folder}")
        before = guest.files.size(folder) if guest.files.exists(folder) else 0
        for child in guest.files.children(folder):
            guest.files.remove(f"{folder}\\{child}")
        result["folders"].append({"path": folder, "bytes_before": before, "bytes_after": 0, "files_left": 0})
    if flag("data_store", default=False):
        guest.updates.forget_history()
    for name in result["services_stopped"]:
        guest.services.start(name)
    return result | {"freed_bytes": sum(one["bytes_before"] for one in result["folders"])}


def _clean_component_store(run: Run) -> dict[str, Any]:
    """Windows 7 has neither /startcomponentcleanup nor /resetbase."""
    arguments = ["/online", "/cleanup-image", "/spsuperseded", "/quiet"]
    if run.guest.registry.has_key(SERVICING + "\\RebootPending"):
        refused = {key: value for key, value in _dism(0x800F0806).items() if key not in ("exit_code", "output")}
        return refused | {"done": False, "arguments": arguments}
    run.step(f"dism.exe {' '.join(arguments)}")
    return _dism(0) | {"done": True, "arguments": arguments, "seconds": 0}
