"""How the master images of a project are, as monitoring asks: what is found wrong, how bad, and the lines of a Nagios plugin."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from imagebuild.claim import Claim
from imagebuild.cloud import ROLE_KEY, Cloud
from imagebuild.images import Version, pick_current
from imagebuild.properties import BUILT_AT, CLAIM_ROLE, STATE, VERIFIED
from imagebuild.secrets import hide

LINES = 40
"""Long text beyond that is cut: Nagios keeps 8 KiB of a plugin's output, older ones 4."""


class Level(IntEnum):
    """A plugin's exit code: https://www.monitoring-plugins.org/doc/guidelines.html"""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_ORDER = (Level.CRITICAL, Level.WARNING, Level.UNKNOWN, Level.OK)


@dataclass(frozen=True)
class Limits:
    """From how many days on an image's age is a warning, is critical; how many days a candidate may wait."""

    warning_days: float = 30
    critical_days: float = 45
    waiting_days: float = 7


@dataclass(frozen=True)
class Finding:
    """One thing that monitoring should know."""

    level: Level
    text: str


@dataclass(frozen=True)
class Health:
    """All that was found. `ages`: days since the current image of a recipe was built; `leftovers`: things that dead builds left."""

    findings: Sequence[Finding]
    ages: Mapping[str, float] = field(default_factory=dict)
    leftovers: int | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def level(self) -> Level:
        """The worst: what is known to be wrong counts more than what could not be found out."""
        levels = {finding.level for finding in self.findings}
        return next((level for level in _ORDER if level in levels), Level.OK)

    def lines(self) -> list[str]:
        """What the plugin prints: the state with its first reason and the performance data, then every finding on a line."""
        worst = [finding.text for finding in self.findings if finding.level == self.level != Level.OK]
        reason = worst[0] if worst else self._well()
        more = f" (and {len(worst) - 1} more)" if len(worst) > 1 else ""
        first = f"IMAGEBUILD {self.level.name} - {_one_line(reason)}{more}"
        ordered = sorted(self.findings, key=lambda finding: _ORDER.index(finding.level))
        lines = [f"{finding.level.name}: {_one_line(finding.text)}" for finding in ordered]
        cut = [f"... {len(lines) - LINES} more: invoke images"] if len(lines) > LINES else []
        measured = " ".join(self._performance())
        return [f"{first} | {measured}" if measured else first, *lines[:LINES], *cut]

    def _well(self) -> str:
        if not self.ages:
            return "no images to look at"
        oldest = max(self.ages, key=lambda recipe: self.ages[recipe])
        count = f"{len(self.ages)} current image{'s' * (len(self.ages) != 1)}"
        return f"{count}, the oldest is {oldest}'s with {self.ages[oldest]:.1f} days"

    def _performance(self) -> Iterator[str]:
        """Days have no unit here: the conventions know s, %, B and c."""
        for recipe, age in sorted(self.ages.items()):
            yield f"'{recipe} age_days'={age:.1f};{self.limits.warning_days:g};{self.limits.critical_days:g};0"
        if self.leftovers is not None:
            yield f"leftovers={self.leftovers};0;;0"


def examine_line(
    recipe: str, versions: Sequence[Version], *, limits: Limits, now: datetime
) -> tuple[list[Finding], float | None]:
    """What there is to say of one recipe's versions, and the age of the current one in days."""
    findings: list[Finding] = list(_waiting(versions, limits, now))
    head = pick_current(versions, recipe)
    if head is None:
        done = [one for one in versions if one.state != "building"]
        words = (
            f"none of {len(done)} versions is current; next: invoke promote NAME" if done else "nothing was built yet"
        )
        return [Finding(Level.CRITICAL if done else Level.WARNING, f"{recipe}: {words}"), *findings], None
    findings += _flaws(head)
    doubled = [one for one in versions if one is not head and one.image.properties.get(STATE) == "current"]
    findings += [
        Finding(Level.WARNING, f"{one.name} says current as well as {head.name}; next: invoke promote {head.name}")
        for one in doubled
    ]
    age = _age(head, now)
    if age is None:
        findings.append(Finding(Level.WARNING, f"{head.name} does not say when it was built"))
    else:
        level = _grade(age, limits)
        findings.append(Finding(level, f"{head.name} is current, {age:.1f} days old"))
    return findings, age


def examine_claims(claims: Iterable[Claim]) -> Iterator[Finding]:
    """Claims that nobody stands behind: their holder is dead, or lost the network."""
    for claim in claims:
        if claim.is_over():
            why = "has expired" if claim.is_expired() else "is a dead process's"
            todo = f"next: invoke builds.unclaim {claim.recipe}"
            yield Finding(Level.WARNING, f"the claim of {claim.owner} on {claim.recipe} {why}; {todo}")


def count_things(cloud: Cloud) -> dict[str, tuple[int, str]]:
    """By owner, how many things of unfinished builds stand in the cloud, and since when the oldest does (ISO; "" = not told)."""
    counted = {}
    for owner, owned in cloud.owned().items():
        images = [image for image in owned.images if image.properties.get(ROLE_KEY) != CLAIM_ROLE]
        dated = [server.created_at for server in owned.servers]
        dated += [volume.created_at for volume in owned.volumes] + [image.created_at for image in images]
        count = len(owned.servers) + len(owned.volumes) + len(owned.security_groups) + len(images)
        if count:
            counted[owner] = (count, min(filter(None, dated), default=""))
    return counted


def days_since(moment: str, now: datetime) -> float | None:
    """Days from an ISO time (UTC when it names no zone) to `now`; None when it is none."""
    try:
        begun = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return (now - (begun if begun.tzinfo else begun.replace(tzinfo=now.tzinfo))).total_seconds() / 86400


def _flaws(head: Version) -> Iterator[Finding]:
    """What is wrong with a current image."""
    image = head.image
    if image.status != "active":
        yield Finding(Level.CRITICAL, f"{head.name} is current, but {image.status}: no desktop can be made from it")
    verified = image.properties.get(VERIFIED)
    if verified == "failed":
        yield Finding(
            Level.CRITICAL, f"{head.name} is current, but its verification failed: invoke images.show {head.name}"
        )
    elif verified != "passed":
        yield Finding(Level.WARNING, f"{head.name} was never verified; next: invoke verify {head.name}")
    if not image.protected:
        yield Finding(Level.WARNING, f"{head.name} is not protected: anybody of the project may delete it")
    if image.hidden:
        yield Finding(Level.WARNING, f"{head.name} is current, but hidden; next: invoke promote {head.name}")


def _waiting(versions: Sequence[Version], limits: Limits, now: datetime) -> Iterator[Finding]:
    """Candidates that nobody has promoted or rejected for long."""
    for one in versions:
        age = _age(one, now) if one.state == "candidate" else None
        if age is not None and age > limits.waiting_days:
            verified = one.image.properties.get(VERIFIED) == "passed"
            todo = f"next: invoke {'promote' if verified else 'verify'} {one.name}"
            yield Finding(Level.WARNING, f"{one.name} has been waiting for {age:.1f} days; {todo}")


def _age(version: Version, now: datetime) -> float | None:
    return days_since(version.image.properties.get(BUILT_AT) or version.image.created_at, now)


def _grade(age: float, limits: Limits) -> Level:
    """As the ranges in the performance data say it: beyond the number, not at it."""
    if age > limits.critical_days:
        return Level.CRITICAL
    return Level.WARNING if age > limits.warning_days else Level.OK


def _one_line(text: str) -> str:
    """Text that cannot be taken for performance data or for another line."""
    return " ".join(hide(text).replace("|", "/").split())
