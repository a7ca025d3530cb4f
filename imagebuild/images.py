"""The versions of the master images that a project has: which there are, which one is current, which number comes next.

The cloud is the truth: what is told here is read from image properties and nowhere else, so two people see the same.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from imagebuild.cloud import OWNER_KEY, ROLE_KEY, Cloud, Image
from imagebuild.errors import CloudRefused, NotFound, VersionRefused
from imagebuild.properties import (
    CHECKPOINT,
    CLAIM_ROLE,
    HOLDER,
    PROMOTED_AT,
    REASON,
    RECIPE,
    SELF,
    STATE,
    STATES,
    VERIFIED,
    VERSION,
    State,
)


@dataclass(frozen=True)
class Version:
    """One version of a recipe's image. `state` is what counts: see `list_versions` for where it differs from the image's own word."""

    recipe: str
    version: int
    image: Image
    state: State

    @property
    def name(self) -> str:
        """How people and brokers call it; of one that is being built, how it will be called."""
        return f"{self.recipe}-v{self.version}"


def list_versions(cloud: Cloud, recipe: str | None = None) -> list[Version]:
    """Every version of ours, also one being built (a claim, until the image is there), by recipe and version; of one recipe when named.

    A promotion that was cut off leaves two images that say `current`: the one promoted later counts, the other reads as
    superseded. An image of ours whose state is none of ours reads as a candidate: nothing uses it until it is promoted.
    """
    wanted = {RECIPE: recipe} if recipe else None
    return versions_among(cloud.images(properties=wanted), recipe)


def versions_among(images: Sequence[Image], recipe: str | None = None) -> list[Version]:
    """The same from a look that was taken already."""
    images = [image for image in images if recipe in (None, image.properties.get(RECIPE))]
    found = [_read(image, _told_state(image)) for image in images if is_ours(image)]
    there = {one.name for one in found}
    building = [_read(image, "building") for image in images if is_being_built(image)]
    found += [one for one in building if one.name not in there]
    found.sort(key=lambda one: (one.recipe, one.version, one.image.created_at, one.image.id))
    heads = {one.recipe: one for one in sorted(found, key=_promoted) if one.state == "current"}  # the last one stays
    return [
        replace(one, state="superseded") if one.state == "current" and one is not heads[one.recipe] else one
        for one in found
    ]


def current(cloud: Cloud, recipe: str) -> Version | None:
    """The recipe's current version: what new desktops get. None while nothing was promoted."""
    return pick_current(list_versions(cloud, recipe), recipe)


def pick_current(versions: Iterable[Version], recipe: str) -> Version | None:
    """The recipe's current one among versions that `list_versions` gave."""
    return next((one for one in versions if one.recipe == recipe and one.state == "current"), None)


def pick_waiting(versions: Iterable[Version], recipe: str) -> Version | None:
    """The recipe's newest candidate that waits to become current: one that a later version has overtaken waits for nothing."""
    line = [one for one in versions if one.recipe == recipe and one.state in ("candidate", "current")]
    newest = max(line, key=lambda one: one.version, default=None)
    return newest if newest and newest.state == "candidate" else None


def find_version(cloud: Cloud, text: str, *, borrowed: bool = False) -> Version:
    """The finished version that a person means: `win7-vdi-v3`, an image's id, or a recipe's name for its current version.

    `borrowed`: where this project has none like it, also another project's, public or shared and accepted: to make desktops
    from, not to be changed. Raises NotFound, with near names; VersionRefused when an image of that name or id is there but is
    no version that can be had.
    """
    every = list_versions(cloud)
    if borrowed and not any(text in (one.name, one.image.id, one.recipe) for one in every):
        every += _borrowed_versions(cloud, text)
    done = [one for one in every if one.state != "building"]
    named = [one for one in done if text in (one.name, one.image.id)]
    if len(named) > 1:
        ids = ", ".join(one.image.id for one in named)
        raise VersionRefused(f"{len(named)} images are {text}", hint=f"name the one that you mean by its id: {ids}")
    if named:
        return named[0]
    if (head := pick_current(done, text)) is not None:
        return head
    _refuse_strangers(cloud, text)
    raise _missing(cloud, text, every, elsewhere=_SHARED if borrowed else "")


_SHARED = "; what another project shares counts once it is accepted: openstack image set --accept ID"


def _borrowed_versions(cloud: Cloud, text: str) -> list[Version]:
    """Those of other projects that stand in one line with what is named."""
    image = _find_image(cloud, text)
    lines = {image.properties[RECIPE]} if image and is_ours(image) else {text, re.sub(r"-v\d+$", "", text)}
    return versions_among([one for line in sorted(lines) for one in cloud.borrowed_images(properties={RECIPE: line})])


def _find_image(cloud: Cloud, text: str) -> Image | None:
    with suppress(CloudRefused):  # several of that name
        return cloud.find_image(text)
    return None


def _missing(cloud: Cloud, text: str, every: Sequence[Version], *, elsewhere: str) -> NotFound:
    """Why nothing is found by that name, and what to say instead."""
    of_recipe = [one.name for one in every if one.recipe == text and one.state != "building"]
    if of_recipe:
        hint = f"name one of {', '.join(of_recipe)}; or: invoke promote NAME"
        return NotFound(f"{text} has no current version", hint=hint)
    for one in every:
        if one.state == "building" and text in (one.name, one.recipe):
            holder = one.image.properties.get(HOLDER, "somebody")
            return NotFound(f"{one.name} is still being built by {holder}", hint="wait for it: invoke images")
    names = sorted({one.name for one in every} | {one.recipe for one in every})
    near = difflib.get_close_matches(text, names, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else f"which ones there are: invoke images{elsewhere}"
    return NotFound(f"there is no version {text!r} in {cloud.name}", hint=hint)


def reject(cloud: Cloud, version: Version, *, reason: str) -> Image:
    """Take a candidate or superseded version out of use: hidden, rejected, with the reason. Safe to repeat.

    It loses what a verification once said of it: to be promoted after all, it must pass a new one. Raises VersionRefused for
    the current version, which must be rolled back first, and for one that is not ours.
    """
    image = look_again(cloud, version)
    if version.state == "current":
        raise VersionRefused(
            f"{version.name} is current: new desktops get it",
            hint=f"go back to the one before it: invoke rollback {version.recipe} --reason '...'",
        )
    passed = image.properties.get(VERIFIED) == "passed"
    changes: dict[str, str | None] = {STATE: "rejected", REASON: reason} | ({VERIFIED: None} if passed else {})
    return cloud.update_image(image.id, hidden=True, properties=changes)


def look_again(cloud: Cloud, version: Version) -> Image:
    """The version's image as it is now. Raises NotFound when it is gone, VersionRefused when it is not (any more) that version of ours."""
    image = cloud.image(version.image.id)
    if image is None:
        raise NotFound(f"{version.name} ({version.image.id}) is gone: somebody deleted it", hint="see: invoke images")
    if not is_ours(image) or image.properties[RECIPE] != version.recipe:
        raise VersionRefused(f"{image.name} ({image.id}): {_why_not_ours(image)}", hint="it is not touched")
    return image


def next_version(cloud: Cloud, recipe: str, *, among: Sequence[Image] | None = None) -> int:
    """The number of the recipe's next version: higher than any that an image of it has, and free as a name, whoever's images those are.

    Claims do not count: they stand for the very number that is asked for. `among`: all of the project's images, by who has just seen them.
    """
    images = cloud.images() if among is None else among
    images = [image for image in images if image.properties.get(ROLE_KEY) != CLAIM_ROLE]
    taken = {image.name for image in images}
    number = 1 + max((version_of(i) for i in images if i.properties.get(RECIPE) == recipe), default=0)
    while f"{recipe}-v{number}" in taken or _is_anybodys(cloud, f"{recipe}-v{number}"):
        number += 1
    return number


def version_of(image: Image) -> int:
    """The version in an image's properties; 0 when there is none."""
    text = image.properties.get(VERSION, "")
    return int(text) if re.fullmatch("[0-9]+", text) else 0


def is_ours(image: Image) -> bool:
    """Is this a finished version? Properties are inherited by snapshots of desktops: only SELF, which names the image itself, tells."""
    properties = image.properties
    named = RECIPE in properties and version_of(image) > 0
    return named and properties.get(SELF) == image.id and CHECKPOINT not in properties and OWNER_KEY not in properties


def is_being_built(image: Image) -> bool:
    """Is this the claim of a build that is under way?"""
    properties = image.properties
    claimed = properties.get(ROLE_KEY) == CLAIM_ROLE and properties.get(STATE) == "building"
    return claimed and RECIPE in properties and version_of(image) > 0


def _read(image: Image, state: State) -> Version:
    return Version(image.properties[RECIPE], version_of(image), image, state)


def _told_state(image: Image) -> State:
    told = image.properties.get(STATE, "")
    return next((state for state in STATES if state == told != "building"), "candidate")


def _promoted(version: Version) -> tuple[str, int]:
    return version.image.properties.get(PROMOTED_AT, ""), version.version


def _is_anybodys(cloud: Cloud, name: str) -> bool:
    """Does this project see an active image of that name, also a public or shared one?"""
    try:
        return cloud.find_image(name) is not None
    except CloudRefused:  # several share it
        return True


def _refuse_strangers(cloud: Cloud, text: str) -> None:
    """Say of an image that is there why it is no version; nothing when there is none."""
    image = cloud.find_image(text) or next((one for one in cloud.images() if one.name == text), None)
    if image is not None:
        raise VersionRefused(f"{image.name} ({image.id}): {_why_not_ours(image)}", hint="it is not touched")


def _why_not_ours(image: Image) -> str:
    properties = image.properties
    if OWNER_KEY in properties:
        return f"it is an unfinished image of the build {properties[OWNER_KEY]}"
    if CHECKPOINT in properties:
        return "it is a checkpoint, not a version"
    if properties.get(SELF, image.id) != image.id:
        return "it is somebody's snapshot of a server made from one of our images, and only inherited its properties"
    if is_ours(image):
        accepted = f"desktops are made from it here once it is accepted: openstack image set --accept {image.id}"
        return f"it is another project's, and only that one can change it; {accepted}"
    return "it was not registered by imagebuild"
