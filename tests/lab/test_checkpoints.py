"""On real servers, the second build begins at the first one's checkpoint, nothing is built again, a change at the current version."""

import re
import time
from collections.abc import Iterator

import pytest

from imagebuild.adapters.openstack_cloud import OpenStackCloud
from imagebuild.checkpoints import list_checkpoints
from imagebuild.images import current, list_versions
from imagebuild.properties import BASE_ID, CHECKPOINT, DIGEST, GENERALIZED, PREFIX, STANDIN
from imagebuild.waiting import Deadline
from tests.lab.project import LINE, Project

pytestmark = pytest.mark.lab


def ran(output: str) -> list[str]:
    """The steps that were done."""
    return re.findall(r"\[\d+/\d+\] (\S+):", output)


@pytest.fixture(scope="module")
def second(built: str, project: Project, cloud: OpenStackCloud) -> Iterator[str]:
    """What the second build of the recipe prints; what it and later ones made is removed again."""
    code, output = project.run("build", LINE)
    assert code == 0, output
    yield output
    for version in list_versions(cloud, LINE):
        if version.image.id != built:
            cloud.update_image(version.image.id, protected=False)
            cloud.delete("image", version.image.id, deadline=Deadline.after(60))


def test_a_checkpoint_is_hidden_small_and_by_the_plans_digest(built: str, cloud: OpenStackCloud) -> None:
    (image,) = list_checkpoints(cloud, LINE)
    assert (image.status, image.hidden, image.protected, image.visibility) == ("active", True, False, "private")
    assert image.name == f"{LINE}-checkpoint-{image.properties[CHECKPOINT][:12]}"
    assert image.id not in {version.image.id for version in list_versions(cloud, LINE)}


def test_the_second_build_begins_at_the_checkpoint(built: str, second: str, cloud: OpenStackCloud) -> None:
    (checkpoint,) = list_checkpoints(cloud, LINE)
    assert f"from checkpoint {checkpoint.name}" in second
    done = ran(second)
    assert done[:3] == ["boot-builder", "reach-guest", "broker-agent"]
    assert not {"virtio-drivers", "updates", "checkpoint"} & set(done)
    first, other = (cloud.image(image) for image in (built, list_versions(cloud, LINE)[-1].image.id))
    assert first and other
    assert first.properties[DIGEST] == other.properties[DIGEST], "by the plan it is the same image"
    assert other.properties[GENERALIZED] == "yes"
    assert CHECKPOINT not in other.properties, "what Nova copied from the checkpoint is gone"


def test_what_is_there_already_is_not_built(second: str, project: Project) -> None:
    began = time.monotonic()
    code, output = project.run("build", LINE, "--if-changed", seconds=60)
    took = time.monotonic() - began
    assert code == 4, output
    assert f"unchanged: {LINE}-v" in output.splitlines()[-1]
    assert took < 5, f"{took:.1f} s"


def test_a_change_begins_at_the_current_version_and_is_the_next_one(
    second: str, project: Project, cloud: OpenStackCloud
) -> None:
    code, output = project.run("build", f"{LINE}-change")
    assert code == 2 and f"{LINE} has no current version" in output and "invoke promote" in output
    newest = list_versions(cloud, LINE)[-1]
    assert project.run("promote", newest.name, "--unverified")[0] == 0
    code, output = project.run("build", f"{LINE}-change")
    assert code == 0, output
    changed = list_versions(cloud, LINE)[-1]
    head = current(cloud, LINE)
    assert head is not None and head.image.id == newest.image.id
    assert (changed.version, changed.state) == (newest.version + 1, "candidate")
    assert changed.image.properties[BASE_ID] == newest.image.id
    assert changed.image.properties[GENERALIZED] == "yes"
    both = changed.image.properties.items() & head.image.properties.items()
    same = {name for name, _ in both if name.startswith(PREFIX)}
    alike = {"imagebuild_recipe", "imagebuild_generalized", "imagebuild_inventory", STANDIN}
    assert same <= alike, "nothing of the other is passed off as its own"
    code, output = project.run("build", f"{LINE}-change", "--if-changed", seconds=60)
    assert code == 4 and f"unchanged: {changed.name}" in output
