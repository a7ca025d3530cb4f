"""Tasks of an image's life: images."""

from invoke import Context, task

from imagebuild.front.telling import CLOUD_HELP, JSON_HELP, settings_of, told
from imagebuild.jobs import versions


@task(help={"recipe": "only this recipe's", "cloud": CLOUD_HELP, "json": JSON_HELP})
def images(c: Context, recipe: str = "", cloud: str = "", json: bool = False) -> None:
    """List the versions of the master images."""
    with told(json=json) as report:
        versions.images(recipe or None, settings_of(c, cloud), report)
