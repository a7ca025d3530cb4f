"""Is the image one that desktops may be moved to: whole, promoted, proven, and fit for the flavors that they have?"""

from collections.abc import Callable, Iterator

from imagebuild.pool.differences import hardware_changes
from imagebuild.pool.situation import Finding, Situation
from imagebuild.properties import GENERALIZED, REASON, VERIFIED


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
    if not image.checksum:
        yield Finding(
            "image: checksum", "warn", "it has none: whether its data stay the same during the roll cannot be told"
        )


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
    """Least disk and memory against the flavors that the desktops will have. A root volume has a size of its own."""
    image, choices = situation.to.image, situation.choices
    on_volumes = {one.flavor for one in situation.moving if one.volume_backed}
    kept = {one.flavor for one in situation.moving if choices[one.id].method == "rebuild" and one.flavor}
    flavors = {flavor.name: flavor for name in kept if (flavor := situation.flavors[name])}
    if any(choice.method == "replace" for choice in choices.values()):
        flavors[situation.flavor.name] = situation.flavor
    unknown = sorted(name for name in kept if situation.flavors[name] is None)
    if unknown:
        words = f"desktops have the flavor {', '.join(unknown)}, which is gone: whether the image fits cannot be told"
        yield Finding("flavor", "warn", words)
    for flavor in flavors.values():
        disk_counts = flavor.disk_gib > 0 and flavor.name not in on_volumes  # 0: as large as the image
        if disk_counts and image.min_disk > flavor.disk_gib:
            words = f"the image needs {image.min_disk} GiB of disk, {flavor.name} has {flavor.disk_gib}"
            yield Finding("flavor", "refuse", words, "give the pool a larger flavor")
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


CHECKS: tuple[Callable[[Situation], Iterator[Finding]], ...] = (_state, _usable, _proven, _fits, _hardware)
