"""Checkpoints: images of a builder in the middle of its build, by the digest of the step they stand for. A build starts from the last.

They save hours and hold nothing that cannot be made again, so they are hidden, not protected, and passed over at the least doubt.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from imagebuild.cloud import OWNER_KEY, Cloud, Image
from imagebuild.image_record import unpack
from imagebuild.plan import Plan
from imagebuild.properties import CHECKPOINT, EXPIRES_AT, FACTS, RECIPE, SELF
from imagebuild.step import registered_steps

_GRACE = timedelta(days=1)


@dataclass(frozen=True)
class Start:
    """Where a build begins instead of at its source image.

    `skip` are the numbers of the steps that need not run, `facts` what they gave: to be remembered after the plan's own facts,
    because it names the checkpoint as the image that the builder is booted from. `number` is the checkpoint's place in the plan.
    """

    image: Image
    number: int
    skip: frozenset[int]
    facts: Mapping[str, Any]

    def __str__(self) -> str:
        saved = sorted(self.skip)
        return f"from checkpoint {self.image.name} of {self.image.created_at[:10]} (saves steps {_ranges(saved)})"


def find_start(plan: Plan, cloud: Cloud, *, tell: Callable[[str], None] | None = None) -> Start | None:
    """The last checkpoint that the plan still agrees with; None when there is none. Only reads.

    `tell` is given a sentence for every checkpoint of this plan that is passed over, with the reason.
    """
    places = {planned.digest: planned for planned in plan.steps if "checkpoint" in planned.step.gives}
    if not places:
        return None
    found = [image for image in list_checkpoints(cloud, plan.recipe.name) if image.properties[CHECKPOINT] in places]
    found.sort(key=lambda image: (places[image.properties[CHECKPOINT]].number, image.created_at), reverse=True)
    for image in found:
        facts = unpack(image.properties.get(FACTS, ""))
        reason = _why_not(image, plan.at) or ("its facts cannot be read" if facts is None else "")
        if reason or facts is None:
            if tell:
                tell(f"checkpoint {image.name} ({image.id}) is passed over: {reason}")
            continue
        number = places[image.properties[CHECKPOINT]].number
        skip = frozenset(p.number for p in plan.steps if p.number <= number and not p.step.anew)
        told = {"image_id": image.id, "digest": image.properties[CHECKPOINT], "started_from": True}
        return Start(image, number, skip, {**facts, "boot_image_id": image.id, "checkpoint": told})
    return None


def list_checkpoints(cloud: Cloud, recipe: str | None = None) -> list[Image]:
    """The images that stand as checkpoints, whatever became of them, oldest first; of one recipe when it is named.

    One that is still being made carries its build's id and is not among them; nor is an image that only inherited the mark.
    """
    images = cloud.images(properties={RECIPE: recipe} if recipe else None)
    return sorted((image for image in images if is_checkpoint(image)), key=lambda image: (image.created_at, image.id))


def list_stale(cloud: Cloud) -> list[Image]:
    """The checkpoints of all recipes that no build starts from any more: their end is past, by a day for builds that began before it.

    A build prunes those of its own recipe; of one that nobody builds any more only this finds them.
    """
    last = datetime.now(UTC) - _GRACE
    return [image for image in list_checkpoints(cloud) if (until := holds_until(image)) and until < last]


def holds_until(image: Image) -> datetime | None:
    """Until when builds start from a checkpoint; None when it does not say so."""
    try:
        until = datetime.fromisoformat(image.properties.get(EXPIRES_AT, ""))
    except ValueError:
        return None
    return until if until.tzinfo else until.replace(tzinfo=UTC)


def is_checkpoint(image: Image) -> bool:
    """Was this image made as a checkpoint, and finished? A snapshot that somebody takes of a server made from it is none."""
    properties = image.properties
    return CHECKPOINT in properties and properties.get(SELF) == image.id and OWNER_KEY not in properties


def carried(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a build's facts that another build may take over: what steps gave that are not done anew."""
    kinds = registered_steps().values()
    given = {fact for kind in kinds if not kind.anew for fact in kind.gives}
    own = {fact for kind in kinds if kind.anew for fact in kind.gives}
    return {name: value for name, value in facts.items() if name in given - own}


def _why_not(image: Image, at: datetime) -> str:
    """Why a build does not start from it at that moment; '' when it does."""
    if image.status != "active":
        return f"it is {image.status}"
    until = holds_until(image)
    if until is None:
        return "it does not say until when it holds"
    return f"it is too old, it held until {until:%Y-%m-%d %H:%M}" if at >= until else ""


def _ranges(numbers: list[int]) -> str:
    """`3-5, 7` for 3, 4, 5, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
