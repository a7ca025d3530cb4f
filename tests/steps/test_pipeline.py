"""The whole pipeline on fakes: from the recipe to the image, and every way in which it can end before that."""

import io
import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from imagebuild.build_folder import BuildFolder, build_folders
from imagebuild.cleaning import Leftover, leftovers
from imagebuild.cloud import Image
from imagebuild.errors import CloudRefused, ImagebuildError, Interrupted, RecipeError, StepFailed
from imagebuild.jobs import building, builds, versions
from imagebuild.jobs import settings as settings_module
from imagebuild.jobs.settings import Settings
from imagebuild.journal import Journal
from imagebuild.record import Record, fold
from imagebuild.report import ConsoleReport
from imagebuild.secrets import Secret
from imagebuild.waiting import SystemClock
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud
from tests.fakes.guest import FakeGuest
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


class Killed(BaseException):
    """kill -9, as far as a test can play it: nothing of ours gets to do anything any more."""


@dataclass
class Site:
    """A machine with the project on it, a cloud, and a new Windows for every build."""

    settings: Settings
    clock: FakeClock
    cloud: FakeCloud
    out: io.StringIO = field(default_factory=io.StringIO)
    plays: dict[str, Callable[..., Any]] = field(default_factory=dict)
    passwords: list[Secret] = field(default_factory=list)
    guests: list[FakeGuest] = field(default_factory=list)

    def connect(self, address: str, *, password: Secret, **_: Any) -> FakeGuest:
        """A Windows that does all that it is asked, but for what `plays` says."""
        self.passwords.append(password)
        guest = FakeGuest(self.clock)
        self.guests.append(guest)
        for script, value in ANSWERS.items():
            guest.returns(script, value)
        guest.plays("Start-Generalize", lambda parameters, say: self.generalize(guest, address))
        for script, play in self.plays.items():
            guest.plays(script, play)
        return guest

    def generalize(self, guest: FakeGuest, address: str) -> dict[str, Any]:
        """The last act, as it should be."""
        servers = [server for owned in self.cloud.owned().values() for server in owned.servers]
        (server,) = [server.id for server in servers if address in server.addresses]
        for phase in ("checking", "answer_file", "sysprep", "clearing", "releasing", "shutdown"):
            self.cloud.say(server, f"imagebuild: {phase}")
        guest.up = False
        self.cloud.power_off(server)
        return {}

    def build(self, **changes: Any) -> str:
        """invoke build win7-vdi."""
        settings = Settings(self.settings.project, **changes)
        return building.build(RECIPE, settings, ConsoleReport(self.out))

    def sweep(self, *, dry_run: bool = False, kept: bool = False, foreign: bool = False) -> int:
        """invoke sweep."""
        return builds.sweep(self.settings, ConsoleReport(self.out), dry_run=dry_run, kept=kept, foreign=foreign)

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
        """The script ends like that in every Windows from now on."""

        def play(parameters: dict[str, Any], say: Any) -> Any:
            raise error

        self.plays[script] = play


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    clock = FakeClock()
    cloud = FakeCloud(clock)
    cloud.add_image("win7-sp1-x64", image=Image("", "", "active", min_disk=20, checksum="c0ffee"), hw_disk_bus="ide")
    cloud.add_image("virtio-win-0.1.173", image=ISO)
    cloud.add_image("vdi-media", image=ISO)
    cloud.add_flavor("2cpu_2GB_40GB")
    cloud.add_network("vdi-network", "172.16.100.0/24")
    cloud.boots = lambda server: cloud.say(server, f"imagebuild: winrm certificate sha256={CERTIFICATE}")
    for name in ("recipes", "unattend"):
        (tmp_path / name).symlink_to(PROJECT / name)
    made = Site(Settings(tmp_path), clock, cloud)
    monkeypatch.setattr(Settings, "open_cloud", lambda settings, report: cloud)
    monkeypatch.setattr(settings_module, "connect_guest", made.connect)
    monkeypatch.setattr(settings_module, "address_towards", lambda cidr: "172.16.100.1/32")
    monkeypatch.setattr(SystemClock, "now", lambda self: clock.now())
    monkeypatch.setattr(SystemClock, "sleep", lambda self, seconds: clock.sleep(seconds))
    return made


# ------------------------------------------------------------------------------------------------------- to the image


def test_a_recipe_becomes_an_image_and_nothing_else_stays(site: Site) -> None:
    assert site.build() == "win7-vdi-v1"
    image = site.cloud.find_image("win7-vdi-v1")
    assert image is not None
    assert (image.status, image.visibility, image.protected) == ("active", "private", True)
    assert (image.properties["hw_disk_bus"], image.properties["imagebuild_recipe"]) == ("virtio", RECIPE)
    assert site.things() == []
    record = site.record()
    assert (record.state, record.image_id, record.image_name) == ("built", image.id, "win7-vdi-v1")
    assert json.loads((site.folder().path / "record.json").read_text()) == json.loads(json.dumps(record.as_json()))
    assert image.properties["imagebuild_digest"] == record.digest
    assert len(record.seconds) == 14


def test_a_person_sees_every_step_and_the_image_last(site: Site) -> None:
    site.build()
    lines = site.out.getvalue().splitlines()
    image = site.cloud.find_image("win7-vdi-v1")
    assert image is not None
    assert lines[-1].startswith(f"built win7-vdi-v1 ({image.id}) in ")
    numbers = [line.split("[")[1].split("]")[0] for line in lines if "[" in line and "/14]" in line]
    assert numbers == [f"{number}/14" for number in range(1, 15)]


def test_the_second_build_is_the_second_version_of_the_same_digest(site: Site) -> None:
    site.build()
    first = site.record().digest
    assert site.build() == "win7-vdi-v2"
    assert site.record().digest == first
    versions.images(RECIPE, site.settings, ConsoleReport(site.out))
    assert [line.split()[0] for line in site.out.getvalue().splitlines()[-2:]] == ["win7-vdi-v1", "win7-vdi-v2"]


def test_the_builders_password_is_written_nowhere_and_gone_afterwards(site: Site) -> None:
    site.build()
    (password,) = {secret.reveal() for secret in site.passwords}
    folder = site.folder().path
    assert not (folder / "password").exists()
    written = site.out.getvalue() + "".join(path.read_text() for path in folder.iterdir())
    assert password not in written


def test_two_builds_have_two_passwords(site: Site) -> None:
    site.build()
    site.build()
    assert len({secret.reveal() for secret in site.passwords}) == 2


# ------------------------------------------------------------------------------------------------- what touches nothing


def test_a_plan_only_reads(site: Site) -> None:
    building.plan(RECIPE, site.settings, ConsoleReport(site.out))
    text = site.out.getvalue()
    assert "win7-vdi-v1" in text
    assert "nothing was touched; to do it: invoke build win7-vdi" in text
    assert set(site.cloud.faults.calls) <= {"find_image", "find_flavor", "find_network", "headroom", "images"}
    assert not site.settings.builds.exists()


def test_a_recipe_that_does_not_fit_the_cloud_makes_nothing(site: Site) -> None:
    site.cloud._flavors.clear()
    with pytest.raises(RecipeError, match="cannot be built in the cloud fake") as caught:
        site.build()
    assert caught.value.details == ("builder.flavor: there is no '2cpu_2GB_40GB'",)
    assert site.things() == []
    assert (site.record().state, site.record().failed_step) == ("undone", None)


def test_ctrl_c_while_looking_up_has_made_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(site.cloud, "headroom", interrupt)
    with pytest.raises(Interrupted):
        site.build()
    assert site.record().state == "undone"


# ----------------------------------------------------------------------------------------------------------- failures


def test_a_failed_build_undoes_itself_and_says_why(site: Site) -> None:
    failed = answer("Install-Program", "1603 brings back the log")
    site.plays["Install-Program"] = lambda parameters, say: failed
    with pytest.raises(StepFailed, match="ended with 1603") as caught:
        site.build()
    assert caught.value.details
    assert "failed in step broker-agent" in caught.value.after[0]
    assert caught.value.after[-1] == "next: mend it, then invoke build win7-vdi"
    assert site.things() == []
    assert (site.record().state, site.record().failed_step) == ("undone", "broker-agent")
    assert "certificate sha256" in (site.folder().path / "console.log").read_text()
    assert not (site.folder().path / "password").exists()
    assert [guest.closed for guest in site.guests] == [1]


def test_a_failed_build_is_kept_when_asked_and_swept_when_asked(site: Site) -> None:
    site.fail_in("Set-Desktop", RuntimeError("a defect"))
    with pytest.raises(StepFailed, match="desktop broke: RuntimeError") as caught:
        site.build(on_error="keep")
    assert [line.split(":")[0] for line in caught.value.after[1:-2]] == ["stands"] * 5
    assert caught.value.after[-1] == "next: look at it, then invoke sweep --kept"
    assert (site.folder().path / "password").exists()
    assert site.record().state == "kept"
    assert len(site.things()) == 5
    assert site.sweep() == 0
    assert len(site.things()) == 5
    assert site.sweep(kept=True, dry_run=True) == 5
    assert len(site.things()) == 5
    assert site.sweep(kept=True) == 5
    assert site.things() == []
    assert site.record().state == "undone"
    assert not (site.folder().path / "password").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_in_the_middle_leaves_nothing(site: Site, number: signal.Signals) -> None:
    def end(parameters: dict[str, Any], say: Any) -> None:
        signal.raise_signal(number)

    site.plays["Install-Updates"] = end
    with pytest.raises(Interrupted) as caught:
        site.build()
    assert caught.value.exit_code == 130
    assert site.things() == []
    assert site.record().failed_step == "updates"


@pytest.mark.parametrize("script", ["Initialize-Workplace", "Install-Updates", "Test-Generalize", "Start-Generalize"])
def test_what_a_killed_build_has_left_is_told_by_the_next_one_and_swept(site: Site, script: str) -> None:
    site.fail_in(script, Killed())
    with pytest.raises(Killed):
        site.build()
    assert len(site.things()) == 5
    assert site.record().state == "running"
    assert not site.folder().is_alive()
    del site.plays[script]
    assert site.build() == "win7-vdi-v1"
    assert "5 leftovers of win7-vdi-" in site.out.getvalue()
    assert len(site.things()) == 5
    assert site.sweep() == 5
    assert site.things() == []
    assert site.cloud.find_image("win7-vdi-v1") is not None


def test_a_build_killed_after_its_image_was_registered_has_lost_nothing(site: Site) -> None:
    delete = site.cloud.delete

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    site.cloud.delete = killed  # type: ignore[method-assign]
    with pytest.raises(Killed):
        site.build()
    site.cloud.delete = delete  # type: ignore[method-assign]
    site.sweep()
    assert site.things() == []
    image = site.cloud.find_image("win7-vdi-v1")
    assert image is not None
    assert image.protected


def test_an_undo_that_is_refused_is_finished_by_a_sweep(site: Site) -> None:
    site.fail_in("Set-RemoteDesktop", RuntimeError("a defect"))
    site.cloud.faults.fail("delete", CloudRefused("409 busy"))
    with pytest.raises(StepFailed) as caught:
        site.build()
    assert caught.value.after[-1] == "next: invoke sweep"
    assert any(line.startswith("stands: server") for line in caught.value.after)
    assert site.sweep() == len(caught.value.after) - 3
    assert site.things() == []


# --------------------------------------------------------------------------------------------------------- whose is it


def test_a_living_builds_things_are_never_swept(site: Site) -> None:
    site.fail_in("Set-Desktop", Killed())
    with pytest.raises(Killed):
        site.build()
    with Journal(site.folder().journal):
        assert site.sweep(kept=True, foreign=True) == 0
        assert len(site.things()) == 5
    assert site.sweep() == 5


def test_another_machines_things_are_swept_only_when_asked(site: Site) -> None:
    site.cloud.create_volume("theirs", owner="win7-vdi-of-another-machine", role="x", gib=1)
    assert site.sweep() == 0
    assert site.sweep(kept=True) == 0
    assert "nothing to sweep" in site.out.getvalue()
    assert site.sweep(foreign=True, dry_run=True) == 1
    assert len(site.things()) == 1
    assert site.sweep(foreign=True) == 1
    assert site.things() == []


def test_a_build_points_at_no_leftovers_that_a_plain_sweep_would_leave(site: Site) -> None:
    site.cloud.create_volume("theirs", owner="win7-vdi-of-another-machine", role="x", gib=1)
    site.build()
    assert "leftovers" not in site.out.getvalue()


def test_one_build_that_cannot_be_swept_does_not_keep_the_others(site: Site) -> None:
    for owner in ("a", "b"):
        site.cloud.create_volume("v", owner=owner, role="x", gib=1)
    site.clock.sleep(10)
    site.cloud.faults.fail("delete", CloudRefused("409 busy"))
    with pytest.raises(ImagebuildError, match="not everything could be swept") as caught:
        site.sweep(foreign=True)
    assert len(caught.value.details) == 1
    assert [thing.owner for thing in site.things()] == ["a"]


def test_a_journal_that_nobody_can_read_does_not_stop_a_sweep(site: Site) -> None:
    site.fail_in("Set-Desktop", Killed())
    with pytest.raises(Killed):
        site.build()
    site.folder().journal.write_bytes(b"\0\0\0\n{\n")
    assert site.sweep() == 5
    assert site.things() == []
