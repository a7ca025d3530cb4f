"""A machine with the project on it and a cloud on fakes: whole jobs run on it as a person runs them."""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagebuild.adapters import winrm_guest
from imagebuild.attendant import Terminal, Wishes
from imagebuild.build_folder import BuildFolder, build_folders
from imagebuild.cleaning import Leftover, leftovers
from imagebuild.cloud import Image
from imagebuild.images import Version, list_versions
from imagebuild.jobs import building, builds, resuming, sweeping
from imagebuild.jobs import settings as settings_module
from imagebuild.jobs.settings import Settings
from imagebuild.jobs.walking import Built
from imagebuild.record import Record, fold
from imagebuild.report import ConsoleReport
from imagebuild.secrets import Secret
from imagebuild.waiting import SystemClock
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud
from tests.fakes.guest import FakeGuest
from tests.fakes.kill import Killed
from tests.steps.conftest import CERTIFICATE, answer
from tests.unit.examples import PROJECT

RECIPE = "win7-vdi"
ISO = Image("", "", "active", disk_format="iso")
NOTHING_TO_UPDATE = answer("Install-Updates", "install with nothing to do, twice")
ANSWERS = {
    "Initialize-Workplace": answer("Initialize-Workplace", "made, closed, described"),
    "Install-VirtioDrivers": answer("Install-VirtioDrivers", "Windows 7, old syntax"),
    "Get-DriverState": answer("Get-DriverState", "driver state: ready"),
    "Set-UpdateSource": answer("Set-UpdateSource", "disabled services"),
    "Install-Updates": NOTHING_TO_UPDATE,
    "Reset-UpdateSource": {},
    "Install-Program": answer("Install-Program", "a slow bootstrap is waited for"),
    "Set-BrokerAgent": answer("Set-BrokerAgent", "configured, running, read back"),
    "Set-RemoteDesktop": answer("Set-RemoteDesktop", "on, with NLA, members by SID and name; again"),
    "Set-Desktop": answer("Set-Desktop", "a missing power plan is made"),
    "Get-Inventory": answer("Get-Inventory", "everything, in order"),
    "Install-CloudbaseInit": answer("Install-CloudbaseInit", "installed, quiet, configured"),
    "Get-PendingReboot": answer("Get-PendingReboot", "nothing, and Windows Update may not be asked"),
    "Test-Generalize": answer("Test-Generalize", "a machine at rest is ready"),
    "Set-ImageStamp": answer("Set-ImageStamp", "written, read back"),
}


@dataclass
class Site:
    """A machine with the project on it, a cloud, and a Windows for every server. `person`: who sits at the terminal, if anybody does."""

    settings: Settings
    clock: FakeClock
    cloud: FakeCloud
    person: Terminal | None = None
    out: io.StringIO = field(default_factory=io.StringIO)
    plays: dict[str, Callable[..., Any]] = field(default_factory=dict)
    passwords: list[Secret] = field(default_factory=list)
    guests: dict[str, FakeGuest] = field(default_factory=dict)

    def connect(self, address: str, *, password: Secret, **_: Any) -> FakeGuest:
        """A Windows that does all that it is asked, but for what `plays` says; the same one for the same address."""
        self.passwords.append(password)
        if address not in self.guests:
            guest = self.guests[address] = FakeGuest(self.clock)
            for script in (*ANSWERS, "Start-Generalize", "Stop-Builder"):
                guest.plays(script, partial(self._play, script, address))
        return self.guests[address]

    def _play(self, script: str, address: str, parameters: dict[str, Any], say: Any) -> dict[str, Any]:
        if script in self.plays:
            return dict(self.plays[script](parameters, say))
        if script == "Stop-Builder":
            return self.go_off(address, *(f"{parameters['name']} {word}" for word in ("releasing", "shutdown")))
        return self.generalize(address) if script == "Start-Generalize" else dict(ANSWERS[script])

    def generalize(self, address: str) -> dict[str, Any]:
        """The last act, as it should be."""
        return self.go_off(address, "checking", "answer_file", "sysprep", "clearing", "releasing", "shutdown")

    def go_off(self, address: str, *phases: str) -> dict[str, Any]:
        """Windows tells these phases on its console and switches itself off."""
        servers = [server for owned in self.cloud.owned().values() for server in owned.servers]
        (server,) = [server.id for server in servers if address in server.addresses]
        for phase in phases:
            self.cloud.say(server, f"imagebuild: {phase}")
        self.guests[address].up = False
        self.cloud.power_off(server)
        return {}

    def boot(self, server_id: str) -> None:
        """A server is up, for the first time or again."""
        self.cloud.say(server_id, f"imagebuild: winrm certificate sha256={CERTIFICATE}")
        for address in self.cloud._machines[server_id].server.addresses:
            if address in self.guests:
                self.guests[address].up = True
                for job in self.guests[address].jobs.values():  # what was to end the last boot does not end this one
                    job.interrupted = job.interrupted or job.script == "Stop-Builder"

    def build(self, recipe: str = RECIPE, *, on_error: str = "undo", pause_before: str = "", **more: Any) -> Built:
        """invoke build win7-vdi."""
        wishes = Wishes(on_error, pause_before)
        return building.build(recipe, self.settings, ConsoleReport(self.out), wishes=wishes, **more)

    def resume(self, build: str = "last", *, on_error: str = "undo", pause_before: str = "") -> Built:
        """invoke builds.resume."""
        wishes = Wishes(on_error, pause_before)
        return resuming.resume(build, self.settings, ConsoleReport(self.out), wishes=wishes)

    def undo(self, build: str = "last") -> int:
        """invoke builds.undo."""
        return builds.undo(build, self.settings, ConsoleReport(self.out))

    def sweep(self, *, dry_run: bool = False, kept: bool = False, foreign: bool = False) -> int:
        """invoke sweep."""
        return sweeping.sweep(self.settings, ConsoleReport(self.out), dry_run=dry_run, kept=kept, foreign=foreign)

    def said(self) -> str:
        """All that a person has seen."""
        return self.out.getvalue()

    def images(self) -> list[Version]:
        """The finished images."""
        return [one for one in list_versions(self.cloud) if one.state != "building"]

    def image(self, name: str = f"{RECIPE}-v1") -> Image:
        """The one image of that name."""
        (found,) = [one.image for one in self.images() if one.image.name == name]
        return found

    def die_in(self, script: str) -> None:
        """kill -9 in that script, once."""
        self.fail_in(script, Killed())

    def recipe(self, name: str, change: Callable[[dict[str, Any]], None] = lambda content: None) -> Path:
        """A recipe like win7-vdi's, changed."""
        content = yaml.safe_load((PROJECT / "recipes" / f"{RECIPE}.yaml").read_text(encoding="utf-8"))
        content["recipe"] = name
        change(content)
        path = self.settings.recipes / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return path

    def things(self) -> list[Leftover]:
        """What stands in the cloud and is no finished image."""
        return leftovers(self.cloud)

    def folder(self) -> BuildFolder:
        """Where the newest build keeps what it knows."""
        return list(build_folders(self.settings.builds))[-1]

    def record(self) -> Record:
        """The newest build's record."""
        record = fold(self.folder().entries())
        assert record is not None
        return record

    def fail_in(self, script: str, error: BaseException) -> None:
        """The script ends like that, once."""

        def play(parameters: dict[str, Any], say: Any) -> Any:
            del self.plays[script]
            raise error

        self.plays[script] = play

    def do_in(self, script: str, work: Callable[[], object]) -> None:
        """That happens while the script runs, once; the script does what it always does."""

        def play(parameters: dict[str, Any], say: Any) -> Any:
            del self.plays[script]
            work()
            return ANSWERS[script]

        self.plays[script] = play


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return make_site(tmp_path, monkeypatch)


def make_site(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A new machine and a new cloud; from now on Settings leads to them."""
    clock = FakeClock()
    cloud = FakeCloud(clock)
    cloud.add_image("win7-sp1-x64", image=Image("", "", "active", min_disk=20, checksum="c0ffee"), hw_disk_bus="ide")
    cloud.add_image("virtio-win-0.1.173", image=ISO)
    cloud.add_image("vdi-media", image=ISO)
    cloud.add_flavor("2cpu_2GB_40GB")
    cloud.add_network("vdi-network", "172.16.100.0/24")
    (folder / "recipes").mkdir(parents=True)
    (folder / "unattend").symlink_to(PROJECT / "unattend")
    for recipe in (PROJECT / "recipes").glob("*.yaml"):
        (folder / "recipes" / recipe.name).write_bytes(recipe.read_bytes())  # a link would let a test write into ours
    made = Site(Settings(folder), clock, cloud)
    cloud.boots = made.boot
    monkeypatch.setattr(Settings, "open_cloud", lambda settings, report: cloud)
    monkeypatch.setattr(Settings, "open_cloud_as_it_is", lambda settings: cloud)
    monkeypatch.setattr(Settings, "terminal", lambda settings: made.person)
    monkeypatch.setattr(winrm_guest, "connect_guest", made.connect)
    monkeypatch.setattr(settings_module, "address_towards", lambda cidr: "172.16.100.1/32")
    monkeypatch.setattr(os, "fsync", lambda file: None)  # what is killed here is a process, never the machine
    monkeypatch.setattr(SystemClock, "now", lambda self: clock.now())
    monkeypatch.setattr(SystemClock, "sleep", lambda self, seconds: clock.sleep(seconds))
    return made
