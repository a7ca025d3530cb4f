"""Everything that is known of one version, for a person: its life, its build, its verification, what is in it, what was made from it."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imagebuild.image_contents import SECTIONS
from imagebuild.image_differences import hardware_of
from imagebuild.image_record import unpack
from imagebuild.images import Version
from imagebuild.properties import (
    BASE,
    BASE_ID,
    BUILD,
    BUILT_AT,
    DIGEST,
    GENERALIZED,
    PREVIOUS,
    PROMOTED_AT,
    REASON,
    RECORD,
    STANDIN,
    SUPERSEDED_AT,
    VERIFICATION,
    VERIFIED,
    VERIFIED_AT,
)

_LABEL, _WIDTH, _HARD_SPACE = 13, 110, "\u00a0"
_SEALS = {
    "yes": (),
    "no": ("NOT generalised: never promoted",),
    "unseen": ("nobody saw whether it was generalised to the end (the build was cut off then): verify shows it",),
}
Block = tuple[str, Sequence[str]]


def describe_version(version: Version, versions: Sequence[Version], uses: Sequence[str]) -> list[str]:
    """The page, a line each. `versions`: all of the recipe, for its neighbours; `uses`: what was made from it and still stands."""
    properties = version.image.properties
    blocks: list[Block] = [
        ("state", list(_life(version))),
        ("neighbours", list(_neighbours(version, versions))),
        ("built", list(_origin(properties))),
        ("verified", list(_verification(properties))),
        ("asks for", [f"{name} = {value}" for name, value in hardware_of(version.image).items()]),
        *_record(unpack(properties.get(RECORD, ""))),
        ("used by", uses or ["nothing in this project"]),
    ]
    lines = [f"{version.name}  ({version.image.id})"]
    for label, texts in blocks:
        for number, text in enumerate(texts):
            lines.append(f"{'' if number else label:{_LABEL}s}{text}")
    return lines


def _life(version: Version) -> Iterator[str]:
    image, properties = version.image, version.image.properties
    seen = f"{'hidden' if image.hidden else 'listed'}, {image.visibility}"
    size = f"{(image.size or 0) / 1e6:.0f} MB {image.disk_format}"
    if image.name != version.name:
        yield f"NOT found by its name: somebody has called the image {image.name!r}"
    yield f"{version.state}: {image.status}, {seen}, {'protected' if image.protected else 'NOT protected'}, {size}"
    if REASON in properties:
        yield f"because: {properties[REASON]}"
    for word, key in (("promoted", PROMOTED_AT), ("superseded", SUPERSEDED_AT)):
        if key in properties:
            yield f"{word} {_moment(properties[key])}"


def _neighbours(version: Version, versions: Sequence[Version]) -> Iterator[str]:
    done = [one for one in versions if one.recipe == version.recipe and one.state != "building"]
    lower = [one for one in done if one.version < version.version]
    higher = [one for one in done if one.version > version.version]
    yield f"before: {_brief(lower[-1]) if lower else 'none'}; after: {_brief(higher[0]) if higher else 'none'}"
    for one in done:
        if one.image.id == version.image.properties.get(PREVIOUS):
            yield f"became current after {one.name}"


def _origin(properties: Mapping[str, str]) -> Iterator[str]:
    yield f"{_moment(properties.get(BUILT_AT, ''))} by build {properties.get(BUILD, '?')}"
    yield f"from {properties.get(BASE, '?')} ({properties.get(BASE_ID, '?')})"
    yield f"digest {properties.get(DIGEST, '?')}"
    yield from _SEALS.get(properties.get(GENERALIZED, ""), [f"NOT known to be generalised: {GENERALIZED} is missing"])
    if STANDIN in properties:
        yield "NOT Windows, but the lab's stand-in for it"


def _verification(properties: Mapping[str, str]) -> Iterator[str]:
    if VERIFIED not in properties:
        yield "no"
        return
    yield f"{properties[VERIFIED]} {_moment(properties.get(VERIFIED_AT, ''))}".rstrip()
    told = unpack(properties.get(VERIFICATION, "")) or {}
    for check in told.get("checks", ()):
        yield f"{check.get('outcome', '?'):11s}  {check.get('clone', '')}  {check.get('name', '?')}: {check.get('words', '')}"


def _record(record: Mapping[str, Any] | None) -> Iterator[Block]:
    if record is None:
        yield "record", ["none that can be read"]
        return
    yield "steps", _wrap([f"{step} {took:.0f} s" for step, took in record.get("steps", ())])
    if not record.keys() & set(SECTIONS):
        yield "contents", ["not in the record: the recipe took no inventory"]
        return
    for section in SECTIONS:
        if section not in record:
            yield section, ["not in the record"]
            continue
        # Of an update that is there, its name says it all.
        lines = [
            name if section == "updates" else f"{name} {value}".rstrip() for name, value in record[section].items()
        ]
        yield section, [f"{len(lines)}", *_wrap(lines)] if lines else ["none"]


def _wrap(items: Sequence[str]) -> list[str]:
    """The items one after the other, broken into lines between two of them only."""
    whole = "; ".join(item.replace(" ", _HARD_SPACE) for item in items)
    lines = textwrap.wrap(whole, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return [line.replace(_HARD_SPACE, " ") for line in lines]


def _brief(version: Version) -> str:
    return f"{version.name} ({version.state})"


def _moment(text: str) -> str:
    """A time in ISO form (UTC) without zone and parts of seconds."""
    return f"{text[:19].replace('T', ' ')} UTC" if text else "at an unknown time"
