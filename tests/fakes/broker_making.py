"""A broker that provisions: every few seconds it looks at its cloud, forgets what is gone, and makes desktops while too few are free."""

from collections.abc import Callable
from dataclasses import dataclass, field

from imagebuild.cloud import ServerRequest
from imagebuild.errors import CloudError
from tests.fakes.broker import FakeBroker
from tests.fakes.broker_world import Pool, Record
from tests.fakes.cloud import FakeCloud

LOOK_SECONDS = 10.0


@dataclass
class Maker:
    """The provisioning of one pool. `request` is what it asks the cloud for, by name and image; `at` lets something happen later.

    `counts_held`: a desktop that is held back still counts as one of the pool's (a broker that takes it out of the pool makes another).
    `enforces`: it also deletes unassigned desktops that are too many, the newest first. `problems` are what the cloud said no with.
    """

    broker: FakeBroker
    cloud: FakeCloud
    pool: str
    request: Callable[[str, str], ServerRequest]
    at: Callable[[float, Callable[[], None]], None]
    counts_held: bool = True
    enforces: bool = False
    works: bool = True
    ordered: dict[str, str] = field(default_factory=dict)
    """Server ids by the names of those that it has not found in the cloud yet."""
    made: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def look(self) -> None:
        """One look, and the next one later."""
        servers = {machine.server.name: machine.server for machine in self.cloud._machines.values()}
        kept = self.broker.pools[self.pool]
        for name in [record.name for record in kept.all() if record.name not in servers]:
            self.broker.remove(name)
        for name, server_id in list(self.ordered.items()):
            server = servers.get(name)
            if server is None:
                del self.ordered[name]
            elif server.id == server_id and server.status != "BUILD":
                del self.ordered[name]
                self.broker.add(self.pool, name).agent = "down"  # until it reports
        if kept.provisioning and self.works:
            self._fill(kept)
        self.at(LOOK_SECONDS, self.look)

    def _fill(self, kept: Pool) -> None:
        there = [record for record in kept.all() if record.available or self.counts_held]
        unassigned = [record for record in there if record.user is None]
        coming = len(self.ordered)
        missing = min(kept.threshold - len(unassigned) - coming, kept.maximum - len(there) - coming)
        for _ in range(missing):
            self._make(kept)
        if self.enforces:
            self._thin_out(unassigned, max(0, len(unassigned) - kept.threshold))

    def _make(self, kept: Pool) -> None:
        name = f"desktop-{kept.next_value}"
        kept.next_value += 1
        try:
            self.ordered[name] = self.cloud._make_server(self.request(name, kept.image or ""), {}).id
        except CloudError as error:
            self.problems.append(str(error))
        else:
            self.made.append(name)

    def _thin_out(self, unassigned: list[Record], excess: int) -> None:
        for record in unassigned[len(unassigned) - excess :]:
            found = next(one for one in self.cloud._machines.values() if one.server.name == record.name)
            self.cloud._delete_server(found.server.id)
