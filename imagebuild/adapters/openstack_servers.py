"""Nova: servers, flavors, and how much of both the project may still have."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from imagebuild.adapters.openstack_api import Service, find_or_create
from imagebuild.adapters.openstack_errors import Answer, VersionMissing
from imagebuild.adapters.openstack_values import read_action, read_flavor, read_server, write_server
from imagebuild.cloud import OWNER_KEY, ROLE_KEY, Action, Flavor, Server, ServerRequest
from imagebuild.errors import CloudRefused
from imagebuild.secrets import Secret
from imagebuild.waiting import Clock, Deadline, wait_for

MICROVERSION = "2.60"  # Queens; 2.45 is the first whose createImage tells the image's id in its body
WITH_REASONS = "2.73"  # Train: who locked a server may have said why
WITH_GROUPS = "2.71"  # Stein: a server that is looked at alone tells its server group

Result = TypeVar("Result")

_GONE = frozenset({"DELETED", "SOFT_DELETED"})
_RUNNING = 1  # of Nova's power states


class Servers:
    """Servers of one project."""

    def __init__(self, nova: Service, *, clock: Clock) -> None:
        self._nova = nova
        self._clock = clock
        self._versions = [WITH_REASONS, WITH_GROUPS, MICROVERSION]

    def telling_most(self, ask: Callable[[str], Result]) -> Result:
        """What `ask` gives with the newest microversion of those in which Nova tells more of a server; what a cloud lacks is tried once."""
        while True:
            try:
                return ask(self._versions[0])
            except VersionMissing:
                if len(self._versions) == 1:
                    raise
                del self._versions[0]

    def limits(self) -> dict[str, Any]:
        """Nova's absolute limits."""
        absolute = self._nova.get("/limits", doing="read the compute quota").json()["limits"]["absolute"]
        return dict(absolute)

    def find_flavor(self, name: str) -> Flavor | None:
        """By name, then by id."""
        flavors = [read_flavor(item) for item in self._nova.list("/flavors/detail", "flavors", doing="list flavors")]
        by_name = next((flavor for flavor in flavors if flavor.name == name), None)
        return by_name or next((flavor for flavor in flavors if flavor.id == name), None)

    def all(self, *, name: str | None = None) -> Iterator[Server]:
        """All that are not about to go; only those of that very name when one is given."""
        # Nova takes the filter as a regular expression of its database: near misses are sorted out here.
        params = {"name": f"^{re.escape(name)}$"} if name else None
        for item in self._nova.list("/servers/detail", "servers", doing="list servers", params=params):
            server = read_server(item)
            if server.status in _GONE or server.task_state == "deleting" or (name and server.name != name):
                continue
            yield server

    def get(self, server_id: str) -> Server | None:
        """The server, None when it is gone."""
        path, doing = f"/servers/{server_id}", f"look at the server {server_id}"
        answer = self.telling_most(
            lambda version: self._nova.get(path, doing=doing, expect=(404,), microversion=version)
        )
        if answer.status == 404:
            return None
        server = read_server(answer.json()["server"])
        return None if server.status in _GONE else server

    def create(self, request: ServerRequest, *, owner: str, role: str) -> Server:
        """Find-or-create by owner, role and name."""
        marks = {OWNER_KEY: owner, ROLE_KEY: role}
        return self.create_marked(request, marks=marks, known_by=marks)

    def create_marked(
        self,
        request: ServerRequest,
        *,
        marks: Mapping[str, str],
        known_by: Mapping[str, str],
        is_new: bool = False,
    ) -> Server:
        """A server with `marks` in its metadata: the one of that name that has `known_by` in its own, or a new one.

        Nova tells little more than a new one's id: it comes back as it was asked for, who waits for it will see the rest.
        """

        def find() -> Server | None:
            return next(
                (each for each in self.all(name=request.name) if known_by.items() <= each.metadata.items()), None
            )

        def create() -> Server:
            return Server(
                id=self._post(request, marks=marks),
                name=request.name,
                status="BUILD",
                metadata={**request.metadata, **marks},
                image_id=request.image_id if request.root_gib is None else None,
                tags=request.tags,
            )

        return find_or_create(find, create, f"the server '{request.name}'", clock=self._clock, is_new=is_new)

    def _post(self, request: ServerRequest, *, marks: Mapping[str, str]) -> str:
        doing, body = f"create the server '{request.name}'", write_server(request, marks=marks)
        made: str = self._nova.call("POST", "/servers", doing=doing, body=body).json()["server"]["id"]
        return made

    def actions(self, server_id: str) -> Sequence[Action]:
        """Oldest first; Nova lists the newest first."""
        path = f"/servers/{server_id}/os-instance-actions"
        answer = self._nova.get(path, doing=f"read the history of the server {server_id}")
        return tuple(read_action(item) for item in reversed(answer.json()["instanceActions"]))

    def console_log(self, server_id: str) -> str:
        """Without a length Nova gives all that it keeps. 404 and 409: there is no console (yet, any more).

        Nova's libvirt driver takes the console's path from the running domain, so a server that is off has no console log,
        although the file is still there: what matters has to be read before.
        """
        doing = f"read the console log of the server {server_id}"
        body: dict[str, Any] = {"os-getConsoleOutput": {}}
        answer = self.act(server_id, body, doing=doing, expect=(404, 409), repeat=True)
        return "" if answer.status in (404, 409) else str(answer.json().get("output") or "")

    def console_address(self, server_id: str) -> Secret | None:
        """The address of its noVNC console, good for some minutes; None when there is none (off, gone, a cloud without VNC)."""
        server = self.get(server_id)
        if (
            server is None or server.power_state != _RUNNING
        ):  # Nova gives an address all the same, and its proxy hangs up
            return None
        body = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
        doing = f"open the console of the server {server_id}"
        path = f"/servers/{server_id}/remote-consoles"
        without = (400, 403, 404, 409, 501)
        answer = self._nova.call("POST", path, doing=doing, body=body, expect=without, repeat=True)
        return None if answer.status in without else Secret(answer.json()["remote_console"]["url"])

    def stop(self, server_id: str) -> None:
        """No error when it is stopped or on its way there."""
        self._switch(server_id, "os-stop", "stop", there=("SHUTOFF", "powering-off"))

    def start(self, server_id: str) -> None:
        """No error when it runs or is on its way there."""
        self._switch(server_id, "os-start", "start", there=("ACTIVE", "powering-on"))

    def _switch(self, server_id: str, action: str, verb: str, *, there: tuple[str, str]) -> None:
        doing = f"{verb} the server {server_id}"
        answer = self.act(server_id, {action: None}, doing=doing, expect=(409,), repeat=True)
        if answer.status != 409:
            return
        server = self.get(server_id)
        if server is None or not {server.status, server.task_state} & set(there):
            state = f"{server.status}, task {server.task_state}" if server else "gone"
            raise CloudRefused(f"could not {doing}: it is {state}", hint="look at it with `openstack server show`")

    def act(
        self,
        server_id: str,
        body: object,
        *,
        doing: str,
        expect: tuple[int, ...] = (),
        microversion: str | None = None,
        repeat: bool = False,
    ) -> Answer:
        """`POST /servers/ID/action`."""
        path = f"/servers/{server_id}/action"
        return self._nova.call(
            "POST", path, doing=doing, body=body, expect=expect, microversion=microversion, repeat=repeat
        )

    def begin_delete(self, server_id: str) -> None:
        """Ask for it and come back at once; what is gone already is no error."""
        doing = f"delete the server {server_id}"
        self._nova.call("DELETE", f"/servers/{server_id}", doing=doing, expect=(404,), repeat=True)

    def delete(self, server_id: str, *, deadline: Deadline) -> None:
        """Delete and wait. Asked again when Nova dropped the first request (a host that was away, a service restart)."""

        def probe() -> bool | None:
            server = self.get(server_id)
            if server is None:
                return True
            if server.task_state != "deleting":
                self.begin_delete(server_id)
            return None

        hint = "`openstack server show` tells what holds it; the operator can reset its state"
        what = f"the server {server_id} to be gone"
        wait_for(probe, what, deadline=deadline, every=0.1, growth=1.15, slowest=4.0, hint=hint)
