"""Set-UpdateSource and Reset-UpdateSource: the policies that say where updates come from, lent for the build and given back."""

from __future__ import annotations

import json
import re
from typing import Any

from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.model.registry import WINDOWS_UPDATE
from imagebuild.lab.guest.standin.scripts.contract import Parameters, Run, ScriptError, ascii_json, plays

POLICY = "HKLM:\\SOFTWARE\\Policies\\Microsoft\\Windows\\WindowsUpdate"
MEMORY = "HKLM:\\SOFTWARE\\ImageBuild\\UpdateSource"
CONNECTIONS = "HKLM:\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Internet Settings\\Connections"
MANAGED = (
    *((POLICY, name) for name in (
        "WUServer", "WUStatusServer", "UpdateServiceUrlAlternate", "TargetGroup", "TargetGroupEnabled",
        "DoNotConnectToWindowsUpdateInternetLocations", "DisableDualScan", "DisableWindowsUpdateAccess",
        "ExcludeWUDriversInQualityUpdate", "ProductVersion", "TargetReleaseVersion", "TargetReleaseVersionInfo",
    )),
    *((POLICY + "\\AU", name) for name in ("UseWUServer", "NoAutoUpdate", "AUOptions")),
    (CONNECTIONS, "WinHttpSettings"),
)  # fmt: skip
NEEDED_SERVICES = ("wuauserv", "BITS", "CryptSvc", "TrustedInstaller")
IDENTITY = ("SusClientId", "SusClientIDValidation", "AccountDomainSid", "PingID")
GONE = object()


@plays(
    "Set-UpdateSource", "source", "server", "status_server", "target_group", "quiet", "drivers", "stay_on_product", "stay_on_release",
    "proxy", "proxy_bypass",
)  # fmt: skip
def set_update_source(run: Run) -> dict[str, Any]:
    """Write the policies, after remembering what was there."""
    guest, parameters = run.guest, run.parameters
    source, proxy, bypass = (
        parameters.text("source", "default"),
        parameters.text("proxy"),
        parameters.text("proxy_bypass"),
    )
    if source not in ("default", "microsoft", "wsus"):
        raise ScriptError(f"source '{source}' is none of: default, microsoft, wsus")
    if re.search(r'["\s]', proxy + bypass):
        raise ScriptError(f"proxy '{proxy}' and its bypass list '{bypass}' may hold neither quotes nor spaces")
    wanted = _wanted_values(parameters, source)
    disabled = [
        name
        for name in NEEDED_SERVICES
        if (found := guest.services.find(name)) is not None and found.start_mode == "Disabled"
    ]
    remembered = guest.registry.get(MEMORY, "Before") is not None
    if not remembered:
        guest.registry.set(MEMORY, "Before", ascii_json(_snapshot(guest, disabled)))
    with guest.store.change():
        changed = _apply(guest, wanted)
        if proxy:
            guest.registry.set(CONNECTIONS, "WinHttpSettings", list(f"{proxy} {bypass}".encode()), "Binary")
        for name in disabled:
            guest.services.set_start_mode(name, "Manual")
    agent = guest.services.find("wuauserv")
    return {
        "source": source,
        "changed": changed,
        "remembered": "before" if remembered else "now",
        "services_enabled": disabled,
        "service_restarted": agent is not None and agent.running and bool(changed or proxy),
        "proxy": proxy,
    }


def _wanted_values(parameters: Parameters, source: str) -> dict[str, Any]:
    """Name -> value, or GONE for what must not be there."""
    wanted: dict[str, Any] = {}
    if source == "wsus":
        server, group = _server(parameters, "server", ""), parameters.text("target_group")
        wanted |= {
            "WUServer": server, "WUStatusServer": _server(parameters, "status_server", server), "UpdateServiceUrlAlternate": "",
            "UseWUServer": 1, "DoNotConnectToWindowsUpdateInternetLocations": 1, "DisableDualScan": 1, "DisableWindowsUpdateAccess": GONE,
            "TargetGroup": group or GONE, "TargetGroupEnabled": 1 if group else GONE,
        }  # fmt: skip
    if source == "microsoft":
        names = (
            "WUServer", "WUStatusServer", "UpdateServiceUrlAlternate", "TargetGroup", "TargetGroupEnabled", "DisableDualScan",
            "DoNotConnectToWindowsUpdateInternetLocations", "DisableWindowsUpdateAccess",
        )  # fmt: skip
        wanted |= dict.fromkeys(names, GONE) | {"UseWUServer": 0}
    if parameters.flag("quiet", default=True):
        wanted |= {"NoAutoUpdate": 1, "AUOptions": 2}
    if not parameters.flag("drivers", default=False):
        wanted["ExcludeWUDriversInQualityUpdate"] = 1
    release = parameters.text("stay_on_release")
    if release:
        product = str(parameters.required("stay_on_product"))
        wanted |= {"ProductVersion": product, "TargetReleaseVersion": 1, "TargetReleaseVersionInfo": release}
    return wanted


def _server(parameters: Parameters, name: str, default: str) -> str:
    address = parameters.text(name, default)
    if not re.match(r"https?://[^\s/]+", address, re.IGNORECASE):
        raise ScriptError(f"parameter '{name}' must be an address like http://wsus.example:8530, not '{address}'")
    return address


def _snapshot(guest: Guest, disabled: list[str]) -> dict[str, Any]:
    values = [
        {
            "path": path,
            "name": name,
            "kind": guest.registry.kind(path, name) or "",
            "value": guest.registry.get(path, name),
        }
        for path, name in MANAGED
    ]
    absent = [path for path in (POLICY + "\\AU", POLICY) if not guest.registry.has_key(path)]
    return {"values": values, "absent_keys": absent, "disabled_services": disabled}


def _apply(guest: Guest, wanted: dict[str, Any]) -> list[str]:
    changed = []
    for path, name in MANAGED:
        if name not in wanted or wanted[name] == guest.registry.get(path, name):
            continue
        if wanted[name] is not GONE:
            guest.registry.set(path, name, wanted[name])
            changed.append(f"{name} = {wanted[name]}")
        elif guest.registry.remove_value(path, name):
            changed.append(f"removed {name}")
    return changed


@plays("Reset-UpdateSource", "forget_identity")
def reset_update_source(run: Run) -> dict[str, Any]:
    """Bring back what was remembered."""
    guest = run.guest
    text = guest.registry.get(MEMORY, "Before")
    before = json.loads(text) if text is not None else {"values": [], "absent_keys": [], "disabled_services": []}
    identity: list[str] = []
    with guest.store.change():
        for item in before["values"]:
            if item["kind"]:
                guest.registry.set(item["path"], item["name"], item["value"], item["kind"])
            else:
                guest.registry.remove_value(item["path"], item["name"])
        for path in before["absent_keys"]:
            _remove_if_empty(guest, path)
        if run.parameters.flag("forget_identity", default=True):
            identity = [name for name in IDENTITY if guest.registry.remove_value(WINDOWS_UPDATE, name)]
        for name in before["disabled_services"]:
            guest.services.set_start_mode(name, "Disabled")
        if text is not None:
            guest.registry.remove_key(MEMORY)
        _remove_if_empty(guest, "HKLM:\\SOFTWARE\\ImageBuild")
    if identity:
        guest.services.stop("wuauserv")
    return {
        "restored": text is not None,
        "restored_values": [item["name"] for item in before["values"]],
        "services_disabled": before["disabled_services"],
        "identity_removed": identity,
    }


def _remove_if_empty(guest: Guest, path: str) -> None:
    if guest.registry.has_key(path) and not guest.registry.value_names(path) and not guest.registry.subkeys(path):
        guest.registry.remove_key(path)
