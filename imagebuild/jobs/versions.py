"""The life of images as a person asks for it: list them."""

from imagebuild.images import list_versions, table
from imagebuild.jobs.settings import Settings
from imagebuild.report import Report


def images(recipe: str | None, settings: Settings, report: Report) -> None:
    """List the versions that there are."""
    versions = list_versions(settings.open_cloud(report), recipe)
    if not versions:
        report.say("no images yet; to make one: invoke build win7-vdi", images=[])
        return
    heading, *lines = table(versions)
    report.say(heading)
    for line, one in zip(lines, versions, strict=True):
        told = {"id": one.image.id, "status": one.image.status, "protected": one.image.protected}
        report.say(line, image=one.image.name, recipe=one.recipe, version=one.version, **told)
