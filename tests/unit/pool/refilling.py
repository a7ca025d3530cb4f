"""A pool whose desktops the broker makes by itself, to be rolled with `method: broker`: tests.unit.pool.rolling with provisioning."""

from typing import Any

from imagebuild.cloud import Server, ServerRequest
from imagebuild.pool.marks import pool_tag
from tests.fakes.broker_making import Maker
from tests.unit.pool.rolling import POOL, Site


class RefillSite(Site):
    """`size` desktops that the broker made, all free: `threshold` of them it wants to stay so, else all."""

    def __init__(
        self, size: int = 6, *, threshold: int | None = None, maximum: int | None = None, **rules: Any
    ) -> None:
        super().__init__(size, **{"boot_timeout": "10m", **rules, "method": "broker"})
        kept = self.broker.pools[POOL]
        kept.threshold, kept.next_value = threshold or size, size + 1
        kept.maximum = maximum or 2 * size
        self.maker = Maker(self.broker, self.cloud, POOL, self._request, self.clock.at)
        self.maker.look()

    def _request(self, name: str, image: str) -> ServerRequest:
        number = {self.old.name: self.old.id, self.new.name: self.new.id}[image]
        return ServerRequest(name=name, image_id=number, flavor_id=self.flavor.id, network_id=self.network.id)

    def servers(self) -> list[Server]:
        """All that there are."""
        return [machine.server for machine in self.cloud._machines.values()]

    def members(self) -> list[Server]:
        """The pool's."""
        return [server for server in self.servers() if pool_tag(POOL) in server.tags]

    def images(self) -> set[str | None]:
        """The images that the servers run from."""
        return {server.image_id for server in self.servers()}

    @property
    def threshold(self) -> int:
        """So many free ones the broker wants."""
        return self.broker.pools[POOL].threshold
