"""A Leostream broker at the end of a wire without sockets: a few pools, a center, and faults.

Each request, and each answer that is no fault, is held against the interface.
"""

import copy
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from imagebuild.adapters.leostream_api import LeostreamApi
from imagebuild.adapters.leostream_broker import LeostreamBroker, Reading
from imagebuild.adapters.leostream_centers import Centers
from imagebuild.secrets import Secret
from tests.contract.leostream.shapes import BASE, check_answer, check_request
from tests.fakes.clock import FakeClock

URL = "https://broker.example"
START = datetime(2026, 3, 1, tzinfo=UTC)
PASSWORD = "Pa55word-of-the-broker"


@dataclass(frozen=True)
class Sent:
    """One request as it came."""

    method: str
    path: str
    body: Any
    headers: Mapping[str, str]
    options: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Fault:
    """What is answered instead; with `done` the work is done all the same. An exception is raised."""

    status: int = 0
    body: Any = None
    headers: Mapping[str, str] | None = None
    error: Exception | None = None
    done: bool = False


class Leostream(BaseAdapter):
    """requests' adapter for the broker's address. `merges`: a PUT keeps what it does not name (else it empties it)."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        super().__init__()
        self.clock = clock or FakeClock()
        self._began = self.clock.now()
        self.merges = True
        self.sent: list[Sent] = []
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.on_put: Callable[[dict[str, Any]], None] = lambda pool: None
        self.pools: dict[int, dict[str, Any]] = {1: pool_object(1, "All Desktops"), 7: pool_object(7, "staff")}
        self.center: dict[str, Any] = {
            "id": 3,
            "status": 1,
            "status_label": "Online",
            "images": [{"id": 41, "name": "win10-vdi-v1"}, {"id": 42, "name": "other"}],
            "center_definition": {"name": "cloud", "type": "openstack", "flavor": "K", "vc_password": "********"},
        }
        self.cloud_images: list[dict[str, Any]] = []  # found by the next scan
        self.scan_seconds = 10.0
        self.scan_delay = 0.0  # a scan waits in the broker's queue before the center shows it
        self._scan_from = 0.0
        self._scan_until: float | None = None
        self._sids: set[str] = set()
        self._logins = 0

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        """Answer one request."""
        path = urlsplit(str(request.url)).path.removeprefix(BASE)
        body = json.loads(request.body) if request.body else None
        sent = Sent(str(request.method), path, body, dict(request.headers), options)
        self.sent.append(sent)
        check_request(sent.method, path, body)
        fault = self.faults[str(sent)].pop(0) if self.faults[str(sent)] else None
        answered: tuple[int, Any] = (0, None)
        if fault is None or fault.done:
            answered = self._answer(sent)
            check_answer(sent.method, path, *answered)
        if fault is not None:
            if fault.error:
                raise fault.error
            answered = fault.status, fault.body
        response = requests.Response()
        response.status_code = answered[0]
        content = (
            answered[1] if isinstance(answered[1], str) else "" if answered[1] is None else json.dumps(answered[1])
        )
        response.raw = BytesIO(content.encode())
        response.headers = CaseInsensitiveDict(fault.headers or {} if fault else {})
        response.request, response.url = request, str(request.url)
        return response

    def close(self) -> None:
        """Nothing is open."""

    def calls(self) -> list[str]:
        """Method and path of all that was sent, without the logins."""
        return [str(sent) for sent in self.sent if "session" not in sent.path]

    def forget_sessions(self) -> None:
        """Every login has ended."""
        self._sids.clear()

    def now(self) -> datetime:
        """The wall's clock, which goes with the fake one."""
        return START + timedelta(seconds=self.clock.now() - self._began)

    def api(self, **options: Any) -> LeostreamApi:
        """The calls over this wire."""
        api = LeostreamApi(URL, user=Secret("robot"), password=Secret(PASSWORD), clock=self.clock, **options)
        api._session.mount("https://", self)
        return api

    def broker(self, *, center: str | None = None, **reading: Any) -> LeostreamBroker:
        """The whole adapter over this wire."""
        api = self.api()
        return LeostreamBroker(api, Centers(api, name=center), reading=Reading(**reading), now=self.now)

    def _answer(self, sent: Sent) -> tuple[int, Any]:
        if sent.path == "/session/login":
            return self._log_in(sent.body)
        if sent.headers.get("Authorization", "").removeprefix("Bearer ") not in self._sids:
            return 401, {"error_status": "UNAUTHORIZED", "error_message": "who are you?"}
        first, *rest = sent.path.strip("/").split("/")
        if first == "session":
            self._sids.clear()
            return 200, {"message": "bye"}
        if first == "system":
            return 200, {"components": {"work_queue": {"msg": "OK", "running": 1}}, "broker": {"msg": "OK"}}
        return self._pool(sent, rest) if first == "pools" else self._centers(rest)

    def _log_in(self, body: Mapping[str, str]) -> tuple[int, Any]:
        if (body["user_login"], body["password"]) != ("robot", PASSWORD):
            return 401, {"error_status": "INVALID_CREDENTIALS", "error_message": "wrong user or password"}
        self._logins += 1
        self._sids.add(f"session-number-{self._logins}")
        return 200, {"sid": f"session-number-{self._logins}"}

    def _pool(self, sent: Sent, rest: list[str]) -> tuple[int, Any]:
        if not rest:
            return 200, [{"id": n, "name": p["name"], "parent_pool_id": 1} for n, p in self.pools.items()]
        number = int(rest[0])
        if number not in self.pools:
            return 404, None
        if sent.method == "PUT":
            kept = self.pools[number]
            if not self.merges:
                for name in ("notes", "domain", "log", "provision"):
                    kept.pop(name, None)
            kept.update(copy.deepcopy(sent.body))
            kept["pool_definition"]["restrict_by_desc"] = "Attributes"  # its own word, whatever it is sent
            self.on_put(kept)
            return 200, {"stored_data": copy.deepcopy(kept)}
        return 200, copy.deepcopy(self.pools[number])

    def _centers(self, rest: list[str]) -> tuple[int, Any]:
        if self._scan_until is not None:
            self.center["status"] = 5 if self.clock.now() >= self._scan_from else 1
            if self.clock.now() >= self._scan_until:
                self._scan_until, self.center["status"] = None, 1
                self.center["images"] += self.cloud_images
                self.cloud_images = []
        if not rest:
            listed = {key: self.center[key] for key in ("id", "status", "status_label")}
            return 200, [{**listed, "name": "cloud", "type": "openstack", "flavor": "K"}]
        if rest[1:] == ["scan"]:
            if self._scan_until is not None:
                return 409, {"error_status": "CONFLICT", "error_message": "it is scanning"}
            self._scan_from = self.clock.now() + self.scan_delay
            self._scan_until = self._scan_from + self.scan_seconds
            return 202, {"is_scanning": 1, "job_id": 5, "message": "begun"}
        return 200, copy.deepcopy(self.center)


def pool_object(number: int, name: str) -> dict[str, Any]:
    """A pool as a GET gives it, with a password in it and a read-only word."""
    return {
        "id": number,
        "name": name,
        "notes": "kept by hand",
        "pool_definition": {
            "restrict_by": "A",
            "restrict_by_desc": "Attributes",
            "parent_pool_id": 1,
            "pool_attribute_join": "A",
            "attributes": [{"vm_table_field": "name", "condition_type": "ct", "text_to_match": "desktop"}],
        },
        "provision": {
            "provision_on_off": 1,
            "provision_threshold": 2,
            "provision_max": 50,
            "provision_limits_enforce": 0,
            "provision_vm_id": 41,
            "provision_vm_name": "desktop-{SEQUENCE}",
            "provision_vm_name_next_value": 12,
            "center": {"id": 3, "name": "cloud", "type": "openstack", "flavor": "2", "password": "In-clear-text-1"},
        },
        "domain": {"domain_join": 1, "domain_join_ou": "OU=vdi"},
        "log": {"log_error_threshold": 3},
        "pool_stats": {
            "counts_updated": START.isoformat(),
            "total_vm": 3,
            "assigned_vm": 1,
            "total_logged_in": 1,
            "total_connected": 1,
        },
        "vms_list": [desktop(11, "desktop-1"), desktop(12, "desktop-2", user_id=5), desktop(13, "DESKTOP-3")],
    }


def desktop(number: int, name: str, **fields: Any) -> dict[str, Any]:
    """One item of vms_list."""
    return {
        "id": number,
        "name": name,
        "display_name": name,
        "hda_status": "Running",
        "out_of_service": 0,
        "status": 22,
        "user_id": 0,
        **fields,
    }
