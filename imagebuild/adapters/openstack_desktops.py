"""Nova again, for servers that stay: listing them by tag, new root disks, marks, an end that nobody waits for."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from imagebuild.adapters.openstack_api import SETTLE_SECONDS, Service, persist
from imagebuild.adapters.openstack_errors import AnswerLost
from imagebuild.adapters.openstack_servers import Servers
from imagebuild.adapters.openstack_values import read_server, read_server_group
from imagebuild.cloud import POOL_KEY, Server, ServerGroup, ServerRequest
from imagebuild.waiting import Clock

_OVERLAP = timedelta(seconds=60)  # the cloud's controllers have clocks of their own, and write when they come to it
_TIME = "%Y-%m-%dT%H:%M:%SZ"
WIPES_ROOT_VOLUMES = "2.93"  # from here on a rebuild writes the image over a root volume, without being asked


class Desktops:
    """Servers of one project, as pools see them."""

    def __init__(self, nova: Service, servers: Servers, *, clock: Clock) -> None:
        self._nova = nova
        self._servers = servers
        self._clock = clock

    def all(self, *, tags: Sequence[str], changed_since: str) -> tuple[Server, ...]:
        """By tags. Nova leaves out the servers of a cell that is down: who is absent is not gone.

        Nova removes a server's tags when it deletes it (nova.db.main.api.instance_destroy), so its own filter by tags would keep the
        deleted ones from us: changes are filtered here. It asks a minute further back than it was told to.
        """
        params = {}
        if changed_since:
            params["changes-since"] = (datetime.fromisoformat(changed_since) - _OVERLAP).strftime(_TIME)
        elif tags:
            params["tags"] = ",".join(tags)
        servers = self._servers.telling_most(lambda version: self._list(params, version))
        if changed_since:
            return tuple(one for one in servers if one.status == "DELETED" or set(tags) <= set(one.tags))
        return tuple(one for one in servers if one.task_state != "deleting")

    def _list(self, params: Mapping[str, str], microversion: str) -> list[Server]:
        """Read page by page: what Nova says of a server is many times what is kept of it."""
        items = self._nova.list(
            "/servers/detail", "servers", doing="list servers", params=params, microversion=microversion
        )
        return [read_server(item) for item in items]

    def zones(self) -> tuple[str, ...]:
        """Those with a host that is up."""
        answer = self._nova.get("/os-availability-zone", doing="list the availability zones").json()
        return tuple(one["zoneName"] for one in answer["availabilityZoneInfo"] if one["zoneState"]["available"])

    def groups(self) -> tuple[ServerGroup, ...]:
        """Nova pages these by a number to begin at, without a marker or a link: up to the first page that has nothing."""
        found: list[ServerGroup] = []
        while True:
            params = {"offset": str(len(found))}
            answer = self._nova.get("/os-server-groups", doing="list the server groups", params=params)
            page = answer.json()["server_groups"]
            if not page:
                return tuple(found)
            found += map(read_server_group, page)

    def create(self, request: ServerRequest, *, pool: str, is_new: bool = False) -> Server:
        """Find-or-create by pool, name and the request's metadata.

        A port is no guard against a second one: Nova takes it for another server until nova-compute has plugged it into the first,
        and when that other one fails its cleaning up unplugs the first one's (seen in the lab).
        """
        marks = {POOL_KEY: pool}
        known_by = {**request.metadata, **marks}
        return self._servers.create_marked(request, marks=marks, known_by=known_by, is_new=is_new)

    def rebuild(
        self,
        server_id: str,
        image_id: str,
        *,
        user_data: str | None,
        metadata: Mapping[str, str] | None,
        allow_root_volume_wipe: bool,
    ) -> None:
        """Ask for a new root disk; after a lost answer it looks whether Nova is at it before it asks again."""
        asked: dict[str, Any] = {"imageRef": image_id}
        if user_data is not None:
            asked["user_data"] = base64.b64encode(user_data.encode()).decode("ascii")
        if metadata is not None:
            asked["metadata"] = dict(metadata)
        doing = f"rebuild the server {server_id} from the image {image_id}"
        version = WIPES_ROOT_VOLUMES if allow_root_volume_wipe else None
        perhaps_done = False

        def once() -> bool:
            nonlocal perhaps_done
            if perhaps_done and self._is_rebuilt(server_id, image_id):
                return True
            try:
                self._servers.act(server_id, {"rebuild": asked}, doing=doing, microversion=version)
            except AnswerLost as lost:
                if not lost.surely_not_done:
                    perhaps_done = True
                    lost.retry_after = max(lost.retry_after, SETTLE_SECONDS)
                raise
            return True

        persist(once, f"to {doing}", clock=self._clock)

    def _is_rebuilt(self, server_id: str, image_id: str) -> bool:
        """Whether Nova has accepted it: the image is the new one then at once, but for a server with a root volume."""
        server = self._servers.get(server_id)
        at_it = server is not None and (server.status == "REBUILD" or (server.task_state or "").startswith("rebuild"))
        return server is not None and (at_it or server.image_id == image_id)

    def set_metadata(self, server_id: str, metadata: Mapping[str, str | None]) -> None:
        """One call for all that is set, one for each that is removed."""
        doing = f"mark the server {server_id}"
        path = f"/servers/{server_id}/metadata"
        kept = {key: value for key, value in metadata.items() if value is not None}
        if kept:
            self._nova.call("POST", path, doing=doing, body={"metadata": kept}, repeat=True)
        for key in metadata.keys() - kept.keys():
            self._nova.call("DELETE", f"{path}/{quote(key, safe='')}", doing=doing, expect=(404,), repeat=True)

    def tag(self, server_id: str, tag: str, *, present: bool) -> None:
        """PUT or DELETE of that one tag: others stay."""
        path = f"/servers/{server_id}/tags/{quote(tag, safe='=')}"
        doing = f"{'tag' if present else 'untag'} the server {server_id} with '{tag}'"
        if present:
            self._nova.call("PUT", path, doing=doing, repeat=True)
        else:
            self._nova.call("DELETE", path, doing=doing, expect=(404,), repeat=True)

    def delete(self, server_id: str) -> None:
        """Nova takes it as often as it is asked."""
        doing = f"delete the server {server_id}"
        self._nova.call("DELETE", f"/servers/{server_id}", doing=doing, expect=(404,), repeat=True)
