"""The versions of the master images that a project has: the cloud is the truth, this only reads it."""

from collections.abc import Sequence
from dataclasses import dataclass

from imagebuild.cloud import OWNER_KEY, Cloud, Image
from imagebuild.properties import BASE, BUILT_AT, RECIPE
from imagebuild.resolution import version_of


@dataclass(frozen=True)
class Version:
    """One version of a recipe's image."""

    recipe: str
    version: int
    image: Image


def list_versions(cloud: Cloud, recipe: str | None = None) -> list[Version]:
    """Every finished image of ours, by recipe and version; of one recipe when it is named. Images still being made are left out."""
    wanted = {RECIPE: recipe} if recipe else None
    found = [
        Version(image.properties[RECIPE], version_of(image), image)
        for image in cloud.images(properties=wanted)
        if RECIPE in image.properties and OWNER_KEY not in image.properties
    ]
    return sorted(found, key=lambda one: (one.recipe, one.version))


def table(versions: Sequence[Version]) -> list[str]:
    """The versions for a person: a heading and a line each."""
    lines = [f"{'NAME':24s} {'STATUS':12s} {'MB':>7s}  {'BUILT':20s} {'BASE':20s} {'GUARD':10s} ID"]
    for one in versions:
        image = one.image
        built = image.properties.get(BUILT_AT, "")[:19].replace("T", " ")
        guard = "protected" if image.protected else "open"
        size = f"{(image.size or 0) / 1e6:.0f}"
        base = image.properties.get(BASE, "")
        lines.append(f"{image.name:24s} {image.status:12s} {size:>7s}  {built:20s} {base:20s} {guard:10s} {image.id}")
    return lines
