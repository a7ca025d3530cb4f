"""Tasks of the lab, and of the tests that run in it. What makes a lab is loaded by who asks for it: every other command starts sooner."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context, task

from imagebuild.front.deferred import Deferred
from imagebuild.front.telling import JSON_HELP, told

if TYPE_CHECKING:
    from imagebuild.lab import layout, lifecycle
    from imagebuild.lab import storm as lab_storm
    from imagebuild.lab import users as lab_users
else:
    layout = Deferred("imagebuild.lab.layout")
    lifecycle = Deferred("imagebuild.lab.lifecycle")
    lab_storm = Deferred("imagebuild.lab.storm")
    lab_users = Deferred("imagebuild.lab.users")


@task(help={"fake-hosts": "how many compute hosts without virtual machines, for scale tests (default: as they are)"})
def up(c: Context, fake_hosts: int = -1, json: bool = False) -> None:
    """Bring the lab up: a real OpenStack on this machine."""
    with told(json=json) as report:
        lab = lifecycle.up(report, fake_hosts=fake_hosts if fake_hosts >= 0 else None)
        report.say(f"the lab is up; try: openstack --os-cloud {lab.name} image list", cloud=lab.name)


@task
def down(c: Context, json: bool = False) -> None:
    """Stop the lab; everything in it stays."""
    with told(json=json) as report:
        lifecycle.down(report)


@task
def status(c: Context, json: bool = False) -> None:
    """Say what the lab is doing."""
    with told(json=json) as report:
        for line in lifecycle.status().lines():
            report.say(line)


@task
def reset(c: Context, json: bool = False) -> None:
    """Remove the lab and everything in it."""
    with told(json=json) as report:
        lifecycle.reset(report)


@task(
    positional=["pool"],
    help={
        "pool": "a pool of the lab's broker",
        "count": "how many; 0 sends them home (default: only look)",
        "seed": "the same seed wishes the same",
        "json": JSON_HELP,
    },
)
def users(c: Context, pool: str, count: int = -1, seed: int = 1, json: bool = False) -> None:
    """Let simulated users work in a pool of the lab, and say what users had to bear: sessions cut, logins refused."""
    with told(json=json) as report:
        lab_users.set_users(layout.find_layout(), pool, report, count=count if count >= 0 else None, seed=seed)


@task(
    help={
        "count": "rounds: each kills one build",
        "seed": "the same seed draws the same lots",
        "recipe": "whose copy is built and killed",
        "json": JSON_HELP,
    }
)
def storm(c: Context, count: int = 100, seed: int = 1, recipe: str = "empty", json: bool = False) -> None:
    """Kill builds at random moments in the lab, resume, undo or sweep them, and prove that nothing is left and nothing is double."""
    with told(json=json) as report:
        lab_storm.storm(Path(c.project), recipe, report, count=count, seed=seed)


@task(help={"quick": "without the lab: linters, types and everything that runs in milliseconds"})
def test(c: Context, quick: bool = False) -> None:
    """Run the tests: linters, types, units, and the main job on real virtual machines. Two at a time: tests/lanes.py says which."""
    marks = " -m 'not lab'" if quick else ""
    lanes = "-n 2 --dist loadfile --no-loadscope-reorder --durations 12"
    c.run(f"{sys.executable} -m pytest {lanes}{marks}", pty=sys.stdout.isatty(), in_stream=False)
