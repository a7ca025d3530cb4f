"""Which old versions may go, and why the others stay; and their removal, with a last look right before each.

A version that is to go is unprotected, looked at again and deleted. A run that was cut off in between leaves one of ours
unprotected: the next run deletes it, or protects it again when there is a reason to keep it by now.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from imagebuild.cloud import Cloud
from imagebuild.errors import CloudError, CloudRefused, DeadlinePassed, ImagebuildError
from imagebuild.images import Version, list_versions, pick_current
from imagebuild.promotion import predecessor
from imagebuild.properties import HOLDER
from imagebuild.report import Report
from imagebuild.waiting import Deadline

DEFAULT_KEEP = 3
_DELETE_SECONDS = 120.0


@dataclass(frozen=True)
class Fate:
    """A version and every reason for which it stays; without one it goes."""

    version: Version
    reasons: tuple[str, ...]

    @property
    def stays(self) -> bool:
        """Is there a reason to keep it?"""
        return bool(self.reasons)

    @property
    def bare(self) -> bool:
        """Does it stay without Glance's protection? Then a run that wanted to delete it was cut off."""
        return self.stays and not self.version.image.protected and self.version.state != "building"

    def __str__(self) -> str:
        one = self.version
        verdict = f"stays: {'; '.join(self.reasons)}" if self.stays else "goes"
        size = f"{(one.image.size or 0) / 1e6:.0f} MB"
        return f"{one.name:24s} {one.state:10s} {size:>9s}  {verdict}"


def decide(versions: Sequence[Version], uses: Mapping[str, Sequence[str]], *, keep: int) -> list[Fate]:
    """The fate of each version of one recipe, oldest first. `uses`: by image id, what was made from it and still stands.

    `keep` counts the newest versions that are not rejected, the current one among them. A candidate waits for its promotion
    only while its number is above the current one's: what has been overtaken is judged like a superseded one. The highest number
    stays whatever it is, because the next version is numbered after it, and brokers must never see a name a second time.
    """
    if not versions:
        return []
    head = pick_current(versions, versions[0].recipe)
    back = predecessor(versions, head) if head else None
    newest = sorted((one.version for one in versions if one.state not in ("rejected", "building")), reverse=True)[:keep]
    highest = max((one.version for one in versions if one.state != "building"), default=0)

    def reasons(one: Version) -> list[str]:
        if one.state == "building":
            return [f"{one.image.properties.get(HOLDER, 'somebody')} builds it"]
        waits = one.state == "candidate" and (head is None or one.version > head.version)
        told = {
            "current": one == head,
            "a rollback goes to it": one == back,
            "a candidate": waits,
            f"one of the newest {keep}": one.state != "rejected" and one.version in newest,
            "the highest number, and numbers are never given twice": one.version == highest,
            f"{one.image.visibility}: other projects may use it": one.image.visibility != "private",
        }
        return [reason for reason, holds in told.items() if holds] + _tell_uses(uses.get(one.image.id, ()))

    return [Fate(one, tuple(reasons(one))) for one in versions]


def prune(
    cloud: Cloud,
    recipe: str,
    *,
    keep: int,
    chosen: Sequence[Version],
    report: Report,
    deadline_seconds: float = _DELETE_SECONDS,
) -> int:
    """Delete those chosen versions that may still go, rejected ones first, then the oldest; returns how many.

    Whoever calls holds the recipe's claim. What turns out to be used, or what the cloud does not delete, is protected again;
    an error at the end names it.
    """
    fates = decide(list_versions(cloud, recipe), cloud.image_uses(), keep=keep)
    heal(cloud, fates, report=report)
    wanted = {one.image.id for one in chosen}
    still = [f"{fate}" for fate in fates if fate.stays and fate.version.image.id in wanted]
    going = [fate.version for fate in fates if not fate.stays and fate.version.image.id in wanted]
    for one in sorted(going, key=lambda one: one.state != "rejected"):
        try:
            _delete(cloud, one, keep=keep, deadline=Deadline.after(deadline_seconds))
            report.note(f"deleted {one.name} ({one.image.id})")
        except (CloudError, DeadlinePassed) as error:
            still.append(f"{one.name}: {error}")
    if still:
        raise ImagebuildError("not every version could be deleted", hint="run the same again later", details=still)
    return len(going)


def heal(cloud: Cloud, fates: Sequence[Fate], *, report: Report) -> None:
    """Protect again what stays and is not protected."""
    for fate in fates:
        if fate.bare:
            cloud.update_image(fate.version.image.id, protected=True)
            report.note(f"{fate.version.name} was not protected (a run that was cut off?): it is again")


def _delete(cloud: Cloud, version: Version, *, keep: int, deadline: Deadline) -> None:
    """Unprotect, look once more, delete. Whatever comes between, it is not left unprotected without need."""
    image_id, deleted = version.image.id, False
    try:
        cloud.update_image(image_id, protected=False)
        now = decide(list_versions(cloud, version.recipe), cloud.image_uses(), keep=keep)
        for fate in now:
            if fate.version.image.id == image_id and fate.stays:
                raise CloudRefused(f"it stays after all: {'; '.join(fate.reasons)}")
        cloud.delete("image", image_id, deadline=deadline)
        deleted = True
    finally:
        if not deleted:
            with suppress(CloudError):  # the next run finds it; what has gone wrong first says more
                cloud.update_image(image_id, protected=True)


def _tell_uses(uses: Sequence[str]) -> list[str]:
    """Who uses it: the first by name, the others as a number."""
    if not uses:
        return []
    others = f" and {len(uses) - 1} more" if len(uses) > 1 else ""
    return [f"used by {uses[0]}{others}"]
