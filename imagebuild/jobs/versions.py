"""The versions of images as a person looks at them: the list, one version, the difference between two. Only reads."""

from collections.abc import Iterator, Sequence

from imagebuild.image_differences import find_differences
from imagebuild.image_listing import table
from imagebuild.image_page import describe_version
from imagebuild.image_record import unpack
from imagebuild.images import Version, find_version, list_versions, pick_waiting
from imagebuild.jobs.settings import Settings
from imagebuild.properties import GENERALIZED, RECORD, VERIFICATION, VERIFIED
from imagebuild.report import Report


def images(recipe: str | None, settings: Settings, report: Report) -> None:
    """List the versions that there are, also one that is being built."""
    cloud = settings.open_cloud(report)
    versions = list_versions(cloud, recipe)
    if not versions:
        wanted = recipe or "win7-vdi"
        report.say(f"no images {f'of {recipe} ' if recipe else ''}yet; to make one: invoke build {wanted}", images=[])
        return
    uses = cloud.image_uses()
    heading, *lines = table(versions, uses)
    report.say(heading)
    for line, one in zip(lines, versions, strict=True):
        image = one.image
        told = {"state": one.state, "id": image.id, "status": image.status, "protected": image.protected}
        used = list(uses.get(image.id, ()))
        report.say(line, image=one.name, recipe=one.recipe, version=one.version, used=used, **told)
    for line in _next_steps(versions):
        report.say(line)


def _next_steps(versions: Sequence[Version]) -> Iterator[str]:
    """What each recipe's newest candidate waits for; one that was overtaken, or can never be current, waits for nothing."""
    for recipe in sorted({one.recipe for one in versions}):
        waiting = pick_waiting(versions, recipe)
        if waiting and waiting.image.properties.get(GENERALIZED) in ("yes", "unseen"):
            verb = "promote" if waiting.image.properties.get(VERIFIED) == "passed" else "verify"
            yield f"next: invoke {verb} {waiting.name}"


def show(name: str, settings: Settings, report: Report) -> None:
    """Tell everything that is known of a version."""
    cloud = settings.open_cloud(report)
    version = find_version(cloud, name)
    image, uses = version.image, list(cloud.image_uses().get(version.image.id, ()))
    heading, *lines = describe_version(version, list_versions(cloud, version.recipe), uses)
    plain = {key: value for key, value in image.properties.items() if key not in (RECORD, VERIFICATION)}
    record = unpack(image.properties.get(RECORD, ""))
    verification = unpack(image.properties.get(VERIFICATION, ""))
    report.say(
        heading,
        image=version.name,
        id=image.id,
        recipe=version.recipe,
        version=version.version,
        state=version.state,
        status=image.status,
        hidden=image.hidden,
        protected=image.protected,
        visibility=image.visibility,
        properties=plain,
        record=record,
        verification=verification,
        used=uses,
    )
    for line in lines:
        report.say(line)


def differ(first: str, second: str, settings: Settings, report: Report) -> None:
    """Tell what is different between two versions."""
    cloud = settings.open_cloud(report)
    one, other = find_version(cloud, first), find_version(cloud, second)
    found = find_differences(one.image, other.image)
    for difference in found:
        report.say(str(difference), **difference.as_json())
    count = sum(difference.sign != "?" for difference in found)  # what a record does not tell is no difference
    told = f"{count} difference{'s' * (count != 1)}" if count else "no difference"
    if count < len(found):
        told += " in what both records tell"
    report.say(f"{one.name} -> {other.name}: {told}", first=one.name, second=other.name, differences=count)
