"""A pool of real desktops in the lab, a broker that hands them out over HTTPS, and users at work on them."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from imagebuild.adapters.openstack_cloud import OpenStackCloud
from imagebuild.build_folder import build_folders
from imagebuild.cloud import Server
from imagebuild.lab import catalogue
from imagebuild.lab.broker.center import CenterSettings
from imagebuild.lab.broker.nova_view import CloudAccount
from imagebuild.lab.broker.population import Diary, Habits, Population
from imagebuild.lab.broker.portal_client import PortalClient
from imagebuild.lab.broker.rest import Account
from imagebuild.lab.broker.service import ServiceSettings, serving
from imagebuild.lab.layout import Layout, find_layout
from imagebuild.pool.marks import pool_tag
from imagebuild.waiting import Deadline, wait_for
from tests.lab.conftest import FLAVOR, NETWORK
from tests.lab.pool_line import Line
from tests.lab.project import Project

SIZE = 3
RULES = {
    "max_unavailable": 2,
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
HABITS = Habits(away=5, work=8, disconnects=0.3, apart=4, returns=0.7, retry=1)


@dataclass
class Users:
    """Simulated users of a pool, at work from now on."""

    portal: PortalClient
    population: Population
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def diary(self) -> Diary:
        """What they noticed."""
        return self.population.diary

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Until the block ends."""
        thread = threading.Thread(target=self._live)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _live(self) -> None:
        self.population.live(self.portal, now=time.time, rest=self._over.wait)


@contextmanager
def broker(
    folder: Path, place: Layout, *, pool: str, names: str, image: str
) -> Iterator[tuple[PortalClient, dict[str, Any]]]:
    """The stand-in broker for a pool of desktops whose names begin like this; its portal, and the pool file's section about it."""
    account = Account("robot", "Pa55word-of-the-broker")
    settings = ServiceSettings(
        folder=folder,
        accounts=(account,),
        registrations=place.state / "registrations.jsonl",
        cloud=_account(place),
        images=(image,),
        pools=(_broker_pool(pool, names, image),),
        center=CenterSettings(scan_seconds=0.5, every_seconds=3),
        count_seconds=1,
        turn_seconds=0.5,
    )
    with serving(settings) as (server, _):
        url, ca_file = f"https://127.0.0.1:{server.port}", folder / "tls" / "ca.pem"
        (folder / "user").write_text(account.login)
        (folder / "password").write_text(account.password)
        section = {
            "kind": "leostream",
            "url": url,
            "user": f"file:{folder / 'user'}",
            "password": f"file:{folder / 'password'}",
            "ca_file": str(ca_file),
            "drain": "attribute_rule",
        }
        yield PortalClient(url, ca_file=ca_file), section


def _account(place: Layout) -> CloudAccount:
    """The tool's ordinary user: the broker sees the project as it does."""
    auth = yaml.safe_load(place.clouds_yaml.read_text())["clouds"]["imagebuild-lab"]["auth"]
    return CloudAccount(
        auth_url=auth["auth_url"], user=auth["username"], password=auth["password"], project=auth["project_name"]
    )


def _broker_pool(pool: str, names: str, image: str) -> Mapping[str, Any]:
    """Provisioning is on and has nothing to do: a roll has to pause it, and to turn it on again."""
    return {
        "name": pool,
        "image": image,
        "pool_definition": {
            "restrict_by": "A",
            "pool_attribute_join": "A",
            "attributes": [{"vm_table_field": "name", "condition_type": "bw", "text_to_match": names}],
        },
        "provision": {
            "provision_on_off": 1,
            "provision_threshold": 0,
            "provision_max": SIZE,
            "provision_vm_name": f"{names}{{SEQUENCE}}",
            "provision_vm_name_next_value": SIZE + 1,
            "center": {"id": 3, "name": "cloud", "type": "openstack", "flavor": FLAVOR},
        },
    }


@dataclass(frozen=True)
class Office:
    """A pool, and how people get at it: `machines` are two projects on two computers, which share nothing but the cloud."""

    cloud: OpenStackCloud
    pool: str
    line: Line
    machines: tuple[Project, Project]
    users: Users
    section: Mapping[str, Any]
    place: Layout = field(default_factory=find_layout)

    def write_files(self, names: str) -> None:
        """The pool's file, on both machines."""
        content = {
            "pool": self.pool,
            "recipe": self.line.recipe,
            "names": f"{names}{{sequence}}",
            "size": SIZE,
            "flavor": FLAVOR,
            "network": NETWORK,
            "security_group": self.pool,
            "domain": "lab.example",
            "intranet": {
                "subnet": "172.16.100.0/24",
                "dns": ["172.16.100.1"],
                "rdp_from": ["172.16.100.0/24"],
                "reach": ["172.16.0.0/12"],
            },
            "broker": dict(self.section),
            "roll": RULES,
        }
        for machine in self.machines:
            (machine.folder / "recipes" / "pools" / f"{self.pool}.yaml").write_text(yaml.safe_dump(content))

    def open(self) -> None:
        """Make network and desktops, and wait until the broker has heard of all of them."""
        for task in ("network", "create"):
            code, output = self.invoke(task)
            assert code == 0, output
        until(lambda: len(self._registered()) == SIZE, "the desktops to register", seconds=120)

    def _registered(self) -> list[str]:
        told = self.users.portal.desktops()
        return [one["name"] for one in told if one["agent"] and one["name"].startswith(self.pool)]

    def invoke(self, task: str, *more: str, machine: int = 0, seconds: float = 240) -> tuple[int, str]:
        """`invoke pool.TASK POOL`, to its end."""
        return self.machines[machine].run(f"pool.{task}", self.pool, *more, seconds=seconds)

    def kill_at(self, moment: str, task: str, *more: str, machine: int = 0, seconds: float = 120) -> None:
        """`invoke pool.TASK POOL`, killed with -9 as soon as the journal of a roll says `moment` anew."""
        before = self.said(moment, machine=machine)
        process = self.machines[machine].start(f"pool.{task}", self.pool, *more)
        wait_for(
            lambda: True if process.poll() is not None or self.said(moment, machine=machine) > before else None,
            f"{task} to come to {moment}",
            deadline=Deadline.after(seconds),
            every=0.02,
        )
        ended = process.poll()
        if ended is None:
            os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        print(f"{output}--- killed at {moment}")
        assert ended is None, f"{task} ended with {ended} before it came to {moment}"

    def take_claim_away(self, *, machine: int = 0) -> None:
        """What a person does who knows that the other machine is dead. Of a process under the same kernel the tool knows it itself."""
        code, output = self.machines[machine].run("builds.unclaim", self.pool, "--break-claim", seconds=60)
        assert code == 0, output

    def said(self, moment: str, *, machine: int = 0) -> int:
        """How often the journals there say this: `roll_begun`, a phase of a desktop, something of it that is so by now."""
        folders = build_folders(self.machines[machine].folder / ".imagebuild" / "rolls")
        entries = [entry for folder in folders for entry in folder.entries()]
        return sum(moment in (one.event, one.facts.get("phase")) or bool(one.facts.get(moment)) for one in entries)

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

    def rebuilds(self) -> dict[str, int]:
        """How often Nova was asked to rebuild each desktop, by name."""
        compute = catalogue.connect(self.place, self.cloud.name).compute
        return {
            one.name: sum(action.action == "rebuild" for action in compute.server_actions(one.id))
            for one in self.servers()
        }

    def assert_nobody_noticed(self) -> None:
        """The users' verdict; they were at work; and the broker's pool is as it was before."""
        verdict, diary = self.users.portal.verdict(), self.users.diary
        assert (verdict["sessions_cut"], verdict["logins_refused"], diary.lost) == (0, 0, 0), verdict
        assert verdict["logins"] > 0
        assert [one["name"] for one in self.users.portal.desktops() if one["out_of_service"]] == []
        print(f"users: {diary}")

    def remove(self) -> None:
        """Servers, ports, group."""
        servers = self.servers()
        for server in servers:
            self.cloud.delete_server(server.id)
        for server in servers:
            self.cloud.delete("server", server.id, deadline=Deadline.after(60))
        for port in self.cloud.ports(pool=self.pool):
            self.cloud.delete("port", port.id, deadline=Deadline.after(60))
        if (group := self.cloud.find_security_group(self.pool)) is not None:
            self.cloud.delete("security_group", group.id, deadline=Deadline.after(60))


def until(probe: Callable[[], bool], what: str, *, seconds: float = 60) -> None:
    """Wait for it."""
    wait_for(lambda: probe() or None, what, deadline=Deadline.after(seconds), every=0.5)
