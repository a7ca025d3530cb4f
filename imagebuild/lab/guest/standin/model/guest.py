"""The modelled Windows in one piece: its parts, wired to each other, and what happens to them at boot."""

from __future__ import annotations

from pathlib import Path

from imagebuild.lab.guest.standin.machine import Machine
from imagebuild.lab.guest.standin.model.agents import LISTENS_ON, BrokerAgents, hash_sid
from imagebuild.lab.guest.standin.model.clock import Clock
from imagebuild.lab.guest.standin.model.cloudbase import CONFIGURATION, FACTORY_CONFIGURATION, UNATTEND_CONFIGURATION
from imagebuild.lab.guest.standin.model.domain import Domain
from imagebuild.lab.guest.standin.model.drivers import Drivers
from imagebuild.lab.guest.standin.model.edition import write_factory_registry
from imagebuild.lab.guest.standin.model.faults import Faults
from imagebuild.lab.guest.standin.model.files import WINDOWS, Files
from imagebuild.lab.guest.standin.model.identity import Identity
from imagebuild.lab.guest.standin.model.network import Network
from imagebuild.lab.guest.standin.model.power import Power
from imagebuild.lab.guest.standin.model.programs import Programs
from imagebuild.lab.guest.standin.model.registry import SERVICING, WINLOGON, Registry
from imagebuild.lab.guest.standin.model.remote_access import PORTS, RemoteAccess
from imagebuild.lab.guest.standin.model.services import Services
from imagebuild.lab.guest.standin.model.store import Store
from imagebuild.lab.guest.standin.model.sysprep import Sysprep
from imagebuild.lab.guest.standin.model.tasks import Tasks
from imagebuild.lab.guest.standin.model.updates import REBOOT_REQUIRED, Updates

LOGON_MARK = WINLOGON + "\\AutoLogonChecked"
WORKPLACE = "C:\\imagebuild"
SCRIPTS = WORKPLACE + "\\scripts"


class Guest:
    """Everything that a guest script or a command can touch. Whoever holds one may use its parts freely."""

    def __init__(self, machine: Machine, disk: Path, clock: Clock) -> None:
        self.machine = machine
        self.clock = clock
        self.faults = Faults()
        self.store = Store(disk / "state.json")
        self.files = Files(disk / "c", machine.cdroms)
        self.registry = Registry(self.store)
        self.services = Services(self.store, self.registry)
        self.identity = Identity(self.store, self.registry)
        self.network = Network(self.registry, machine)
        self.power = Power(self.store, machine, clock, self.faults)
        self.drivers = Drivers(self.files, self.registry, machine, self.faults)
        self.updates = Updates(self.store, self.files, self.registry, clock, self.faults)
        self.programs = Programs(self.files, self.registry, self.services, self.faults)
        self.tasks = Tasks(self.store, clock)
        self.remote = RemoteAccess(self.store, self.registry, machine, self.faults, disk / "certificates")
        self.domain = Domain(self)
        self.sysprep = Sysprep(self)
        self.agents = BrokerAgents(self.store, self.files, clock, self.faults, self._describe)
        self.closing = False
        """True from the moment at which sysprep's clearing takes the session's profile: no new shell is opened any more."""
        self.services.on_start = self.agents.start
        self.tasks.on_run = self._job_begins
        if not self.store.section("identity").get("made"):
            self._install_factory()

    def forget_volatile(self) -> bool:
        """At boot: volatile keys are gone, a restart that only programs asked for is done. Whether updates wait to be configured."""
        with self.store.change():
            self.power.count_boot()
            self.registry.remove_key(LOGON_MARK)
            self.registry.remove_key(SERVICING + "\\RebootInProgress")
            configuring = self.updates.begin_configuring()
            if not configuring:
                self.registry.remove_key(SERVICING + "\\RebootPending")
                self.registry.remove_key(REBOOT_REQUIRED)
            return configuring

    def listening_ports(self) -> set[int]:
        """TCP ports that something in this Windows listens on."""
        ports = {PORTS[transport] for transport in self.remote.listeners()}
        if self.remote.desktop_enabled():
            ports.add(self.remote.desktop_port())
        if any(service.running and self.agents.broker_of(service.name) for service in self.services.all()):
            ports.add(LISTENS_ON)
        return ports

    def complain(self, text: str) -> None:
        """Say on the console that the stand-in was asked for what it does not play."""
        self.machine.console(f"stand-in: {text}")

    def _job_begins(self) -> None:
        if "winrm-dies" in self.faults:
            self.remote.service_died = True
            self.complain("fault winrm-dies: the WinRM service has ended")

    def _describe(self) -> dict[str, str | None]:
        sid = hash_sid(self.identity.sid)
        return {"name": self.identity.computer_name(), "address": self.machine.address(), "sid_sha256": sid}

    def _install_factory(self) -> None:
        self.files.write_text(CONFIGURATION, FACTORY_CONFIGURATION)
        self.files.write_text(UNATTEND_CONFIGURATION, FACTORY_CONFIGURATION)
        for folder in (WINDOWS + "\\Temp", WINDOWS + "\\System32", "C:\\Users\\Administrator", "C:\\Program Files"):
            self.files.make_folder(folder)
        with self.store.change():
            write_factory_registry(self.registry)
            self.services.install_factory()
            self.identity.install_factory()
            self.store.section("identity")["made"] = True
