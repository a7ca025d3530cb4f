"""A pool of real desktops in the lab, handed out by the lab's own broker, and users at work on them."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import yaml

from imagebuild.adapters.openstack_cloud import OpenStackCloud
from imagebuild.build_folder import BuildFolder, build_folders
from imagebuild.cloud import Server
from imagebuild.errors import DeadlinePassed
from imagebuild.lab import catalogue, supervision
from imagebuild.lab.broker.portal_client import PortalClient
from imagebuild.lab.broker_settings import CENTER
from imagebuild.lab.layout import Layout, find_layout
from imagebuild.pool.marks import pool_tag
from imagebuild.waiting import Deadline, wait_for
from tests.lab.broker_pools import Administrator
from tests.lab.conftest import FLAVOR
from tests.lab.pool_line import Line
from tests.lab.project import Project

SIZE = 3
RULES = {
    "max_unavailable": 2,
    "max_surge": 1,
    "min_available": 1,
    "parallel_boots": 2,
    "look_every": "1s",
    "batch_pause": "1s",
    "settle": "2s",
    "min_ready": "2s",
    "drain_deadline": "5m",
    "act_timeout": "2m",
    "boot_timeout": "3m",
    "retries": 0,
}
HABITS = {"away": 5.0, "work": 8.0, "disconnects": 0.3, "apart": 4.0, "returns": 0.7, "retry": 1.0}


@dataclass(frozen=True)
class Running:
    """A task at work, with all that it has started; `what` it is, for a person."""

    process: subprocess.Popen[str]
    what: str

    def send(self, number: signal.Signals) -> None:
        """A signal, which must find it at work."""
        ended = self.process.poll()
        if ended is None:
            os.killpg(self.process.pid, number)
        print(f"--- {self.what}: {number.name}")
        assert ended is None, f"{self.what}: it ended with {ended} before that\n{self.end()}"

    def end(self, seconds: float = 240) -> tuple[int, str]:
        """Its exit code, and everything it printed."""
        output, _ = self.process.communicate(timeout=seconds)
        print(output)
        return self.process.returncode, output


@dataclass(frozen=True)
class Office:
    """A pool, and how people get at it: `machines` are two projects on two computers, which share nothing but the cloud and the broker."""

    cloud: OpenStackCloud
    pool: str
    line: Line
    machines: tuple[Project, Project]
    administrator: Administrator
    place: Layout = field(default_factory=find_layout)

    @property
    def portal(self) -> PortalClient:
        """The users' door of the lab's broker."""
        return self.administrator.portal

    def write_files(self) -> None:
        """The pool's file on both machines: as the one for the lab that we ship, but for names, image and haste."""
        for machine in self.machines:
            pools = machine.folder / "recipes" / "pools"
            content = yaml.safe_load((pools / "lab.yaml").read_text())
            content |= {
                "pool": self.pool,
                "recipe": self.line.recipe,
                "names": f"{self.pool}-{{sequence}}",
                "size": SIZE,
            }
            content |= {"security_group": self.pool, "roll": RULES}
            (pools / f"{self.pool}.yaml").write_text(yaml.safe_dump(content))

    @contextmanager
    def at_the_broker(self, image: str) -> Iterator[None]:
        """The pool is one of the lab's broker while this is open, its new desktops are to be made from that image.

        The broker's provisioning is on and has nothing to do: a roll has to pause it, and to turn it on again.
        """
        rule = {"vm_table_field": "name", "condition_type": "bw", "text_to_match": f"{self.pool}-"}
        pool = {
            "name": self.pool,
            "pool_definition": {"restrict_by": "A", "pool_attribute_join": "A", "attributes": [rule]},
            "provision": {
                "provision_on_off": 1,
                "provision_threshold": 0,
                "provision_max": SIZE,
                "provision_vm_id": self.administrator.number_of_image(image),
                "provision_vm_name": f"{self.pool}-{{SEQUENCE}}",
                "provision_vm_name_next_value": SIZE + 1,
                "center": {"id": CENTER, "name": "lab", "type": "openstack", "flavor": FLAVOR},
            },
        }
        with self.administrator.new_pool(pool):
            yield

    def open(self) -> None:
        """Make network and desktops, wait until the broker has heard of all of them, and let a user in, as `invoke lab.users` does."""
        for task in ("network", "create"):
            code, output = self.invoke(task)
            assert code == 0, output
        try:
            until(lambda: len(self._registered()) == SIZE, "the desktops to register", seconds=120)
        except DeadlinePassed:
            for server in self.servers():
                print(f"--- {server.name}\n{self.cloud.console_log(server.id)}")
            raise
        self.portal.set_crowd(self.pool, 1, seed=5, habits=HABITS)

    def _registered(self) -> list[str]:
        return [one["name"] for one in self.portal.desktops() if one["agent"] and one["name"].startswith(self.pool)]

    def invoke(
        self, task: str, *more: str, machine: int = 0, disk_is_full: bool = False, seconds: float = 240
    ) -> tuple[int, str]:
        """`invoke pool.TASK POOL`, to its end; on a full disk the journal of the last roll takes nothing more."""
        place = self.machines[machine]
        largest = self._rolls(machine)[-1].journal.stat().st_size if disk_is_full else None
        with place.limited(largest) if largest else nullcontext():
            return place.run(f"pool.{task}", self.pool, *more, seconds=seconds)

    def begin(self, moment: str, task: str, *more: str, machine: int = 0, seconds: float = 120) -> Running:
        """`invoke pool.TASK POOL`, at work, as soon as the journal of a roll says `moment` anew."""
        before = self.said(moment, machine=machine)
        process = self.machines[machine].start(f"pool.{task}", self.pool, *more)
        wait_for(
            lambda: True if process.poll() is not None or self.said(moment, machine=machine) > before else None,
            f"{task} to come to {moment}",
            deadline=Deadline.after(seconds),
            every=0.02,
        )
        return Running(process, f"{task}, {moment}")

    def kill_at(self, moment: str, task: str, *more: str, machine: int = 0) -> None:
        """The same, killed with -9 at that moment."""
        running = self.begin(moment, task, *more, machine=machine)
        running.send(signal.SIGKILL)
        running.end()

    def take_claim_away(self, *, machine: int = 0) -> None:
        """What a person does who knows that the other machine is dead. Of a process under the same kernel the tool knows it itself."""
        code, output = self.machines[machine].run("builds.unclaim", self.pool, "--break-claim", seconds=60)
        assert code == 0, output

    def said(self, moment: str, *, machine: int = 0) -> int:
        """How often the journals there say this: `roll_begun`, a phase of a desktop, something of it that is so by now."""
        entries = [entry for folder in self._rolls(machine) for entry in folder.entries()]
        return sum(moment in (one.event, one.facts.get("phase")) or bool(one.facts.get(moment)) for one in entries)

    def _rolls(self, machine: int) -> list[BuildFolder]:
        return list(build_folders(self.machines[machine].folder / ".imagebuild" / "rolls"))

    def kill_broker(self) -> None:
        """kill -9; the lab's supervisor starts it again."""
        running = supervision.read_running(self.place)
        assert running is not None
        os.kill(running.services["broker"]["pid"], signal.SIGKILL)

    def servers(self) -> list[Server]:
        """The pool's, as Nova has them."""
        return list(self.cloud.servers(tags=(pool_tag(self.pool),)))

    def images(self) -> dict[str, str | None]:
        """What Nova says that each desktop was made from, by name."""
        return {one.name: one.image_id for one in self.servers()}

    def stamps(self) -> set[str]:
        """What the last roll has read in the guests."""
        told = self.told()
        return {one["stamp"] for which in ("desktops", "extras") for one in told[which].values()}

    def told(self) -> dict[str, Any]:
        """The last roll, as its status has it."""
        _, output = self.invoke("status", "--json")
        return next(event for line in output.splitlines() if "desktops" in (event := json.loads(line)))

    def asked(self) -> dict[str, list[str]]:
        """What Nova was asked to do to each desktop, by name, and what its metadata say."""
        compute = catalogue.connect(self.place, self.cloud.name).compute
        return {
            one.name: [*(action.action for action in compute.server_actions(one.id)), str(sorted(one.metadata.items()))]
            for one in self.servers()
        }

    def rebuilds(self) -> dict[str, int]:
        """How often Nova was asked to rebuild each desktop, by name."""
        return {name: asked.count("rebuild") for name, asked in self.asked().items()}

    def incidents(self) -> list[dict[str, Any]]:
        """What this pool's users had to bear, by the broker."""
        return [one for one in self.portal.verdict()["incidents"] if one["place"].startswith(self.pool)]

    def assert_nobody_noticed(self) -> None:
        """The users' verdict, by the broker and by themselves; they were at work; and no desktop is kept from them any more."""
        assert self.incidents() == []
        until(lambda: self.diary()["logins"] > 0, "somebody to log in")
        diary = self.diary()
        assert (diary["lost"], diary["refused"]) == (0, 0), diary
        assert len(self.administrator.pool(self.pool)["pool_definition"]["attributes"]) == 1, (
            "a rule still holds one back"
        )
        print(f"users: {diary}")

    def diary(self) -> dict[str, int]:
        """What the users themselves noticed, since the broker was started."""
        told: dict[str, int] = self.portal.crowd()[self.pool]["diary"]
        return told

    def remove(self) -> None:
        """Servers, ports, group."""
        remove_desktops(self.cloud, self.pool, self.servers())


def remove_desktops(cloud: OpenStackCloud, pool: str, servers: Sequence[Server]) -> None:
    """These servers, and the ports and the security group of that pool."""
    for server in servers:
        cloud.delete_server(server.id)
    for server in servers:
        cloud.delete("server", server.id, deadline=Deadline.after(60))
    for port in cloud.ports(pool=pool):
        cloud.delete("port", port.id, deadline=Deadline.after(60))
    if (group := cloud.find_security_group(pool)) is not None:
        cloud.delete("security_group", group.id, deadline=Deadline.after(60))


def until(probe: Callable[[], bool], what: str, *, seconds: float = 60) -> None:
    """Wait for it."""
    wait_for(lambda: probe() or None, what, deadline=Deadline.after(seconds), every=0.5)
