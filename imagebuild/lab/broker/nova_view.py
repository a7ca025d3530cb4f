"""imagebuild.lab.broker.cloud_view.CloudView over a real OpenStack: Keystone, Nova and Glance by plain HTTP, as one project's user."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from math import inf
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote

from imagebuild.lab.broker.cloud_view import Look, Machine, Refused
from imagebuild.lab.broker.machines import moment_of

SECONDS = 20.0
_PAGE = 1000
_LATER = (401, 408, 429)
"""Answers after which the same may be asked for again."""


@dataclass(frozen=True, kw_only=True)
class CloudAccount:
    """A user and where to find Keystone, as in a clouds.yaml."""

    auth_url: str
    user: str
    password: str = field(repr=False)
    project: str
    domain_id: str = "default"


class NovaView:
    """The cloud of this account. The environment's proxies are not for it."""

    def __init__(self, account: CloudAccount) -> None:
        self._account = account
        self._token = ""
        self._places: dict[str, str] = {}
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def look(self, *, images: bool) -> Look:
        """All servers of the project in pages; of the images the active ones."""
        machines = [_machine(server) for server in self._servers()]
        return Look(tuple(machines), tuple(image["name"] for image in self._images()) if images else ())

    def make(self, name: str, image: str, provision: Mapping[str, Any]) -> None:
        """By the pool's flavor and network (names or ids), zone and security groups. What is there under this name is not made again."""
        if any(server["name"] == name for server in self._servers()):
            return
        place = provision.get("center") or {}
        server: dict[str, Any] = {
            "name": name,
            "imageRef": _find("image", image, self._images(image)),
            "flavorRef": _find("flavor", place.get("flavor"), self._ask("compute", "/flavors")["flavors"]),
            "networks": "auto",
        }
        if place.get("network"):
            networks = self._ask("network", "/v2.0/networks")["networks"]
            server["networks"] = [{"uuid": _find("network", place["network"], networks)}]
        if place.get("availability_zone"):
            server["availability_zone"] = place["availability_zone"]
        if place.get("security_groups"):
            server["security_groups"] = [{"name": group} for group in place["security_groups"]]
        self._order("/servers", {"server": server})

    def remove(self, machine: str) -> None:
        """One that is gone already is gone."""
        self._order(f"/servers/{machine}", method="DELETE", gone=(404,))

    def _order(self, path: str, body: Any = None, *, method: str | None = None, gone: tuple[int, ...] = ()) -> None:
        """A call that Nova may refuse."""
        try:
            self._ask("compute", path, body, method=method)
        except HTTPError as error:
            if error.code in gone:
                return
            if error.code >= 500 or error.code in _LATER:
                raise
            raise Refused(f"{error.code} {_words_of(error)}") from error

    def _servers(self) -> Iterator[dict[str, Any]]:
        marker = ""
        while True:
            told = self._ask("compute", f"/servers/detail?limit={_PAGE}{marker}")
            yield from told["servers"]
            if not told.get("servers_links"):
                return
            marker = f"&marker={told['servers'][-1]['id']}"

    def _images(self, name: str = "") -> Iterator[dict[str, Any]]:
        path = f"/v2/images?status=active&limit={_PAGE}" + (f"&name={quote(name)}" if name else "")
        while path:
            told = self._ask("image", path)
            yield from told["images"]
            path = told.get("next", "")

    def _ask(self, service: str, path: str, body: Any = None, *, method: str | None = None) -> Any:
        """One call, with a new token once more when the old one is no longer taken."""
        if not self._token:
            self._log_in()
        try:
            return self._call(self._places[service] + path, body, method)
        except HTTPError as error:
            if error.code != 401:
                raise
        self._log_in()
        return self._call(self._places[service] + path, body, method)

    def _log_in(self) -> None:
        account = self._account
        domain = {"id": account.domain_id}
        user = {"name": account.user, "domain": domain, "password": account.password}
        scope = {"project": {"name": account.project, "domain": domain}}
        identity = {"methods": ["password"], "password": {"user": user}}
        request = _request(f"{account.auth_url}/auth/tokens", {"auth": {"identity": identity, "scope": scope}}, None)
        with self._open(request, timeout=SECONDS) as answer:
            told = json.load(answer)
            self._token = answer.headers["X-Subject-Token"]
        for service in told["token"]["catalog"]:
            public = [one["url"] for one in service["endpoints"] if one["interface"] == "public"]
            if public:
                self._places[service["type"]] = public[0].rstrip("/")

    def _call(self, url: str, body: Any, method: str | None) -> Any:
        request = _request(url, body, method)
        request.add_header("X-Auth-Token", self._token)
        try:
            with self._open(request, timeout=SECONDS) as answer:
                content = answer.read()
        except HTTPException as error:
            raise ConnectionError(f"the cloud's answer broke off: {error!r}") from error
        return json.loads(content) if content else None


def _find(kind: str, wanted: Any, found: Iterable[Mapping[str, Any]]) -> str:
    """The id of the one with this id or name."""
    there = list(found)
    for field_name in ("id", "name"):
        for one in there:
            if wanted and one[field_name] == wanted:
                return str(one["id"])
    raise Refused(f"there is no {kind} {wanted}")


def _words_of(error: HTTPError) -> str:
    """Nova's own: {"forbidden": {"message": ...}} and its like."""
    try:
        told = json.load(error)
        return str(next(iter(told.values()))["message"])
    except (ValueError, OSError, AttributeError, StopIteration, TypeError, KeyError):
        return str(error.reason)


def _request(url: str, body: Any, method: str | None) -> urllib.request.Request:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    return urllib.request.Request(url, data, headers, method=method)  # noqa: S310  the lab's own address


def _machine(server: Mapping[str, Any]) -> Machine:
    """Nova sets the image when it accepts a rebuild, and the launch time when that is done: either is a new beginning."""
    image = (server.get("image") or {}).get("id", "")
    launched = server.get("OS-SRV-USG:launched_at")
    at = moment_of(launched) if launched else inf
    return Machine(server["id"], server["name"], server["status"] == "ACTIVE", f"{image} {launched}", at)
