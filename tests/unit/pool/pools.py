"""A pool in a fake cloud with its broker: two versions of an image, desktops on the old one, all free; tests change what they are about."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from imagebuild.cloud import Flavor, Image, Network, Server, ServerRequest
from imagebuild.images import Version, find_version
from imagebuild.pool.definition import PoolDefinition
from imagebuild.pool.marks import IMAGE_ID
from imagebuild.pool.roll_plan import RollPlan, plan_roll
from imagebuild.pool.survey import Survey, survey
from tests.fakes.broker import EPOCH, FakeBroker
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud
from tests.fakes.cloud_state import Limits
from tests.unit.versions import add_version

POOL: dict[str, Any] = {
    "pool": "staff",
    "recipe": "small",
    "flavor": "desktop",
    "network": "vdi",
    "security_group": "vdi-desktop",
    "size": 4,
}


def define(**changes: Any) -> PoolDefinition:
    """The pool's file with these keys other."""
    return PoolDefinition.model_validate({**POOL, **changes})


@dataclass
class Site:
    """One cloud, one broker, one pool."""

    definition: PoolDefinition
    clock: FakeClock
    cloud: FakeCloud
    broker: FakeBroker
    flavor: Flavor
    network: Network
    old: Image
    new: Image

    @property
    def now(self) -> datetime:
        """The moment by the fake clock, which both fakes go by."""
        return EPOCH + timedelta(seconds=self.clock.now())

    @property
    def to(self) -> Version:
        """The version that a roll goes to."""
        return find_version(self.cloud, "small")

    def add(self, name: str, *, image: Image | None = None, flavor: Flavor | None = None, **more: Any) -> Server:
        """One more desktop in cloud and broker. `more`: what add_desktop takes, and `metadata`."""
        image = image or self.old
        request = ServerRequest(
            name=name,
            image_id=image.id,
            flavor_id=(flavor or self.flavor).id,
            network_id=self.network.id,
            metadata={IMAGE_ID: image.id, **more.pop("metadata", {})},
        )
        self.broker.add("staff", name)
        return self.cloud.add_desktop(name, request, pool="staff", **more)

    def change(self, server: Server, **members: Any) -> None:
        """Nova says something else of this server from now on."""
        machine = self.cloud._machines[server.id]
        machine.server = replace(machine.server, **members)

    def look(self) -> Survey:
        """A survey as it is now."""
        return survey(self.definition, self.cloud, self.broker)

    def plan(self, **more: Any) -> RollPlan:
        """The plan of a roll to the current version."""
        to = more.pop("to", None) or self.to
        return plan_roll(
            self.definition, self.look(), to=to, cloud=self.cloud, broker=self.broker, now=self.now, **more
        )


def a_site(desktops: int = 4, **changes: Any) -> Site:
    """The pool `staff` with desktop-1 to desktop-N on small-v1; small-v2 is current."""
    clock = FakeClock()
    cloud = FakeCloud(clock, limits=Limits(instances=desktops + 2, cores=1000, ram_mib=10**7, volumes=100))
    old, new = add_version(cloud, 1, "superseded"), add_version(cloud, 2, "current")
    cloud.create_pool_group("vdi-desktop", pool="staff")
    broker = FakeBroker(clock)
    broker.add_pool("staff", image=new.name)
    site = Site(
        define(**{"size": max(1, desktops), **changes}),
        clock,
        cloud,
        broker,
        cloud.add_flavor("desktop"),
        cloud.add_network("vdi", "10.0.0.0/8", project_id=cloud.project_id),
        old,
        new,
    )
    for number in range(1, desktops + 1):
        site.add(f"desktop-{number}")
    return site


MOMENT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
