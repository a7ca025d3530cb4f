"""Install-CloudbaseInit: installs it if it is not there, configures it, and keeps it quiet until a clone's first boot."""

from __future__ import annotations

import re
from typing import Any

from imagebuild.lab.guest.standin.model.cloudbase import CONFIGURATION, FOLDER, MEMORY, UNATTEND_CONFIGURATION, VERSION
from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.model.programs import WORKS_WITH
from imagebuild.lab.guest.standin.model.registry import UNINSTALL
from imagebuild.lab.guest.standin.model.services import CLOUDBASE
from imagebuild.lab.guest.standin.model.setup import SETUP_COMPLETE
from imagebuild.lab.guest.standin.scripts.contract import Run, ScriptError, plays
from imagebuild.lab.guest.standin.scripts.media import find_media

MARKER = "rem imagebuild: starts cloudbase-init in a clone"
ENABLE_ADMINISTRATOR = (
    "Get-WmiObject Win32_UserAccount -Filter 'LocalAccount=True' | Where-Object { $_.SID -like 'S-1-5-21-*-500' } | "
    "ForEach-Object { $_.Disabled = $false; [void]$_.Put() }"
)
LOCAL_SCRIPT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]*\.(ps1|cmd|bat|exe|py)\Z")
MODES = {"demand": "Manual", "disabled": "Disabled"}
NOT_ASCII = re.compile(r"[^\t\x20-\x7e]")
LOG = "C:\\Windows\\Temp\\cloudbase-init-install.log"
COPIES = (
    "%windir%\\Panther\\unattend.xml", "%windir%\\Panther\\unattend-original.xml", "%windir%\\Panther\\Unattend\\unattend.xml",
    "%windir%\\System32\\Sysprep\\unattend.xml", "%windir%\\Setup\\imagebuild\\unattend.xml",
)  # fmt: skip


@plays(
    "Install-CloudbaseInit", "installer", "media", "sha256", "properties", "configuration", "unattend_configuration", "local_scripts",
    "service_start", "first_boot_commands", "enable_administrator", "log",
)  # fmt: skip
def install_cloudbase_init(run: Run) -> dict[str, Any]:
    """Install, configure, keep quiet on the builder."""
    guest, parameters = run.guest, run.parameters
    installer, mode = _check_parameters(run)
    result: dict[str, Any] = {"installed_now": False, "exit_code": None, "reboot_needed": False}
    if guest.services.find(CLOUDBASE) is None:
        result |= _install(run, installer, str(parameters.required("sha256")))
    if guest.services.find(CLOUDBASE) is None:
        raise ScriptError(f"{installer} was installed, but there is no service cloudbase-init: is it the right MSI?")
    guest.services.set_start_mode(CLOUDBASE, mode)
    guest.services.stop(CLOUDBASE)
    run.step("writing its configuration")
    files = [
        _save(guest, CONFIGURATION, parameters.text("configuration")),
        _save(guest, UNATTEND_CONFIGURATION, parameters.text("unattend_configuration")),
    ]
    for script in parameters.items("local_scripts"):
        files.append(_save(guest, f"{FOLDER}\\LocalScripts\\{script['name']}", script["text"]))
    enable = parameters.flag("enable_administrator", default=False)
    setup_complete = _set_setup_complete(guest, parameters.texts("first_boot_commands"), enable_administrator=enable)
    return result | {
        "setup_complete": setup_complete,
        "version": _version(guest),
        "service": {"start_mode": mode, "state": "Stopped", "account": "LocalSystem"},
        "files": files,
        "python_works": True,
        "ran_on_builder": bool(guest.registry.subkeys(MEMORY)),
    }


def _check_parameters(run: Run) -> tuple[str, str]:
    """Before anything is done: the installer's path and the start mode of the service."""
    parameters = run.parameters
    installer = str(parameters.required("installer"))
    parameters.required("sha256")
    for name in ("configuration", "unattend_configuration"):
        _check_ascii(str(parameters.required(name)), name)
    start = parameters.text("service_start", "demand")
    if start not in MODES:
        words = "automatic would run it against the builder's metadata at the next reboot"
        raise ScriptError(f"service_start '{start}': demand or disabled; {words}")
    for script in parameters.items("local_scripts"):
        if not LOCAL_SCRIPT.match(script["name"]):
            raise ScriptError(f"local script '{script['name']}': a plain ASCII file name with .ps1, .cmd, .bat or .py")
    for command in parameters.texts("first_boot_commands"):
        _check_ascii(command, "first_boot_commands")
    if parameters.text("media"):
        installer = find_media(run.guest, parameters.text("media"))[0] + "\\" + installer.lstrip("\\")
    if not run.guest.files.exists(installer):
        raise ScriptError(f"installer '{installer}' is not there")
    return installer, MODES[start]


def _install(run: Run, installer: str, expected: str) -> dict[str, Any]:
    actual = run.guest.files.sha256(installer)
    if actual != expected.lower():
        raise ScriptError(f"installer '{installer}' has SHA-256 {actual} instead of {expected}: fetch it again")
    run.step("installing cloudbase-init")
    log = run.parameters.text("log", LOG)
    code = run.guest.programs.run(installer, kind="msi", log=log, pause=run.pause)
    if code not in WORKS_WITH:
        raise ScriptError(f"msiexec.exe /i {installer} ended with {code}: look for a line that ends in ' 3.' in {log}")
    return {"installed_now": True, "exit_code": code, "reboot_needed": code != 0}


def _version(guest: Guest) -> str:
    for key in guest.registry.subkeys(UNINSTALL):
        if str(guest.registry.get(f"{UNINSTALL}\\{key}", "DisplayName", "")).startswith("Cloudbase-Init"):
            return str(guest.registry.get(f"{UNINSTALL}\\{key}", "DisplayVersion"))
    return VERSION


def _check_ascii(text: str, what: str) -> None:
    for number, line in enumerate(text.splitlines(), 1):
        if NOT_ASCII.search(line):
            raise ScriptError(f"{what}, line {number}: only ASCII is read the same on every Windows")


def _save(guest: Guest, path: str, text: str) -> dict[str, Any]:
    """CRLF, no byte order mark; what the file now is."""
    _check_ascii(text, path)
    wanted = "\r\n".join(text.splitlines()).rstrip() + "\r\n"
    changed = not guest.files.exists(path) or guest.files.read_text(path) != wanted
    if changed:
        guest.files.write_text(path, wanted)
    return {"path": path, "sha256": guest.files.sha256(path), "changed": changed}


def _set_setup_complete(guest: Guest, commands: list[str], *, enable_administrator: bool) -> dict[str, Any]:
    folder = SETUP_COMPLETE.rsplit("\\", 1)[0]
    if guest.files.exists(SETUP_COMPLETE) and MARKER not in guest.files.read_text(SETUP_COMPLETE):
        number = 1
        while guest.files.exists(f"{folder}\\SetupComplete.foreign-{number}.cmd"):
            number += 1
        guest.files.write(f"{folder}\\SetupComplete.foreign-{number}.cmd", guest.files.read(SETUP_COMPLETE))
        guest.files.remove(SETUP_COMPLETE)
    foreign = [name for name in guest.files.children(folder) if re.fullmatch(r"SetupComplete\.foreign-\d+\.cmd", name)]
    lines = ["@echo off", MARKER, *(f'cmd.exe /d /c call "%~dp0{name}"' for name in foreign)]
    lines.append("del /f /q " + " ".join(f'"{copy}"' for copy in COPIES) + " 2>nul")
    if enable_administrator:
        lines.append(
            f'powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -Command "{ENABLE_ADMINISTRATOR}"'
        )
    lines += [*commands, "sc.exe config cloudbase-init start= auto", "net.exe start cloudbase-init"]
    return _save(guest, SETUP_COMPLETE, "\r\n".join(lines)) | {"foreign": foreign}
