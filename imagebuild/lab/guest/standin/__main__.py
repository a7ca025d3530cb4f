"""The process that init starts in the guest: asks the model of Windows whether and how this machine boots, then serves WinRM."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

from imagebuild.lab.guest.standin.hardware import DRIVERS_LOADED, DRIVERS_SECONDS, Hardware, wait_until

if TYPE_CHECKING:
    from imagebuild.lab.guest.standin.host import Host

BANNER = "imagebuild stand-in for Windows, not Windows"
DISK = Path("/var/lib/standin")
"""Where the model keeps its state, on the root disk."""
STOP_NAMES = {"0x0000007B": "INACCESSIBLE_BOOT_DEVICE"}
INPUT_DEVICES = Path("/dev/input")


def main() -> None:
    """Boot. Never returns: the machine is left by reboot or power-off."""
    machine = Hardware()
    machine.console(f"{BANNER}: starting after {machine.uptime_seconds():.1f} s")
    from imagebuild.lab.guest.standin.windows import Windows

    windows = Windows(machine, DISK)
    verdict = windows.boot()
    if verdict.stop_code is not None:
        show_stop_screen(machine, verdict.stop_code)
        while True:
            signal.pause()  # like the real one: deaf to the power button too
    if verdict.network:
        address = machine.ask_dhcp(verdict.stale_address)
    else:
        address = None
        machine.unplug()
    source = "by the stale lease on its disk" if verdict.stale_address else "by DHCP"
    machine.console(f"{BANNER}: machine SID {windows.machine_sid() or 'none, it is generalized'}")
    machine.console(
        f"{BANNER}: {windows.computer_name()} has {address or 'no address'} {source} after {machine.uptime_seconds():.1f} s"
    )
    windows.start(address)
    serve(machine, windows)


def show_stop_screen(machine: Hardware, code: str) -> None:
    """The blue screen's words, as far as a console log can show one."""
    machine.console("*** A problem has been detected and the stand-in for Windows has been stopped.")
    machine.console(f"*** STOP: {code} ({STOP_NAMES.get(code, 'unknown')})")


def serve(machine: Hardware, windows: Host) -> None:
    """Keep the WinRM ports as Windows wants them, and obey the power button."""
    from imagebuild.lab.guest.standin.listening import Listeners
    from imagebuild.lab.guest.standin.power_button import watch_power_button

    def shut_down() -> None:
        machine.console(f"{BANNER}: power button, shutting down")
        machine.power_off()

    wait_until(DRIVERS_LOADED.exists, DRIVERS_SECONDS)
    watch_power_button(INPUT_DEVICES, shut_down)
    Listeners(windows).keep()


if __name__ == "__main__":
    main()
