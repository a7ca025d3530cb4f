"""`invoke verify` on real clones: a good image passes in everything and says how soon it is a desktop, a bad one is rejected."""

import json
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

from imagebuild.adapters.openstack_cloud import OpenStackCloud
from imagebuild.cleaning import leftovers
from imagebuild.image_record import unpack
from imagebuild.properties import REASON, STATE, VERIFICATION, VERIFIED
from imagebuild.waiting import Deadline
from tests.lab.conftest import Broker
from tests.lab.project import LINE, QUICK, Project

pytestmark = pytest.mark.lab


def events(output: str) -> list[dict[str, Any]]:
    """The JSON lines."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_a_good_image_passes_in_everything(built: str, project: Project, cloud: OpenStackCloud, broker: Broker) -> None:
    junit = project.folder / "verify.xml"
    code, output = project.run("verify", built, "--json", "--junit", str(junit))
    assert code == 0, output
    results = [event for event in events(output) if event["event"] == "result"]
    checks = [event for event in results if "check" in event]
    assert {check["outcome"] for check in checks} == {"passed"}, checks
    assert len({check["check"] for check in checks}) == 16
    last = results[-1]
    assert (last["image_id"], last["verified"], last["clones"]) == (built, "passed", 2)
    assert last["text"].endswith(f"next: invoke promote {last['image']}")
    assert all(0 < seconds < 90 for seconds in last["usable_seconds"]), last

    names = {check["clone"].upper() for check in checks if check["check"] == "registration"}
    assert names <= {said["name"] for said in broker.registrations()}
    assert len(ElementTree.parse(junit).findall(".//testcase")) == len(checks) + 3  # noqa: S314  our own file
    image = cloud.image(built)
    assert image is not None
    assert (image.properties[VERIFIED], image.properties[STATE]) == ("passed", "candidate")
    record = unpack(image.properties[VERIFICATION])
    assert record is not None and len(record["checks"]) == len(checks)
    assert [thing for thing in leftovers(cloud) if thing.owner.startswith(f"verify-{LINE}-")] == []


@pytest.fixture
def twins(project: Project, cloud: OpenStackCloud) -> Iterator[str]:
    """An image whose clones all have the builder's SID: sysprep ran, and did not do its work."""
    without = tuple(step for step in QUICK if step != "inventory")
    code, output = project.run("build", project.recipe("d-twins", without=without, faults="sid-kept"))
    assert code == 0, output
    image = output.strip().splitlines()[-1].split("(")[1].split(")")[0]
    yield image
    cloud.update_image(image, protected=False)
    cloud.delete("image", image, deadline=Deadline.after(60))


def test_a_bad_image_is_rejected(twins: str, project: Project, cloud: OpenStackCloud) -> None:
    code, output = project.run("verify", "d-twins")
    assert code == 1
    assert "error: d-twins-v1 failed: 3 checks" in output
    assert output.count("is the builder's: it was not generalized") >= 2
    assert "shared between clones: machine SID S-1-5-21-" in output
    assert "d-twins-v1 is rejected and hidden; next: mend the recipe, then invoke build d-twins" in output
    image = cloud.image(twins)
    assert image is not None
    assert (image.hidden, image.properties[STATE], image.properties[VERIFIED]) == (True, "rejected", "failed")
    assert "machine SID" in image.properties[REASON] or "builder's" in image.properties[REASON]
    assert [thing for thing in leftovers(cloud) if thing.owner.startswith("verify-d-twins-")] == []
