"""The door for simulated users and for tests, an interface of our own that no Leostream has: log in and out, the verdict, the troubles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from imagebuild.lab.broker.connection_broker import ConnectionBroker
from imagebuild.lab.broker.crowds import Crowds
from imagebuild.lab.broker.rest import Answer, Request
from imagebuild.lab.broker.state import Verdict

BASE = "/portal/v1"


class PortalService:
    """The portal's side of the broker. All is POST with an object, but for what is only told, and for the verdict that begins anew."""

    def __init__(self, broker: ConnectionBroker, crowds: Crowds | None = None) -> None:
        self._broker = broker
        self._crowds = crowds or Crowds(broker)
        self._routes: dict[tuple[str, str], Callable[[Mapping[str, Any]], Answer]] = {
            ("POST", "/login"): self._log_in,
            ("POST", "/login-around-the-broker"): self._sit_down,
            ("POST", "/disconnect"): self._disconnect,
            ("POST", "/logout"): self._log_out,
            ("POST", "/availability"): self._set_available,
            ("POST", "/forget-pool"): self._forget_pool,
            ("POST", "/crowd"): self._set_crowd,
            ("GET", "/crowd"): lambda _: Answer(200, self._crowds.tell()),
            ("POST", "/troubles"): self._switch,
            ("GET", "/troubles"): lambda _: Answer(200, broker.troubles.tell()),
            ("GET", "/desktops"): lambda _: Answer(200, [asdict(desktop) for desktop in broker.state.desktops]),
            ("GET", "/jobs"): lambda _: Answer(200, list(broker.pools.jobs)),
            ("GET", "/verdict"): lambda _: Answer(200, tell_verdict(broker.state.verdict)),
            ("DELETE", "/verdict"): self._begin_verdict,
        }

    def answer(self, request: Request) -> Answer:
        """What is answered to a request below BASE."""
        route = self._routes.get((request.method, request.path.removeprefix(BASE)))
        if route is None:
            return Answer(404)
        try:
            with self._broker.lock:
                return route(request.body if isinstance(request.body, Mapping) else {})
        except (KeyError, ValueError) as error:
            return Answer(400, {"refused": f"{type(error).__name__}: {error}"})

    def _log_in(self, told: Mapping[str, Any]) -> Answer:
        desktop = self._broker.seating.log_in(told["user"], told["pool"])
        if desktop is None:
            return Answer(409, {"refused": "no desktop is free"})
        return Answer(200, {"desktop": desktop.name})

    def _sit_down(self, told: Mapping[str, Any]) -> Answer:
        desktop = self._broker.seating.log_in_on(told["user"], told["desktop"], assigned=False)
        return Answer(200, {"desktop": desktop.name})

    def _disconnect(self, told: Mapping[str, Any]) -> Answer:
        return Answer(200, {"had_session": self._broker.seating.disconnect(told["user"])})

    def _log_out(self, told: Mapping[str, Any]) -> Answer:
        return Answer(200, {"had_session": self._broker.seating.log_out(told["user"])})

    def _set_available(self, told: Mapping[str, Any]) -> Answer:
        """What an operator does in the broker's pages; the REST interface has no such call."""
        found = self._broker.state.named(told["desktop"])
        if not found:
            raise KeyError(told["desktop"])
        for desktop in found:
            desktop.out_of_service = not told["available"]
        return Answer(200, {"desktop": found[-1].name})

    def _forget_pool(self, told: Mapping[str, Any]) -> Answer:
        """A pool that a test has made goes again, and with it what its users had to bear."""
        self._crowds.dismiss(told["pool"])
        gone = self._broker.pools.remove(told["pool"])
        self._broker.state.verdict.forget({told["pool"], *gone})
        return Answer(200, {"pool": told["pool"]})

    def _set_crowd(self, told: Mapping[str, Any]) -> Answer:
        self._crowds.set(told["pool"], told["users"], seed=told.get("seed", 1), habits=told.get("habits"))
        return Answer(200, self._crowds.tell())

    def _begin_verdict(self, _: Mapping[str, Any]) -> Answer:
        """What users have had to bear until now is forgotten."""
        self._broker.state.verdict = Verdict()
        return Answer(200, tell_verdict(self._broker.state.verdict))

    def _switch(self, told: Mapping[str, Any]) -> Answer:
        self._broker.troubles.switch(dict(told))
        return Answer(200, self._broker.troubles.tell())


def tell_verdict(verdict: Verdict) -> dict[str, Any]:
    """The counters, and the incidents with their times (UTC, ISO)."""
    told = asdict(verdict)
    for incident in told["incidents"]:
        incident["at"] = datetime.fromtimestamp(incident["at"], UTC).isoformat(timespec="milliseconds")
    return told
