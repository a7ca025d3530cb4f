"""The lab's stand-in for Windows on this machine's loopback: the real WinRM server and the real model, each boot a process of its own.

`python -m tests.contract.standin_process FOLDER PORT`: state, console and settings are in FOLDER; HTTPS on PORT,
HTTP, where the fault open-http asks for it, on the next one.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from imagebuild import windows
from imagebuild.lab.guest.standin.hardware import certificate_sha256, make_certificate
from imagebuild.lab.guest.standin.listening import Listeners
from imagebuild.lab.guest.standin.machine import Device
from imagebuild.lab.guest.standin.windows import Windows

REBOOT, POWER_OFF = 10, 11
MODULE = "tests.contract.standin_process"


class HostMachine:
    """imagebuild.lab.guest.standin.machine.Machine whose buses are made up and whose power is this process's life."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._booted = time.monotonic()

    def console(self, text: str) -> None:
        """Append to the console file."""
        with (self._folder / "console.log").open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def uptime_seconds(self) -> float:
        """Since this process began."""
        return time.monotonic() - self._booted

    def devices(self) -> tuple[Device, ...]:
        """Nothing on virtio."""
        return ()

    def root_bus(self) -> str:
        """As the base image."""
        return "ide"

    def nic(self) -> str | None:
        """As the base image."""
        return "e1000"

    def mac(self) -> str | None:
        """Made up."""
        return "fa:16:3e:00:00:01"

    def cdroms(self) -> dict[str, Path]:
        """None."""
        return {}

    def metadata(self) -> dict[str, Any]:
        """What the test wrote."""
        found: dict[str, Any] = json.loads((self._folder / "meta_data.json").read_text())
        return found

    def user_data(self) -> bytes | None:
        """Our own."""
        return windows.user_data().encode()

    def ask_dhcp(self, stale: str | None) -> str | None:
        """Loopback needs none."""
        return stale or "127.0.0.1"

    def release_dhcp(self) -> None:
        """Nothing to give back."""

    def address(self) -> str | None:
        """Loopback."""
        return "127.0.0.1"

    def make_certificate(self, common_name: str, folder: Path) -> tuple[Path, Path]:
        """As in the guest."""
        return make_certificate(common_name, folder)

    def certificate_sha256(self, certificate: Path) -> str:
        """As in the guest."""
        return certificate_sha256(certificate)

    def reboot(self) -> None:
        """End this boot at once; the parent starts the next."""
        os._exit(REBOOT)

    def power_off(self) -> None:
        """End this boot at once, and no other follows."""
        os._exit(POWER_OFF)


def boot(folder: Path, port: int) -> None:
    """One boot, to its end."""
    machine = HostMachine(folder)
    model = Windows(machine, folder / "disk")
    verdict = model.boot()
    assert verdict.stop_code is None, verdict
    model.start(machine.ask_dhcp(verdict.stale_address))
    Listeners(model, address="127.0.0.1", ports={"http": port + 1, "https": port}).keep()


def keep_booting(folder: Path, port: int) -> int:
    """Boot after boot until it is switched off."""
    code = REBOOT
    while code == REBOOT:
        code = subprocess.call([sys.executable, "-m", MODULE, str(folder), str(port), "boot"])
    return code


if __name__ == "__main__":
    place, number = Path(sys.argv[1]), int(sys.argv[2])
    if sys.argv[3:] == ["boot"]:
        boot(place, number)
    else:
        sys.exit(keep_booting(place, number))
