"""Services: what is installed, how it starts, whether it runs now. Running ends with the machine, the rest stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from imagebuild.lab.guest.standin.model.registry import SERVICES, Registry
from imagebuild.lab.guest.standin.model.store import Store

STARTS = {"Boot": 0, "System": 1, "Auto": 2, "Manual": 3, "Disabled": 4}
CLOUDBASE = "cloudbase-init"
_SVCHOST = "C:\\Windows\\system32\\svchost.exe -k netsvcs"
FACTORY = (
    ("Dhcp", "Auto"),
    ("EventLog", "Auto"),
    ("Schedule", "Auto"),
    ("WinRM", "Auto"),
    ("wuauserv", "Auto"),
    ("BITS", "Manual"),
    ("CryptSvc", "Auto"),
    ("TrustedInstaller", "Manual"),
    ("MSDTC", "Manual"),
    ("sppsvc", "Manual"),
    ("TermService", "Manual"),
    ("W32Time", "Manual"),
    ("WerSvc", "Manual"),
    ("SysMain", "Auto"),
)


class Service(NamedTuple):
    """One service as Win32_Service tells it."""

    name: str
    state: str
    start_mode: str
    account: str
    path: str

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return self.state == "Running"


class Services:
    """`started` hooks are called when a service of that name begins to run; they may answer False for one that dies at once."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._entries = store.section("services")
        self._running: set[str] = set()
        self.on_start: Callable[[str], bool] = lambda name: True

    def install_factory(self) -> None:
        """The services of a base image, Cloudbase-Init among them."""
        for name, start_mode in FACTORY:
            self.add(name, start_mode=start_mode, path=_SVCHOST)
        folder = "C:\\Program Files\\Cloudbase Solutions\\Cloudbase-Init\\bin"
        self.add(CLOUDBASE, start_mode="Auto", path=f'"{folder}\\OpenStackService.exe" {CLOUDBASE}')

    def add(self, name: str, *, start_mode: str, path: str, account: str = "LocalSystem") -> None:
        """Install a service. It does not start by that."""
        with self._store.change():
            self._entries[name.casefold()] = {"name": name, "account": account, "path": path}
            self._registry.set(f"{SERVICES}\\{name}", "Start", STARTS[start_mode])
            self._registry.set(f"{SERVICES}\\{name}", "ImagePath", path, "ExpandString")

    def find(self, name: str) -> Service | None:
        """The service of that name, whatever the case; None where there is none."""
        entry: dict[str, Any] | None = self._entries.get(name.casefold())
        if entry is None:
            return None
        start = self._registry.get(f"{SERVICES}\\{entry['name']}", "Start", 3)
        mode = next(word for word, number in STARTS.items() if number == start)
        state = "Running" if name.casefold() in self._running else "Stopped"
        return Service(entry["name"], state, mode, entry["account"], entry["path"])

    def all(self) -> list[Service]:
        """All services, by name."""
        found = (self.find(name) for name in sorted(self._entries))
        return [service for service in found if service is not None]

    def set_start_mode(self, name: str, start_mode: str) -> None:
        """Change how it starts: a word of STARTS."""
        self._registry.set(f"{SERVICES}\\{self._entries[name.casefold()]['name']}", "Start", STARTS[start_mode])

    def start(self, name: str) -> None:
        """Start one that is not running; whether it still runs afterwards is its own affair."""
        key = name.casefold()
        if key not in self._running:
            self._running.add(key)
            if not self.on_start(self._entries[key]["name"]):
                self._running.discard(key)

    def stop(self, name: str) -> None:
        """Stop it; one that does not run is no error."""
        self._running.discard(name.casefold())

    def start_automatic(self) -> None:
        """What the service control manager does at boot; Cloudbase-Init is not a service that stays."""
        for service in self.all():
            if service.start_mode == "Auto" and service.name != CLOUDBASE:
                self.start(service.name)
