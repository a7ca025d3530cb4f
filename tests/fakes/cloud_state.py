"""What there is in the fake cloud, and its time: nothing happens by itself but in go_on, when the clock says so."""

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from imagebuild.cloud import (
    Action,
    Flavor,
    Image,
    Network,
    Rule,
    SecurityGroup,
    Server,
    ServerGroup,
    ServerRequest,
    Subnet,
    Volume,
)
from imagebuild.errors import CloudUnreachable
from imagebuild.waiting import Clock
from tests.fakes.cloud_plugs import Plugs
from tests.fakes.faults import Faults

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)  # when the clock stands at 0
BOOT_SECONDS = 3.0
STOP_SECONDS = 2.0
DELETE_SECONDS = 1.5
VOLUME_SECONDS = 1.0
SNAPSHOT_SECONDS = 4.0


@dataclass(frozen=True)
class Limits:
    """The project's quota."""

    instances: int = 10
    cores: int = 20
    ram_mib: int = 51200
    volumes: int = 10
    gigabytes: int = 1000
    security_groups: int = 10
    group_members: int = 10
    ports: int = 500


@dataclass
class Machine:
    """A server with what Nova keeps about it beside the public value."""

    server: Server
    request: ServerRequest
    flavor: Flavor
    volumes: list[str]
    console: str = ""
    actions: tuple[Action, ...] = ()


class State:
    """All that there is. Its clock is the test's; nothing happens but in go_on."""

    project_id = "project-of-the-builder"
    user_id = "user-of-the-builder"

    def __init__(self, clock: Clock, *, limits: Limits | None = None) -> None:
        self.clock = clock
        self.limits = limits or Limits()
        self.faults = Faults(lambda: CloudUnreachable("the connection broke before the answer came"))
        self.server_fault = ""  # what Nova says of the next server, which goes to ERROR; "" = it boots
        self.snapshot_fails = False  # Nova drops the next image when its upload fails
        self.boots: Callable[[str], None] = lambda server_id: None  # called when a server becomes ACTIVE
        self.ends: Callable[[str], None] = lambda name: (
            None
        )  # called with a server's name when it is stopped, rebuilt or deleted
        self.unlisted: set[str] = set()  # names of servers in a cell that is down: Nova leaves them out without a word
        self.may_deactivate = True  # before Wallaby only administrators could, by Glance's default policy
        self.screen: bytes | None = (
            None  # what a running server's console shows, a PNG; None = a cloud without consoles
        )
        self._flavors: dict[str, Flavor] = {}
        self._specs: dict[str, Mapping[str, str]] = {}
        self._networks: dict[str, Network] = {}
        self._images: dict[str, Image] = {}
        self._images_ever: set[str] = set()  # Glance keeps the ids of deleted images
        self._foreign: set[str] = set()
        self._pending: set[str] = set()  # of these, the ones that are shared with us and not accepted yet
        self._volumes: dict[str, Volume] = {}
        self._groups: dict[str, SecurityGroup] = {}
        self._machines: dict[str, Machine] = {}
        self._server_groups: dict[str, ServerGroup] = {}  # without their members: these are told by the machines
        self.zones = ["nova"]
        self.hosts: int | None = None  # so many there are, for servers that may not share one; None = enough
        self._used: Counter[str] = Counter()  # of the quotas of servers
        self._named: dict[str, list[str]] = defaultdict(list)  # ids of servers by name, which is not unique
        self._deleted: list[Server] = []
        self._rebuilds: list[tuple[str, str]] = []
        self._plugs = Plugs()
        self._subnets: dict[str, Subnet] = {}
        self.allocations: dict[str, tuple[str, str] | None] = {}  # what a new subnet was asked to give away, by range
        self.default_rules = (
            Rule("egress"),
            Rule("egress", ipv6=True),
        )  # of a new group; administrators may choose others
        self._rules: dict[str, tuple[str, Rule]] = {}  # rule id -> group id, rule
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()

    def go_on(self) -> None:
        """Let happen what is due, in order."""
        while self._due and self._due[0][0] <= self.clock.now():
            heapq.heappop(self._due)[2]()

    def next_event(self) -> float | None:
        """When the next thing happens by itself, None when nothing will."""
        return self._due[0][0] if self._due else None

    def _after(self, seconds: float, event: Callable[[], object]) -> None:
        heapq.heappush(self._due, (self.clock.now() + seconds, next(self._order), event))

    def _now(self) -> str:
        return (EPOCH + timedelta(seconds=int(self.clock.now()))).strftime("%Y-%m-%dT%H:%M:%SZ")
