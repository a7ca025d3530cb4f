"""The table of what a build leaves behind (traces.ps1): each row with how it is found and how it is removed. Names, never values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from imagebuild.lab.guest.standin.model.cloudbase import LOG, MEMORY
from imagebuild.lab.guest.standin.model.files import WINDOWS, leaf
from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.model.registry import WINDOWS_UPDATE, WINLOGON
from imagebuild.lab.guest.standin.model.remote_access import LISTENERS
from imagebuild.lab.guest.standin.scripts.contract import Parameters, Run

PARAMETERS = (
    "account", "profile", "paths", "keep", "credentials", "registry_values", "listeners", "certificates", "firewall_rules", "task_prefix",
    "own_task", "event_records_allowed",
)  # fmt: skip
PANTHER = WINDOWS + "\\Panther"
ANSWER_FILES = (
    *(f"{PANTHER}\\{name}" for name in ("unattend.xml", "autounattend.xml", "unattend-original.xml")),
    *(f"{PANTHER}\\Unattend\\{name}" for name in ("unattend.xml", "autounattend.xml")),
    WINDOWS + "\\System32\\Sysprep\\unattend.xml", "C:\\unattend.xml", "C:\\autounattend.xml",
)  # fmt: skip
SETUP = "HKLM:\\SYSTEM\\Setup"
IDENTITY = ("SusClientId", "SusClientIDValidation", "AccountDomainSid", "PingID")
AUTOLOGON = ("DefaultPassword", "AutoLogonCount", "AutoLogonSID", "ForceAutoLogon")
FIREWALL = "firewall rule "

Find = Callable[[Guest, Parameters], list[str]]
Remove = Callable[[Guest, Parameters, list[str]], None]


class Trace(NamedTuple):
    """weight: secret (must not be in an image), identity (clones would share it), litter."""

    name: str
    weight: str
    find: Find
    remove: Remove


def _remove_files(guest: Guest, parameters: Parameters, found: list[str]) -> None:
    for path in found:
        if path.startswith("HKLM:"):
            key, name = path.rsplit("\\", 1)
            guest.registry.remove_value(key, name)
        else:
            guest.files.remove(path)


def _remove_keys_and_files(guest: Guest, parameters: Parameters, found: list[str]) -> None:
    for path in found:
        if path.startswith("HKLM:"):
            guest.registry.remove_key(path)
        else:
            guest.files.remove(path)


def _find_tasks(guest: Guest, parameters: Parameters) -> list[str]:
    prefix, own = parameters.text("task_prefix").lower(), parameters.text("own_task")
    return [name for name in guest.tasks.names() if prefix and name.lower().startswith(prefix) and name != own]


def _remove_tasks(guest: Guest, parameters: Parameters, found: list[str]) -> None:
    for name in found:
        guest.tasks.delete(name)


def _find_answer_files(guest: Guest, parameters: Parameters) -> list[str]:
    found = [path for path in ANSWER_FILES if guest.files.exists(path)]
    return found + ([SETUP + "\\UnattendFile"] if guest.registry.get(SETUP, "UnattendFile") is not None else [])


def _find_autologon(guest: Guest, parameters: Parameters) -> list[str]:
    found = [name for name in AUTOLOGON if guest.registry.get(WINLOGON, name) is not None]
    if str(guest.registry.get(WINLOGON, "AutoAdminLogon", "0")) != "0":
        found.append("AutoAdminLogon")
    account = parameters.text("account")
    if account and guest.registry.get(WINLOGON, "DefaultUserName", "") == account:
        found.append("DefaultUserName")
    return found


def _remove_autologon(guest: Guest, parameters: Parameters, found: list[str]) -> None:
    for name in found:
        guest.registry.remove_value(WINLOGON, name)


def _find_nothing(guest: Guest, parameters: Parameters) -> list[str]:
    """This model never has any."""
    return []


def _find_registry_values(guest: Guest, parameters: Parameters) -> list[str]:
    values = parameters.items("registry_values")
    return [
        f"{one['path']}\\{one['name']}" for one in values if guest.registry.get(one["path"], one["name"]) is not None
    ]


def _find_profile(guest: Guest, parameters: Parameters) -> list[str]:
    folder = parameters.text("profile") or parameters.text("account")
    path = f"C:\\Users\\{folder}"
    return [path] if folder and guest.files.exists(path) else []


def _find_account(guest: Guest, parameters: Parameters) -> list[str]:
    wanted = parameters.text("account").casefold()
    return [one.name for one in guest.identity.accounts() if wanted and one.name.casefold() == wanted]


def _remove_account(guest: Guest, parameters: Parameters, found: list[str]) -> None:
    for name in found:
        guest.identity.remove_account(name)


def _find_listeners(guest: Guest, parameters: Parameters) -> list[str]:
    transports = [one for one in parameters.texts("listeners") if guest.registry.has_key(f"{LISTENERS}\\*+{one}")]
    rules = {name.casefold() for name in parameters.texts("firewall_rules")}
    return transports + [FIREWALL + name for name in guest.remote.firewall_rules() if name.casefold() in rules]


def _remove_listeners(guest: Guest, parameters: Parameters, found: list[str]) -> None:
    for name in found:
        if name.startswith(FIREWALL):
            guest.remote.close_firewall(name[len(FIREWALL) :])
        else:
            guest.registry.remove_key(f"{LISTENERS}\\*+{name}")


def _remove_certificates(guest: Guest, parameters: Parameters, found: list[str]) -> None:
    for thumbprint in found:
        guest.remote.remove_certificate(thumbprint)


def _find_cloudbase(guest: Guest, parameters: Parameters) -> list[str]:
    folder = LOG.rsplit("\\", 1)[0]
    return [f"{MEMORY}\\{name}" for name in guest.registry.subkeys(MEMORY)] + _children(guest, folder)


def _find_update_identity(guest: Guest, parameters: Parameters) -> list[str]:
    return [name for name in IDENTITY if guest.registry.get(WINDOWS_UPDATE, name) is not None]


def _remove_update_identity(guest: Guest, parameters: Parameters, found: list[str]) -> None:
    guest.services.stop("wuauserv")
    for name in found:
        guest.registry.remove_value(WINDOWS_UPDATE, name)


def _children(guest: Guest, folder: str) -> list[str]:
    return [f"{folder}\\{name}" for name in guest.files.children(folder)]


def _below_profiles(guest: Guest, below: str) -> list[str]:
    return [f"C:\\Users\\{name}\\{below}" for name in guest.files.children("C:\\Users")]


def _find_history(guest: Guest, parameters: Parameters) -> list[str]:
    paths = _below_profiles(
        guest, "AppData\\Roaming\\Microsoft\\Windows\\PowerShell\\PSReadLine\\ConsoleHost_history.txt"
    )
    return [path for path in paths if guest.files.exists(path)]


def _find_recent(guest: Guest, parameters: Parameters) -> list[str]:
    folders = _below_profiles(guest, "AppData\\Roaming\\Microsoft\\Windows\\Recent")
    return [path for folder in folders for path in _children(guest, folder)]


def _find_temp(guest: Guest, parameters: Parameters) -> list[str]:
    folders = [WINDOWS + "\\Temp", *_below_profiles(guest, "AppData\\Local\\Temp")]
    return [path for folder in folders for path in _children(guest, folder)]


def _find_ssh_keys(guest: Guest, parameters: Parameters) -> list[str]:
    return [path for path in _children(guest, "C:\\ProgramData\\ssh") if leaf(path).startswith("ssh_host_")]


TABLE = (
    Trace("tasks", "identity", _find_tasks, _remove_tasks),
    Trace("answer_files", "secret", _find_answer_files, _remove_files),
    Trace("autologon", "secret", _find_autologon, _remove_autologon),
    Trace("credentials", "secret", _find_nothing, _remove_files),
    Trace("registry_values", "secret", _find_registry_values, _remove_files),
    Trace("profile", "identity", _find_profile, _remove_files),
    Trace("account", "secret", _find_account, _remove_account),
    Trace("listeners", "identity", _find_listeners, _remove_listeners),
    Trace(
        "certificates",
        "secret",
        lambda guest, given: guest.remote.find_certificates(given.texts("certificates")),
        _remove_certificates,
    ),
    Trace("cloudbase_init", "identity", _find_cloudbase, _remove_keys_and_files),
    Trace("update_identity", "identity", _find_update_identity, _remove_update_identity),
    Trace("ssh_host_keys", "identity", _find_ssh_keys, _remove_files),
    Trace("powershell_history", "secret", _find_history, _remove_files),
    Trace("recent_files", "litter", _find_recent, _remove_files),
    Trace("temp", "litter", _find_temp, _remove_files),
    Trace("event_logs", "litter", _find_nothing, _remove_files),
    Trace(
        "paths",
        "secret",
        lambda guest, given: [path for path in given.texts("paths") if guest.files.exists(path)],
        _remove_files,
    ),
)


def walk_table(
    run: Run, parameters: Parameters, *, keep: list[str], only: list[str], remove: bool
) -> list[dict[str, Any]]:
    """One report a row: what was found, and (with `remove`) what is left after removing it."""
    reports = []
    for trace in TABLE:
        if trace.name in keep or (only and trace.name not in only):
            continue
        found = trace.find(run.guest, parameters)
        if remove and found:
            run.step(f"clearing {trace.name}")
            trace.remove(run.guest, parameters, found)
        left = trace.find(run.guest, parameters) if found else []
        reports.append({"name": trace.name, "weight": trace.weight, "found": found, "left": left, "words": None})
    return reports
