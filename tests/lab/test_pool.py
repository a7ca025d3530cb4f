"""Rolls of a pool of real virtual machines that the lab's own broker hands out, with users at work on them: an image that fails, every way
of being cut off, the way back."""

import re
import signal
from collections.abc import Iterator
from uuid import uuid4

import pytest

from imagebuild.adapters.openstack_cloud import OpenStackCloud
from imagebuild.jobs import version_changes
from imagebuild.jobs.settings import Settings
from imagebuild.lab import lifecycle
from imagebuild.lab.layout import find_layout
from imagebuild.pool.health import MATCHES
from imagebuild.properties import BUILD
from tests.lab.broker_pools import Administrator
from tests.lab.pool_line import Line
from tests.lab.pool_office import Office, until
from tests.lab.project import AnotherMachine, Project
from tests.steps.conftest import Told

pytestmark = pytest.mark.lab
HERE, THERE = 0, 1
"""Two machines that roll the same pool."""
GOOD, BAD, NEXT = 1, 2, 3
"""The versions: what the pool begins with; one whose record speaks of another build than made its data; and one that is well."""


@pytest.fixture(scope="module")
def office(
    built: str, cloud: OpenStackCloud, lab: lifecycle.LabCloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Office]:
    """A pool of the lab's broker whose desktops run version 1, with a user at work."""
    name = f"p-{uuid4().hex[:4]}"
    line = Line(cloud, find_layout(), name, master=built, folder=tmp_path_factory.mktemp("line"))
    machines = (Project(tmp_path_factory.mktemp("here")), AnotherMachine(tmp_path_factory.mktemp("there"), "there"))
    made = Office(cloud, name, line, machines, Administrator(find_layout()))
    made.write_files()
    try:
        for number, other in ((GOOD, {}), (BAD, {BUILD: "another"}), (NEXT, {})):
            line.add(number, **other)
        promote(made, GOOD)
        with made.at_the_broker(f"{name}-v{GOOD}"):
            made.open()
            yield made
    finally:
        made.remove()
        line.remove()


def promote(office: Office, number: int) -> None:
    """Make that version the one that desktops are to have."""
    settings = Settings(office.machines[HERE].folder, cloud=office.cloud.name)
    version_changes.promote(f"{office.line.recipe}-v{number}", settings, Told())


def test_an_image_that_fails_gets_no_further_than_the_canary(office: Office) -> None:
    before = {server.id: server.image_id for server in office.servers()}
    promote(office, BAD)
    code, output = office.invoke("roll", "--yes")
    assert code == 4, output
    assert re.search(r"halted: the canary \S+ failed: its stamp says build=\S+, the image is build=another", output)
    assert {server.id: server.image_id for server in office.servers()} == before
    assert sorted(office.rebuilds().values()) == [0, 0, 2], "the canary got the new image, and its old one back"
    assert office.invoke("status")[0] == 4
    code, output = office.invoke("abort")
    assert code == 5, output
    office.assert_nobody_noticed()


def test_a_roll_that_is_cut_off_at_every_step_does_nothing_twice(office: Office) -> None:
    promote(office, NEXT)
    before = office.rebuilds()
    office.kill_at("roll_begun", "roll", "--yes")
    office.kill_at("draining", "continue")
    freeze_and_take_over(office)
    office.take_claim_away()
    office.kill_at("booting", "continue")  # and checked at once, for as long as its agent is silent
    fill_the_disk(office)
    office.kill_at("ready_since", "continue")
    code, output = office.invoke("continue")
    assert code == 6, output
    office.kill_at("draining", "continue")
    office.kill_at("done", "continue")
    code, output = office.invoke("continue")
    assert code == 0, output
    assert set(office.images().values()) == {office.line.image(NEXT).id}
    assert office.stamps() == {MATCHES}
    assert {name: number - before[name] for name, number in office.rebuilds().items()} == dict.fromkeys(before, 1)
    assert [one["phase"] for one in office.told()["extras"].values()] == ["done"], "the extra desktop is gone"
    told = office.administrator.pool(office.pool)["provision"]
    image = office.administrator.number_of_image(f"{office.line.recipe}-v{NEXT}")
    assert (told["provision_on_off"], told["provision_vm_id"]) == (1, image)
    office.assert_nobody_noticed()


def freeze_and_take_over(office: Office) -> None:
    """The machine that rolls is frozen, another one takes over and is killed in turn; the first one wakes up, and touches nothing."""
    frozen = office.begin("free_since", "continue")
    frozen.send(signal.SIGSTOP)
    code, output = office.invoke("continue", machine=THERE)
    assert (code, f"invoke builds.unclaim {office.pool} --break-claim" in output) == (3, True), output
    office.take_claim_away(machine=THERE)
    office.kill_at("acting", "continue", machine=THERE)
    office.invoke("status", machine=THERE)  # by then Nova has taken what was on its way when that machine was killed
    before, kept = office.asked(), office.administrator.pool(office.pool)["pool_definition"]
    frozen.send(signal.SIGCONT)
    code, output = frozen.end(seconds=60)
    assert (code, "has lost its claim" in output) == (3, True), output
    assert (office.asked(), office.administrator.pool(office.pool)["pool_definition"]) == (before, kept)
    code, output = office.invoke("continue")
    assert (code, "(root@there, pid 1)" in output) == (3, True), output


def fill_the_disk(office: Office) -> None:
    """The journal takes nothing more: the roll ends at its next line, and says what to do."""
    code, output = office.invoke("continue", disk_is_full=True)
    assert (code, "cannot be written: File too large" in output) == (1, True), output


def test_a_roll_is_taken_back_while_the_broker_dies(office: Office) -> None:
    before = office.rebuilds()
    running = office.begin("acting", "rollback", "--yes")
    office.kill_broker()
    code, output = running.end()
    assert code == 0, output
    assert set(office.images().values()) == {office.line.image(GOOD).id}
    assert {name: number - before[name] for name, number in office.rebuilds().items()} == dict.fromkeys(before, 1)
    office.assert_nobody_noticed()


def test_a_careless_hand_would_have_been_noticed(office: Office) -> None:
    """The users' verdict is one that can be otherwise: somebody rebuilds the desktop that a user is on."""
    desktop = office.portal.log_in("kim", office.pool)
    (server,) = [one for one in office.servers() if one.name == desktop]
    office.cloud.rebuild_server(server.id, office.line.image(NEXT).id)
    until(lambda: [one["what"] for one in office.incidents()] == ["sessions_cut"], "the broker to see it")
