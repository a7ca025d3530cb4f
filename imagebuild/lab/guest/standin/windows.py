"""The modelled Windows as the machine below sees it: what a boot finds, what starts by itself, and what WinRM may ask.

This is a stand-in for tests of the image pipeline. It is not Windows and contains nothing of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from imagebuild.lab.guest.standin.commands import run_command, run_line, start_line
from imagebuild.lab.guest.standin.machine import Call, Machine, WinRmRefused
from imagebuild.lab.guest.standin.model.clock import Clock
from imagebuild.lab.guest.standin.model.cloudbase import CloudbaseInit
from imagebuild.lab.guest.standin.model.guest import LOGON_MARK, Guest
from imagebuild.lab.guest.standin.model.setup import Setup
from imagebuild.lab.guest.standin.scripts.user_data import run_user_data

KEY_DELETED = 0x800703FA  # "Illegal operation attempted on a registry key that has been marked for deletion"


class BootVerdict(NamedTuple):
    """What the machine does after the drivers were looked at."""

    stop_code: str | None
    """'0x0000007B': print a stop screen and hang there for ever."""
    network: bool
    """False: the NIC has no driver, it must stay down."""
    stale_address: str | None
    """The address that this Windows wrongly believes to own."""


class WinRmSettings(NamedTuple):
    """How the WinRM service is configured now."""

    basic: bool
    allow_unencrypted: bool
    max_envelope_kb: int
    max_shells_per_user: int


class Windows:
    """One modelled Windows on one machine; `disk` is the folder that holds its whole state."""

    def __init__(self, machine: Machine, disk: Path, *, clock: Clock | None = None) -> None:
        self._guest = Guest(machine, disk, clock or Clock())
        self._configuring = False

    def boot(self) -> BootVerdict:
        """Before the network: decide by what is really present."""
        guest = self._guest
        stop_code = guest.drivers.stop_code()
        if stop_code is not None:
            return BootVerdict(stop_code, network=False, stale_address=None)
        self._configuring = guest.forget_volatile()
        return BootVerdict(None, guest.drivers.network_works(), guest.network.stale_address())

    def start(self, address: str | None) -> None:
        """After network and CDs: what Windows does by itself after a start goes on beside the caller."""
        guest = self._guest
        for word in guest.faults.read(guest.machine.metadata()):
            guest.complain(f"no fault is called '{word}'; nothing is broken by it")
        with guest.store.change():
            guest.drivers.bind_present()
            if address is not None and guest.network.stale_address() is None:
                guest.network.keep_lease(address, now=int(guest.clock.now().timestamp()))
        guest.clock.spawn("start-up", self._start_up)

    def listeners(self) -> frozenset[str]:
        """What listens now: WinRM's 'http' and 'https', Remote Desktop's 'rdp'; nothing where Windows has ended."""
        guest = self._guest
        if guest.power.gone:
            return frozenset()
        desktop = frozenset({"rdp"}) if guest.remote.desktop_answers() else frozenset()
        return guest.remote.listeners() | desktop

    def certificate(self) -> tuple[Path, Path] | None:
        """Certificate and key (PEM) of the HTTPS listener."""
        return self._guest.remote.certificate()

    def settings(self) -> WinRmSettings:
        """How the WinRM service is configured now."""
        remote = self._guest.remote
        return WinRmSettings(
            basic=remote.allows("auth_basic"),
            allow_unencrypted=remote.allows("allow_unencrypted"),
            max_envelope_kb=remote.quota("MaxEnvelopeSizekb"),
            max_shells_per_user=remote.quota("MaxShellsPerUser"),
        )

    def password_of(self, user: str) -> str | None:
        """The password to check a logon against; None refuses every one."""
        return None if "winrm-refuses" in self._guest.faults else self._guest.identity.password_of(user)

    def machine_sid(self) -> str | None:
        """The SID that this machine has now; None after a generalize, until its first boot makes one."""
        return self._guest.identity.sid

    def computer_name(self) -> str:
        """The NetBIOS name."""
        return self._guest.identity.computer_name()

    def open_shell(self) -> None:
        """Raise WinRmRefused where Windows would refuse another shell: the profile goes while sysprep's traces are cleared."""
        if self._guest.closing:
            raise WinRmRefused(
                KEY_DELETED, "Illegal operation attempted on a registry key that has been marked for deletion."
            )

    def run(self, call: Call) -> int:
        """Run one command of a shell to its end; its exit code."""
        return run_command(self._guest, call)

    def _start_up(self) -> None:
        guest = self._guest
        cloudbase = CloudbaseInit(guest, lambda content: run_user_data(guest, content))
        setup = Setup(guest, cloudbase, lambda line: run_line(guest, line))
        self._open_for_others()
        for line in guest.tasks.lines_at_start():
            start_line(guest, line)
        if setup.needed():
            with guest.store.change():
                setup.run()
        cloudbase.run_at_boot()
        guest.services.start_automatic()
        if self._configuring:
            guest.updates.finish_configuring()
        guest.registry.make_key(LOGON_MARK)

    def _open_for_others(self) -> None:
        """Listeners that the server's metadata asks for, as images have them that were prepared for Packer or Ansible."""
        guest = self._guest
        wanted = guest.faults.listeners | ({"http"} if "open-http" in guest.faults else frozenset())
        if not wanted:
            return
        guest.remote.allow(basic=True, unencrypted=True)
        guest.remote.set_quota("MaxShellsPerUser", 30)
        guest.remote.set_quota("MaxEnvelopeSizekb", 500)
        for transport in sorted(wanted - guest.remote.listeners()):
            thumbprint = guest.remote.make_certificate(guest.identity.computer_name()) if transport == "https" else ""
            guest.remote.add_listener(transport, thumbprint)
