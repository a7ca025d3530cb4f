"""Cloudbase-Init: once an instance it takes name, password and user data from the config drive, as its configuration file says.

Its memory is the same registry key as the real one's (per instance id and plugin), so that whatever clears that makes it begin anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from imagebuild.lab.guest.standin.model.clock import stamp
from imagebuild.lab.guest.standin.model.services import CLOUDBASE

if TYPE_CHECKING:
    from imagebuild.lab.guest.standin.model.guest import Guest

FOLDER = "C:\\Program Files\\Cloudbase Solutions\\Cloudbase-Init"
CONFIGURATION = FOLDER + "\\conf\\cloudbase-init.conf"
UNATTEND_CONFIGURATION = FOLDER + "\\conf\\cloudbase-init-unattend.conf"
LOG = FOLDER + "\\log\\cloudbase-init.log"
MEMORY = "HKLM:\\SOFTWARE\\Cloudbase Solutions\\Cloudbase-Init"
VERSION = "1.1.2.0"
DONE, AGAIN = 1, 2
EVERY_BOOT = (
    "ExtendVolumesPlugin",
    "MTUPlugin",
    "NTPClientPlugin",
    "DisplayIdleTimeoutConfigPlugin",
    "WindowsAutoUpdatesPlugin",
)
FACTORY_CONFIGURATION = """[DEFAULT]
username=Administrator
inject_user_password=true
plugins=SetHostNamePlugin,CreateUserPlugin,UserDataPlugin,SetUserPasswordPlugin
"""


class CloudbaseInit:
    """One run is what the service does at boot, or what the answer file starts in specialize with the other configuration."""

    def __init__(self, guest: Guest, run_user_data: Callable[[bytes], None]) -> None:
        self._guest = guest
        self._run_user_data = run_user_data

    def run_at_boot(self) -> None:
        """The service's run, when it starts by itself; it stops when it is done."""
        service = self._guest.services.find(CLOUDBASE)
        if service is not None and service.start_mode == "Auto":
            self.run(CONFIGURATION)

    def run(self, configuration: str) -> None:
        """Every plugin of the configuration that this instance has not done yet; each is remembered when it is done."""
        guest = self._guest
        metadata = guest.machine.metadata()
        instance = str(metadata.get("uuid") or "")
        if not instance:
            guest.machine.console("stand-in: Cloudbase-Init finds no metadata: no config drive, or an empty one")
            return
        text = guest.files.read_text(configuration) if guest.files.exists(configuration) else ""
        memory = f"{MEMORY}\\{instance}\\Plugins"
        for name in _plugins_of(text):
            act = {
                "SetHostNamePlugin": self._set_host_name,
                "CreateUserPlugin": lambda: self._set_password(text),
                "SetUserPasswordPlugin": lambda: self._set_password(text),
                "UserDataPlugin": self._user_data,
                "LocalScriptsPlugin": self._local_scripts,
            }.get(name)
            if guest.registry.get(memory, name) == DONE:
                continue
            try:
                if act is not None:
                    act()
            except ValueError as error:  # what failed is not remembered as done: it runs again at the next boot
                guest.complain(f"Cloudbase-Init's {name} failed: {error}")
                self._log(f"plugin {name} failed: {error}")
                continue
            guest.registry.set(memory, name, AGAIN if name in EVERY_BOOT else DONE)
            self._log(f"plugin {name} done for instance {instance}" + ("" if act else " (nothing is played for it)"))

    def _set_host_name(self) -> None:
        wanted = str(self._guest.machine.metadata().get("hostname") or "")
        if wanted:
            self._guest.identity.rename(wanted)

    def _set_password(self, configuration: str) -> None:
        metadata = self._guest.machine.metadata()
        password = (metadata.get("meta") or {}).get("admin_pass") or metadata.get("admin_pass")
        if password and _option(configuration, "inject_user_password", "true").lower() == "true":
            self._guest.identity.set_password(_option(configuration, "username", "Admin"), str(password))

    def _user_data(self) -> None:
        content = self._guest.machine.user_data()
        if content:
            self._run_user_data(content)

    def _local_scripts(self) -> None:
        for name in self._guest.files.children(FOLDER + "\\LocalScripts"):
            self._guest.complain(f"no play for the local script {name}")

    def _log(self, text: str) -> None:
        self._guest.files.append(LOG, f"{stamp(self._guest.clock.now())} {text}\r\n".encode())


def _option(configuration: str, name: str, default: str) -> str:
    found = re.search(rf"(?m)^\s*{name}\s*=\s*(.*?)\s*$", configuration)
    return found[1] if found else default


def _plugins_of(configuration: str) -> list[str]:
    return [
        name.strip().rsplit(".", 1)[-1] for name in _option(configuration, "plugins", "").split(",") if name.strip()
    ]
