"""The versions as a table for a person: one line each, the columns below each other."""

from collections.abc import Mapping, Sequence

from imagebuild.images import Version
from imagebuild.properties import BASE, BUILT_AT, EXPIRES_AT, HOLDER

_HEADING = ("NAME", "STATE", "STATUS", "MB", "BUILT", "BASE", "GUARD", "USED", "ID")
_RIGHT = frozenset({"MB", "USED"})


def table(versions: Sequence[Version], uses: Mapping[str, Sequence[str]]) -> list[str]:
    """A heading and a line each. `uses`: by image id what was made from it and still stands (see `Cloud.image_uses`)."""
    rows = [_HEADING, *(_row(one, len(uses.get(one.image.id, ()))) for one in versions)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADING))]
    return [
        "  ".join(
            cell.rjust(width) if name in _RIGHT else cell.ljust(width)
            for name, cell, width in zip(_HEADING, row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _row(one: Version, used: int) -> tuple[str, ...]:
    image, properties = one.image, one.image.properties
    if one.state == "building":
        whom = f"by {properties.get(HOLDER, '?')} until {_moment(properties.get(EXPIRES_AT, ''))}"
        return one.name, one.state, "", "", "", "", "", "", f"{image.id} {whom}"
    guard = "protected" if image.protected else "open"
    size, built = f"{(image.size or 0) / 1e6:.0f}", _moment(properties.get(BUILT_AT, ""))
    return one.name, one.state, image.status, size, built, properties.get(BASE, ""), guard, str(used), image.id


def _moment(text: str) -> str:
    """A time in ISO form without zone and parts of seconds."""
    return text[:19].replace("T", " ")
