"""The front: `invoke --list`. Each task is one call into the package; only here are errors printed and exit codes set."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from invoke import Collection, Context, Exit, task

from imagebuild import pipeline
from imagebuild.errors import ImagebuildError, RecipeError
from imagebuild.lab import lifecycle
from imagebuild.report import ConsoleReport, JsonReport, Report
from imagebuild.secrets import hide

PROJECT = Path(__file__).resolve().parent


@task(
    positional=["recipe"],
    help={
        "recipe": "a name in recipes/, or a path",
        "cloud": "a name in clouds.yaml (default: OS_CLOUD, the only one configured, or the lab)",
        "on-error": "undo (default) or keep: what becomes of the builder when a step fails",
        "json": "JSON lines instead of text",
    },
)
def build(c: Context, recipe: str, cloud: str = "", on_error: str = "undo", json: bool = False) -> None:
    """Build the next version of a recipe's image."""
    with _told(json=json) as report:
        pipeline.build(recipe, _settings(cloud, on_error), report)


@task(positional=["recipe"], help={"recipe": "a name in recipes/, or a path", "cloud": "a name in clouds.yaml"})
def plan(c: Context, recipe: str, cloud: str = "", json: bool = False) -> None:
    """Show what a build would do; touches nothing."""
    with _told(json=json) as report:
        pipeline.plan(recipe, _settings(cloud), report)


@task(help={"recipe": "only this recipe's", "cloud": "a name in clouds.yaml"})
def images(c: Context, recipe: str = "", cloud: str = "", json: bool = False) -> None:
    """List the versions of the master images."""
    with _told(json=json) as report:
        pipeline.images(recipe or None, _settings(cloud), report)


@task(
    help={
        "dry-run": "only say what would go",
        "kept": "also what --on-error keep has kept",
        "foreign": "also builds that this machine knows nothing of (another machine may be at work on them)",
    }
)
def sweep(
    c: Context, cloud: str = "", dry_run: bool = False, kept: bool = False, foreign: bool = False, json: bool = False
) -> None:
    """Delete what dead builds have left in the cloud."""
    with _told(json=json) as report:
        pipeline.sweep(_settings(cloud), report, dry_run=dry_run, kept=kept, foreign=foreign)


@task(help={"fake-hosts": "how many compute hosts without virtual machines, for scale tests (default: as they are)"})
def up(c: Context, fake_hosts: int = -1, json: bool = False) -> None:
    """Bring the lab up: a real OpenStack on this machine."""
    with _told(json=json) as report:
        lab = lifecycle.up(report, fake_hosts=fake_hosts if fake_hosts >= 0 else None)
        report.say(f"the lab is up; try: openstack --os-cloud {lab.name} image list", cloud=lab.name)


@task
def down(c: Context, json: bool = False) -> None:
    """Stop the lab; everything in it stays."""
    with _told(json=json) as report:
        lifecycle.down(report)


@task
def status(c: Context, json: bool = False) -> None:
    """Say what the lab is doing."""
    with _told(json=json) as report:
        for line in lifecycle.status().lines():
            report.say(line)


@task
def reset(c: Context, json: bool = False) -> None:
    """Remove the lab and everything in it."""
    with _told(json=json) as report:
        lifecycle.reset(report)


@task(help={"quick": "without the lab: linters, types and everything that runs in milliseconds"})
def test(c: Context, quick: bool = False) -> None:
    """Run the tests: linters, types, units, and the main job on real virtual machines."""
    marks = " -m 'not lab'" if quick else ""
    c.run(f"{sys.executable} -m pytest{marks}", pty=sys.stdout.isatty(), in_stream=False)


def _settings(cloud: str, on_error: str = "undo") -> pipeline.Settings:
    if on_error == "keep" or on_error == "undo":
        return pipeline.Settings(PROJECT, cloud=cloud or None, on_error=on_error)
    raise Exit(f"error: --on-error is {on_error!r}; known are keep and undo", code=RecipeError.exit_code)


@contextmanager
def _told(*, json: bool) -> Iterator[Report]:
    """A report for the task; an error of ours becomes a sentence, an advice and an exit code, never a trace."""
    report: Report = JsonReport() if json else ConsoleReport()
    try:
        yield report
    except ImagebuildError as error:
        lines = [f"error: {error}", *(f"  | {line}" for line in error.details[-25:])]
        if error.hint:
            lines.append(f"  advice: {error.hint}")
        lines += [f"  {line}" for line in error.after]
        raise Exit(hide("\n".join(lines)), code=error.exit_code) from error
    except KeyboardInterrupt as error:
        raise Exit("error: interrupted", code=130) from error


namespace = Collection(build, plan, images, sweep, test, lab=Collection("lab", up, down, status, reset))
