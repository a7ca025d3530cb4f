"""What must be right before a roll begins. Each check looks at one thing of the situation and says ok, warn or refuse, and what to do."""

from collections.abc import Callable, Iterator
from typing import get_args
from zoneinfo import ZoneInfo

from imagebuild.cloud_values import shortages
from imagebuild.pool.model import Desktop, Method
from imagebuild.pool.preflight_broker import CHECKS as BROKER_CHECKS
from imagebuild.pool.preflight_groups import CHECKS as GROUP_CHECKS
from imagebuild.pool.preflight_image import CHECKS as IMAGE_CHECKS
from imagebuild.pool.preflight_refill import CHECKS as REFILL_CHECKS
from imagebuild.pool.preflight_surge import CHECKS as SURGE_CHECKS
from imagebuild.pool.quantities import count_of
from imagebuild.pool.situation import Finding, Level, Situation, matches, some_of
from imagebuild.pool.testimony import in_hand, phase_of

_BY = {"broker": "deleting them for others that the broker makes"}


def inspect(situation: Situation) -> tuple[Finding, ...]:
    """Every check's finding, the image's first. Nothing is asked any more."""
    checks: tuple[Callable[[Situation], Iterator[Finding]], ...] = (
        *IMAGE_CHECKS,
        _members,
        _left_out,
        _methods,
        _replacing,
        _attached,
        _lost,
        _doors,
        _quota,
        *GROUP_CHECKS,
        *SURGE_CHECKS,
        _other_roll,
        *BROKER_CHECKS,
        *REFILL_CHECKS,
        _window,
        _canary,
        _floor,
    )
    return tuple(finding for check in checks for finding in check(situation))


def _members(situation: Situation) -> Iterator[Finding]:
    survey, definition = situation.survey, situation.definition
    if not survey.desktops:
        todo = f"make them: invoke pool.create {definition.pool}; or take servers over: invoke pool.adopt {definition.pool}"
        yield Finding("desktops", "refuse", f"no server is tagged {definition.tag}", todo)
    elif not situation.moving and all(matches(one, situation.to) for one in survey.desktops):
        yield Finding("desktops", "ok", f"{situation.to.name} is on every one already: there is nothing to do")
    else:
        yield Finding("desktops", "ok", f"to be moved: {len(situation.moving)} of {len(survey.desktops)}")


def _left_out(situation: Situation) -> Iterator[Finding]:
    """Those that a roll does not touch: a warning each kind, as whoever locked or misnamed one may have forgotten it."""
    by_kind: dict[str, list[str]] = {}
    for desktop, trouble in situation.survey.troubles:
        if trouble.excludes:
            by_kind.setdefault(trouble.kind, []).append(f"{desktop.name} ({trouble.words})")
    for kind, told in by_kind.items():
        yield Finding(f"left out: {kind}", "warn", some_of(told), "what is left out keeps its image")


def _methods(situation: Situation) -> Iterator[Finding]:
    stuck = [
        f"{one.name}: {situation.choices[one.id].why}"
        for one in situation.moving
        if not situation.choices[one.id].method
    ]
    if stuck:
        yield Finding("method", "refuse", f"{len(stuck)} can be moved in no way that the rules allow: {some_of(stuck)}")
    counts = {
        method: sum(situation.choices[one.id].method == method for one in situation.moving)
        for method in get_args(Method)
    }
    told = ", ".join(f"{number} by {_BY.get(method, method)}" for method, number in counts.items() if number)
    if told and not stuck:
        yield Finding("method", "ok", told)
    gone = [one.name for one in situation.moving if one.image_id not in situation.survey.images and not one.broken]
    if gone and situation.definition.roll.put_back and not situation.definition.roll.refills:
        words = f"the image of {some_of(gone)} is gone or unknown: one that fails cannot be put back, it stays away from users"
        yield Finding("way back", "warn", words)


def _replacing(situation: Situation) -> Iterator[Finding]:
    """What would be found missing only when the old server is gone."""
    replaced = situation.moving_by("replace")
    if not replaced:
        return
    pool, network = situation.definition.pool, situation.network
    if situation.group.trouble:
        yield Finding("replace: security group", "refuse", situation.group.trouble, f"invoke pool.network {pool}")
    if situation.zone:
        yield Finding("replace: availability zone", "refuse", situation.zone, "name another in the pool's file")
    bare = [one.name for one in replaced if one.id not in situation.own_ports]
    if bare and network.project_id not in ("", situation.project_id):
        words = (
            f"the address goes with the server of {some_of(bare)}: Nova has made its port, and in {network.name}, another project's, "
            "none can be made for the same address"
        )
        todo = "roll.method: rebuild, where Nova rebuilds them; or let the project roll that has the network"
        yield Finding("replace: addresses", "refuse", words, todo)
    volumes = [one.name for one in replaced if one.volume_backed]
    if volumes and situation.definition.root_volume_gib is None:
        words = f"root on a volume: {some_of(volumes)}; on the new servers it would be a disk of the hypervisor's"
        level: Level = "warn" if situation.flavor.disk_gib else "refuse"
        yield Finding("replace: root disk", level, words, "say root_volume_gib in the pool's file")


def _attached(situation: Situation) -> Iterator[Finding]:
    """What hangs on a server that goes: a rebuilt one keeps it."""
    going = situation.moving_by("replace", "broker")
    laden = [one.name for one in going if one.further_volume_ids]
    if laden:
        words = f"volumes are attached to {some_of(laden)} that a new server would be without; Nova may delete them with the old one"
        yield Finding("volumes", "refuse", words, "detach them: openstack server remove volume")
    wired = [one.name for one in going if one.cards > 1]
    if wired:
        words = f"more than one network card: {some_of(wired)}; a new server would have the pool's only"
        yield Finding("network cards", "refuse", words, "take the others off: openstack server remove port")


def _lost(situation: Situation) -> Iterator[Finding]:
    """What a server was given beyond the pool's file; the user data of its own, too, which Nova tells nobody."""
    going = situation.moving_by("replace", "broker")
    told = [f"{one.name} ({', '.join(what)})" for one in going if (what := tuple(_what_goes(one, situation)))]
    if told:
        words = f"the new server would be without what the pool's file does not say: {some_of(told)}"
        todo = "give it to the new ones, after the canary; a rebuilt one keeps it (roll.method: rebuild, where Nova rebuilds them)"
        yield Finding("lost with the server", "warn", words, todo)


def _what_goes(desktop: Desktop, situation: Situation) -> Iterator[str]:
    """Floating addresses and security groups are a port's: they stay where we made that, as it outlives its server."""
    if desktop.key_name:
        yield f"key pair {desktop.key_name}"
    if desktop.id in situation.own_ports:
        return
    yield from (f"floating IP {address}" for address in desktop.floating)
    kept = (situation.definition.security_group, situation.group.name)
    yield from (f"security group {name}" for name in desktop.security_groups if name not in kept)


def _doors(situation: Situation) -> Iterator[Finding]:
    """Whoever rolls knocks at each desktop. No reason to refuse: the way back from an image whose Remote Desktop is broken stays open."""
    doors = situation.doors
    if any(doors.values()):
        yield Finding("Remote Desktop", "ok", f"it answers this machine at {list(doors)[-1]}")
    elif doors:
        words = (
            f"it does not answer this machine at {some_of(list(doors))}, which run: who cannot reach port 3389 takes every desktop "
            "for ill once it is moved, and the canary fails after roll.boot_timeout"
        )
        pool = situation.definition.pool
        todo = f"let this machine in (intranet.rdp_from, then invoke pool.network {pool}), or roll from one that reaches them"
        yield Finding("Remote Desktop", "warn", words, todo)


def _quota(situation: Situation) -> Iterator[Finding]:
    """A server goes before its follower comes: more is needed only by a larger flavor, or for a root that becomes a volume.

    Nova calls a server deleted as soon as Cinder has been asked to delete its root volume, which counts until that is done.
    """
    flavor, room = situation.flavor, situation.headroom
    replaced = situation.moving_by("replace")
    olds = [old for one in replaced if (old := situation.flavors.get(one.flavor)) is not None]
    roots = [gib] if (gib := situation.definition.root_volume_gib) else []
    leaving = sum(one.volume_backed for one in replaced)
    needs = room.for_volumes(roots * (len(replaced) - leaving)) | {
        "cores": (sum(max(0, flavor.vcpus - old.vcpus) for old in olds), room.cores),
        "MiB of memory": (sum(max(0, flavor.ram_mib - old.ram_mib) for old in olds), room.ram_mib),
    }
    if lacking := shortages(needs):
        words = f"it is too small for desktops as the pool's file says: more {', more '.join(lacking)}"
        yield Finding("quota", "refuse", words, "raise the project's quota")
        return
    at_once = min(leaving, max(1, situation.definition.roll.unavailable_limit(len(situation.survey.desktops))))
    if lacking := shortages(room.for_volumes(roots * at_once)):
        words = f"a root volume may still be in deletion when that of the new server is made: {'; '.join(lacking)}"
        yield Finding("quota", "warn", words, "raise the project's quota of volumes")


def _other_roll(situation: Situation) -> Iterator[Finding]:
    pool = situation.definition.pool
    for claim in situation.claims:
        if claim.purpose == "roll" and claim.owner != situation.roll_id and not claim.is_over():
            yield Finding("other roll", "refuse", str(claim), f"wait for it, or look: invoke pool.status {pool}")
    for roll, desktops in in_hand(situation.survey.desktops, finished=situation.survey.finished).items():
        if roll != situation.roll_id:
            told = [f"{one.name} {phase_of(one)}" for one in desktops]
            todo = f"go on with it: invoke pool.continue {pool}; or give it up: invoke pool.abort {pool}"
            yield Finding("other roll", "refuse", f"{roll} has not finished {some_of(told)}", todo)


def _window(situation: Situation) -> Iterator[Finding]:
    window = situation.definition.roll.window
    if window is not None and situation.moving:
        opens = window.opens_after(situation.now)
        if opens == situation.now:
            yield Finding("window", "ok", f"{window} is open")
        else:
            local = opens.astimezone(ZoneInfo(window.time_zone))
            yield Finding("window", "warn", f"{window} is closed: nothing is begun before {local:%Y-%m-%d %H:%M}")


def _canary(situation: Situation) -> Iterator[Finding]:
    """A way back has no canary, and a roll that goes on may have had its own."""
    moving = {one.name.casefold(): one for one in situation.moving}
    names = () if situation.back or situation.roll_id else situation.definition.roll.canary_names
    missing = [name for name in names if name.casefold() not in moving]
    if missing:
        yield Finding("canary", "refuse", f"not among the desktops to be moved: {some_of(missing)}", "name others")
        return
    named = [moving[name.casefold()] for name in names]
    if moving and not any(one.offered for one in named or moving.values()):
        yield Finding("canary", "warn", "nobody's desktop is free and healthy now: the roll begins by waiting for one")


def _floor(situation: Situation) -> Iterator[Finding]:
    free, floor, size = situation.survey.free, situation.floor, len(situation.survey.desktops)
    if situation.moving and floor >= size:
        words = f"{count_of(floor, 'free desktop')} must stay, and the pool has {size}: nothing could ever be begun"
        yield Finding("floor", "refuse", words, "lower roll.min_available, or make more: invoke pool.create")
    elif situation.moving and free <= floor:
        words = f"free: {free}, of which {floor} must stay: a free one is begun when users have logged off"
        yield Finding("floor", "warn", words)
    elif situation.moving:
        yield Finding("floor", "ok", f"free: {free}, of which {floor} must stay")
