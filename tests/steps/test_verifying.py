"""`invoke verify` on fakes: good clones pass, each defect is found and told, and no end of a verification leaves a mess or a lie."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from imagebuild.adapters import winrm_guest
from imagebuild.broker import Registration
from imagebuild.build_folder import BuildFolder, build_folders
from imagebuild.build_state import read_state
from imagebuild.claim import Claim, claims, release, take
from imagebuild.cleaning import leftovers
from imagebuild.cloud import Image, Kind
from imagebuild.errors import (
    BrokerError,
    CloudRefused,
    CloudUnreachable,
    DeadlinePassed,
    GuestRefused,
    Interrupted,
    RecipeError,
    SessionLost,
    VerificationFailed,
    VersionRefused,
)
from imagebuild.image_record import unpack
from imagebuild.jobs import settings as settings_module
from imagebuild.jobs import sweeping, verifying
from imagebuild.jobs.settings import Settings
from imagebuild.properties import (
    BUILD,
    GENERALIZED,
    REASON,
    RECIPE,
    SELF,
    STATE,
    VERIFICATION,
    VERIFIED,
    VERIFIED_AT,
    VERSION,
)
from imagebuild.report import ConsoleReport, SilentReport
from imagebuild.secrets import Secret
from imagebuild.verification import Verdict
from imagebuild.waiting import Deadline, SystemClock
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud
from tests.fakes.cloud_world import Limits
from tests.fakes.guest import FakeGuest
from tests.fakes.kill import Killed
from tests.steps.conftest import answer
from tests.unit.examples import PROJECT

OURS = "win7-vdi-20260101-000000-abcd"


@dataclass
class Floor:
    """A cloud with one candidate, and what each clone of it will be. `spoil` changes a clone's state; `plays` what its scripts do."""

    settings: Settings
    clock: FakeClock
    cloud: FakeCloud
    out: io.StringIO = field(default_factory=io.StringIO)
    spoil: Callable[[str, dict[str, Any]], None] = lambda name, state: None
    plays: dict[str, Callable[..., Any]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)  # ends of clone names that tell no certificate
    deaf: set[str] = field(default_factory=set)  # addresses whose Remote Desktop does not answer
    unregistered: set[str] = field(default_factory=set)
    broker_error: BrokerError | None = None
    begun: float = 0.0

    def boots(self, server_id: str) -> None:
        """Windows tells its certificate, another one for each clone."""
        server = self.cloud.server(server_id)
        assert server is not None
        if server.name[-1] not in self.silent:
            self.cloud.say(server_id, f"imagebuild: winrm certificate sha256={server.name[-1] * 64}")

    def connect(self, address: str, *, password: Secret, certificate_sha256: str, **_: Any) -> FakeGuest:
        """The Windows at that address."""
        name = self.name_at(address)
        assert certificate_sha256 == name[-1] * 64
        guest = FakeGuest(self.clock)
        guest.plays("Get-CloneState", lambda parameters, say: self.state(name, address))
        guest.returns("Get-DriverState", answer("Get-DriverState", "driver state: ready"))
        guest.returns("Get-BrokerAgent", {"installed": True, "state": "Running", "start_mode": "Auto"})
        guest.returns("Get-Traces", {"items": [], "clean": True, "secrets": []})
        guest.returns("Get-PendingReboot", answer("Get-PendingReboot", "nothing, and Windows Update may not be asked"))
        for script, play in self.plays.items():
            guest.plays(script, play)
        return guest

    def name_at(self, address: str) -> str:
        """The server that has the address."""
        servers = [server for owned in self.cloud.owned().values() for server in owned.servers]
        return next(server.name for server in servers if address in server.addresses)

    def state(self, name: str, address: str) -> dict[str, Any]:
        """What Get-CloneState says in a good clone, but for what `spoil` does to it."""
        state = answer("Get-CloneState", "of a sealed image")
        stamp = {"recipe": "win7-vdi", "build": OURS, "version": "1", "sealed": "2026-01-01T00:00:00Z"}
        state |= {"computer_name": name.upper(), "machine_sid": f"S-1-5-21-1-1-{name[-1]}", "stamp": stamp}
        state["addresses"][0]["ip"] = [address]
        self.spoil(name, state)
        return state

    def registrations(self) -> tuple[Registration, ...]:
        """What the broker knows: an older clone, and every one that runs."""
        if self.broker_error:
            raise self.broker_error
        servers = [server for owned in self.cloud.owned().values() for server in owned.servers if server.addresses]
        told = [(server.name, server.addresses[0]) for server in servers if server.name[-1] not in self.unregistered]
        return (Registration("OLD", "10.0.0.1", "x"), *(Registration(n.upper(), a, n) for n, a in told))

    def verify(self, text: str = "win7-vdi-v1", **options: Any) -> Verdict:
        """invoke verify."""
        return verifying.verify(text, self.settings, ConsoleReport(self.out), **options)

    def refused(self, text: str = "win7-vdi-v1", **options: Any) -> VerificationFailed:
        """The same, and it fails."""
        with pytest.raises(VerificationFailed) as caught:
            self.verify(text, **options)
        return caught.value

    def image(self, name: str = "win7-vdi-v1") -> Image:
        """The image as it is now."""
        return next(image for image in self.cloud.images() if image.name == name)

    def add_version(self, number: int, state: str) -> str:
        """One more version."""
        made = self.cloud.add_image(
            f"win7-vdi-v{number}",
            foreign=False,
            image=Image("", "", "active", protected=True, hidden=state != "current"),
            **{RECIPE: "win7-vdi", VERSION: str(number), STATE: state, BUILD: OURS, "hw_disk_bus": "virtio"},
        )
        self.cloud.update_image(made.id, properties={SELF: made.id})
        return made.id

    def seconds(self) -> float:
        """How long it all took."""
        return self.clock.now() - self.begun

    def printed(self) -> str:
        """Everything that was said."""
        return self.out.getvalue()


@pytest.fixture
def floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Floor:
    clock = FakeClock()
    cloud = FakeCloud(clock)
    cloud.add_flavor("2cpu_2GB_40GB")
    cloud.add_network("vdi-network", "10.0.0.0/24")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "win7-vdi.yaml").write_text((PROJECT / "recipes" / "win7-vdi.yaml").read_text())
    made = Floor(Settings(tmp_path), clock, cloud, begun=clock.now())
    made.add_version(1, "candidate")
    cloud.boots = made.boots
    monkeypatch.setattr(Settings, "open_cloud", lambda settings, report: cloud)
    monkeypatch.setattr(winrm_guest, "connect_guest", made.connect)
    monkeypatch.setattr(settings_module, "address_towards", lambda cidr: "10.0.0.1/32")
    monkeypatch.setattr(verifying, "desktop_answers", lambda address: address not in made.deaf)
    monkeypatch.setattr(verifying, "HttpRegistrations", lambda url: made)
    monkeypatch.setattr(SystemClock, "now", lambda self: clock.now())
    monkeypatch.setattr(SystemClock, "sleep", lambda self, seconds: clock.sleep(seconds))
    return made


# ------------------------------------------------------------------------------------------------------- passed


def test_a_good_candidate_passes_and_nothing_stays(floor: Floor) -> None:
    verdict = floor.verify()
    assert (verdict.outcome, verdict.failures, verdict.clones) == ("passed", (), 2)
    assert {check.outcome for check in verdict.checks} == {"passed"}
    assert len(verdict.usable_seconds) == 2
    properties = floor.image().properties
    assert (properties[VERIFIED], properties[VERIFIED_AT], properties[STATE]) == ("passed", verdict.at, "candidate")
    packed = unpack(properties[VERIFICATION])
    assert packed == json.loads(json.dumps(verdict.as_json() | {"left_out": []}))
    assert leftovers(floor.cloud) == []
    (folder,) = build_folders(floor.settings.builds)
    assert json.loads((folder.path / "verification.json").read_text())["outcome"] == "passed"
    assert not (folder.path / "password").exists()
    assert (read_state(folder).word, read_state(folder).place) == ("verified", "win7-vdi-v1 passed")
    last = floor.printed().splitlines()[-1]
    assert last.startswith("win7-vdi-v1 passed: 2 clones, usable after ")
    assert last.endswith("; next: invoke promote win7-vdi-v1")


@pytest.mark.parametrize(("before", "after"), [("unseen", "yes"), ("no", "no"), ("yes", "yes")])
def test_the_seal_in_the_clones_settles_what_the_build_did_not_see(floor: Floor, before: str, after: str) -> None:
    floor.cloud.update_image(floor.image().id, properties={GENERALIZED: before})
    floor.verify()
    assert floor.image().properties[GENERALIZED] == after


def test_clones_are_desktops_of_the_image_by_its_own_properties(floor: Floor) -> None:
    floor.verify(keep=True)
    (owned,) = floor.cloud.owned().values()
    for server in owned.servers:
        request = floor.cloud.request_of(server.id)
        assert (request.image_id, request.root_bus, request.disks) == (floor.image().id, None, ())
        assert request.user_data and request.admin_password
        assert len(server.name) <= 15
    assert owned.security_groups[0].description.endswith("lets [5986, 3389] in from 10.0.0.1/32")


def test_both_clones_are_looked_at_in_one_go(floor: Floor) -> None:
    floor.verify(clones=1)
    alone = floor.seconds()
    floor.verify(clones=2)
    assert floor.seconds() - alone < 1.6 * alone, "two at once cost less than one after the other"


def test_a_recipe_means_its_newest_candidate_else_its_current_one(floor: Floor) -> None:
    floor.add_version(2, "current")
    floor.verify("win7-vdi")
    assert VERIFIED in floor.image("win7-vdi-v1").properties
    floor.add_version(3, "candidate")
    floor.verify("win7-vdi")
    assert VERIFIED in floor.image("win7-vdi-v3").properties
    assert VERIFIED not in floor.image("win7-vdi-v2").properties


def test_a_current_one_that_passes_need_not_be_promoted(floor: Floor) -> None:
    floor.add_version(2, "current")
    floor.verify("win7-vdi-v2")
    assert floor.printed().splitlines()[-1].endswith("next: invoke images.show win7-vdi-v2")


def test_the_recipe_that_an_image_is_built_upon_promises_too(floor: Floor) -> None:
    """The agent came with the version that this one started from."""
    folder = floor.settings.recipes
    text = (folder / "win7-vdi.yaml").read_text()
    begin, end = text.index("  - broker-agent:"), text.index("  - remote-desktop:")
    changed = (text[:begin] + text[end:]).replace("recipe: win7-vdi", "recipe: small")
    (folder / "small.yaml").write_text(changed.replace("image: win7-sp1-x64", "recipe: win7-vdi"))
    image = floor.image()
    floor.cloud.update_image(image.id, name="small-v1", properties={RECIPE: "small"})
    floor.spoil = lambda name, state: state["stamp"].update(recipe="small")
    floor.plays["Get-BrokerAgent"] = lambda parameters, say: {"installed": False}
    error = floor.refused("small-v1")
    assert {line.split(" of ")[0] for line in error.details} == {"agent"}


# ------------------------------------------------------------------------------------------------------- failed


def test_a_candidate_whose_clones_share_their_sid_is_rejected(floor: Floor) -> None:
    floor.spoil = lambda name, state: state.update(machine_sid="S-1-5-21-7-7-7")
    error = floor.refused()
    assert error.details == ("no-twins of all clones: shared between clones: machine SID S-1-5-21-7-7-7",)
    image = floor.image()
    assert (image.hidden, image.properties[STATE], image.properties[VERIFIED]) == (True, "rejected", "failed")
    assert "machine SID" in image.properties[REASON]
    assert error.after[-1] == "win7-vdi-v1 is rejected and hidden; next: mend the recipe, then invoke build win7-vdi"
    assert leftovers(floor.cloud) == []


def test_the_builders_sid_is_known_where_it_was_built(floor: Floor) -> None:
    folder = floor.settings.builds / OURS
    folder.mkdir(parents=True)
    accounts = [{"name": "Guest", "sid": "S-1-5-21-1-1-1-501"}, {"name": "Administrator", "sid": "S-1-5-21-1-1-1-500"}]
    (folder / "inventory.json").write_text(json.dumps({"accounts": accounts}))
    assert floor.refused().details[0].endswith("S-1-5-21-1-1-1 is the builder's: it was not generalized")


def test_a_current_one_that_fails_stays_and_is_told_loudly(floor: Floor) -> None:
    floor.add_version(2, "current")
    floor.spoil = lambda name, state: state.update(sealed=False)
    error = floor.refused("win7-vdi-v2")
    image = floor.image("win7-vdi-v2")
    assert (image.properties[STATE], image.properties[VERIFIED], image.hidden) == ("current", "failed", False)
    assert "win7-vdi-v2 IS CURRENT, new desktops get it; next: invoke rollback win7-vdi" in error.after[-1]


def test_a_candidate_that_was_promoted_meanwhile_is_not_rejected(floor: Floor) -> None:
    def promote(parameters: dict[str, Any], say: Any) -> dict[str, Any]:
        floor.cloud.update_image(floor.image().id, properties={STATE: "current"}, hidden=False)
        return {"installed": False}

    floor.plays["Get-BrokerAgent"] = promote
    assert "IS CURRENT" in floor.refused().after[-1]
    assert floor.image().properties[STATE] == "current"


def test_a_desktop_that_does_not_answer_is_not_waited_for_to_the_end(floor: Floor) -> None:
    floor.deaf = {"10.0.0.10"}
    error = floor.refused()
    (line,) = error.details
    assert "nobody answers on port 3389" in line
    assert floor.seconds() < 300


def test_an_agent_that_registers_late_passes_and_one_that_never_does_fails(floor: Floor) -> None:
    floor.unregistered = {"1", "2"}

    def looked_at(parameters: dict[str, Any], say: Any) -> dict[str, Any]:
        floor.unregistered.discard("1")
        return {"items": [], "clean": True, "secrets": []}

    floor.plays["Get-Traces"] = looked_at
    (line,) = floor.refused().details
    assert "registration of vfy" in line and "-2: its agent has not registered" in line


def test_a_clone_that_never_comes_does_not_keep_the_other(floor: Floor) -> None:
    floor.silent = {"2"}
    error = floor.refused()
    (line,) = error.details
    assert line.startswith("certificate of vfy") and "none was told on the serial console" in line
    assert floor.printed().count("-1  passed  ") == 15, "every check of the other one"
    (folder,) = build_folders(floor.settings.builds)
    assert [path.name[-6:] for path in folder.path.glob("console-*.log")] == []
    assert leftovers(floor.cloud) == []


def test_console_and_picture_of_a_failed_clone_are_kept(floor: Floor) -> None:
    floor.cloud.screen = b"\x89PNG"
    floor.spoil = lambda name, state: state.update(sealed=name.endswith("1"))
    floor.refused()
    (folder,) = build_folders(floor.settings.builds)
    assert len(list(folder.path.glob("console-*-2.log"))) == len(list(folder.path.glob("screen-*-2.png"))) == 1
    assert list(folder.path.glob("*-1.log")) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("*** STOP: 0x0000007B", "Windows stopped while booting"),
        ("imagebuild: winrm failed: no certificate", "winrm failed: no certificate"),
    ],
)
def test_what_the_console_says_ends_the_waiting(floor: Floor, line: str, words: str) -> None:
    floor.cloud.boots = lambda server_id: floor.cloud.say(server_id, line)
    error = floor.refused()
    assert len(error.details) == 2 and all(words in one for one in error.details)
    assert floor.seconds() < 60


def test_a_clone_that_switches_itself_off_is_told(floor: Floor) -> None:
    floor.cloud.boots = lambda server_id: floor.cloud.power_off(server_id)
    assert "it switched itself off" in floor.refused().details[0]


@pytest.mark.parametrize("script", ["Get-Ready", "Get-BrokerAgent"])
def test_clones_that_somebody_deletes_are_not_waited_for_and_blame_nobody(floor: Floor, script: str) -> None:
    def deleted(parameters: dict[str, Any], say: Any) -> dict[str, Any]:
        for thing in leftovers(floor.cloud):
            if thing.kind == "server":
                floor.cloud.delete("server", thing.id, deadline=Deadline.after(60))
        raise SessionLost("the connection broke before the answer came")

    floor.plays[script] = deleted
    error = floor.refused()
    assert "could not be proven" in str(error)
    assert len(error.details) == 2 and all("gone: somebody deleted it" in line for line in error.details)
    assert floor.seconds() < 60


def test_a_password_that_is_refused_for_ever_is_no_desktop(floor: Floor) -> None:
    def refuses(parameters: dict[str, Any], say: Any) -> dict[str, Any]:
        raise GuestRefused("the password is wrong")

    floor.plays["Get-DriverState"] = refuses
    error = floor.refused()
    assert all("it could not be asked: the password is wrong" in line for line in error.details)
    assert floor.seconds() < 300


# ------------------------------------------------------------------------------------------------------- neither


def test_a_server_in_error_blames_the_cloud_and_not_the_image(floor: Floor) -> None:
    floor.cloud.server_fault = "No valid host was found"
    error = floor.refused()
    assert "could not be proven, nor refuted" in str(error)
    (line,) = error.details
    assert "No valid host was found" in line
    properties = floor.image().properties
    assert properties[STATE] == "candidate" and VERIFIED not in properties
    assert floor.printed().count("-2  passed  ") == 15, "the other one was looked at all the same"
    assert leftovers(floor.cloud) == []


def test_a_broker_that_is_away_blames_nobody(floor: Floor) -> None:
    floor.broker_error = BrokerError("the broker does not tell its registrations: no connection")
    error = floor.refused()
    assert "could not be proven" in str(error) and "mend the cloud or the broker" in error.after[-1]
    assert VERIFIED not in floor.image().properties


# ------------------------------------------------------------------------------------------------------- what passes by


def test_a_clone_that_restarts_while_it_is_looked_at_is_looked_at_again(floor: Floor) -> None:
    lost = [SessionLost("the shell is gone")]

    def agent(parameters: dict[str, Any], say: Any) -> dict[str, Any]:
        if lost:
            raise lost.pop()
        return {"installed": True, "state": "Running", "start_mode": "Auto"}

    floor.plays["Get-BrokerAgent"] = agent
    assert floor.verify().outcome == "passed"


def test_a_password_that_is_not_set_yet_and_a_cloud_that_stutters_pass_by(floor: Floor) -> None:
    refusals = [GuestRefused("the password is wrong")] * 2

    def ready(parameters: dict[str, Any], say: Any) -> dict[str, Any]:
        if refusals:
            raise refusals.pop()
        return {"busy": [], "logon_screen_shown": True, "version": "6.1.7601", "uptime_seconds": 9, "boot_time": "x"}

    floor.plays["Get-Ready"] = ready
    floor.cloud.faults.fail("console_log", CloudUnreachable("502"), times=3)
    assert floor.verify().outcome == "passed"


def test_a_busy_windows_is_waited_for(floor: Floor) -> None:
    busy = [["image state is IMAGE_STATE_SPECIALIZE_RESEAL_TO_OOBE"], ["the same"]]

    def ready(parameters: dict[str, Any], say: Any) -> dict[str, Any]:
        return {"busy": busy.pop() if busy else [], "logon_screen_shown": True}

    floor.plays["Get-Ready"] = ready
    assert floor.verify().outcome == "passed"


def test_a_windows_without_a_logon_screen_is_taken_after_a_while(floor: Floor) -> None:
    floor.plays["Get-Ready"] = lambda parameters, say: {"busy": [], "logon_screen_shown": False}
    assert min(floor.verify().usable_seconds) > 120


def test_cloudbase_init_is_given_time_to_finish(floor: Floor) -> None:
    looks: list[str] = []

    def spoil(name: str, state: dict[str, Any]) -> None:
        looks.append(name)
        state["cloudbase_init"]["done"] = len(looks) > 4

    floor.spoil = spoil
    assert floor.verify().outcome == "passed"
    floor.spoil = lambda name, state: state["cloudbase_init"].update(done=False)
    assert "Cloudbase-Init has not finished" in floor.refused().details[0]


def test_a_script_that_always_fails_is_not_asked_until_the_deadline(floor: Floor) -> None:
    def fails(parameters: dict[str, Any], say: Any) -> dict[str, Any]:
        raise SessionLost("the connection broke before the answer came")

    floor.plays["Get-DriverState"] = fails
    error = floor.refused()
    assert all("the connection broke" in line for line in error.details)
    assert floor.seconds() < 300


# ------------------------------------------------------------------------------------------------------- before and after


def test_no_room_in_the_quota_is_said_before_anything_is_made(floor: Floor) -> None:
    floor.cloud.limits = Limits(cores=3)
    with pytest.raises(CloudRefused, match="2 clones do not fit into the quota: cores: 4 needed, 3 left"):
        floor.verify()
    assert leftovers(floor.cloud) == [] and not list(build_folders(floor.settings.builds))
    floor.verify(clones=1)


def test_what_cannot_be_verified_is_refused(floor: Floor) -> None:
    with pytest.raises(RecipeError, match="--clones is 9"):
        floor.verify(clones=9)
    floor.cloud.set_image_active(floor.image().id, active=False)
    with pytest.raises(VersionRefused, match="is deactivated: nothing can be booted from it"):
        floor.verify()


def test_a_flavor_that_is_not_there_is_said(floor: Floor) -> None:
    path = floor.settings.recipes / "win7-vdi.yaml"
    path.write_text(path.read_text().replace("verify:\n", "verify:\n  flavor: huge\n"))
    with pytest.raises(RecipeError, match="there is no flavor 'huge' in fake"):
        floor.verify()


def test_a_refused_creation_leaves_nothing_and_blames_nothing(floor: Floor) -> None:
    floor.cloud.faults.fail("create_server", CloudRefused("the quota is used up"))
    with pytest.raises(CloudRefused, match="the quota is used up"):
        floor.verify()
    assert leftovers(floor.cloud) == [] and VERIFIED not in floor.image().properties


def test_lost_answers_make_no_third_clone(floor: Floor) -> None:
    floor.cloud.faults.lose_answer("create_server")
    with pytest.raises(CloudUnreachable):
        floor.verify()
    assert leftovers(floor.cloud) == []


def test_ctrl_c_removes_the_clones_and_writes_nothing(floor: Floor) -> None:
    def interrupted(parameters: dict[str, Any], say: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    floor.plays["Get-BrokerAgent"] = interrupted
    with pytest.raises(Interrupted):
        floor.verify()
    assert leftovers(floor.cloud) == [] and VERIFIED not in floor.image().properties


def test_a_clone_that_cannot_be_deleted_is_told_and_changes_no_verdict(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = floor.cloud.delete

    def locked(kind: Kind, thing_id: str, *, deadline: Deadline) -> None:
        if kind != "image":
            raise CloudRefused("it is locked")
        delete(kind, thing_id, deadline=deadline)

    with monkeypatch.context() as patch:
        patch.setattr(floor.cloud, "delete", locked)
        assert floor.verify().outcome == "passed"
    assert "it is locked" in floor.printed() and "`invoke sweep` deletes them" in floor.printed()
    assert floor.image().properties[VERIFIED] == "passed"
    assert sweeping.sweep(floor.settings, ConsoleReport(floor.out), dry_run=False, kept=False, foreign=False) == 3
    assert leftovers(floor.cloud) == []


def test_the_verdict_is_written_when_nobody_else_changes_the_versions(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Glance loses one of two changes of an image at once. A promotion that is under way is waited for."""
    held: list[list[str]] = []
    waits: list[float] = []
    busy, update, sleep = claim_life(floor), floor.cloud.update_image, floor.clock.sleep

    def slept(seconds: float) -> None:
        sleep(seconds)
        if list(floor.settings.builds.glob("*/verification.json")):
            waits.append(seconds)
            release(floor.cloud, busy)

    def changed(image_id: str, **changes: Any) -> Image:
        held.append([claim.owner for claim in claims(floor.cloud, "win7-vdi", purpose="life")])
        return update(image_id, **changes)

    monkeypatch.setattr(floor.clock, "sleep", slept)
    monkeypatch.setattr(floor.cloud, "update_image", changed)
    assert floor.verify().outcome == "passed"
    assert waits[0] == 1, "and some more until the clones are gone"
    assert [owner.startswith("verify-win7-vdi-2") for (owner,) in held] == [True]
    assert leftovers(floor.cloud) == []
    assert len(list(build_folders(floor.settings.builds))) == 1


def test_a_claim_that_is_never_given_back_is_not_waited_for_for_ever(floor: Floor) -> None:
    busy = claim_life(floor)
    with pytest.raises(
        DeadlinePassed, match="the claim on win7-vdi's versions; last answer: .* is claimed by promote-"
    ):
        floor.verify()
    assert VERIFIED not in floor.image().properties
    assert [thing.id for thing in leftovers(floor.cloud)] == [busy.id]
    (folder,) = build_folders(floor.settings.builds)
    assert json.loads((folder.path / "verification.json").read_text())["outcome"] == "passed"


def claim_life(floor: Floor) -> Claim:
    """Another machine promotes a version."""
    return take(
        floor.cloud,
        "win7-vdi",
        purpose="life",
        seed=lambda images: "as it is",
        owner="promote-win7-vdi-elsewhere",
        lifetime_seconds=900,
        is_dead=lambda owner: False,
        report=SilentReport(),
    )


def test_a_full_disk_changes_no_verdict(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: BuildFolder, name: str, text: str) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(BuildFolder, "save", full)
    assert floor.verify().outcome == "passed"
    assert floor.image().properties[VERIFIED] == "passed"
    assert "verification.json could not be saved: [Errno 28]" in floor.printed()
    floor.spoil = lambda name, state: state.update(sealed=False)
    floor.refused()
    assert "could be saved: [Errno 28]" in floor.printed()
    assert leftovers(floor.cloud) == []


def test_kept_clones_stand_until_they_are_swept(floor: Floor) -> None:
    floor.verify(keep=True)
    assert len(leftovers(floor.cloud)) == 3
    assert "log on as Administrator; the password is in " in floor.printed()
    (folder,) = build_folders(floor.settings.builds)
    assert (folder.path / "password").exists()
    report = ConsoleReport(floor.out)
    assert sweeping.sweep(floor.settings, report, dry_run=False, kept=False, foreign=True) == 0
    assert sweeping.sweep(floor.settings, report, dry_run=False, kept=True, foreign=False) == 3
    assert leftovers(floor.cloud) == [] and not (folder.path / "password").exists()


def test_what_kill_9_leaves_is_swept_and_what_lives_is_not(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[int] = []

    def killed(parameters: dict[str, Any], say: Any) -> dict[str, Any]:
        for settings in (floor.settings, Settings(floor.settings.project / "another-machine")):
            swept.append(sweeping.sweep(settings, ConsoleReport(floor.out), dry_run=False, kept=True, foreign=True))
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(verifying._Verification, "leave", lambda self, keep: None)  # nobody gets to do anything any more
        floor.plays["Get-BrokerAgent"] = killed
        with pytest.raises(Killed):
            floor.verify()
    assert swept == [0, 0]
    assert [thing.is_claim for thing in leftovers(floor.cloud)] == [False, False, False, True]
    assert sweeping.sweep(floor.settings, ConsoleReport(floor.out), dry_run=False, kept=False, foreign=False) == 4
    assert leftovers(floor.cloud) == []
    assert VERIFIED not in floor.image().properties
    del floor.plays["Get-BrokerAgent"]
    assert floor.verify().outcome == "passed"


def test_a_failed_one_may_be_tried_again_and_pass(floor: Floor) -> None:
    floor.spoil = lambda name, state: state.update(sealed=False)
    floor.refused()
    floor.spoil = lambda name, state: None
    assert floor.verify().outcome == "passed"
    assert floor.image().properties[VERIFIED] == "passed"


def test_the_password_is_in_its_own_file_only(floor: Floor) -> None:
    floor.verify(keep=True)
    (folder,) = build_folders(floor.settings.builds)
    password = (folder.path / "password").read_text()
    for path in folder.path.iterdir():
        assert path.name == "password" or password not in path.read_text()
    assert password not in floor.printed() + str(floor.image())
