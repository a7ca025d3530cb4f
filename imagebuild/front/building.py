"""Tasks that build: build, plan."""

from invoke import Context, Exit, task

from imagebuild.errors import RecipeError
from imagebuild.front.telling import CLOUD_HELP, JSON_HELP, JUNIT_HELP, settings_of, told
from imagebuild.jobs import building

RECIPE_HELP = "a name in recipes/, or a path"


@task(
    positional=["recipe"],
    help={
        "recipe": RECIPE_HELP,
        "cloud": CLOUD_HELP,
        "on-error": "undo (default) or keep: what becomes of the builder when a step fails",
        "json": JSON_HELP,
        "junit": JUNIT_HELP,
    },
)
def build(
    c: Context, recipe: str, cloud: str = "", on_error: str = "undo", json: bool = False, junit: str = ""
) -> None:
    """Build the next version of a recipe's image."""
    if on_error not in ("keep", "undo"):
        raise Exit(f"error: --on-error is {on_error!r}; known are keep and undo", code=RecipeError.exit_code)
    with told(json=json, junit=junit, suite=f"build {recipe}") as report:
        building.build(recipe, settings_of(c, cloud, on_error=on_error), report)


@task(positional=["recipe"], help={"recipe": RECIPE_HELP, "cloud": CLOUD_HELP, "json": JSON_HELP})
def plan(c: Context, recipe: str, cloud: str = "", json: bool = False) -> None:
    """Show what a build would do; touches nothing."""
    with told(json=json) as report:
        building.plan(recipe, settings_of(c, cloud), report)
