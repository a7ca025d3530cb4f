"""Is the image one that desktops may be moved to: whole, promoted, proven, and fit for the flavors that they have?"""

from collections.abc import Callable, Iterator

from imagebuild.pool.differences import hardware_changes
from imagebuild.pool.situation import Finding, Situation
from imagebuild.properties import GENERALIZED, HASH, REASON, VERIFIED


def _state(situation: Situation) -> Iterator[Finding]:
    to, back = situation.to, situation.back
    if to.state == "rejected":
        reason = to.image.properties.get(REASON, "no reason was given")
        yield Finding("image", "refuse", f"{to.name} was rejected: {reason}", "name another: invoke images")
    elif to.state in ("candidate", "building"):
        yield Finding("image", "refuse", f"{to.name} is a {to.state}, not promoted", f"invoke promote {to.name}")
    elif to.state == "superseded" and not back:
        words = f"{to.name} is superseded: desktops made meanwhile get the current version"
        yield Finding("image", "warn", words, "to make it current again: invoke rollback")
    else:
        yield Finding("image", "ok", f"{to.name} is {to.state}")


def _usable(situation: Situation) -> Iterator[Finding]:
    image = situation.to.image
    if image.status != "active":
        yield Finding(
            "image: data", "refuse", f"it is {image.status}: Nova makes no server from it", "it must be active"
        )
    for key, what in _STORES.items():
        if stores := image.properties.get(key):
            words = f"{what}: {stores}; hosts that read from there cannot have it"
            yield Finding("image: stores", "warn", words, f"openstack image show {image.id}")
    if not image.protected:
        words = "it is not protected: somebody may delete it, and with it the way to rebuild its desktops"
        yield Finding("image: protection", situation.strict, words, f"openstack image set --protected {image.id}")
    if image.hidden and situation.to.state == "current":
        yield Finding(
            "image: hidden",
            "refuse",
            "it is current, but hidden: the broker cannot find it",
            f"invoke promote {situation.to.name}",
        )


_STORES = {
    "os_glance_importing_to_stores": "it is still being copied to",
    "os_glance_failed_import": "it could not be copied to",
}
"""What Glance says, in properties of its own, of an image that is to be in several stores."""


def _data(situation: Situation) -> Iterator[Finding]:
    """Its data against what its build noted when it registered them; versions of before that note are believed."""
    image = situation.to.image
    noted = image.properties.get(HASH)
    if not image.fingerprint:
        words = "it has none: whether its data stay the same during the roll cannot be told"
        yield Finding("image: checksum", "warn", words)
    elif noted and not image.has_data(noted):
        words = f"its data are not those that were built: {_short(noted)} was registered, it has {_short(image.fingerprint)}"
        yield Finding("image: checksum", "refuse", words, "name another: invoke images")
    elif noted:
        yield Finding("image: checksum", "ok", f"it is that of the data that were built: {_short(noted)}")


def _short(fingerprint: str) -> str:
    """As much of it as a person compares."""
    return f"{fingerprint[:20]}..." if len(fingerprint) > 40 else fingerprint


def _proven(situation: Situation) -> Iterator[Finding]:
    properties, name = situation.to.image.properties, situation.to.name
    if properties.get(GENERALIZED) != "yes":
        words = "it is not known to be generalized: its desktops would share their identity"
        yield Finding("image: generalized", situation.strict, words, f"invoke verify {name}")
    told = properties.get(VERIFIED, "never done")
    if told != "passed":
        yield Finding("image: verification", situation.strict, f"verification: {told}", f"invoke verify {name}")
    else:
        yield Finding("image: verification", "ok", "its clones passed")


def _fits(situation: Situation) -> Iterator[Finding]:
    """Least disk and memory against what the desktops will have. How large a root volume is that is there already, is not looked up."""
    image, moving = situation.to.image, situation.moving
    rebuilt = [one for one in moving if situation.choices[one.id].method == "rebuild" and one.flavor]
    unknown = sorted({one.flavor for one in rebuilt if situation.flavors[one.flavor] is None})
    if unknown:
        words = f"desktops have the flavor {', '.join(unknown)}, which is gone: whether the image fits cannot be told"
        yield Finding("flavor", "warn", words)
    kept = [(situation.flavors[one.flavor], one.volume_backed) for one in rebuilt]
    sizes = {(flavor, 0 if on_volume else flavor.disk_gib) for flavor, on_volume in kept if flavor}
    if any(situation.choices[one.id].method == "replace" for one in moving):
        sizes.add((situation.flavor, situation.definition.root_volume_gib or situation.flavor.disk_gib))
    for flavor, disk_gib in sorted(sizes, key=lambda size: (size[0].name, size[1])):
        if disk_gib and image.min_disk > disk_gib:  # 0: as large as the image
            words = f"the image needs {image.min_disk} GiB of disk, desktops of {flavor.name} have {disk_gib}"
            yield Finding("flavor", "refuse", words, "give the pool a larger flavor, or a larger root_volume_gib")
        if image.min_ram > flavor.ram_mib:
            words = f"the image needs {image.min_ram} MiB of memory, {flavor.name} has {flavor.ram_mib}"
            yield Finding("flavor", "refuse", words, "give the pool a larger flavor")


def _hardware(situation: Situation) -> Iterator[Finding]:
    before = {one.image_id for one in situation.moving} - {situation.to.image.id}
    olds = [image for image_id, image in situation.survey.images.items() if image_id in before]
    dangers = [change for change in hardware_changes(olds, situation.to.image) if change.danger]
    names = sorted({f"{one.difference.name} ({one.before})" for one in dangers})
    if names:
        words = f"other than before: {', '.join(names)}"
        yield Finding("image: hardware", "warn", words, "see DANGER above; the canary must show that it boots")


CHECKS: tuple[Callable[[Situation], Iterator[Finding]], ...] = (_state, _usable, _data, _proven, _fits, _hardware)
