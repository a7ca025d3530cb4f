"""A roll of many real Nova servers, on the lab's fake hosts: `python -m tests.benchmarks.pool_fakes --servers 200`.

Needs the lab with fake hosts (`invoke lab.up --fake-hosts 4`). Its servers are records of a real Nova, with ports of a real Neutron; the
driver says yes to everything, so no guest runs: the broker is the tests' one, in this process, and every agent reports at once. What is
measured is the tool against the real APIs: requests for each desktop, wall time against the ideal schedule of the same rules and of the
times that Nova took, and memory. Everything that was made is deleted. The rules are the default ones, but for `parallel_boots`, a larger
limit and a short bake; `--hurry 3` makes all their times three times shorter, for a trial: what tool and APIs take weighs more then.

Two schedules are told. The ideal one lets any number of acts begin at the same moment, each as long as it took here. Nova's API is
one process here and does one act after the other, so by the other schedule they stand in line for it: what lies between
the two is the lab's, what lies beyond the second is the tool's. The goal is of the first one, with the times not shortened.
"""

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from imagebuild.adapters.openstack_cloud import OpenStackCloud, connect_cloud
from imagebuild.images import find_version
from imagebuild.journal import Journal
from imagebuild.lab import catalogue
from imagebuild.lab.layout import CLOUD, FAKE_ZONE, NETWORK, find_layout
from imagebuild.pool.assignment import assign
from imagebuild.pool.definition import PoolDefinition
from imagebuild.pool.hands import Hands
from imagebuild.pool.health import ConsoleWitness
from imagebuild.pool.lookout import Lookout
from imagebuild.pool.provision import create_desktops, find_parts
from imagebuild.pool.roll import Roll
from imagebuild.pool.roll_plan import plan_roll
from imagebuild.pool.starting import start
from imagebuild.pool.survey import survey
from imagebuild.properties import GENERALIZED, RECIPE, SELF, STATE, VERIFIED, VERSION
from imagebuild.report import SilentReport
from imagebuild.waiting import Deadline, SystemClock, wait_for
from tests.benchmarks.pool_model import longest_of
from tests.benchmarks.pool_watch import Progression, Wire
from tests.fakes.broker import EPOCH, FakeBroker

POOL = "fakes"
FLAVOR = "1cpu_1GB_20GB"
ACT = "POST nova/servers/ID/action rebuild"
CALLS, SHARE = 6.0, 0.9
_ACTS = (ACT, "DELETE nova/servers/ID", "POST neutron/ports", "POST nova/servers")


class WallClock(SystemClock):
    """The time of day, as the tests' broker counts it."""

    def now(self) -> float:
        """Seconds since the tests' epoch."""
        return time.time() - EPOCH.timestamp()


class Open(ConsoleWitness):
    """imagebuild.pool.health.Witness, where no guest can be knocked at."""

    def answers(self, address: str) -> bool:
        """There is no guest."""
        return bool(address)


@dataclass
class Site:
    """The pool in the lab."""

    cloud: OpenStackCloud
    sdk: Any
    definition: PoolDefinition
    broker: FakeBroker
    bake: float
    acted_at: dict[str, float] = field(default_factory=dict)

    def make(self) -> None:
        """Two versions of an image, and the servers on the first; what an earlier run has left is taken up."""
        there = {image.name for image in self.cloud.images(properties={RECIPE: POOL})}
        for number, state in ((1, "superseded"), (2, "current")):
            name = f"{POOL}-v{number}"
            if name not in there:
                self._make_image(name, {RECIPE: POOL, VERSION: str(number), STATE: state})
            self.broker.cloud_images.add(name)
            self.broker.known_images.add(name)
        self.cloud.create_pool_group(POOL, pool=POOL)
        parts = find_parts(self.definition, self.cloud, version=find_version(self.cloud, f"{POOL}-v1"))
        create_desktops(self.definition, self.cloud, parts, report=SilentReport())
        names = [server.name for server in self.cloud.servers(tags=(self.definition.tag,))]
        self.broker.add_pool(POOL, *names, image=f"{POOL}-v1")

    def _make_image(self, name: str, marks: dict[str, str]) -> None:
        made = self.sdk.image.create_image(
            name=name, data=bytes(1024), disk_format="raw", container_format="bare", visibility="private"
        )
        proofs = {SELF: made.id, VERIFIED: "passed", GENERALIZED: "yes"}
        self.cloud.update_image(made.id, properties=marks | proofs, protected=True)

    def roll(self, folder: Path, progression: Progression) -> Iterator[Roll]:
        """The roll to the second version, with a journal on the disk; ready to be run."""
        pool = survey(self.definition, self.cloud, self.broker)
        to = find_version(self.cloud, f"{POOL}-v2")
        plan = plan_roll(self.definition, pool, to=to, cloud=self.cloud, broker=self.broker, now=utc_now())
        assert not plan.refused, [str(finding) for finding in plan.findings]
        assignment = assign(plan, self.definition.roll, roll_id="fakes-1", began_at=utc_now(), started_by="benchmark")
        with Journal(folder / "journal.jsonl") as journal:

            def write(event: str, **facts: Any) -> None:
                journal.write(event, **facts)
                progression.written(event, facts)

            log = start(plan, assignment, write=write)
            hands = Hands(
                definition=self.definition,
                assignment=assignment,
                cloud=self.cloud,
                broker=self.broker,
                lookout=Lookout(self.definition, self.cloud, self.broker, now=utc_now),
                version_of=cache(lambda image_id: find_version(self.cloud, image_id)),
                provisioned=lambda: bool(log.provisioning),
                pool_image=lambda: log.image_before or "",
            )
            yield Roll(log, hands, Open(self.cloud), utc_now, SystemClock(), SilentReport(), watch=progression.watch)

    def note_acts(self) -> None:
        """Remember when each rebuild was asked for: from there Nova's own time counts."""
        rebuild: Callable[..., None] = self.cloud.rebuild_server

        def noted(server_id: str, image_id: str, **more: Any) -> None:
            self.acted_at[server_id] = time.time()
            rebuild(server_id, image_id, **more)

        self.cloud.rebuild_server = noted  # type: ignore[method-assign]

    def took(self) -> list[float]:
        """Seconds from asking for each rebuild until Nova had it done, by Nova's word."""
        started = {one.id: one.launched_at for one in self.cloud.servers(tags=(self.definition.tag,))}
        return [max(0.0, moment(at) - self.acted_at[one]) for one, at in started.items() if at and one in self.acted_at]

    def ideal(self, took: Sequence[float], *, limit: int, line: float) -> float:
        """The shortest roll by these rules, had every desktop taken what it took; `line`: so long Nova is at one act alone."""
        rules = self.definition.roll
        settle, pause = rules.settle.total_seconds(), rules.batch_pause.total_seconds()
        canary, *rest = [act + rules.min_ready.total_seconds() for act in took]
        return settle + canary + self.bake + longest_of(rest, places=limit, pause=pause, before=settle, line=line)

    def remove(self) -> None:
        """All of it."""
        for server in self.cloud.servers(tags=(self.definition.tag,)):
            self.cloud.delete_server(server.id)
        wait_for(
            lambda: None if self.cloud.servers(tags=(self.definition.tag,)) else True,
            "the servers to go",
            deadline=Deadline.after(180),
        )
        for port in self.cloud.ports(pool=POOL):
            self.sdk.network.delete_port(port.id)
        if (group := self.cloud.find_security_group(POOL)) is not None:
            self.sdk.network.delete_security_group(group.id)
        for image in self.cloud.images(properties={RECIPE: POOL}):
            self.cloud.update_image(image.id, protected=False)
            self.sdk.image.delete_image(image.id)


def a_site(servers: int, *, hurry: float) -> Site:
    """The pool before anything of it is made."""
    place = find_layout()
    cloud = connect_cloud(CLOUD, config_files=[place.clouds_yaml])
    usual = {"settle": 60, "min_ready": 60, "batch_pause": 30, "look_every": 15, "bake_time": 60}
    content = {
        "pool": POOL,
        "recipe": POOL,
        "names": f"{POOL}-{{sequence}}",
        "size": servers,
        "flavor": FLAVOR,
        "network": NETWORK,
        "security_group": POOL,
        "availability_zone": FAKE_ZONE,
        "roll": {"max_unavailable": "20%", "parallel_boots": servers, "auto_continue": True}
        | {name: f"{seconds / hurry:.0f}s" for name, seconds in usual.items()},
    }
    definition = PoolDefinition.model_validate(content)
    bake = definition.roll.bake_time.total_seconds()
    return Site(cloud, catalogue.connect(place, CLOUD), definition, FakeBroker(WallClock()), bake)


def measure(site: Site, folder: Path) -> list[str]:
    """Roll it, print the numbers, and give the goals that were missed."""
    wire, servers, progression = Wire(), site.definition.size, Progression()
    site.note_acts()
    before, spent = peak_megabytes(), time.process_time()
    with wire.watched():
        for roll in site.roll(folder, progression):
            planned, begun = sum(wire.requests.values()), time.monotonic()
            state = roll.run()
    seconds, cpu = time.monotonic() - begun, time.process_time() - spent
    print(f"{state.value}: {roll.done()} of {servers} done in {words(seconds)}")
    share = tell_schedule(site, seconds, limit=roll.log.assignment.limit, line=wire.seconds[ACT] / wire.requests[ACT])
    print(f"half of the desktops were no longer than: {progression}")
    calls = sum(wire.requests.values()) - planned
    beyond = (calls - sum(wire.requests[act] for act in _ACTS)) / servers
    print(f"{calls / servers:.2f} requests a desktop, {beyond:.2f} beyond the act; {planned} more for the plan")
    print(f"{sum(wire.seconds.values()):.0f} s of them on the wire, {cpu:.0f} s of CPU")
    print(f"{peak_megabytes():.0f} MB at most, {before:.0f} before")
    for kind, number in wire.requests.most_common():
        print(f"  {number:6d} {kind}, {wire.seconds[kind] / number:.3f} s each")
    goals = {
        f"{roll.done()} of {servers} are done": roll.done() == servers,
        f"{beyond:.2f} requests beyond the act, at most {CALLS}": beyond <= CALLS,
        f"{share:.1%} of the ideal schedule, at least {SHARE:.0%}": share >= SHARE,
    }
    return [goal for goal, met in goals.items() if not met]


def tell_schedule(site: Site, seconds: float, *, limit: int, line: float) -> float:
    """Print what the roll took beside what it could have taken; gives the share of the ideal schedule."""
    took = site.took()
    print(
        f"Nova took {statistics.median(took):.1f} s for a rebuild, {max(took):.1f} s at most; its API {line:.2f} s of them"
    )
    ideal, in_line = (site.ideal(took, limit=limit, line=one) for one in (0.0, line))
    print(
        f"ideal: {words(ideal)}, {ideal / seconds:.1%}; with a line before Nova: {words(in_line)}, {in_line / seconds:.1%}"
    )
    return ideal / seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """The numbers; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=200)
    parser.add_argument("--hurry", type=float, default=1.0, help="make the rules' times so many times shorter")
    given = parser.parse_args(arguments)
    site = a_site(given.servers, hurry=given.hurry)
    begun = time.monotonic()
    with TemporaryDirectory() as folder:
        try:
            site.make()
            print(f"{site.definition.size} servers made in {time.monotonic() - begun:.0f} s", flush=True)
            missed = measure(site, Path(folder))
        finally:
            ended = time.monotonic()
            site.remove()
            print(f"removed in {time.monotonic() - ended:.0f} s")
    print("\n".join(missed) or "all goals are met")
    return 1 if missed else 0


def moment(text: str) -> float:
    """Nova's times have no zone, and are UTC."""
    return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC).timestamp()


def words(seconds: float) -> str:
    """h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


def utc_now() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


def peak_megabytes() -> float:
    """The most that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
