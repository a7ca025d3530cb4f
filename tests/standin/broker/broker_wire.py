"""The stand-in broker without sockets: a simulated clock, a cloud of names, and the tool's adapter on a wire that checks every answer."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter

from imagebuild.adapters.leostream_api import LeostreamApi
from imagebuild.adapters.leostream_broker import LeostreamBroker, Reading
from imagebuild.adapters.leostream_centers import Centers
from imagebuild.lab.broker.center import CenterSettings
from imagebuild.lab.broker.cloud_view import Look, Machine
from imagebuild.lab.broker.connection_broker import ConnectionBroker
from imagebuild.lab.broker.portal import PortalService
from imagebuild.lab.broker.rest import Account, Answer, Request, Rest
from imagebuild.secrets import Secret
from tests.contract.leostream.shapes import BASE, check_answer, check_request
from tests.fakes.clock import FakeClock

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
POOL = "staff"
ACCOUNTS = (Account("robot", "Pa55word-of-the-broker"), Account("guest", "no-rights-at-all", api=False))


class Cloud:
    """imagebuild.lab.broker.cloud_view.CloudView over a dict; `silent`: it does not answer."""

    def __init__(self, *names: str) -> None:
        self.machines: dict[str, Machine] = {}
        self.images = ["v1"]
        self.silent = False
        self.made: list[tuple[str, str]] = []
        self.removed: list[str] = []
        self._ids = 0
        for name in names:
            self.add(name)

    def add(self, name: str) -> str:
        """A machine that runs; gives its id."""
        self._ids += 1
        number = f"server-{self._ids}"
        self.machines[number] = Machine(number, name, mark="v1")
        return number

    def change(self, name: str, **fields: Any) -> None:
        """Something about the machine of this name."""
        machine = next(one for one in self.machines.values() if one.name == name)
        self.machines[machine.id] = replace(machine, **fields)

    def drop(self, name: str) -> None:
        """The machine of this name is gone."""
        self.machines = {number: one for number, one in self.machines.items() if one.name != name}

    def look(self, *, images: bool) -> Look:
        """All of it, and nothing that was not asked for."""
        if self.silent:
            raise ConnectionRefusedError("the cloud is away")
        return Look(tuple(self.machines.values()), tuple(self.images) if images else ())

    def make(self, name: str, image: str, provision: Mapping[str, Any]) -> None:
        """At once."""
        if self.silent:
            raise ConnectionRefusedError("the cloud is away")
        assert provision["center"]["type"] == "openstack"
        self.made.append((name, image))
        self.add(name)

    def remove(self, machine: str) -> None:
        """At once."""
        self.removed.append(self.machines.pop(machine).name)


class Site:
    """The broker, its cloud, its agents and everybody who talks to it, on one clock."""

    def __init__(
        self, *names: str, center: CenterSettings | None = None, count_seconds: float = 0.0, **pool: Any
    ) -> None:
        self.clock = FakeClock()
        self._began = self.clock.now()
        self.cloud = Cloud(*names)
        self.agents: list[dict[str, Any]] = []
        self.broker = ConnectionBroker(
            now=lambda: self.now().timestamp(),
            cloud=self.cloud,
            registrations=lambda: list(self.agents),
            center=center or CenterSettings(scan_seconds=10.0),
            count_seconds=count_seconds,
        )
        self.rest = Rest(self.broker, *ACCOUNTS)
        self.portal = PortalService(self.broker)
        self.scan()
        self.pool = self.broker.pools.add(pool_object(self.image("v1"), **pool))
        self.boot(*names)

    def now(self) -> datetime:
        """The wall's clock, which goes with the fake one."""
        return datetime.fromtimestamp(START.timestamp() + self.clock.now() - self._began, UTC)

    def scan(self) -> None:
        """A whole scan of the center."""
        self.broker.center.begin_scan()
        self.go_on(self.broker.troubles.scan_seconds or self.broker.center.settings.scan_seconds)

    def boot(self, *names: str) -> None:
        """The agents of these report."""
        self.clock.sleep(1)
        self.agents += [{"name": name.upper(), "at": self.now().isoformat()} for name in names]
        self.go_on(1)

    def go_on(self, seconds: float = 0.0) -> None:
        """Time passes, and the broker has its turn."""
        self.clock.sleep(seconds)
        self.broker.go_on()

    def image(self, name: str) -> int:
        """The broker's number of an image."""
        return next(int(one["id"]) for one in self.broker.state.images if one["name"] == name)

    def tell(self) -> dict[str, Any]:
        """The pool as a GET gives it."""
        return self.broker.pools.tell(self.pool)

    def names(self, pool: int | None = None) -> list[str]:
        """The desktops that the pool tells of."""
        return [one["name"] for one in self.broker.pools.tell(pool or self.pool)["vms_list"]]

    def adapter(self, **reading: Any) -> LeostreamBroker:
        """The tool's own adapter on this broker."""
        account = ACCOUNTS[0]
        api = LeostreamApi(
            "https://broker.example", user=Secret(account.login), password=Secret(account.password), clock=self.clock
        )
        api._session.mount("https://", Wire(self))
        return LeostreamBroker(api, Centers(api), reading=Reading(**reading), now=self.now)


class Wire(BaseAdapter):
    """requests' adapter: each request and answer is held against the interface, and the broker has its turn before each."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self._site = site

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        """One request."""
        with contextlib.suppress(ConnectionRefusedError):
            self._site.broker.go_on()
        path, method = urlsplit(str(request.url)).path, str(request.method)
        body = json.loads(request.body) if request.body else None
        check_request(method, path, body)
        bearer = (request.headers.get("Authorization") or "").removeprefix("Bearer ")
        answer = self._site.rest.answer(Request(method, path, body, bearer))
        if answer.status != 503:
            check(method, path, answer)
        if answer.lost:
            raise requests.ConnectionError("the connection broke")
        response = requests.Response()
        response.status_code, response.url, response.request = answer.status, str(request.url), request
        response.headers.update(answer.headers)
        response.raw = BytesIO(b"" if answer.body is None else json.dumps(answer.body).encode())
        return response

    def close(self) -> None:
        """Nothing is open."""


def check(method: str, path: str, answer: Answer) -> Answer:
    """The answer, when the interface has such a one: as JSON, as a client reads it."""
    check_answer(method, path, answer.status, json.loads(json.dumps(answer.body)))
    return answer


def pool_object(image: int, **fields: Any) -> dict[str, Any]:
    """A pool of desktops by their name, provisioned by hand, with a password in it as real ones can have."""
    provision = {
        "provision_on_off": 0,
        "provision_threshold": 1,
        "provision_max": 20,
        "provision_limits_enforce": 0,
        "provision_vm_id": image,
        "provision_vm_name": "desktop-{SEQUENCE}",
        "provision_vm_name_next_value": 10,
        "center": {"id": 3, "name": "cloud", "type": "openstack", "flavor": "vdi", "password": "In-clear-text-1"},
    }
    definition = {
        "restrict_by": "A",
        "parent_pool_id": 1,
        "pool_attribute_join": "A",
        "attributes": [{"vm_table_field": "name", "condition_type": "bw", "text_to_match": "desktop-"}],
    }
    return {
        "name": POOL,
        "notes": "kept by hand",
        "pool_definition": {**definition, **fields.pop("definition", {})},
        "provision": {**provision, **fields.pop("provision", {})},
        "domain": {"domain_join": 1, "domain_join_ou": "OU=vdi"},
        **fields,
    }


def sessions(site: Site) -> Iterator[tuple[str, str]]:
    """Who is really where."""
    return ((one.name, one.user) for one in site.broker.state.desktops if one.user is not None)


__all__ = ["ACCOUNTS", "BASE", "POOL", "START", "Cloud", "Site", "Wire", "check", "pool_object", "sessions"]
