"""The tool's side of the lab's supervisor: writes its plan, starts it, waits for its services, stops it."""

import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagebuild.errors import LabError
from imagebuild.lab.layout import Layout
from imagebuild.lab.processes import MARK_VARIABLE, await_end, is_alive
from imagebuild.lab.service_plan import make_plan
from imagebuild.waiting import Deadline, wait_for

STOP_SECONDS = 20.0
TAIL_LINES = 20
LARGE_LOG = 20_000_000
"""Bytes. A log that has grown beyond is put aside when the lab starts; the one put aside before goes."""


@dataclass(frozen=True)
class Running:
    """What the supervisor last said. `plan`: the number of the plan that it follows.

    `services`: name -> {pid, state, restarts, since_monotonic}.
    """

    pid: int
    since_monotonic: float
    digest: str
    plan: str
    stopping: bool
    services: dict[str, dict[str, Any]]

    def is_ready(self) -> bool:
        """Every service answers. The console is not waited for: nothing begins with it, and at the start it would only cost time."""
        return not self.stopping and all(s["state"] == "ready" for n, s in self.services.items() if n != "console")


def read_running(place: Layout) -> Running | None:
    """The supervisor's word, or None when it is not alive."""
    try:
        said = Running(**json.loads((place.run / "services.json").read_text(encoding="utf-8")))
        command = Path(f"/proc/{said.pid}/cmdline").read_bytes()
    except (OSError, ValueError, TypeError):
        return None
    return said if b"labservices.supervisor" in command and is_alive(said.pid) else None


def read_fake_hosts(place: Layout) -> int:
    """How many fake compute hosts the lab has, or had when it ran last."""
    try:
        return int(json.loads((place.run / "plan.json").read_text(encoding="utf-8"))["fake_hosts"])
    except (OSError, ValueError, KeyError):
        return 0


def write_plan(place: Layout, *, fake_hosts: int) -> bool:
    """Write what the supervisor shall run. True when that differs from what was there."""
    path = place.run / "plan.json"
    text = json.dumps(make_plan(place, fake_hosts=fake_hosts), indent=1)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.with_suffix(".new").write_text(text, encoding="utf-8")
    path.with_suffix(".new").replace(path)
    return True


def start_supervisor(place: Layout) -> "subprocess.Popen[bytes]":
    """Start the supervisor in a session of its own; it outlives us."""
    (place.run / "services.json").unlink(missing_ok=True)
    for log in place.logs.iterdir():
        if log.suffix != ".old" and log.stat().st_size > LARGE_LOG:
            log.replace(log.with_name(f"{log.name}.old"))
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(place.code),
        "PYTHONWARNINGS": "ignore",
        MARK_VARIABLE: place.mark,
    }
    with (place.logs / "supervisor.out").open("ab") as output:
        return subprocess.Popen(
            [str(place.python), "-m", "labservices.supervisor", str(place.root)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd="/",
            start_new_session=True,
        )


def reload_supervisor(running: Running) -> None:
    """Let the supervisor take over the plan that was written."""
    os.kill(running.pid, signal.SIGHUP)


def await_services(
    place: Layout, *, deadline: Deadline, supervisor: "subprocess.Popen[bytes] | None" = None
) -> Running:
    """Wait until every service is ready. When one of them keeps dying, say so with the end of its output, without waiting longer."""

    def probe() -> Running | None:
        running = read_running(place)
        if running is None:
            if supervisor and supervisor.poll() is not None:
                hint = f"logs are in {place.logs}; invoke lab.up starts it anew"
                raise LabError("the lab's supervisor ended", hint=hint, details=_tail(place.logs / "supervisor.out"))
            return None
        for name, service in running.services.items():
            if service["state"] == "pausing" and service["restarts"] >= 3:
                raise LabError(
                    f"the lab's {name} does not start",
                    hint=f"logs are in {place.logs}; invoke lab.reset makes a new lab",
                    details=_tail(place.logs / f"{name}.out"),
                )
        return running if running.is_ready() else None

    return wait_for(probe, "the lab's services", deadline=deadline, every=0.05, hint=f"the logs are in {place.logs}")


def stop_supervisor(place: Layout, *, guests: bool) -> bool:
    """Ask the supervisor to stop everything, the guests or not, and wait for that.

    False when there was none, or it did not obey in time.
    """
    running = read_running(place)
    if running is None:
        return False
    os.kill(running.pid, signal.SIGTERM if guests else signal.SIGUSR1)
    return await_end(running.pid, deadline=Deadline.after(STOP_SECONDS))


def _tail(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        return []


def await_plan(place: Layout, *, deadline: Deadline) -> Running:
    """Wait until the supervisor has taken over a new plan and every service of it is ready."""
    number = json.loads((place.run / "plan.json").read_text(encoding="utf-8"))["number"]

    def probe() -> bool | None:
        running = read_running(place)
        return True if running and running.plan == number else None

    wait_for(probe, "the lab's supervisor to read its plan", deadline=deadline, every=0.05)
    return await_services(place, deadline=deadline)
