"""A pool to roll whose broker is the lab's stand-in for Leostream, asked through the real REST adapter; no sockets, and simulated time."""

import json
from datetime import timedelta
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from imagebuild.adapters.leostream_api import LeostreamApi
from imagebuild.adapters.leostream_broker import LeostreamBroker, Reading
from imagebuild.adapters.leostream_centers import Centers
from imagebuild.lab.broker.center import CenterSettings
from imagebuild.lab.broker.connection_broker import ConnectionBroker
from imagebuild.lab.broker.rest import Account, Request, Rest
from imagebuild.lab.broker.state import Desktop, Verdict
from imagebuild.secrets import Secret
from tests.contract.leostream.shapes import check_answer, check_request
from tests.fakes.broker import EPOCH
from tests.unit.leostream_wire import PASSWORD, pool_object
from tests.unit.pool import rolling
from tests.unit.pool.rolling import POOL, SimulatedClock, Site

_TURN = 5.0


class Wire(BaseAdapter):
    """requests' adapter to the stand-in's REST side. `puts` are the pools as they were sent."""

    def __init__(self, rest: Rest) -> None:
        super().__init__()
        self._rest = rest
        self.puts: list[dict[str, Any]] = []

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        """One request, held against the interface like its answer."""
        method, path = str(request.method), urlsplit(str(request.url)).path
        body = json.loads(request.body) if request.body else None
        check_request(method, path, body)
        if method == "PUT":
            self.puts.append(body)
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        answer = self._rest.answer(Request(method, path, body, bearer))
        if answer.status != 503:
            check_answer(method, path, answer.status, answer.body)
        if answer.lost:
            raise requests.ConnectionError("reset")
        response = requests.Response()
        response.status_code, response.headers = answer.status, CaseInsensitiveDict(answer.headers)
        response.raw = BytesIO(b"" if answer.body is None else json.dumps(answer.body).encode())
        response.request, response.url = request, str(request.url)
        return response

    def close(self) -> None:
        """Nothing is open."""


class LeostreamWorld(LeostreamBroker):
    """What tests.unit.pool.rolling.Site needs of a broker: the tool's side is the adapter, the users' side the stand-in's."""

    def __init__(self, clock: SimulatedClock, *, drain: Any, count_seconds: float) -> None:
        now = lambda: EPOCH.timestamp() + clock.now()  # noqa: E731
        self.standin = ConnectionBroker(now=now, center=CenterSettings(scan_seconds=20.0), count_seconds=count_seconds)
        self.wire = Wire(Rest(self.standin, Account("robot", PASSWORD), sid_seconds=1800.0))
        api = LeostreamApi("https://broker.example", user=Secret("robot"), password=Secret(PASSWORD), clock=clock)
        api._session.mount("https://", self.wire)
        reading = Reading(drain=drain)
        super().__init__(api, Centers(api), reading=reading, now=lambda: EPOCH + timedelta(seconds=clock.now()))
        self._clock = clock
        self.cloud_images: set[str] = set()
        self.known_images: set[str] = set()
        self._turn()

    def add_pool(self, name: str, *desktops: str, image: str) -> None:
        """The pool of the adapter's tests with these desktops, free and available."""
        told = pool_object(7, name)
        pool = {key: told[key] for key in ("name", "notes", "pool_definition", "provision", "domain", "log")}
        state = self.standin.state
        pool["provision"]["provision_vm_id"] = self.standin.center.learn_image(image)
        state.desktops += [Desktop(state.new_id(), desktop, agent=True) for desktop in desktops]
        self.standin.pools.add(pool)

    def found(self, pool: str, name: str) -> None:
        """A scan of the cloud shows a machine that nobody knew: it is in every pool that its name fits."""
        state = self.standin.state
        state.desktops.append(Desktop(state.new_id(), name))

    def remove(self, name: str) -> None:
        """A scan of the cloud misses the machine."""
        desktops = self.standin.state.desktops
        desktops[:] = [one for one in desktops if one.key != name.casefold()]

    def destroyed(self, name: str) -> None:
        """The machine is ended: whoever is on it is cut off."""
        self.standin.machines.ended(name)

    def booted(self, name: str) -> None:
        """The machine is there, and its agent has reported."""
        self.standin.machines.booted(name)

    @property
    def pools(self) -> dict[str, Any]:
        """As the fake cloud looks for a desktop."""
        return {POOL: SimpleNamespace(records={one.key: one for one in self.standin.state.desktops})}

    @property
    def pool(self) -> dict[str, Any]:
        """The pool as it is stored."""
        return next(pool for pool in self.standin.state.pools.values() if pool["name"] == POOL)

    @property
    def verdict(self) -> Verdict:
        """What users had to bear."""
        return self.standin.state.verdict

    def _turn(self) -> None:
        """The broker goes on by itself."""
        self.standin.go_on()
        self._clock.at(_TURN, self._turn)


class LeostreamSite(Site):
    """A Site with that broker. `count_seconds`: how old its counts get."""

    broker: LeostreamWorld  # type: ignore[assignment]

    def __init__(self, size: int, *, drain: str, count_seconds: float = 60.0, **rules: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            made = lambda clock: LeostreamWorld(clock, drain=drain, count_seconds=count_seconds)  # noqa: E731
            patch.setattr(rolling, "FakeBroker", made)
            super().__init__(size, allow_unheld=drain == "none", **rules)
        self.broker.standin.center.learn_image(self.new.name)
        self.clock.sleep(2 * count_seconds)
