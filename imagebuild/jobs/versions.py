"""The life of images as a person asks for it: list them."""

from imagebuild.image_listing import table
from imagebuild.images import list_versions
from imagebuild.jobs.settings import Settings
from imagebuild.report import Report


def images(recipe: str | None, settings: Settings, report: Report) -> None:
    """List the versions that there are."""
    cloud = settings.open_cloud(report)
    versions = list_versions(cloud, recipe)
    if not versions:
        report.say("no images yet; to make one: invoke build win7-vdi", images=[])
        return
    heading, *lines = table(versions, cloud.image_uses())
    report.say(heading)
    for line, one in zip(lines, versions, strict=True):
        told = {"state": one.state, "id": one.image.id, "status": one.image.status, "protected": one.image.protected}
        report.say(line, image=one.image.name, recipe=one.recipe, version=one.version, **told)
