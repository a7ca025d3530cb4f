"""A short storm: builds killed at random moments leave nothing behind, nothing double, and touch nothing of others'."""

import json

import pytest

from imagebuild.adapters.openstack_cloud import OpenStackCloud
from tests.lab.project import Project

pytestmark = pytest.mark.lab
ROUNDS = 4
STORM_SECONDS = 300


def test_a_short_storm_leaves_nothing_behind(project: Project, cloud: OpenStackCloud) -> None:
    code, output = project.run("storm", "--count", str(ROUNDS), "--seed", "3", "--json", seconds=STORM_SECONDS)
    assert code == 0, output
    facts = json.loads(output.splitlines()[-1])
    assert (facts["rounds"], facts["seed"]) == (ROUNDS, 3)
    killed = sum(number for what, number in facts["counts"].items() if what.startswith("killed, cut off"))
    assert killed >= ROUNDS - 2, "most of the kills struck a build at work"
    assert not [owner for owner in cloud.owned() if owner.startswith("storm-3-")]
    assert not [image.name for image in cloud.images() if image.name.startswith("storm-3-")]
