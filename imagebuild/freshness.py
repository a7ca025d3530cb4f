"""Whether building would change anything: is there a version already that came of the very same plan?"""

from collections.abc import Iterator

from imagebuild.cloud import Cloud
from imagebuild.images import Version, list_versions, pick_current
from imagebuild.plan import Plan
from imagebuild.properties import BASE_ID, CONTENT, DIGEST


def find_same(plan: Plan, cloud: Cloud) -> Version | None:
    """The version that makes a build of this plan needless; None when there is a reason to build. Only reads.

    What a build would give is compared with the recipe's newest version, whatever became of it, and with its current one. A
    newest one that was rejected counts: the same recipe, source, media and updates would give the same bad image every night.
    It takes a change to get out of that (or a build without --if-changed). A recipe that was changed and changed back is
    built again when the version in between is current.

    A version stands for itself and for those that it was built from (`source: {recipe: ...}`): a change on top of a version
    leaves what is below it as it was. A recipe that starts from its own line always has a source of its own making, so there
    it is the same when the source came of the same content.
    """
    line = [one for one in list_versions(cloud, plan.recipe.name) if one.state != "building"]
    if not line:
        return None
    for head in filter(None, (line[-1], pick_current(line, plan.recipe.name))):
        for one in _with_bases(head, line):
            if one.image.properties.get(DIGEST) == plan.digest and _counts(one):
                return one
    source = next((one for one in line if one.image.id == plan.resolution.source.id), None)
    if source:
        for one in _with_bases(source, line):
            if one.image.properties.get(CONTENT) == plan.content and _counts(one):
                return one
    return None


def _with_bases(version: Version, line: list[Version]) -> Iterator[Version]:
    """The version, the one it was built from, the one that was built from ... as far as they still stand."""
    by_id = {one.image.id: one for one in line}
    found: Version | None = version
    while found is not None:
        yield found
        found = by_id.pop(found.image.properties.get(BASE_ID, ""), None)


def _counts(version: Version) -> bool:
    """One that nobody can boot makes no build needless; a rejected one may be deactivated on purpose."""
    return version.state == "rejected" or version.image.status == "active"
