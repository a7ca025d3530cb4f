"""Tasks that build: build, plan."""

from typing import TYPE_CHECKING

from invoke import Context, Exit, task

from imagebuild.attendant import Wishes
from imagebuild.errors import UNCHANGED
from imagebuild.front.builds import ON_ERROR_HELP, PAUSE_HELP
from imagebuild.front.deferred import Deferred
from imagebuild.front.telling import CLOUD_HELP, JSON_HELP, JUNIT_HELP, settings_of, told
from imagebuild.jobs import building

if TYPE_CHECKING:
    from imagebuild.jobs import releasing
else:
    releasing = Deferred("imagebuild.jobs.releasing")

RECIPE_HELP = "a name in recipes/, or a path"


@task(
    positional=["recipe"],
    help={
        "recipe": RECIPE_HELP,
        "cloud": CLOUD_HELP,
        "on-error": ON_ERROR_HELP,
        "pause-before": PAUSE_HELP,
        "if-changed": f"do nothing, and end with {UNCHANGED}, when an image of the very same plan is there",
        "fresh": "begin at the source image, not at a checkpoint",
        "verify": "prove the image by clones of it",
        "promote": "the same, and what passes becomes current",
        "json": JSON_HELP,
        "junit": JUNIT_HELP,
    },
)
def build(
    c: Context,
    recipe: str,
    cloud: str = "",
    on_error: str = "undo",
    pause_before: str = "",
    if_changed: bool = False,
    fresh: bool = False,
    verify: bool = False,
    promote: bool = False,
    json: bool = False,
    junit: str = "",
) -> None:
    """Build the next version of a recipe's image."""
    wishes = Wishes(on_error, pause_before)
    with told(json=json, junit=junit, suite=f"build {recipe}") as report:
        settings = settings_of(c, cloud)
        built = building.build(recipe, settings, report, wishes=wishes, if_changed=if_changed, fresh=fresh)
        released = (verify or promote) and releasing.release(built, settings, report, promote=promote)
    if not (built.changed or released):
        raise Exit(code=UNCHANGED)


@task(positional=["recipe"], help={"recipe": RECIPE_HELP, "cloud": CLOUD_HELP, "json": JSON_HELP})
def plan(c: Context, recipe: str, cloud: str = "", json: bool = False) -> None:
    """Show what a build would do; touches nothing."""
    with told(json=json) as report:
        building.plan(recipe, settings_of(c, cloud), report)
