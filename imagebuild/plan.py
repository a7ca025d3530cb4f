"""A plan: the recipe's steps in order, each with a digest chained to the one before. The same digest means the same image again."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imagebuild.errors import RecipeError
from imagebuild.recipe import Recipe
from imagebuild.resolution import Resolution
from imagebuild.step import Step, chain


@dataclass(frozen=True)
class PlannedStep:
    """A step with its place and with the digest of everything up to it."""

    number: int
    step: Step
    digest: str


@dataclass(frozen=True)
class Plan:
    """What will be done, and by `digest` what it depends on.

    `content` is the digest without the source image: what is done to it, whichever it is. `at` is the moment that the plan
    was made for: who makes the same plan again later (a resumed build) gives that moment, because the world goes on.
    """

    recipe: Recipe
    resolution: Resolution
    steps: tuple[PlannedStep, ...]
    content: str
    at: datetime

    @property
    def digest(self) -> str:
        """The digest of the whole: the last step's."""
        return self.steps[-1].digest

    @property
    def image_name(self) -> str:
        """The name the new image will get: brokers know images by name, so it is versioned and never used twice."""
        return f"{self.recipe.name}-v{self.resolution.version}"


def make_plan(recipe: Recipe, resolution: Resolution, *, templates: Path, at: datetime | None = None) -> Plan:
    """The plan of a recipe in a cloud at a moment (default: now).

    Reads the templates (their text is part of the digests); raises RecipeError when one is missing.
    """
    at = at or datetime.now(UTC)
    header = recipe.header.model_dump(mode="json", exclude={"description", "verify", "policy"})
    digest = chain("imagebuild", header, resolution.root)
    content = chain("imagebuild", _without_source(header), _without_source(resolution.root))
    steps = []
    for number, step in enumerate(recipe.steps, start=1):
        parts = _parts(step, templates, at)
        digest, content = chain(digest, *parts), chain(content, *parts)
        steps.append(PlannedStep(number, step, digest))
    return Plan(recipe, resolution, tuple(steps), content, at)


def _without_source(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "source"}


def _parts(step: Step, templates: Path, at: datetime) -> tuple[object, ...]:
    """All of a step that makes the image what it is."""
    parameters = step.model_dump(mode="json", exclude={"deadline_minutes", *step.incidental})
    return step.name, parameters, _inputs(step, templates), step.outside(at)


def _inputs(step: Step, templates: Path) -> Mapping[str, str]:
    try:
        return step.inputs(templates)
    except (OSError, UnicodeDecodeError) as error:
        words = f"{step.name} needs a template that cannot be read: {error}"
        raise RecipeError(words, hint=f"restore it in {templates}") from error


def describe_plan(plan: Plan, *, skip: Collection[int] = (), start: str = "") -> list[str]:
    """The plan for a person, a line each; `skip` are the numbers of steps that a `start` from a checkpoint saves."""
    resolution = plan.resolution
    media = ", ".join(medium.name for medium in resolution.media) or "none"
    lines = [
        f"image     {plan.image_name}  (digest {plan.digest[:12]})",
        f"from      {resolution.source.name}  ({resolution.source.id})",
        f"builder   {resolution.flavor.name} on {resolution.network.name}, CD-ROMs: {media}",
        *([f"start     {start}"] if start else []),
        "steps",
    ]
    return lines + [
        f"  {planned.number:2d}{'-' if planned.number in skip else ' '} {planned.step.name:18s} {planned.step.describe()}"
        for planned in plan.steps
    ]
