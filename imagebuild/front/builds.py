"""Tasks about builds: list, show, resume, undo, unclaim, sweep."""

from invoke import Context, task

from imagebuild.attendant import Wishes
from imagebuild.front.telling import CLOUD_HELP, JSON_HELP, JUNIT_HELP, settings_of, told
from imagebuild.jobs import builds, resuming, sweeping

BUILD_HELP = "a build's id, a piece of it that only one has, or `last`"
CLOUD_OF_BUILD_HELP = "a name in clouds.yaml (default: the cloud that it was begun in)"
ON_ERROR_HELP = "what becomes of the builder when a step fails: undo (default), keep, or ask (at a terminal)"
PAUSE_HELP = "wait for Enter before this step, to look at the builder first"


@task(
    default=True,
    name="list",
    help={"cloud": CLOUD_HELP, "all": "also those that were over long ago", "json": JSON_HELP},
)
def list_builds(c: Context, cloud: str = "", all: bool = False, json: bool = False) -> None:
    """List the builds of this machine, and what stands of them in the cloud."""
    with told(json=json) as report:
        builds.list_builds(settings_of(c, cloud), report, every=all)


@task(positional=["build"], help={"build": BUILD_HELP, "cloud": CLOUD_OF_BUILD_HELP, "json": JSON_HELP})
def show(c: Context, build: str, cloud: str = "", json: bool = False) -> None:
    """Show one build: its steps with their seconds, why it failed, its files, what stands."""
    with told(json=json) as report:
        builds.show(build, settings_of(c, cloud), report)


@task(
    positional=["build"],
    help={
        "build": BUILD_HELP,
        "cloud": CLOUD_OF_BUILD_HELP,
        "on-error": ON_ERROR_HELP,
        "pause-before": PAUSE_HELP,
        "json": JSON_HELP,
        "junit": JUNIT_HELP,
    },
)
def resume(
    c: Context,
    build: str,
    cloud: str = "",
    on_error: str = "undo",
    pause_before: str = "",
    json: bool = False,
    junit: str = "",
) -> None:
    """Go on with a build that was cut off or kept."""
    with told(json=json, junit=junit, suite=f"resume {build}") as report:
        resuming.resume(build, settings_of(c, cloud), report, wishes=Wishes(on_error, pause_before))


@task(
    positional=["build"],
    help={
        "build": f"{BUILD_HELP}; of another machine's build its whole id",
        "cloud": CLOUD_OF_BUILD_HELP,
        "json": JSON_HELP,
    },
)
def undo(c: Context, build: str, cloud: str = "", json: bool = False) -> None:
    """Delete everything that a build has left in the cloud."""
    with told(json=json) as report:
        builds.undo(build, settings_of(c, cloud), report)


@task(
    positional=["recipe"],
    help={
        "recipe": "the `recipe:` that is claimed",
        "break-claim": "take the claim away, whoever holds it",
        "cloud": CLOUD_HELP,
        "json": JSON_HELP,
    },
)
def unclaim(c: Context, recipe: str, break_claim: bool = False, cloud: str = "", json: bool = False) -> None:
    """Show who has claimed a recipe; take the claim of a dead machine away."""
    with told(json=json) as report:
        builds.unclaim(recipe, settings_of(c, cloud), report, broken=break_claim)


@task(
    help={
        "cloud": CLOUD_HELP,
        "dry-run": "only say what would go",
        "kept": "also what --on-error keep has kept",
        "foreign": "also builds of other machines and clones of the project, but for those whose claim says that they are at work",
        "json": JSON_HELP,
    }
)
def sweep(
    c: Context, cloud: str = "", dry_run: bool = False, kept: bool = False, foreign: bool = False, json: bool = False
) -> None:
    """Delete what dead builds have left in the cloud, and checkpoints whose end is past."""
    with told(json=json) as report:
        sweeping.sweep(settings_of(c, cloud), report, dry_run=dry_run, kept=kept, foreign=foreign)
