"""What is promised of an image: by its recipe and those that it is built upon, and by what its build left on this machine."""

import json
from collections.abc import Iterator
from pathlib import Path

from imagebuild.build_folder import BuildFolder
from imagebuild.images import Version
from imagebuild.jobs.settings import Settings
from imagebuild.properties import BUILD
from imagebuild.recipe import Recipe, find_recipe, load_recipe
from imagebuild.record import fold
from imagebuild.sighting import Wanted
from imagebuild.steps.broker_agent import BrokerAgent
from imagebuild.steps.remote_desktop import RemoteDesktop


def find_promises(version: Version, recipe: Recipe, settings: Settings) -> Wanted:
    """What the recipe promises of this image, also by the recipes that it was built upon."""
    steps = [step for one in _lineage(recipe, settings) for step in one.steps]
    agent = next((step.service for step in steps if isinstance(step, BrokerAgent)), None)
    return Wanted(
        recipe=version.recipe,
        build=version.image.properties.get(BUILD, ""),
        disk_bus=version.image.properties.get("hw_disk_bus", recipe.header.image.disk_bus),
        desktop=recipe.header.windows.remote_desktop or any(isinstance(step, RemoteDesktop) for step in steps),
        agent=agent,
        registers=agent is not None and recipe.header.verify.registrations is not None,
        builder_sid=_builder_sid(version, settings),
    )


def _lineage(recipe: Recipe, settings: Settings) -> Iterator[Recipe]:
    """The recipe, and those whose images its own are built from."""
    known = set()
    while recipe.name not in known:
        known.add(recipe.name)
        yield recipe
        source = recipe.header.source.recipe
        if source is not None:
            recipe = load_recipe(find_recipe(source, folder=settings.recipes))


def builder_certificate(version: Version, settings: Settings) -> str | None:
    """The SHA-256 of the builder's WinRM certificate, where the image was built on this machine."""
    record = fold(_folder_of(version, settings).entries())
    return record.facts.get("guest_certificate") if record else None


def _builder_sid(version: Version, settings: Settings) -> str | None:
    """The builder's machine SID from its inventory (that of the account 500 without its end), where it is on this machine."""
    file = _folder_of(version, settings).path / "inventory.json"
    try:
        accounts = json.loads(file.read_text(encoding="utf-8")).get("accounts", [])
    except (OSError, ValueError):
        return None
    return next((one["sid"].removesuffix("-500") for one in accounts if str(one.get("sid")).endswith("-500")), None)


def _folder_of(version: Version, settings: Settings) -> BuildFolder:
    """Where this machine would have the build. The name comes from the cloud, and is nothing but a name."""
    return BuildFolder(settings.builds / Path(version.image.properties.get(BUILD, "none")).name)
