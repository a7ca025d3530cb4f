"""Tasks of an image's life: images, images.show, images.diff, promote, rollback, reject, prune."""

from typing import TYPE_CHECKING

from invoke import Context, task

from imagebuild.front.deferred import Deferred
from imagebuild.front.telling import CLOUD_HELP, JSON_HELP, settings_of, told, who_is_asked

if TYPE_CHECKING:
    from imagebuild.jobs import version_changes, versions
else:
    version_changes = Deferred("imagebuild.jobs.version_changes")
    versions = Deferred("imagebuild.jobs.versions")

VERSION_HELP = "a version's name (win7-vdi-v3) or image id; a recipe's name means its current version"
LINE_HELP = "the recipe whose versions these are"


@task(default=True, name="list", help={"recipe": "only this recipe's", "cloud": CLOUD_HELP, "json": JSON_HELP})
def images(c: Context, recipe: str = "", cloud: str = "", json: bool = False) -> None:
    """List the versions of the master images."""
    with told(json=json) as report:
        versions.images(recipe or None, settings_of(c, cloud), report)


@task(positional=["name"], help={"name": VERSION_HELP, "cloud": CLOUD_HELP, "json": JSON_HELP})
def show(c: Context, name: str, cloud: str = "", json: bool = False) -> None:
    """Show all that is known of a version: its life, what is in it, what was made from it."""
    with told(json=json) as report:
        versions.show(name, settings_of(c, cloud), report)


@task(
    positional=["first", "second"],
    help={"first": VERSION_HELP, "second": "the version to compare it with", "cloud": CLOUD_HELP, "json": JSON_HELP},
)
def diff(c: Context, first: str, second: str, cloud: str = "", json: bool = False) -> None:
    """Compare two versions: hardware, settings, updates, drivers, programs."""
    with told(json=json) as report:
        versions.differ(first, second, settings_of(c, cloud), report)


@task(
    positional=["name"],
    help={
        "name": "a version's name (win7-vdi-v3) or image id; a recipe's name means its newest candidate",
        "unverified": "also one that no verification has passed",
        "cloud": CLOUD_HELP,
        "json": JSON_HELP,
    },
)
def promote(c: Context, name: str, unverified: bool = False, cloud: str = "", json: bool = False) -> None:
    """Make a version the current one: what new desktops get."""
    with told(json=json) as report:
        version_changes.promote(name, settings_of(c, cloud), report, unverified=unverified)


@task(
    positional=["recipe"],
    help={
        "recipe": LINE_HELP,
        "to": "which version to go back to (default: the one before the current one)",
        "reason": "what is wrong with the current one: it becomes rejected",
        "cloud": CLOUD_HELP,
        "json": JSON_HELP,
    },
)
def rollback(c: Context, recipe: str, to: str = "", reason: str = "", cloud: str = "", json: bool = False) -> None:
    """Make the version before the current one current again."""
    with told(json=json) as report:
        version_changes.rollback(recipe, settings_of(c, cloud), report, to=to, reason=reason)


@task(
    positional=["name"],
    help={
        "name": VERSION_HELP,
        "reason": "what is wrong with it, for those who come later",
        "dangerous": "deactivate it, too: no server can be made or rebuilt from it",
        "cloud": CLOUD_HELP,
        "json": JSON_HELP,
    },
)
def reject(
    c: Context, name: str, reason: str = "", dangerous: bool = False, cloud: str = "", json: bool = False
) -> None:
    """Take a version out of use."""
    with told(json=json) as report:
        version_changes.reject(name, settings_of(c, cloud), report, reason=reason, dangerous=dangerous)


@task(
    positional=["recipe"],
    help={
        "recipe": LINE_HELP,
        "keep": "how many of the newest stay (default: the recipe's policy.keep, or 3)",
        "yes": "do it without asking",
        "cloud": CLOUD_HELP,
        "json": JSON_HELP,
    },
)
def prune(c: Context, recipe: str, keep: int = 0, yes: bool = False, cloud: str = "", json: bool = False) -> None:
    """Delete old versions that nothing needs, after saying which and why the others stay."""
    with told(json=json) as report:
        ask = who_is_asked(json=json)
        version_changes.prune(recipe, settings_of(c, cloud), report, keep=keep or None, yes=yes, ask=ask)
