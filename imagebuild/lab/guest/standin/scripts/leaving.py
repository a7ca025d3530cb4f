"""Stop-Builder, and the last acts that it shares with Start-Generalize: the release of the lease, the shutdown."""

from __future__ import annotations

import re
from typing import Any

from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.model.network import ADAPTER_INDEX
from imagebuild.lab.guest.standin.model.power import ALREADY_SCHEDULED, IN_PROGRESS
from imagebuild.lab.guest.standin.scripts.contract import Run, ScriptError, plays


@plays("Stop-Builder", "name", "serial_port", "shutdown_seconds")
def stop_builder(run: Run) -> dict[str, Any]:
    """Give the lease back, shut down; told on the console where the serial port is COM1."""
    if run.parameters_file is not None:
        run.guest.files.remove(run.parameters_file)
    name, serial = str(run.parameters.required("name")), run.parameters.text("serial_port")
    if not re.match(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z", name):
        raise ScriptError(f"name '{name}': 1 to 64 letters, digits and hyphens")
    check_serial_port(serial)

    def tell(text: str) -> None:
        if serial == "COM1":
            run.guest.machine.console(f"imagebuild: {name} {text}")

    try:
        tell("releasing")
        dhcp = release_lease(run.guest)
        tell("shutdown")
        shut_down(run.guest, run.parameters.number("shutdown_seconds", 10))
    except ScriptError as error:
        run.guest.machine.ask_dhcp(None)
        tell(f"failed: {error}.")
        raise
    return {"name": name, "dhcp": dhcp}


def check_serial_port(port: str) -> None:
    """COM1 to COM99, or none."""
    if port and not re.match(r"COM\d{1,2}\Z", port):
        raise ScriptError(f"serial_port '{port}': COM1 to COM99")


def release_lease(guest: Guest) -> dict[str, Any]:
    """Clear-Network: give the address back and forget everything of it."""
    cleared = len(guest.network.lease_values())
    if "no-dhcp-release" not in guest.faults:
        guest.network.release()
        cleared = guest.network.forget_lease()
    return {"released": [{"index": ADAPTER_INDEX, "code": 0}], "cleared": cleared}


def shut_down(guest: Guest, seconds: float) -> None:
    """Invoke-Shutdown: also where a restart is scheduled already."""
    code = guest.power.shutdown(restart=False, delay=seconds)
    if code == ALREADY_SCHEDULED:
        guest.power.abort()
        code = guest.power.shutdown(restart=False, delay=seconds)
    if code not in (0, IN_PROGRESS):
        raise ScriptError(f"shutdown.exe /s ended with {code}")
