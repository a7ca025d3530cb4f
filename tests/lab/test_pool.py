"""Rolls of a pool of real virtual machines, with users at work on them: an image that fails, kill -9 at every step, the way back."""

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest

from imagebuild.adapters.openstack_cloud import OpenStackCloud
from imagebuild.jobs import version_changes
from imagebuild.jobs.settings import Settings
from imagebuild.lab import lifecycle
from imagebuild.lab.broker.population import Population
from imagebuild.lab.layout import find_layout
from imagebuild.pool.health import MATCHES
from imagebuild.properties import BUILD
from tests.lab import pool_office
from tests.lab.pool_line import Line
from tests.lab.pool_office import Office, Users, until
from tests.lab.project import Project
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
    """A pool whose desktops run version 1, with users at work."""
    name = f"p-{uuid4().hex[:4]}"
    place, folder = find_layout(), tmp_path_factory.mktemp("office")
    line = Line(cloud, place, name, master=built, folder=folder)
    machines = (Project(tmp_path_factory.mktemp("here")), Project(tmp_path_factory.mktemp("there")))
    try:
        for number, other in ((GOOD, {}), (BAD, {BUILD: "another"}), (NEXT, {})):
            line.add(number, **other)
        with pool_office.broker(folder, place, pool=name, names=f"{name}-", image=f"{name}-v1") as (portal, section):
            population = Population(name, 1, seed=5, habits=pool_office.HABITS)
            made = Office(cloud, name, line, machines, Users(portal, population), section)
            made.write_files(f"{name}-")
            try:
                promote(made, GOOD)
                made.open()
                with made.users.at_work():
                    yield made
            finally:
                made.remove()
    finally:
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


def test_a_roll_that_is_killed_at_every_step_does_nothing_twice(office: Office) -> None:
    promote(office, NEXT)
    before = office.rebuilds()
    office.kill_at("roll_begun", "roll", "--yes")
    office.kill_at("draining", "continue")
    office.take_claim_away(machine=THERE)
    office.kill_at("acting", "continue", machine=THERE)
    office.take_claim_away()
    office.kill_at("booting", "continue")  # and checked at once, for as long as its agent is silent
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
    office.assert_nobody_noticed()


def test_a_roll_is_taken_back(office: Office) -> None:
    before = office.rebuilds()
    code, output = office.invoke("rollback", "--yes")
    assert code == 0, output
    assert set(office.images().values()) == {office.line.image(GOOD).id}
    assert {name: number - before[name] for name, number in office.rebuilds().items()} == dict.fromkeys(before, 1)
    office.assert_nobody_noticed()


def test_a_careless_hand_would_have_been_noticed(office: Office) -> None:
    """The users' verdict is one that can be otherwise: somebody rebuilds the desktop that a user is on."""
    cut = office.users.portal.verdict()["sessions_cut"]
    desktop = office.users.portal.log_in("kim", office.pool)
    (server,) = [one for one in office.servers() if one.name == desktop]
    office.cloud.rebuild_server(server.id, office.line.image(NEXT).id)
    until(lambda: office.users.portal.verdict()["sessions_cut"] > cut, "the broker to see it")
