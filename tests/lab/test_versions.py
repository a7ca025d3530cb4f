"""The life of images in a real Glance: tiny images with our properties, two people who see and do the same, and what is refused them."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from imagebuild.adapters.openstack_cloud import OpenStackCloud, connect_cloud
from imagebuild.claim import take
from imagebuild.cloud import Image
from imagebuild.errors import Busy, CloudRefused, VersionRefused
from imagebuild.image_record import pack
from imagebuild.images import current, list_versions
from imagebuild.jobs import version_changes, versions
from imagebuild.jobs.settings import Settings
from imagebuild.lab import catalogue, lifecycle
from imagebuild.lab.layout import ADMIN_CLOUD, PROJECT, find_layout
from imagebuild.properties import GENERALIZED, PREVIOUS, RECIPE, RECORD, SELF, STATE, VERIFIED, VERSION
from imagebuild.secrets import make_password
from imagebuild.waiting import Deadline, wait_for
from tests.lab.project import Project
from tests.steps.conftest import Told

pytestmark = pytest.mark.lab


class Line:
    """The versions of one recipe, made of a few bytes each, and their maintainer's machine."""

    def __init__(self, cloud: OpenStackCloud, connection: Any, folder: Path) -> None:
        self.cloud = cloud
        self.recipe = f"c-{uuid4().hex[:8]}"
        self.settings = Settings(folder, cloud=cloud.name)
        self.told = Told()
        self._glance = connection.image

    def add(self, number: int, name: str = "", **properties: str) -> Image:
        """A registered, verified candidate with a record; `properties` say what is other."""
        made = self._glance.create_image(
            name=name or f"{self.recipe}-v{number}", disk_format="raw", container_format="bare", data=b"no desktop"
        )
        record = pack({"updates": {f"KB{number}": "installed"}, "steps": [["boot-builder", 12.0]]})
        marks = {RECIPE: self.recipe, VERSION: str(number), STATE: "candidate", SELF: made.id, RECORD: record}
        marks |= {GENERALIZED: "yes", VERIFIED: "passed", "hw_disk_bus": "virtio", **properties}
        return self.cloud.update_image(made.id, properties=marks, protected=True, hidden=True, visibility="private")

    def promote(self, number: int) -> None:
        version_changes.promote(f"{self.recipe}-v{number}", self.settings, self.told)

    def states(self, cloud: OpenStackCloud | None = None) -> dict[int, str]:
        """What a person with that connection sees."""
        return {one.version: one.state for one in list_versions(cloud or self.cloud, self.recipe)}

    def remove(self) -> None:
        for image in self.cloud.images():
            if image.name.startswith(self.recipe) or image.properties.get(RECIPE) == self.recipe:
                self.cloud.update_image(image.id, protected=False)
                self.cloud.delete("image", image.id, deadline=Deadline.after(30))


@pytest.fixture
def line(cloud: OpenStackCloud, lab: lifecycle.LabCloud, tmp_path: Path) -> Iterator[Line]:
    made = Line(cloud, catalogue.connect(find_layout(), lab.name), tmp_path)
    yield made
    made.remove()


@pytest.fixture
def colleague(lab: lifecycle.LabCloud, tmp_path: Path) -> Iterator[OpenStackCloud]:
    """Another ordinary user of the same project, on another machine."""
    admin = catalogue.connect(find_layout(), ADMIN_CLOUD).identity
    password, name = make_password(), f"c-colleague-{uuid4().hex[:8]}"
    user = admin.create_user(name=name, password=password.reveal(), domain_id="default")
    try:
        project, role = admin.find_project(PROJECT), admin.find_role("member")
        admin.assign_project_role_to_user(project, user, role)
        clouds = yaml.safe_load(lab.clouds_yaml.read_text())["clouds"]
        entry = clouds[lab.name]
        entry["auth"] |= {"username": name, "password": password.reveal()}
        path = tmp_path / "clouds.yaml"
        path.write_text(yaml.safe_dump({"clouds": {"colleague": entry}}))
        yield connect_cloud("colleague", config_files=[path])
    finally:
        admin.delete_user(user)


def test_two_people_see_one_line_and_its_life(line: Line, colleague: OpenStackCloud, lab: lifecycle.LabCloud) -> None:
    for number in (1, 2):
        line.add(number)
    took = []
    for number in (1, 2):
        began = time.monotonic()
        line.promote(number)
        took.append(round(time.monotonic() - began, 1))
    print("promote:", took, "of which Glance's two changes:", line.told.results[1][1]["took_seconds"])
    assert line.states(colleague) == {1: "superseded", 2: "current"}
    # What desktops are made from is listed for everybody; what they were made from is not, and cannot be deleted.
    assert colleague.find_image(f"{line.recipe}-v2") is not None
    assert colleague.find_image(f"{line.recipe}-v1") is None
    with pytest.raises(CloudRefused):
        colleague.delete(
            "image", next(one.image.id for one in list_versions(colleague, line.recipe)), deadline=Deadline.after(30)
        )
    assert list_versions(connect_cloud(ADMIN_CLOUD, config_files=[lab.clouds_yaml]), line.recipe) == []

    version_changes.rollback(line.recipe, line.settings, line.told, reason="no printing")
    assert line.states(colleague) == {1: "current", 2: "rejected"}
    with pytest.raises(VersionRefused, match="no printing"):
        line.promote(2)

    claim = take(
        colleague,
        line.recipe,
        purpose="life",
        seed=lambda images: "a colleague's",
        owner=f"{line.recipe}-promote-of-a-colleague",
        lifetime_seconds=60,
        is_dead=lambda owner: False,
        report=line.told,
    )
    line.add(3)
    with pytest.raises(Busy, match="promote-of-a-colleague"):
        line.promote(3)
    colleague.delete("image", claim.id, deadline=Deadline.after(30))
    line.promote(3)
    assert line.states(colleague) == {1: "superseded", 2: "rejected", 3: "current"}


def test_pruning_deletes_only_what_nothing_needs_and_never_what_is_not_ours(line: Line, cloud: OpenStackCloud) -> None:
    before = [line.add(number, **{STATE: "superseded"}) for number in (1, 2, 3)]
    line.add(4, **{STATE: "current", PREVIOUS: before[2].id})
    rejected = line.add(5, **{STATE: "rejected"})
    line.add(6)
    snapshot = line.add(1, name=f"{line.recipe}-desktop", **{SELF: rejected.id})
    volume = cloud.create_volume(line.recipe, owner=line.recipe, role="test", gib=1, image_id=before[0].id)
    try:
        # A volume tells its image once it was filled.
        used_now = lambda: before[0].id in cloud.image_uses() or None  # noqa: E731
        wait_for(used_now, "the volume to name its image", deadline=Deadline.after(60), every=0.2)
        line.told.results.clear()
        deleted = version_changes.prune(line.recipe, line.settings, line.told, keep=1, yes=True, ask=lambda deed: False)
    finally:
        cloud.delete("volume", volume.id, deadline=Deadline.after(60))
    lines = {str(facts["image"]): text for text, facts in line.told.results if "stays" in facts}
    print("\n".join(lines.values()))
    assert "used by volume" in lines[f"{line.recipe}-v1"]
    assert "a rollback goes to it" in lines[f"{line.recipe}-v3"]
    assert deleted == 2
    assert line.states() == {1: "superseded", 3: "superseded", 4: "current", 6: "candidate"}
    assert cloud.image(snapshot.id) == snapshot
    assert all(one.image.protected for one in list_versions(cloud, line.recipe))


def test_a_dangerous_one_is_deactivated_by_the_ordinary_user(line: Line) -> None:
    line.add(1)
    name = f"{line.recipe}-v1"
    rejected = version_changes.reject(name, line.settings, line.told, reason="virus", dangerous=True)
    assert (rejected.state, rejected.image.status) == ("rejected", "deactivated")
    with pytest.raises(VersionRefused, match="is deactivated"):
        line.promote(1)


def test_show_and_diff_as_a_person_types_them(line: Line, project: Project) -> None:
    for number, bus in ((1, "ide"), (2, "virtio")):
        line.add(number, hw_disk_bus=bus)
    code, output = project.run(
        "images.diff", f"{line.recipe}-v1", f"{line.recipe}-v2", "--cloud", line.cloud.name, seconds=30
    )
    assert code == 0
    told = [" ".join(text.split()) for text in output.splitlines()]
    assert told[-4:] == [
        "hardware ~ hw_disk_bus ide -> virtio",
        "updates - KB1 installed",
        "updates + KB2 installed",
        f"{line.recipe}-v1 -> {line.recipe}-v2: 3 differences",
    ]
    versions.show(f"{line.recipe}-v2", line.settings, line.told)
    assert any("used by      nothing in this project" in text for text, _ in line.told.results)
    assert (head := current(line.cloud, line.recipe)) is None, head
