"""Small, right values that tests change in one place: a recipe, what a cloud has for it, and the context of a step."""

from datetime import UTC, datetime
from pathlib import Path

import imagebuild.steps  # noqa: F401  registers every step
from imagebuild.cloud import Flavor, Image, Network
from imagebuild.journal import Journal
from imagebuild.plan import Plan, PlannedStep
from imagebuild.recipe import Recipe, load_recipe
from imagebuild.recipe_header import Header
from imagebuild.report import Report, SilentReport
from imagebuild.resolution import Medium, Resolution
from imagebuild.secrets import Secret
from imagebuild.step import Build, Context, Step
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud
from tests.fakes.guest import FakeGuest

PROJECT = Path(__file__).resolve().parents[2]
TEMPLATES = PROJECT / "unattend"
RECIPE = """\
recipe: small
description: for tests
windows: {os: win7, locale: ko-KR, time_zone: Korea Standard Time}
source: {image: base}
builder: {flavor: f, network: n}
steps:
  - boot-builder
  - reach-guest
  - virtio-drivers: {media: drivers-cd}
  - cloudbase-init: {media: programs-cd, label: PROGRAMS, path: c.msi, sha256: "%s"}
""" % ("a" * 64)


def write_recipe(folder: Path, text: str = RECIPE) -> Recipe:
    """The recipe, written and loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.yaml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path)


def resolution(version: int = 1, *, checksum: str | None = "c0ffee") -> Resolution:
    """What a cloud has for it."""
    return Resolution(
        source=Image("image-1", "base", "active", checksum=checksum, min_ram=1024),
        flavor=Flavor("flavor-1", "f", 2, 2048, 40),
        network=Network("network-1", "n", ("10.0.0.0/24",)),
        media=(Medium("cd-1", "drivers-cd", 1, "d00d"), Medium("cd-2", "programs-cd", 2, None)),
        version=version,
        root_bus="ide",
    )


def header() -> Header:
    """The recipe's head."""
    windows = {"os": "win7", "locale": "ko-KR", "time_zone": "Korea Standard Time"}
    return Header.model_validate(
        {"recipe": "small", "windows": windows, "source": {"image": "base"}, "builder": {"flavor": "f", "network": "n"}}
    )


def context(folder: Path, cloud: FakeCloud | None = None, *, report: Report | None = None) -> Context:
    """A context over fakes; close its journal with `context.journal.close()`, or let the process end."""
    cloud = cloud or FakeCloud(FakeClock())
    guest = FakeGuest(cloud.clock)
    folder.mkdir(parents=True, exist_ok=True)
    return Context(
        cloud=cloud,
        report=report or SilentReport(),
        journal=Journal(folder / "journal.jsonl"),
        build=Build(folder.name, "small", 1, "small-v1", "d" * 64),
        header=header(),
        folder=folder,
        templates=TEMPLATES,
        password=Secret("Builder-password.1"),
        connect=lambda address, password, certificate: guest,
        clock=cloud.clock,
    )


def plan_of(recipe: Recipe, *steps: Step) -> Plan:
    """A plan of these steps as they are."""
    planned = tuple(PlannedStep(number, step, f"digest-{number}") for number, step in enumerate(steps, start=1))
    return Plan(recipe, resolution(), planned, "c" * 64, datetime(2026, 11, 22, tzinfo=UTC))
