"""Tasks about builds that are over or dead: sweep."""

from invoke import Context, task

from imagebuild.front.telling import CLOUD_HELP, JSON_HELP, settings_of, told
from imagebuild.jobs import builds


@task(
    help={
        "cloud": CLOUD_HELP,
        "dry-run": "only say what would go",
        "kept": "also what --on-error keep has kept",
        "foreign": "also builds that this machine knows nothing of (another machine may be at work on them)",
        "json": JSON_HELP,
    }
)
def sweep(
    c: Context, cloud: str = "", dry_run: bool = False, kept: bool = False, foreign: bool = False, json: bool = False
) -> None:
    """Delete what dead builds have left in the cloud."""
    with told(json=json) as report:
        builds.sweep(settings_of(c, cloud), report, dry_run=dry_run, kept=kept, foreign=foreign)
