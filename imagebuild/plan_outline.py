"""A plan as plain values beside the build, and what has changed between two of them: why a build may not go on where it was cut off."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from imagebuild.plan import Plan, PlannedStep

_LONGEST = 120


def outline(plan: Plan, *, templates: Path) -> dict[str, Any]:
    """All that the plan's digest is made of, texts as digests of their own."""
    resolution = plan.resolution
    return {
        "digest": plan.digest,
        "image": plan.image_name,
        "at": plan.at.isoformat(),
        "recipe": plan.recipe.header.model_dump(mode="json", exclude={"description", "verify", "policy"}),
        "root": {**resolution.root, "source_name": resolution.source.name},
        "steps": [_outline(planned, templates, plan.at) for planned in plan.steps],
    }


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """What differs between two outlines of one recipe, a line each."""
    lines = [f"recipe: {line}" for line in _changes(was["recipe"], now["recipe"])]
    lines += _root_changes(was["root"], now["root"])
    before, after = _by_name(was["steps"]), _by_name(now["steps"])
    lines += [f"step {name} is gone" for name in before if name not in after]
    lines += [f"step {name} is new" for name in after if name not in before]
    both = [name for name in before if name in after]
    if both != [name for name in after if name in before]:
        lines.append(f"the steps' order was {', '.join(both)}")
    for name in both:
        lines += _step_changes(name, before[name], after[name])
    return tuple(lines) or (
        "nothing in the recipe: this imagebuild makes another plan of it than the one that began the build",
    )


def _outline(planned: PlannedStep, templates: Path, at: datetime) -> dict[str, Any]:
    step = planned.step
    return {
        "name": step.name,
        "digest": planned.digest,
        "parameters": step.model_dump(mode="json", exclude={"deadline_minutes", *step.incidental}),
        "inputs": {name: _short_digest(text) for name, text in step.inputs(templates).items()},
        "outside": step.outside(at),
    }


def _by_name(steps: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The steps by what a person calls them; one that stands again is called `checkpoint (2)`."""
    found: dict[str, Mapping[str, Any]] = {}
    for step in steps:
        name, number = step["name"], 1
        while (called := name if number == 1 else f"{name} ({number})") in found:
            number += 1
        found[called] = step
    return found


def _root_changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """The source image by its name: a checksum alone says nothing to anybody."""
    if was.get("source") != now["source"]:
        name = now["source_name"]
        same = was.get("source_name") == name
        whose = name if same else f"{was.get('source_name')}, is {name}"
        yield f"source {whose}: checksum was {was.get('source')}, is {now['source']}"
    rest = {"source", "source_name"}
    yield from _changes(
        {key: value for key, value in was.items() if key not in rest},
        {key: value for key, value in now.items() if key not in rest},
    )


def _step_changes(name: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for line in _changes(was["parameters"], now["parameters"]):
        yield f"step {name}: {line}"
    for key in sorted(was["inputs"].keys() | now["inputs"].keys()):
        if was["inputs"].get(key) != now["inputs"].get(key):
            yield f"step {name}: its {key} changed"
    if was["outside"] != now["outside"]:
        yield f"step {name}: outside was {was['outside'] or 'nothing'}, is {now['outside'] or 'nothing'}"


def _changes(was: Any, now: Any, place: str = "") -> Iterator[str]:
    """Every value that differs, by its path."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in [*was, *(key for key in now if key not in was)]:
            yield from _changes(was.get(key), now.get(key), f"{place}.{key}" if place else str(key))
    elif was != now:
        yield f"{place} was {_words(was)}, is {_words(now)}"


def _words(value: Any) -> str:
    text = "not given" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _short_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
