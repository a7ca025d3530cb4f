"""A small world for a step: a fake cloud and a fake Windows on one clock, and a context whose facts a test fills."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from imagebuild.errors import ImagebuildError
from imagebuild.guest import Guest
from imagebuild.secrets import Secret
from imagebuild.step import Context
from imagebuild.steps.boot_builder import BootBuilder
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud
from tests.fakes.guest import FakeGuest
from tests.unit.examples import context as make_context

EXAMPLES = Path(__file__).parents[1] / "standin" / "examples.jsonl"
CERTIFICATE = "ab" * 32


@cache
def _examples() -> tuple[dict[str, Any], ...]:
    return tuple(json.loads(line) for line in EXAMPLES.read_text(encoding="utf-8").splitlines())


def answers(script: str, test: str = "") -> list[dict[str, Any]]:
    """What the script really answered in a PowerShell, in the invocations whose test's name contains `test`; copies to be changed."""
    return [
        deepcopy(example["result"]["value"])
        for example in _examples()
        if example["script"] == script and test in example["test"] and example["result"]["ok"]
    ]


def answer(script: str, test: str) -> dict[str, Any]:
    """The first of these answers."""
    return answers(script, test)[0]


@dataclass
class Told:
    """A report that remembers."""

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    results: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[None]:
        """Nothing: the runner's tests look at it."""
        del name, title
        yield

    def note(self, text: str) -> None:
        """Remembered."""
        self.notes.append(text)

    def warn(self, text: str) -> None:
        """Remembered."""
        self.warnings.append(text)

    def say(self, text: str, **facts: object) -> None:
        """Remembered."""
        self.results.append((text, facts))

    def fail(self, error: ImagebuildError) -> None:
        """Nothing: whoever raised it is asked."""


@dataclass
class World:
    """All that a step can touch. `connections` lists how the guest was connected."""

    clock: FakeClock
    cloud: FakeCloud
    guest: FakeGuest
    told: Told
    context: Context
    connections: list[tuple[str, Secret, str | None]] = field(default_factory=list)

    @property
    def facts(self) -> dict[str, Any]:
        """What earlier steps gave."""
        return self.context.facts

    def connect(self, address: str, password: Secret, certificate: str | None) -> Guest:
        """The guest, noted."""
        self.connections.append((address, password, certificate))
        return self.guest

    def remembered(self) -> dict[str, Any]:
        """The facts as the journal has them: what a second process would know."""
        found: dict[str, Any] = {}
        for entry in self.context.journal.entries():
            found |= entry.facts["facts"] if entry.event == "facts" else {}
        return found

    def builder(self) -> str:
        """The id of the server that stands for this build; fails when there is none or more than one."""
        (server,) = self.cloud.owned(self.context.build.id)[self.context.build.id].servers
        return server.id


def make_world(folder: Path) -> World:
    """A build of the recipe `small` before its first step: everything is looked up, nothing made."""
    clock = FakeClock()
    cloud = FakeCloud(clock)
    told = Told()
    context = make_context(folder / "small-20260101-000000-abcd", cloud, report=told)
    made = World(clock, cloud, FakeGuest(clock), told, context)
    context.connect = made.connect
    image = cloud.add_image("base")
    context.facts |= {
        "source_image_id": image.id,
        "source_image_name": image.name,
        "source_min_ram": 0,
        "boot_image_id": image.id,
        "root_bus": "ide",
        "flavor_id": cloud.add_flavor("f").id,
        "flavor_disk_gib": 40,
        "network_id": cloud.add_network("n", "10.0.0.0/24").id,
        "allow_from": "10.0.0.1/32",
        "media": [{"id": cloud.add_image("drivers-cd").id, "name": "drivers-cd", "gib": 1, "checksum": None}],
    }
    return made


def make_standing(folder: Path) -> World:
    """The same, with a real builder and Windows reached."""
    made = make_world(folder)
    made.facts.update({"guest_address": "10.0.0.10", "guest_certificate": CERTIFICATE, "windows": {}})
    BootBuilder().run(made.context)
    return made


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A build before its first step."""
    made = make_world(tmp_path)
    yield made
    made.context.journal.close()


@pytest.fixture
def windows(world: World) -> World:
    """The same, with Windows reached."""
    world.context.facts |= {"guest_address": "10.0.0.10", "guest_certificate": CERTIFICATE, "windows": {}}
    return world


@pytest.fixture
def standing(tmp_path: Path) -> Iterator[World]:
    """The same, with a real builder behind it."""
    made = make_standing(tmp_path)
    yield made
    made.context.journal.close()
