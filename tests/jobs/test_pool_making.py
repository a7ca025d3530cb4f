"""A pool from its file to desktops that stand: network, first desktops, servers taken over; what a person sees, and what stops it."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imagebuild.adapters.no_broker import NoBroker
from imagebuild.broker import PoolSettings
from imagebuild.build_folder import BuildFolder, build_folders, new_build_folder
from imagebuild.claim import break_claim, claims, hold
from imagebuild.cloud import Server, ServerRequest
from imagebuild.errors import Busy, CloudUnreachable, LeftToOthers, NotFound, RecipeError, StepFailed
from imagebuild.jobs import pool_making
from imagebuild.jobs.pool_desk import open_desk, rolls_of
from imagebuild.jobs.settings import Settings
from imagebuild.journal import Journal
from imagebuild.report import ConsoleReport, JsonReport, Report
from imagebuild.waiting import SystemClock
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud
from tests.fakes.kill import kill_after
from tests.unit.versions import add_version

POOL = """\
pool: staff
recipe: small
size: 3
flavor: desktop
network: vdi
security_group: vdi-desktop
intranet:
  subnet: 10.0.0.0/8
  dns: [10.0.0.2]
  rdp_from: [10.0.0.0/8]
  reach: [10.0.0.0/8]
"""


class Office:
    """A project folder with a pool's file, a cloud with two versions, and what was said."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.cloud = FakeCloud(clock)
        self.cloud.add_flavor("desktop")
        self.old, self.new = add_version(self.cloud, 1, "superseded"), add_version(self.cloud, 2, "current")
        self.settings = Settings(folder)
        self.settings.pools.mkdir(parents=True)
        self.write(POOL)
        self.out = io.StringIO()
        self.report: Report = ConsoleReport(self.out)

    def write(self, text: str) -> None:
        (self.settings.pools / "staff.yaml").write_text(text, encoding="utf-8")

    def loose(self, name: str) -> None:
        """A server of nobody's."""
        network = self.cloud.find_network("vdi") or self.cloud.add_network("vdi", "10.0.0.0/8")
        flavor = self.cloud.find_flavor("desktop")
        assert flavor is not None
        request = ServerRequest(name=name, image_id=self.old.id, flavor_id=flavor.id, network_id=network.id)
        server = self.cloud.add_desktop(name, request, pool="x")
        machine = self.cloud._machines[server.id]
        machine.server = replace(machine.server, tags=(), metadata={})

    def network(self, *, check: bool = False) -> None:
        pool_making.network("staff", self.settings, self.report, check=check)

    def members(self) -> list[str]:
        return sorted(server.name for server in self.cloud.servers(tags=("vdi-pool=staff",)))


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    clock = FakeClock()
    made = Office(tmp_path, clock)
    monkeypatch.setattr(Settings, "open_cloud", lambda settings, report: made.cloud)
    monkeypatch.setattr(SystemClock, "now", lambda self: clock.now())
    monkeypatch.setattr(SystemClock, "sleep", lambda self, seconds: clock.sleep(seconds))
    return made


def test_from_a_file_to_desktops_that_stand(office: Office) -> None:
    with pytest.raises(StepFailed, match="is not as its file says") as caught:
        office.network(check=True)
    assert caught.value.hint == "mend what is ours: invoke pool.network staff"
    assert len(caught.value.details) == 2
    office.network()
    office.network(check=True)
    made = pool_making.create("staff", office.settings, office.report)
    assert list(made.made) == office.members() == ["desktop-1", "desktop-2", "desktop-3"]
    assert {server.image_id for server in office.cloud.servers()} == {office.new.id}
    said = office.out.getvalue()
    assert "staff has 3 desktops, new: 3" in said
    assert said.count("next: invoke pool.create staff") == 1
    assert said.rstrip().endswith("next: invoke pool.plan staff")


def test_desktops_of_an_older_version_when_that_is_asked_for(office: Office) -> None:
    office.network()
    pool_making.create("staff", office.settings, office.report, version="small-v1")
    assert {server.image_id for server in office.cloud.servers()} == {office.old.id}


def test_what_others_own_is_told_with_what_to_do_about_it(office: Office) -> None:
    office.cloud.create_pool_group("vdi-desktop", pool="students")
    with pytest.raises(StepFailed, match="not as its file says") as caught:
        office.network()
    assert caught.value.exit_code == 7
    assert caught.value.hint.startswith("others must do what is named above")
    assert len(caught.value.details) == 2
    assert all("openstack security group rule delete" in line for line in caught.value.details)


def test_in_a_network_of_others_our_own_part_is_done_and_theirs_told(office: Office) -> None:
    office.cloud.add_network("vdi", project_id="another")
    with pytest.raises(StepFailed, match="not as its file says") as caught:
        office.network(check=True)
    assert (caught.value.exit_code, caught.value.hint) == (1, "mend what is ours: invoke pool.network staff")
    for check in (False, True):
        with pytest.raises(LeftToOthers) as left:
            office.network(check=check)
        assert left.value.exit_code == 7
        assert len(left.value.details) == 1
        assert "vdi's owner (project another), must do that: openstack subnet create" in left.value.details[0]


def test_without_a_network_no_desktop_is_begun(office: Office) -> None:
    with pytest.raises(NotFound, match="there is no network vdi") as caught:
        pool_making.create("staff", office.settings, office.report)
    assert caught.value.hint == "make it: invoke pool.network staff"


def test_a_wrong_file_is_told_before_any_cloud_call(office: Office) -> None:
    office.write(POOL.replace("size: 3", "size: three"))
    for job in (office.network, lambda: pool_making.create("staff", office.settings, office.report)):
        with pytest.raises(RecipeError, match="has 1 problem") as caught:
            job()
        assert caught.value.exit_code == 2
        assert ":3: size: " in caught.value.details[0]
    assert office.cloud.faults.calls == ["update_image", "update_image"]  # the versions that the test has made


def test_a_broker_that_makes_the_same_names_is_warned_of(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def settings(self: NoBroker, pool: str) -> PoolSettings:
        return PoolSettings(pool=pool, provisioning=True, next_value=2)

    office.network()
    monkeypatch.setattr(NoBroker, "settings", settings)
    pool_making.create("staff", office.settings, office.report)
    assert "warning: its next desktop is number 2, this file goes up to 3" in office.out.getvalue()


def adopt(office: Office, *, yes: bool = False, ask: Callable[[str], bool] = lambda deed: False, own: str = "") -> int:
    return pool_making.adopt("staff", office.settings, office.report, yes=yes, ask=ask, persistent=own)


def test_servers_are_shown_first_and_taken_over_when_somebody_says_so(office: Office) -> None:
    office.loose("desktop-1")
    office.loose("desktop-2")
    office.loose("reception")
    asked: list[str] = []

    def ask(deed: str) -> bool:
        asked.append(deed)
        return False

    assert adopt(office, ask=ask) == 0
    assert asked == ["take over 2 servers for staff"]
    assert office.members() == []
    assert "to do it: invoke pool.adopt staff --yes" in office.out.getvalue()
    assert adopt(office, yes=True, own="desktop-2, ") == 2
    assert office.members() == ["desktop-1", "desktop-2"]
    marked = [server.name for server in office.cloud.servers() if "vdi_persistent" in server.metadata]
    assert marked == ["desktop-2"]
    assert adopt(office, yes=True) == 0
    assert "every server called desktop-{sequence} is staff's already" in office.out.getvalue()
    office.loose("Desktop-1")
    assert adopt(office, yes=True) == 0, "two of one name"
    assert "there is no server that staff could take over" in office.out.getvalue()


def test_where_no_server_has_such_a_name_that_is_told(office: Office) -> None:
    office.loose("reception")
    assert adopt(office, yes=True) == 0
    assert "no server is called desktop-{sequence}" in office.out.getvalue()


def test_a_machine_reads_the_same(office: Office) -> None:
    office.loose("desktop-1")
    out = io.StringIO()
    office.report = JsonReport(out)
    adopt(office, yes=True)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["name"] for line in lines if "obstacle" in line] == ["desktop-1"]
    assert [line["adopted"] for line in lines if "adopted" in line] == [1]


def test_what_breaks_off_is_finished_by_the_same_command(office: Office) -> None:
    office.network()
    office.cloud.faults.lose_answer("create_desktop")
    with pytest.raises(CloudUnreachable):
        pool_making.create("staff", office.settings, office.report)
    pool_making.create("staff", office.settings, office.report)
    assert office.members() == ["desktop-1", "desktop-2", "desktop-3"]


def test_two_do_not_make_a_pool_at_once_and_nobody_does_beside_a_roll(office: Office) -> None:
    office.network()
    held = hold(
        office.cloud,
        "staff",
        purpose="roll",
        seed=lambda images: "x",
        owner="roll-7",
        lifetime_seconds=900,
        report=office.report,
    )
    with held:
        for job in (office.network, lambda: pool_making.create("staff", office.settings, office.report)):
            with pytest.raises(Busy, match="roll-7"):
                job()
    assert office.members() == []
    pool_making.create("staff", office.settings, office.report)
    assert claims(office.cloud, "staff") == []


def test_a_roll_does_not_wait_for_a_creation_that_was_killed(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.network()
    with monkeypatch.context() as patched:
        patched.setattr(BuildFolder, "remove", lambda folder: None)
        with kill_after(office.cloud, 20):
            pool_making.create("staff", office.settings, office.report)
    assert len(claims(office.cloud, "staff")) == 1
    with open_desk("staff", office.settings, office.report) as desk:
        folder = new_build_folder(rolls_of(office.settings), "staff")
        with Journal(folder.journal), desk.claimed(folder) as claim:
            assert claim.owner == folder.id


def test_who_has_lost_the_claim_begins_no_further_desktop(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.write(POOL.replace("size: 3", "size: 6"))
    office.network()
    create = office.cloud.create_desktop

    def taken_away(request: ServerRequest, *, pool: str) -> Server:
        break_claim(office.cloud, "staff")
        return create(request, pool=pool)

    monkeypatch.setattr(office.cloud, "create_desktop", taken_away)
    with pytest.raises(Busy):
        pool_making.create("staff", office.settings, office.report)
    assert len(office.members()) == 3, "those of the first turn"


@pytest.mark.parametrize("calls", range(4, 60, 3))
def test_killed_anywhere_the_same_again_finishes_and_nothing_is_left(
    office: Office, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    def make() -> None:
        office.network()
        pool_making.create("staff", office.settings, office.report)

    with monkeypatch.context() as patched:
        patched.setattr(BuildFolder, "remove", lambda folder: None)  # who is killed does not tidy up
        with kill_after(office.cloud, calls):
            make()
    make()
    assert office.members() == ["desktop-1", "desktop-2", "desktop-3"]
    assert {server.status for server in office.cloud.servers()} == {"ACTIVE"}
    assert len(office.cloud.ports(pool="staff")) == 3
    assert claims(office.cloud, "staff") == []
    assert list(build_folders(office.settings.builds)) == []
