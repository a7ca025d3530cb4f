"""A pool that the lab's broker fills by itself, of real virtual machines: it makes the desktops, and the new ones of a roll, too."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from imagebuild.adapters.openstack_cloud import OpenStackCloud
from imagebuild.cloud import Server
from imagebuild.jobs import version_changes
from imagebuild.jobs.settings import Settings
from imagebuild.lab import lifecycle
from imagebuild.lab.broker_settings import CENTER
from imagebuild.lab.layout import find_layout
from imagebuild.pool.marks import pool_tag
from tests.lab.broker_pools import Administrator
from tests.lab.conftest import FLAVOR, NETWORK
from tests.lab.pool_line import Line
from tests.lab.pool_office import RULES, remove_desktops, until
from tests.lab.project import Project
from tests.steps.conftest import Told

pytestmark = pytest.mark.lab
FREE = 2
"""So many desktops the broker wants to be nobody's."""
OURS: dict[str, Any] = {
    "method": "broker",
    "max_unavailable": 1,
    "max_surge": 0,
    "auto_continue": True,
    "bake_time": "1s",
}
HABITS = {"away": 3.0, "work": 10.0, "disconnects": 0.3, "apart": 4.0, "returns": 0.7, "retry": 1.0}


@dataclass(frozen=True)
class Office:
    """The pool, as its file, the broker and the cloud have it."""

    cloud: OpenStackCloud
    project: Project
    line: Line
    pool: str
    administrator: Administrator = field(default_factory=lambda: Administrator(find_layout()))

    def promote(self, number: int) -> None:
        """Make that version the one that desktops are to have."""
        settings = Settings(self.project.folder, cloud=self.cloud.name)
        version_changes.promote(f"{self.line.recipe}-v{number}", settings, Told())

    def write_file(self) -> None:
        """As the one for the lab that we ship, but for names, image and haste; which domain they join is the broker's."""
        pools = self.project.folder / "recipes" / "pools"
        content = yaml.safe_load((pools / "lab.yaml").read_text())
        content |= {"pool": self.pool, "recipe": self.line.recipe, "names": f"{self.pool}-{{sequence}}", "size": FREE}
        content |= {"security_group": self.pool, "roll": {**RULES, **OURS}}
        content.pop("domain", None)
        (pools / f"{self.pool}.yaml").write_text(yaml.safe_dump(content))

    @contextmanager
    def filled_by_the_broker(self) -> Iterator[None]:
        """The broker makes desktops of version 1 while this is open."""
        rule = {"vm_table_field": "name", "condition_type": "bw", "text_to_match": f"{self.pool}-"}
        place = {"id": CENTER, "name": "lab", "type": "openstack", "flavor": FLAVOR, "network": NETWORK}
        pool = {
            "name": self.pool,
            "pool_definition": {"restrict_by": "A", "pool_attribute_join": "A", "attributes": [rule]},
            "provision": {
                "provision_on_off": 1,
                "provision_threshold": FREE,
                "provision_max": 2 * FREE,
                "provision_vm_id": self.number_of(1),
                "provision_vm_name": f"{self.pool}-{{SEQUENCE}}",
                "provision_vm_name_next_value": 1,
                "center": place | {"security_groups": [self.pool]},
            },
        }
        with self.administrator.new_pool(pool):
            yield

    def invoke(self, task: str, *more: str) -> str:
        """`invoke pool.TASK POOL`, which must do it; what it printed."""
        code, output = self.project.run(f"pool.{task}", self.pool, *more, seconds=240)
        assert code == 0, output
        return output

    def number_of(self, version: int) -> int:
        """The broker's number of that version's image."""
        return self.administrator.number_of_image(f"{self.line.recipe}-v{version}")

    def roll_with_users(self) -> str:
        """`invoke pool.roll POOL`, and a user who comes as soon as the broker has the new image; what it printed."""
        process = self.project.start("pool.roll", self.pool, "--yes")
        new = self.number_of(2)

        def is_set() -> bool:
            told: dict[str, Any] = self.administrator.pool(self.pool)["provision"]
            return bool(told["provision_vm_id"] == new) or process.poll() is not None

        until(is_set, "the broker to get the image")
        self.administrator.portal.set_crowd(self.pool, 1, seed=5, habits=HABITS)
        output, _ = process.communicate(timeout=240)
        print(output)
        assert process.returncode == 0, output
        return output

    def registered(self) -> int:
        """How many of its desktops have told the broker that they run."""
        told = self.administrator.portal.desktops()
        return sum(one["agent"] and one["name"].casefold().startswith(self.pool) for one in told)

    def servers(self) -> list[Server]:
        """All with names of the pool's, members or not."""
        return [one for one in self.cloud.servers() if one.name.startswith(f"{self.pool}-")]

    def remove(self) -> None:
        """Servers and group."""
        remove_desktops(self.cloud, self.pool, self.servers())


@pytest.fixture
def office(built: str, cloud: OpenStackCloud, lab: lifecycle.LabCloud, tmp_path: Path) -> Iterator[Office]:
    """A pool on version 1 of its image, and version 2 to come."""
    name = f"b-{uuid4().hex[:4]}"
    (tmp_path / "project").mkdir()
    line = Line(cloud, find_layout(), name, master=built, folder=tmp_path)
    made = Office(cloud, Project(tmp_path / "project"), line, name)
    try:
        for number in (1, 2):
            line.add(number)
        made.write_file()
        made.promote(1)
        made.invoke("network")
        with made.filled_by_the_broker():
            yield made
    finally:
        made.remove()
        line.remove()


def test_the_broker_makes_the_desktops_and_those_of_a_roll(office: Office) -> None:
    until(lambda: office.registered() == FREE, "the broker to make desktops", seconds=120)
    office.invoke("adopt", "--yes")
    before = {one.name for one in office.servers()}
    assert before == {f"{office.pool}-1", f"{office.pool}-2"}
    office.promote(2)
    output = office.roll_with_users()
    assert "the broker has made it" in output
    after = office.servers()
    assert before.isdisjoint(one.name for one in after)
    assert {one.image_id for one in after} == {office.line.image(2).id}
    members = [one.name for one in after if pool_tag(office.pool) in one.tags]
    assert len(members) >= FREE
    told = office.administrator.pool(office.pool)
    assert told["provision"]["provision_on_off"] == 1
    assert told["provision"]["provision_vm_id"] == office.number_of(2)
    assert len(told["pool_definition"]["attributes"]) == 1, "a rule still holds one back"
    assert [one for one in office.administrator.portal.jobs() if one["what"].startswith(office.pool)] == []
    diary = office.administrator.portal.crowd()[office.pool]["diary"]
    print(f"users: {diary}")
    assert (diary["lost"], diary["refused"]) == (0, 0)
    assert diary["logins"] > 0
    incidents = office.administrator.portal.verdict()["incidents"]
    assert [one for one in incidents if one["place"].startswith(office.pool)] == []
