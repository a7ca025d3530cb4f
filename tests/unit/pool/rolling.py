"""A pool in memory to roll: a cloud and a broker that know of each other, users who come and go, and a clock that runs all of it."""

import functools
import heapq
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from imagebuild.cloud import Server, ServerRequest
from imagebuild.console_words import Told
from imagebuild.images import Version, find_version
from imagebuild.journal import Entry
from imagebuild.pool.assignment import assign
from imagebuild.pool.definition import PoolDefinition
from imagebuild.pool.hands import Hands
from imagebuild.pool.lookout import Lookout
from imagebuild.pool.marks import EXTRA
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.progress import Progress
from imagebuild.pool.roll import Roll, Wish
from imagebuild.pool.roll_journal import RollLog, read_log
from imagebuild.pool.roll_plan import RollPlan, plan_roll
from imagebuild.pool.starting import start
from imagebuild.pool.survey import survey
from imagebuild.report import Report, SilentReport
from tests.fakes.broker import EPOCH, FakeBroker
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud
from tests.fakes.cloud_world import Limits
from tests.fakes.kill import Killed
from tests.unit.versions import add_version

POOL = "staff"
SCAN_SECONDS = 20.0
"""After such a time the broker misses a machine."""


class SimulatedClock(FakeClock):
    """Time that passes when somebody sleeps; what was arranged for a moment happens then."""

    def __init__(self) -> None:
        super().__init__()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Let it happen that many seconds from now."""
        heapq.heappush(self._events, (self.now() + seconds, next(self._order), action))

    def sleep(self, seconds: float) -> None:
        """Time passes, event by event."""
        end = self.now() + seconds
        while self._events and self._events[0][0] <= end:
            when, _, action = heapq.heappop(self._events)
            super().sleep(max(0.0, when - self.now()))
            self._now = max(self._now, when)  # a sum of floats may stay a hair before it
            action()
        super().sleep(max(0.0, end - self.now()))


class PoolCloud(FakeCloud):
    """A cloud whose desktops' users and agents feel what is done to them. `check` is called before each act that ends a system."""

    def __init__(self, clock: SimulatedClock, broker: FakeBroker) -> None:
        self.sim = clock
        super().__init__(clock, limits=Limits(instances=10**6, cores=10**6, ram_mib=10**9, volumes=10**6))
        self._broker = broker
        self.agent_seconds = 20.0
        self.silent_agents: Callable[[Server], bool] = lambda server: False
        self._found: set[str] = set()
        """Names that the broker has by its own scan; when their machine is gone, it forgets them."""
        self.boots = self._booted

    def rebuild_server(self, server_id: str, image_id: str, **more: Any) -> None:
        before = len(self.rebuilds)
        try:
            super().rebuild_server(server_id, image_id, **more)
        finally:
            if len(self.rebuilds) > before:
                self._broker.destroyed(self._machines[server_id].server.name)

    def delete_server(self, server_id: str) -> None:
        name = self._machines[server_id].server.name if server_id in self._machines else ""
        try:
            super().delete_server(server_id)
        finally:
            if name and self._machines[server_id].server.task_state == "deleting":
                self._broker.destroyed(name)

    def stop_server(self, server_id: str) -> None:
        self._broker.destroyed(self._machines[server_id].server.name)
        super().stop_server(server_id)

    def image_now(self, name: str) -> str | None:
        """The image that the server of that name has, without a call."""
        return self._machines[self._named[name][0]].server.image_id

    def _after(self, seconds: float, event: Callable[[], object]) -> None:
        """Nova works on whether anybody asks or not: what is due happens at its moment."""
        super()._after(seconds, event)
        self.sim.at(seconds, self.go_on)

    def _booted(self, server_id: str) -> None:
        """A scan of the broker's finds an extra desktop that it does not know."""
        server = self._machines[server_id].server
        if EXTRA in server.metadata and server.name not in self._found:
            self._broker.found(POOL, server.name)
            self._found.add(server.name)
        if not self.silent_agents(server):
            self.sim.at(self.agent_seconds, lambda: self._reports(server.name))

    def _forget_machine(self, server_id: str) -> None:
        name = self._machines[server_id].server.name
        super()._forget_machine(server_id)
        self.sim.at(SCAN_SECONDS, lambda: self._scan(name))

    def _scan(self, name: str) -> None:
        if name in self._found and not self._named[name]:
            self._broker.remove(name)
            self._found.discard(name)

    def _reports(self, name: str) -> None:
        if self._broker.pools and name.casefold() in self._broker.pools[POOL].records:
            self._broker.booted(name)


@dataclass
class Sight:
    """imagebuild.pool.health.Witness: what tests want it to see."""

    cloud: FakeCloud
    deaf: set[str] = field(default_factory=set)
    stamps: dict[str, Mapping[str, str]] = field(default_factory=dict)
    members: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def answers(self, address: str) -> bool:
        return address not in self.deaf

    def told(self, server_id: str) -> Told:
        return Told(self.stamps.get(server_id), self.members.get(server_id))


class Site:
    """A pool of `size` desktops on the first version, and a second version to bring to it."""

    def __init__(self, size: int = 10, *, report: Report | None = None, **rules: Any) -> None:
        self.clock = SimulatedClock()
        self.broker = FakeBroker(self.clock)
        self.cloud = PoolCloud(self.clock, self.broker)
        self.report = report or SilentReport()
        self.old = add_version(self.cloud, 1, "superseded")
        self.new = add_version(self.cloud, 2, "current")
        for image in (self.old, self.new):
            self.cloud._images[image.id] = replace(self.cloud._images[image.id], checksum=f"{image.name:0>32s}")
        self.flavor = self.cloud.add_flavor("2cpu_2GB_40GB")
        self.network = self.cloud.add_network("vdi-network", "10.0.0.0/8")
        self.group = self.cloud.create_pool_group("vdi-desktop", pool=POOL)
        self.definition = a_pool(size, **rules)
        self.names = [self.definition.name_of(number) for number in range(1, size + 1)]
        self.broker.add_pool(POOL, *self.names, image=self.old.name)
        self.broker.cloud_images |= {self.new.name}
        self.broker.known_images |= {self.new.name}
        for name in self.names:
            self.add_server(name)
        self.clock.sleep(60)
        self.witness = Sight(self.cloud)
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.kill_at: int | None = None
        self.wish: Wish | None = None

    def add_server(self, name: str, **more: Any) -> Server:
        """One desktop on the old image."""
        request = ServerRequest(
            name=name, image_id=self.old.id, flavor_id=self.flavor.id, network_id=self.network.id, port_id=None
        )
        server = self.cloud.add_desktop(name, request, pool=POOL, **more)
        self.broker.booted(name)
        return server

    def server(self, name: str) -> Server:
        """The server of that name as it is."""
        return self.cloud._machines[self.cloud._named[name][0]].server

    def has_server(self, name: str) -> bool:
        """Is there one? Not while it is being replaced."""
        return bool(self.cloud._named[name])

    def now(self) -> datetime:
        """The time on everybody's clock."""
        return EPOCH + timedelta(seconds=self.clock.now())

    def version(self, text: str) -> Version:
        """A version by name or image id."""
        return find_version(self.cloud, text)

    def plan(self, to: str = "small-v2", **more: Any) -> RollPlan:
        """What a roll would do."""
        pool = survey(self.definition, self.cloud, self.broker)
        return plan_roll(
            self.definition, pool, to=self.version(to), cloud=self.cloud, broker=self.broker, now=self.now(), **more
        )

    def start(self, plan: RollPlan | None = None, *, back: bool = False, roll_id: str = "roll-1") -> Roll:
        """A roll by the plan, its journal begun."""
        plan = plan or self.plan()
        assert not plan.refused, [str(finding) for finding in plan.findings if finding.level == "refuse"]
        assignment = assign(
            plan, self.definition.roll, roll_id=roll_id, began_at=self.now(), started_by="kim@host", back=back
        )
        log = start(plan, assignment, write=self.write)
        return self.roll(log)

    def resume(self) -> Roll:
        """The same roll by another process, which has nothing but the journal."""
        entries = [Entry(event, "", facts) for event, facts in self.lines]
        log = read_log(entries, write=self.write)
        assert log is not None
        roll = self.roll(log)
        roll.taken_up = True
        return roll

    def roll(self, log: RollLog) -> Roll:
        """A process that works on it."""
        lookout = Lookout(self.definition, self.cloud, self.broker, now=self.now)
        hands = Hands(
            definition=self.definition,
            assignment=log.assignment,
            cloud=self.cloud,
            broker=self.broker,
            lookout=lookout,
            version_of=functools.cache(self.version),
            provisioned=lambda: bool(log.provisioning),
            pool_image=lambda: log.image_before or "",
        )
        return Roll(
            log=log,
            hands=hands,
            witness=self.witness,
            now=self.now,
            clock=self.clock,
            report=self.report,
            wishes=lambda: self.wish,
        )

    def write(self, event: str, **facts: Any) -> None:
        """The journal's disk; before line `kill_at` the process is killed."""
        if self.kill_at is not None and len(self.lines) >= self.kill_at:
            raise Killed
        self.lines.append((event, json.loads(json.dumps(facts))))

    def phases(self, roll: Roll) -> dict[str, Phase]:
        """How each desktop ended."""
        return {name: progress.phase for name, progress in roll.log.held.items()}

    def held_back(self) -> list[str]:
        """The desktops that nobody can be given."""
        return [record.name for record in self.broker.pools[POOL].all() if not record.available]


def a_pool(size: int = 10, **rules: Any) -> PoolDefinition:
    """A pool's file; `rules` go into its `roll:` section."""
    wanted = {"max_unavailable": "30%", "auto_continue": True, "bake_time": "10m", **rules}
    content = {
        "pool": POOL,
        "recipe": "small",
        "size": size,
        "flavor": "2cpu_2GB_40GB",
        "network": "vdi-network",
        "security_group": "vdi-desktop",
        "roll": wanted,
    }
    return PoolDefinition.model_validate(content)


def images_of(site: Site, names: Iterable[str]) -> set[str | None]:
    """The images that these desktops are on."""
    return {site.cloud.image_now(name) for name in names}


__all__ = [
    "POOL",
    "Killed",
    "PoolCloud",
    "Progress",
    "RollState",
    "Sight",
    "SimulatedClock",
    "Site",
    "a_pool",
    "images_of",
]
