"""The lab's supervisor with small services of its own: it is plain Python, so it runs here as it runs in the lab."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagebuild.lab.layout import SERVICES
from imagebuild.lab.processes import is_alive
from imagebuild.waiting import Deadline, wait_for

pytestmark = pytest.mark.effects

SMALL = """
import os, signal, sys, threading
from pathlib import Path
from labservices import link

def serve(name):
    link.await_needs()
    Path(os.environ["TRACE"]).open("a").write(f"begin {name}\\n")
    link.tell_ready()
    signal.signal(signal.SIGTERM, lambda *_: end(name))
    threading.Event().wait()

def end(name):
    Path(os.environ["TRACE"]).open("a").write(f"end {name}\\n")
    sys.exit(0)

def refuse():
    sys.exit(3)

def errand():
    Path(os.environ["TRACE"]).open("a").write("errand\\n")
"""


def describe(name: str, *needs: str, function: str = "serve", **more: Any) -> dict[str, Any]:
    arguments = [name] if function == "serve" else []
    return {
        "name": name,
        "function": f"small:{function}",
        "arguments": arguments,
        "needs": list(needs),
        "environment": {},
    } | more


class Lab:
    """A supervisor under test, seen as the tool sees it: through its files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.trace_file = root / "trace"
        for folder in ("run", "logs"):
            (root / folder).mkdir()
        (root / "small.py").write_text(SMALL, encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None

    def write_plan(self, *services: dict[str, Any], number: str = "1") -> None:
        errand = describe("errand", function="errand", once=True)
        names = [service["name"] for service in services]
        phases = [{"errand": errand, "services": names[1:]}, {"services": names[:1]}]
        plan = {"digest": "d", "number": number, "preload": [], "services": services, "stop_phases": phases}
        (self.root / "run" / "plan.json").write_text(json.dumps(plan), encoding="utf-8")

    def start(self) -> None:
        environment = {
            "PYTHONPATH": f"{SERVICES}:{self.root}",
            "TRACE": str(self.trace_file),
            "PATH": os.environ["PATH"],
        }
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        command = [sys.executable, "-m", "labservices.supervisor", str(self.root)]
        self.process = subprocess.Popen(command, env=environment)

    def said(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.root / "run" / "services.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {"services": {}, "plan": None}

    def await_state(self, name: str, state: str, *, restarts: int = 0) -> int:
        """Its pid once it is in that state, after that many restarts."""

        def probe() -> int | None:
            service = self.said()["services"].get(name, {})
            fits = service.get("state") == state and service.get("restarts") == restarts
            return int(service["pid"]) if fits else None

        return wait_for(probe, f"{name} {state}", deadline=Deadline.after(20), every=0.02)

    def events(self, word: str) -> list[dict[str, Any]]:
        lines = (self.root / "logs" / "events.jsonl").read_text(encoding="utf-8").splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == word]

    def trace(self) -> list[str]:
        return self.trace_file.read_text(encoding="utf-8").splitlines()

    def stop(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        assert self.process.wait(20) == 0


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    if lab.process and lab.process.poll() is None:
        lab.process.kill()
        lab.process.wait()


def test_a_service_begins_when_its_needs_are_ready_and_the_errand_comes_before_the_end(lab: Lab) -> None:
    lab.write_plan(describe("ground"), describe("top", "middle"), describe("middle", "ground"))
    lab.start()
    lab.await_state("top", "ready")
    assert lab.trace() == ["begin ground", "begin middle", "begin top"]
    lab.stop()
    assert lab.trace()[3] == "errand"
    assert sorted(lab.trace()[4:6]) == ["end middle", "end top"]
    assert lab.trace()[6:] == ["end ground"]


def test_a_service_that_dies_is_started_again_and_that_is_said(lab: Lab) -> None:
    lab.write_plan(describe("one"), describe("other"))
    lab.start()
    other = lab.await_state("other", "ready")
    killed = lab.await_state("one", "ready")
    os.kill(killed, signal.SIGKILL)
    assert lab.await_state("one", "ready", restarts=1) != killed
    assert lab.await_state("other", "ready") == other
    (death,) = lab.events("died")
    assert (death["service"], death["pid"], death["exit_code"]) == ("one", killed, -signal.SIGKILL)


def test_who_cannot_live_without_a_service_starts_anew_with_it(lab: Lab) -> None:
    lab.write_plan(describe("ground"), describe("top", "ground", restarts_with=["ground"]))
    lab.start()
    top = lab.await_state("top", "ready")
    os.kill(lab.await_state("ground", "ready"), signal.SIGKILL)
    wait_for(
        lambda: True if lab.trace().count("begin top") == 2 else None,
        "a new top",
        deadline=Deadline.after(20),
        every=0.02,
    )
    assert lab.await_state("top", "ready") != top
    assert lab.trace() == ["begin ground", "begin top", "end top", "begin ground", "begin top"]


def test_a_service_that_keeps_failing_is_started_ever_more_seldom(lab: Lab) -> None:
    lab.write_plan(describe("bad", function="refuse"))
    lab.start()
    lab.await_state("bad", "pausing", restarts=2)
    first, second = lab.events("died")[:2]
    assert first["exit_code"] == second["exit_code"] == 3
    assert not lab.trace_file.exists()
    lab.stop()


def test_a_new_plan_restarts_only_what_changed(lab: Lab) -> None:
    lab.write_plan(describe("one"), describe("other"))
    lab.start()
    one, other = lab.await_state("one", "ready"), lab.await_state("other", "ready")
    lab.write_plan(describe("one"), describe("other") | {"arguments": ["new other"]}, number="2")
    assert lab.process is not None
    lab.process.send_signal(signal.SIGHUP)
    wait_for(
        lambda: True if "begin new other" in lab.trace() else None,
        "the change",
        deadline=Deadline.after(20),
        every=0.02,
    )
    assert lab.await_state("other", "ready") != other
    assert lab.await_state("one", "ready") == one
    assert lab.said()["plan"] == "2"
    assert lab.events("died") == []


def test_services_go_with_their_supervisor(lab: Lab) -> None:
    lab.write_plan(describe("one"))
    lab.start()
    one = lab.await_state("one", "ready")
    lab.stop(signal.SIGUSR1)
    assert not is_alive(one)
    assert "errand" not in lab.trace()
    lab.start()
    one = lab.await_state("one", "ready")
    assert lab.process is not None
    lab.process.kill()
    lab.process.wait()
    wait_for(lambda: None if is_alive(one) else True, "its end", deadline=Deadline.after(20), every=0.02)
