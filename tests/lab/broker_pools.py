"""Pools of the lab's own broker as its administrators make them: by the interface that the tool uses, with the files that let one in."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests

from imagebuild.lab.broker.portal_client import PortalClient
from imagebuild.lab.broker_settings import CENTER, URL
from imagebuild.lab.credentials import broker_access
from imagebuild.lab.layout import Layout
from imagebuild.waiting import Deadline, wait_for

REST = f"{URL}/rest/v1"


class Administrator:
    """Somebody who may change the broker's pools. Logs in for each call: a login does not outlive the broker's process."""

    def __init__(self, place: Layout) -> None:
        self._access = broker_access(place)
        self.portal = PortalClient(URL, ca_file=self._access / "ca.pem")

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What the interface answers to one call. Raises requests.HTTPError, ConnectionError."""
        said = {"user_login": self._read("user"), "password": self._read("password")}
        sid = self._send("POST", "/session/login", said)["sid"]
        return self._send(method, path, body, bearer=sid)

    def pool(self, name: str) -> dict[str, Any]:
        """All that the broker tells of the pool with this name."""
        (number,) = [one["id"] for one in self.call("GET", "/pools") if one["name"] == name]
        told: dict[str, Any] = self.call("GET", f"/pools/{number}")
        return told

    def number_of_image(self, name: str) -> int:
        """The broker's own, once its center has seen the image."""

        def look() -> int | None:
            images = self.call("GET", f"/centers/{CENTER}")["images"]
            return next((int(one["id"]) for one in images if one["name"] == name), None)

        return wait_for(look, f"the center to see {name}", deadline=Deadline.after(60), every=1)

    @contextmanager
    def new_pool(self, pool: Mapping[str, Any]) -> Iterator[None]:
        """The pool is there while this is open; with it go its simulated users, and what they had to bear."""
        self.call("POST", "/pools", pool)
        try:
            yield
        finally:
            self.portal.forget_pool(str(pool["name"]))

    def _read(self, name: str) -> str:
        return (self._access / name).read_text().strip()

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None, *, bearer: str = "") -> Any:
        ca_file = str(
            self._access / "ca.pem"
        )  # said in each call: for a session the environment's own bundle would win
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        answer = requests.request(method, REST + path, json=body, headers=headers, verify=ca_file, timeout=10)
        answer.raise_for_status()
        return answer.json()
