"""The task that proves an image: verify."""

from typing import TYPE_CHECKING

from invoke import Context, task

from imagebuild.front.deferred import Deferred
from imagebuild.front.telling import CLOUD_HELP, JSON_HELP, JUNIT_HELP, settings_of, told

if TYPE_CHECKING:
    from imagebuild.jobs import verifying
else:
    verifying = Deferred("imagebuild.jobs.verifying")


@task(
    positional=["image"],
    help={
        "image": "a version (win7-vdi-v3, or an id), or a recipe: its newest candidate, else its current version",
        "clones": "how many at once (default: the recipe's verify.clones)",
        "keep": "leave the clones standing, to be looked at",
        "cloud": CLOUD_HELP,
        "json": JSON_HELP,
        "junit": JUNIT_HELP,
    },
)
def verify(
    c: Context, image: str, clones: int = 0, keep: bool = False, cloud: str = "", json: bool = False, junit: str = ""
) -> None:
    """Prove an image by clones of it; a candidate that fails is rejected."""
    with told(json=json, junit=junit, suite=f"verify {image}") as report:
        verifying.verify(image, settings_of(c, cloud), report, clones=clones or None, keep=keep)
