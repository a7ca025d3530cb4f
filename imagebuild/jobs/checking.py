"""`invoke check`: the health of the images for monitoring. Whatever happens, the answer is a level and lines, within its time."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from imagebuild.build_folder import build_folders, is_build_of
from imagebuild.build_state import read_state
from imagebuild.claim import Claim, claims
from imagebuild.cloud import Cloud
from imagebuild.errors import ImagebuildError, NotFound, RecipeError
from imagebuild.health import (
    Finding,
    Health,
    Level,
    Limits,
    count_things,
    days_since,
    examine_claims,
    examine_line,
)
from imagebuild.images import Version, list_versions
from imagebuild.interruption import ends_within
from imagebuild.jobs.settings import Settings
from imagebuild.recipe import find_recipe, load_recipe, recipe_names

FOREIGN_DAYS = 1.0
"""What another machine's build has left is told after that long: before, it may be at work."""


def check(settings: Settings, recipes: Sequence[str], *, limits: Limits, seconds: float) -> Health:
    """Look at the recipes that are named, their claims and leftovers, or at all that is there. Only reads, and starts no lab.

    Raises nothing: what keeps it from looking is a finding, UNKNOWN, also a defect of ours. A plugin that ends with a trace has
    Python's exit code 1, and monitoring would take that for a warning about the images.
    """
    try:
        with ends_within(seconds, "the cloud's answers"):
            return _look(settings, recipes, limits)
    except ImagebuildError as error:
        hint = f" ({error.hint})" if error.hint else ""
        return Health([Finding(Level.UNKNOWN, f"{error}{hint}")])
    except Exception as error:  # noqa: BLE001  see above
        return Health([Finding(Level.UNKNOWN, f"a defect of imagebuild: {type(error).__name__}: {error}")])


def _look(settings: Settings, recipes: Sequence[str], limits: Limits) -> Health:
    known, findings = _lines(settings, recipes)
    cloud = settings.open_cloud_as_it_is()
    versions, claimed = list_versions(cloud), claims(cloud)
    there = {one.recipe for one in versions}
    if unknown := set(recipes) - known - there:
        raise NotFound(
            f"there is no recipe {', '.join(sorted(unknown))} here, and no image of it", hint="invoke images"
        )
    now = datetime.now(UTC)
    ages: dict[str, float] = {}
    for recipe in sorted(set(recipes) or (known | {line for line in there if _is_in_use(line, versions)})):
        told, age = examine_line(recipe, [one for one in versions if one.recipe == recipe], limits=limits, now=now)
        findings += told
        ages |= {} if age is None else {recipe: age}
    # A service of monitoring that is named for one recipe is not to turn red for another one's build.
    findings += examine_claims(claim for claim in claimed if not recipes or claim.recipe in recipes)
    dead = [one for one in _dead(cloud, settings, claimed, now) if not recipes or is_build_of(one[0], recipes)]
    findings += [
        Finding(Level.WARNING, f"{owner} is dead, {count} of its things stand; next: {todo}")
        for owner, count, todo in dead
    ]
    return Health(findings, ages, sum(count for _, count, _ in dead), limits)


def _lines(settings: Settings, asked: Sequence[str]) -> tuple[set[str], list[Finding]]:
    """The lines of versions that the project's recipes stand for, and the recipes that cannot be read.

    A recipe that is not to be rebuilt (policy) is looked at only when it is named: it is no image for desktops.
    """
    lines, findings = set(), []
    for name in recipe_names(settings.recipes):
        try:
            header = load_recipe(find_recipe(name, folder=settings.recipes)).header
        except RecipeError as error:
            findings.append(Finding(Level.WARNING, f"{error}: {'; '.join(error.details[:3])}"))
            continue
        if header.policy.rebuild or header.recipe in asked:
            lines.add(header.recipe)
    return lines, findings


def _is_in_use(recipe: str, versions: Sequence[Version]) -> bool:
    """Whether a line that no recipe here stands for has a current image: then somebody's desktops come from it."""
    return any(one.recipe == recipe and one.state == "current" for one in versions)


def _dead(cloud: Cloud, settings: Settings, claimed: Sequence[Claim], now: datetime) -> Iterator[tuple[str, int, str]]:
    """Owners of things that nobody works on any more, how many, and what removes them. What was kept on purpose is not told."""
    known = {folder.id: folder for folder in build_folders(settings.builds)}
    working = {claim.owner for claim in claimed if not claim.is_over()}
    for owner, (count, since) in count_things(cloud).items():
        if owner in known:
            if read_state(known[owner]).word not in ("running", "kept"):
                yield owner, count, "invoke sweep"
        elif owner not in working and (days_since(since, now) or 0.0) > FOREIGN_DAYS:
            yield owner, count, "invoke sweep --foreign"
