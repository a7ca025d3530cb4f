"""The lab's supervisor: starts the services of a plan, says when they are ready, starts one that dies anew, stops them in order.

One process, one loop, no threads: it imports what all services share and forks them, so that they share that memory as well.
SIGTERM stops everything, SIGUSR1 all but the guests, SIGHUP reads the plan again. Whoever runs the lab talks to it through files:
run/plan.json in, run/services.json out, logs/events.jsonl for history.
"""

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labservices import child, events
from labservices.service import Service

STEADY_SECONDS = (
    20.0  # a service that lived this long and died is started at once; a younger one waits longer each time
)
LONGEST_PAUSE = 15.0
STOP_SECONDS = 4.0  # from SIGTERM to SIGKILL
PROBE_SECONDS = 0.05
ERRAND_SECONDS = 8.0  # the guests are asked for five; a libvirtd that hangs gets no more


class Supervisor:
    """The loop over the services of one plan."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.services: dict[str, Service] = {}
        self.selector = selectors.DefaultSelector()
        self.ending: list[dict[str, Any]] | None = None  # phases of stopping that are left
        self.wanted: dict[str, bool] = {"stop": False, "leave": False, "reload": False}
        self.plan: dict[str, Any] = {}
        self.since = time.monotonic()

    def run(self) -> None:
        """Until everything is stopped."""
        self._listen_to_signals()
        self._read_plan()
        self._import_shared()
        self.record("supervisor started", pid=os.getpid())
        while self.ending is None or self.ending or any(s.pid for s in self.services.values()):
            self._turn()
        self.record("supervisor stopped", pid=os.getpid())

    def record(self, event: str, **facts: object) -> None:
        """One line of history."""
        events.record(self.root / "logs" / "events.jsonl", event, **facts)

    def _import_shared(self) -> None:
        """Import what the services share; without eventlet, beside which Nova refuses to run with native threads."""
        sys.modules["eventlet"] = None  # type: ignore[assignment]  # the import system's own way to say "not here"
        for module in self.plan["preload"]:
            importlib.import_module(module)
        del sys.modules["eventlet"]
        gc.collect()
        gc.freeze()  # what exists now is never collected, so its pages stay shared with the forked services

    # -- one turn of the loop
    def _turn(self) -> None:
        for key, _ in self.selector.select(self._pause()):
            key.data()
        self._reap()
        if self.wanted["reload"] and self.ending is None:
            self.wanted["reload"] = False
            self._read_plan()
        if (self.wanted["stop"] or self.wanted["leave"]) and self.ending is None:
            errands = self.wanted["stop"]
            self.ending = [phase if errands else phase | {"errand": None} for phase in self.plan["stop_phases"]]
            self.record("stopping", guests=errands)
        self._end_phase()
        now = time.monotonic()
        for service in list(self.services.values()):
            self._advance(service, now)
        self._write_status()

    def _advance(self, service: Service, now: float) -> None:
        if service.state in ("stopped", "pausing") and now >= service.due and self.ending is None:
            self._start(service)
        if service.state == "starting":
            if not service.told and service.line and self._needs_ready(service):
                service.told = True
                with contextlib.suppress(BrokenPipeError):  # it died; the next turn will find out
                    service.line.send(b"G")
            if service.spec.get("probe") and child.answers(service.spec["probe"]):
                self._became_ready(service)
        elif service.state == "stopping" and service.pid and now >= service.due:
            self.record("killed", service=service.name, pid=service.pid)
            os.kill(service.pid, signal.SIGKILL)
            service.due = now + STOP_SECONDS

    def _pause(self) -> float:
        """How long nothing can happen but by a signal or a service's word."""
        now = time.monotonic()
        dues = [s.due - now for s in self.services.values() if s.state in ("stopped", "pausing", "stopping")]
        dues += [s.since + ERRAND_SECONDS - now for s in self.services.values() if s.pid and s.spec.get("once")]
        if any(s.state == "starting" and s.spec.get("probe") for s in self.services.values()):
            dues.append(PROBE_SECONDS)
        return max(0.0, min([60.0, *dues]))

    # -- starting
    def _start(self, service: Service) -> None:
        service.pid, service.line = child.start(
            service.spec, self.root / "logs" / f"{service.name}.out", self._child_closes
        )
        service.state, service.told, service.since = "starting", False, time.monotonic()
        if service.line:
            self.selector.register(service.line, selectors.EVENT_READ, lambda s=service: self._hear(s))
        self.record("started", service=service.name, pid=service.pid)

    def _child_closes(self) -> None:
        """In a forked child: let go of what belongs to the supervisor."""
        signal.set_wakeup_fd(-1)
        self.selector.close()

    def _needs_ready(self, service: Service) -> bool:
        return all(self.services[need].state == "ready" for need in service.spec["needs"])

    def _hear(self, service: Service) -> None:
        assert service.line is not None
        try:
            word = service.line.recv(16)
        except ConnectionResetError:  # it died with our go-ahead unread
            word = b""
        if word:
            self._became_ready(service)
        else:
            self._hang_up(service)

    def _became_ready(self, service: Service) -> None:
        if service.state == "starting":
            service.state = "ready"
            self.record(
                "ready", service=service.name, pid=service.pid, seconds=round(time.monotonic() - service.since, 1)
            )

    def _hang_up(self, service: Service) -> None:
        if service.line:
            self.selector.unregister(service.line)
            service.line.close()
            service.line = None

    # -- ending
    def _reap(self) -> None:
        for service in self.services.values():
            if not service.pid:
                continue
            pid, status = os.waitpid(service.pid, os.WNOHANG)
            if pid:
                self._ended(service, os.waitstatus_to_exitcode(status))

    def _ended(self, service: Service, code: int) -> None:
        self._hang_up(service)
        pid, service.pid = service.pid, 0
        if service.state == "stopping" or service.spec.get("once"):
            service.state, service.due = "stopped", float("inf") if self.ending is not None else 0.0
            self.record("stopped", service=service.name, pid=pid, exit_code=code)
            return
        lived = service.died()
        self.record(
            "died",
            service=service.name,
            pid=pid,
            exit_code=code,
            lived_seconds=round(lived, 1),
            restarts=service.restarts,
        )
        for other in self.services.values():
            if other.pid and service.name in other.spec.get("restarts_with", []) and self.ending is None:
                self._stop(other)

    def _stop(self, service: Service) -> None:
        if service.pid and service.state != "stopping":
            service.state, service.due = "stopping", time.monotonic() + STOP_SECONDS
            os.kill(service.pid, signal.SIGTERM)
        elif not service.pid:
            service.state, service.due = "stopped", float("inf")

    def _end_phase(self) -> None:
        """Stopping goes by phases: an errand first, if it has one; then its services; the next phase when all of them are gone."""
        while self.ending:
            phase = self.ending[0]
            if not self._is_errand_done(phase.get("errand")):
                return
            present = [self.services[name] for name in phase["services"] if name in self.services]
            for service in present:
                self._stop(service)
            if any(service.pid for service in present):
                return
            self.ending.pop(0)

    def _is_errand_done(self, spec: dict[str, Any] | None) -> bool:
        if spec is None:
            return True
        if spec["name"] not in self.services:
            self.services[spec["name"]] = Service(spec)
            self._start(self.services[spec["name"]])
        errand = self.services[spec["name"]]
        if errand.pid and time.monotonic() > errand.since + ERRAND_SECONDS:
            self.record("killed", service=errand.name, pid=errand.pid)
            os.kill(errand.pid, signal.SIGKILL)
            return True
        return not errand.pid

    # -- files and signals
    def _read_plan(self) -> None:
        """Take over the plan: services that are new are started, those that changed are started anew."""
        self.plan = json.loads((self.root / "run" / "plan.json").read_text(encoding="utf-8"))
        specs = {spec["name"]: spec for spec in self.plan["services"]}
        for name, spec in specs.items():
            service = self.services.get(name)
            if service is None:
                self.services[name] = Service(spec)
            elif service.spec != spec:
                service.spec = spec
                self._stop(service)
                service.due = 0.0 if not service.pid else service.due

    def _write_status(self) -> None:
        status = {
            "pid": os.getpid(),
            "since_monotonic": self.since,
            "digest": self.plan["digest"],
            "plan": self.plan["number"],
            "stopping": self.ending is not None,
            "services": {s.name: s.describe() for s in self.services.values()},
        }
        text = json.dumps(status)
        if text != getattr(self, "_written", None):
            path = self.root / "run" / "services.json"
            path.with_suffix(".new").write_text(text, encoding="utf-8")
            path.with_suffix(".new").replace(path)
            self._written = text

    def _listen_to_signals(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno())
        self._wakeup = theirs  # keeps the descriptor open
        self.selector.register(ours, selectors.EVENT_READ, lambda: ours.recv(4096))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on("stop"))
        signal.signal(signal.SIGINT, self._on("stop"))
        signal.signal(signal.SIGUSR1, self._on("leave"))
        signal.signal(signal.SIGHUP, self._on("reload"))

    def _on(self, wish: str) -> Callable[[int, Any], None]:
        def remember(_number: int, _frame: Any) -> None:
            self.wanted[wish] = True

        return remember


if __name__ == "__main__":
    Supervisor(Path(sys.argv[1])).run()
