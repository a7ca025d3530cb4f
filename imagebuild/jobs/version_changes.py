"""What changes a recipe's versions: promote, rollback, reject, prune. Each under the recipe's claim, so two people cannot do it at once."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from imagebuild.cloud import Cloud, Image
from imagebuild.errors import CloudRefused, RecipeError, VersionRefused
from imagebuild.images import Version, find_version, list_versions, pick_waiting, versions_among
from imagebuild.images import reject as reject_version
from imagebuild.jobs.changing import changing
from imagebuild.jobs.settings import Settings
from imagebuild.promotion import Change, check_promotable, roll_back
from imagebuild.promotion import promote as promote_version
from imagebuild.properties import PROMOTED_AT
from imagebuild.pruning import DEFAULT_KEEP, Fate, decide
from imagebuild.pruning import prune as prune_versions
from imagebuild.recipe import find_recipe, load_recipe
from imagebuild.report import Report, SilentReport


def promote(name: str, settings: Settings, report: Report, *, unverified: bool = False) -> Version:
    """Make a version the recipe's current one; gives it as it is then. Of a recipe, its newest candidate is meant.

    Raises VersionRefused when it is not good enough.
    """
    cloud = settings.open_cloud(report)
    version = pick_waiting(list_versions(cloud, name), name) or find_version(cloud, name)
    if version.state != "current":
        check_promotable(version, unverified=unverified, report=SilentReport())  # what is refused anyway needs no claim
    with changing_versions("promote", version.recipe, cloud, settings, report):
        began = time.monotonic()
        change = promote_version(cloud, version, unverified=unverified, report=report)
    return _tell(change, began, report)


def rollback(recipe: str, settings: Settings, report: Report, *, to: str = "", reason: str = "") -> Version:
    """Make the version before the current one current again, or the one named by `to`; with a reason the bad one becomes rejected."""
    cloud = settings.open_cloud(report)
    target = find_version(cloud, to) if to else None
    if target and target.recipe != recipe:
        raise VersionRefused(f"{target.name} is no version of {recipe}", hint=f"see: invoke images --recipe {recipe}")
    if not list_versions(cloud, recipe):
        find_version(cloud, recipe)  # says which names there are
    with changing_versions("rollback", recipe, cloud, settings, report):
        began = time.monotonic()
        change = roll_back(cloud, recipe, to=target, reason=reason.strip(), report=report)
    return _tell(change, began, report)


def reject(name: str, settings: Settings, report: Report, *, reason: str, dangerous: bool = False) -> Version:
    """Take a version out of use, with a reason. `dangerous`: deactivated as well, so that no server is made or rebuilt from it."""
    if not reason.strip():
        raise RecipeError(
            "a rejection needs a reason", hint=f"invoke reject {name} --reason '...': others will read it"
        )
    cloud = settings.open_cloud(report)
    version = find_version(cloud, name)
    with changing_versions("reject", version.recipe, cloud, settings, report):
        image = reject_version(cloud, find_version(cloud, version.image.id), reason=reason.strip())
        report.say(f"{version.name} is rejected and hidden: {reason.strip()}", image=version.name, state="rejected")
        if dangerous and image.status != "deactivated":
            _deactivate(cloud, version, report)
        return find_version(cloud, version.image.id)


def prune(
    recipe: str, settings: Settings, report: Report, *, keep: int | None, yes: bool, ask: Callable[[str], bool]
) -> int:
    """Delete versions that nothing needs any more; returns how many. First says of every one whether it goes, and why it stays.

    `keep`: how many of the newest stay; None: what the recipe's policy says. Without `yes`, `ask` decides when the plan is shown.
    """
    cloud = settings.open_cloud(report)
    keep = _keep_of(recipe, settings) if keep is None else keep
    if keep < 1:
        raise RecipeError(f"--keep is {keep}", hint="at least one version stays")
    fates = decide(list_versions(cloud, recipe), cloud.image_uses(), keep=keep)
    if not fates:
        find_version(cloud, recipe)  # says which names there are
    going = [fate.version for fate in fates if not fate.stays]
    for fate in fates:
        told = {"image": fate.version.name, "id": fate.version.image.id, "state": fate.version.state}
        report.say(str(fate), stays=fate.stays, reasons=fate.reasons, **told)
    bare = [fate for fate in fates if fate.bare]
    if not (going or bare):
        report.say(f"nothing of {recipe} to prune", deleted=0)
        return 0
    if not (yes or ask(_question(going, bare))):
        report.say(f"nothing was deleted; to do it: invoke prune {recipe} --keep {keep} --yes", deleted=0)
        return 0
    with changing_versions("prune", recipe, cloud, settings, report):
        with report.step("prune", f"prune {recipe}: {len(going)} versions"):
            deleted = prune_versions(cloud, recipe, keep=keep, chosen=going, report=report)
        report.say(f"{deleted} versions of {recipe} deleted", deleted=deleted)
    return deleted


def _tell(change: Change, began: float, report: Report) -> Version:
    """What is current now, and the way back."""
    now, before, took = change.now, change.before, round(time.monotonic() - began, 1)
    facts = {"image": now.name, "id": now.image.id, "state": "current", "took_seconds": took}
    if before is None:
        report.say(f"{now.name} is current", **facts)
    else:
        words = f"{now.name} is current, {before.name} is {before.state} (in {took} s)"
        report.say(words, before=before.name, before_state=before.state, **facts)
        report.say(f"new desktops get it by its name or id; to go back: invoke rollback {now.recipe}")
    return now


def _deactivate(cloud: Cloud, version: Version, report: Report) -> None:
    """Rejected it is already; that the cloud does not let us go further must not be overlooked."""
    try:
        cloud.set_image_active(version.image.id, active=False)
    except CloudRefused as error:
        raise CloudRefused(
            f"{version.name} is rejected and hidden, but whoever knows its id can still use it: {error}",
            hint=f"ask the cloud's operator for: openstack image set --deactivate {version.image.id}",
        ) from error
    report.say(f"{version.name} is deactivated: no server is made or rebuilt from it", image=version.name)


def _question(going: list[Version], bare: list[Fate]) -> str:
    deeds = [f"delete {', '.join(one.name for one in going)}"] if going else []
    deeds += [f"protect {', '.join(fate.version.name for fate in bare)} again"] if bare else []
    return " and ".join(deeds)


def _keep_of(recipe: str, settings: Settings) -> int:
    """What the recipe of that name says. A line of versions may have outlived its recipe, or be made by recipes of other names."""
    try:
        path = find_recipe(recipe, folder=settings.recipes)
    except RecipeError:
        return DEFAULT_KEEP
    return load_recipe(path).header.policy.keep


@contextmanager
def changing_versions(verb: str, recipe: str, cloud: Cloud, settings: Settings, report: Report) -> Iterator[None]:
    """Hold the recipe's claim for what is done to its versions: Glance's own change of an image loses one of two at once. Raises Busy."""
    with changing(
        verb,
        recipe,
        purpose="life",
        seed=lambda images: _state_of(images, recipe),
        cloud=cloud,
        settings=settings,
        report=report,
    ):
        yield


def _state_of(images: Sequence[Image], recipe: str) -> str:
    """A short word for the state of a recipe's versions: another one after every change that is made under this claim."""
    versions = versions_among(images, recipe)
    told = [(one.image.id, one.state, one.image.properties.get(PROMOTED_AT)) for one in versions]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:12]
