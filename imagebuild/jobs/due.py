"""Which recipes are to be built again, why, after which others, and what room each takes in the cloud."""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from imagebuild.cloud import Cloud, Headroom
from imagebuild.errors import RecipeError
from imagebuild.freshness import find_same
from imagebuild.health import days_since
from imagebuild.images import list_versions
from imagebuild.plan import Plan, make_plan
from imagebuild.properties import BUILT_AT
from imagebuild.recipe import Recipe, find_recipe, load_recipe, recipe_names
from imagebuild.resolution import resolve


@dataclass(frozen=True)
class Need:
    """What a build takes of the project's quota at its widest."""

    instances: int = 1
    cores: int = 0
    ram_mib: int = 0
    volumes: int = 0
    gigabytes: int = 0
    security_groups: int = 1


@dataclass(frozen=True)
class Verdict:
    """What was found out about a recipe. `forced`: it is built though nothing has changed. `otherwise`: how it ends when it is not due."""

    due: bool
    reason: str
    forced: bool = False
    otherwise: str = "not due"
    need: Need = Need()


def load_recipes(names: Sequence[str], folder: Path) -> tuple[list[Recipe], dict[str, RecipeError]]:
    """The recipes that are named, or all whose policy lets them be rebuilt; beside them, by name, those that are wrong."""
    recipes, wrong = [], {}
    for name in names or recipe_names(folder):
        try:
            recipe = load_recipe(find_recipe(name, folder=folder))
        except RecipeError as error:
            wrong[name] = error
            continue
        if names or recipe.header.policy.rebuild:
            recipes.append(recipe)
    return recipes, wrong


def find_earlier(recipe: Recipe, recipes: Iterable[Recipe]) -> frozenset[str]:
    """The file names of those recipes that make what this one starts from.

    Of the recipes of one line, those that start from elsewhere come first, then those that change what the line has.
    """
    line = recipe.header.source.recipe
    makers = [one for one in recipes if one.name == line and one.file_name != recipe.file_name]
    return frozenset(one.file_name for one in makers if line != recipe.name or one.header.source.recipe != line)


def judge(recipe: Recipe, cloud: Cloud, *, templates: Path, only_due: bool, promote: bool) -> Verdict:
    """Whether to build it: always, or with `only_due` when its newest good version is too old or came of another plan. Only reads.

    With `promote` also when there is only the last act to be done: a run that was cut off has left a candidate.
    """
    try:
        plan = make_plan(recipe, resolve(recipe, cloud), templates=templates)
        need = _need(plan, cloud, with_clones=promote)
    except RecipeError as error:
        full = bool(error.details) and all(line.startswith("quota: ") for line in error.details)
        reason = "; ".join([str(error), *error.details])
        return Verdict(due=False, reason=reason, otherwise="busy" if full else "wrong")
    if not only_due:
        return Verdict(due=True, reason="asked for", forced=True, need=need)
    same = find_same(plan, cloud)
    if same and same.state == "rejected":
        return Verdict(due=False, reason=f"{same.name} came of the same plan and was rejected: change something first")
    good = [one for one in list_versions(cloud, recipe.name) if one.state not in ("building", "rejected")]
    if not good:
        return Verdict(due=True, reason="there is no good image yet", need=need)
    newest, limit = good[-1], recipe.header.policy.max_age_days
    age = days_since(newest.image.properties.get(BUILT_AT) or newest.image.created_at, datetime.now(UTC))
    if limit is not None and age is not None and age > limit:
        reason = f"{newest.name} is {age:.1f} days old, its policy says {limit:g}"
        return Verdict(due=True, reason=reason, forced=True, need=need)
    if same is None:
        return Verdict(due=True, reason=f"recipe, source, media or updates changed since {newest.name}", need=need)
    if promote and same.state == "candidate":
        return Verdict(due=True, reason=f"{same.name} is built and not yet promoted", need=need)
    return Verdict(due=False, reason=f"nothing changed since {same.name}")


def fits(needs: Iterable[Need], room: Headroom) -> bool:
    """Whether there is room for all of them at once."""
    summed = [sum(values) for values in zip(*map(astuple, needs), strict=True)]
    left = [getattr(room, field.name) for field in fields(Need)]
    return all(limit is None or need <= limit for need, limit in zip(summed, left, strict=True))


def _need(plan: Plan, cloud: Cloud, *, with_clones: bool) -> Need:
    """The builder's need, or its clones' where that is more: they come when the builder is gone."""
    flavor, media, header = plan.resolution.flavor, plan.resolution.media, plan.recipe.header
    extra = int(header.builder.extra_disk_bus != "none")
    gigabytes = sum(medium.gib for medium in media) + extra
    count, like = 1, flavor
    if with_clones:
        count = header.verify.clones
        like = (cloud.find_flavor(header.verify.flavor) if header.verify.flavor else None) or flavor
    return Need(
        instances=count,
        cores=max(flavor.vcpus, count * like.vcpus),
        ram_mib=max(flavor.ram_mib, count * like.ram_mib),
        volumes=len(media) + extra,
        gigabytes=gigabytes,
    )
