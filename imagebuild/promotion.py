"""Which version is current: promotion, and the way back. Each is two changes in Glance, in an order that always leaves a current one.

The new one becomes visible and current first, then the old one hidden and superseded. A run that was cut off between the two
leaves two that say `current`; the one promoted later counts (see images.list_versions), and the next run finishes the work.
Whoever calls holds the recipe's claim for this (purpose `life`), so nobody else changes the same line of versions meanwhile.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from imagebuild.cloud import Cloud
from imagebuild.errors import NotFound, VersionRefused
from imagebuild.images import Version, list_versions, look_again, pick_current, reject
from imagebuild.properties import GENERALIZED, PREVIOUS, PROMOTED_AT, REASON, STATE, SUPERSEDED_AT, VERIFIED
from imagebuild.report import Report


@dataclass(frozen=True)
class Change:
    """What is current now, and what was before, both as they are now; None when there was none, or when nothing had to change."""

    now: Version
    before: Version | None


def promote(cloud: Cloud, version: Version, *, unverified: bool = False, report: Report) -> Change:
    """Make it the recipe's current version. Of one that is current already, finishes what a run that was cut off has left.

    Only a whole, generalised image that passed its verification: `unverified` lifts the last, with a warning, but not for one
    that was rejected, which must pass a new verification. Raises VersionRefused; then nothing was touched.
    """
    versions = list_versions(cloud, version.recipe)
    wanted = _as_it_is(cloud, version, versions)
    head = pick_current(versions, version.recipe)
    if head == wanted:
        _supersede(cloud, _stale(versions))
        return Change(wanted, None)
    check_promotable(wanted, unverified=unverified, report=report)
    raised = _raise(cloud, wanted, over=head, previous=head.image.id if head else None)
    if head and head.image.visibility != raised.image.visibility:
        report.warn(
            f"{raised.name} is {raised.image.visibility}, {head.name} was {head.image.visibility}: "
            "other projects that used the old one must be given the new one"
        )
    left = _supersede(cloud, [head] if head else [])
    _supersede(cloud, [one for one in _stale(versions) if one != wanted])
    return Change(raised, left[0] if left else None)


def check_promotable(version: Version, *, unverified: bool, report: Report) -> None:
    """Raises VersionRefused, with what to do, when that version must not become current."""
    properties, name = version.image.properties, version.name
    _check_usable(version)
    verified = properties.get(VERIFIED, "never done")
    if verified == "passed":
        return
    if version.state == "rejected":
        reason = properties.get(REASON, "no reason was given")
        raise VersionRefused(
            f"{name} was rejected: {reason}", hint=f"it must pass a new verification first: invoke verify {name}"
        )
    if not unverified:
        raise VersionRefused(
            f"{name} is not verified (verification: {verified})",
            hint=f"invoke verify {name}; or, if you must: invoke promote {name} --unverified",
        )
    report.warn(f"{name} becomes current without a verification that it passed (verification: {verified})")


def roll_back(cloud: Cloud, recipe: str, *, to: Version | None = None, reason: str = "", report: Report) -> Change:
    """Make the version before the current one current again, or `to`. What was current becomes superseded; rejected, with a `reason`.

    Run again after it was cut off, it finishes that return and goes no further. Raises NotFound, VersionRefused.
    """
    versions = list_versions(cloud, recipe)
    head = pick_current(versions, recipe)
    if head is None:
        raise NotFound(f"{recipe} has no current version to go back from", hint="see: invoke images")
    # A promotion that was cut off leaves the one that the current one names as its predecessor: this is no return.
    left = [one for one in _stale(versions) if one.image.id != head.image.properties.get(PREVIOUS)]
    if left and (to is None or to.image.id == head.image.id):
        report.note(f"an earlier return to {head.name} was cut off: it is finished now")
        return Change(head, _leave(cloud, left, reason)[-1])
    target = _as_it_is(cloud, to, versions) if to else predecessor(versions, head)
    if target is None:
        raise NotFound(
            f"there is no version before {head.name} to go back to",
            hint=f"name one: invoke rollback {recipe} --to NAME; see: invoke images --recipe {recipe}",
        )
    if target == head:
        raise VersionRefused(f"{head.name} is current already", hint=f"see: invoke images --recipe {recipe}")
    if target.state != "superseded":
        raise VersionRefused(
            f"{target.name} is {target.state}: it never was current", hint=f"invoke promote {target.name}"
        )
    _check_usable(target)
    previous = target.image.properties.get(PREVIOUS)
    raised = _raise(cloud, target, over=head, previous=None if previous == head.image.id else previous)
    (before,) = _leave(cloud, [head], reason)
    _supersede(cloud, [one for one in _stale(versions) if one != target])
    return Change(raised, before)


def predecessor(versions: Iterable[Version], head: Version) -> Version | None:
    """The version that a rollback from this current one goes to, None when there is none.

    The one that it replaced when it was promoted; where that is gone, the last one superseded among those with a lower
    number, so that going back twice goes back two.
    """
    left = [one for one in versions if one.recipe == head.recipe and one.state == "superseded"]
    named = [one for one in left if one.image.id == head.image.properties.get(PREVIOUS)]
    lower = [one for one in left if one.version < head.version]
    by_time = sorted(named or lower, key=lambda one: (one.image.properties.get(SUPERSEDED_AT, ""), one.version))
    return by_time[-1] if by_time else None


def _as_it_is(cloud: Cloud, version: Version, versions: Iterable[Version]) -> Version:
    """The version among those that were just read; who looked it up may have waited for a claim since."""
    for one in versions:
        if one.image.id == version.image.id:
            return one
    look_again(cloud, version)  # says why it is not there any more
    raise NotFound(f"{version.name} has just been registered", hint="run it again")


def _check_usable(version: Version) -> None:
    image, name = version.image, version.name
    if image.status != "active":
        hint = f"openstack image set --activate {image.id}" if image.status == "deactivated" else "see: invoke images"
        raise VersionRefused(f"{name} is {image.status}: no server can be made from it", hint=hint)
    generalized = image.properties.get(GENERALIZED)
    if generalized == "unseen":
        raise VersionRefused(
            f"{name}: nobody saw whether it was generalised to the end",
            hint=f"its clones show it: invoke verify {name}",
        )
    if generalized != "yes":
        raise VersionRefused(
            f"{name} was not generalised: every desktop would be the same machine",
            hint="its recipe needs the step generalize",
        )


def _stale(versions: Iterable[Version]) -> list[Version]:
    """Those that say `current` and are not: what a run that was cut off has left."""
    return [one for one in versions if one.state != "current" and one.image.properties.get(STATE) == "current"]


def _raise(cloud: Cloud, version: Version, *, over: Version | None, previous: str | None) -> Version:
    """The first change: visible and current, promoted later than `over`, whatever the clocks of two machines say."""
    at = datetime.now(UTC)
    if over and (last := _moment(over.image.properties.get(PROMOTED_AT, ""))):
        at = max(at, last + timedelta(milliseconds=1))
    changes = {STATE: "current", PROMOTED_AT: _write(at), PREVIOUS: previous, SUPERSEDED_AT: None, REASON: None}
    image = cloud.update_image(version.image.id, hidden=False, protected=True, properties=changes)
    return replace(version, image=image, state="current")


def _supersede(cloud: Cloud, versions: Iterable[Version]) -> list[Version]:
    """The second change."""
    left = []
    for one in versions:
        changes = {STATE: "superseded", SUPERSEDED_AT: _write(datetime.now(UTC))}
        image = cloud.update_image(one.image.id, hidden=True, protected=True, properties=changes)
        left.append(replace(one, image=image, state="superseded"))
    return left


def _leave(cloud: Cloud, versions: Sequence[Version], reason: str) -> list[Version]:
    """The second change of a return."""
    if not reason:
        return _supersede(cloud, versions)
    out = [replace(one, state="superseded") for one in versions]  # another one is current by now
    return [replace(one, image=reject(cloud, one, reason=reason), state="rejected") for one in out]


def _write(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
