"""What must be right before a roll begins. Each check looks at one thing of the situation and says ok, warn or refuse, and what to do."""

from collections.abc import Callable, Iterator
from datetime import timedelta

from imagebuild.broker import Cap
from imagebuild.pool.marks import ROLL_ID, ROLL_STATE
from imagebuild.pool.model import Phase
from imagebuild.pool.preflight_image import CHECKS as IMAGE_CHECKS
from imagebuild.pool.quantities import duration_words
from imagebuild.pool.situation import Finding, Situation

_FEW = 5


def inspect(situation: Situation) -> tuple[Finding, ...]:
    """Every check's finding, the image's first. Nothing is asked any more."""
    checks: tuple[Callable[[Situation], Iterator[Finding]], ...] = (
        *IMAGE_CHECKS,
        _members,
        _left_out,
        _methods,
        _quota,
        _other_roll,
        _broker_health,
        _broker_abilities,
        _broker_provisioning,
        _broker_records,
        _session_age,
        _canary,
        _floor,
    )
    return tuple(finding for check in checks for finding in check(situation))


def _members(situation: Situation) -> Iterator[Finding]:
    survey, definition = situation.survey, situation.definition
    if not survey.desktops:
        todo = f"make them: invoke pool.create {definition.pool}; or take servers over: invoke pool.adopt {definition.pool}"
        yield Finding("desktops", "refuse", f"no server is tagged {definition.tag}", todo)
    elif not situation.moving:
        yield Finding("desktops", "ok", f"all {len(survey.included)} have {situation.to.name}: there is nothing to do")
    else:
        yield Finding("desktops", "ok", f"{len(situation.moving)} of {len(survey.desktops)} are to be moved")


def _left_out(situation: Situation) -> Iterator[Finding]:
    """Those that a roll does not touch: a warning each kind, as whoever locked or misnamed one may have forgotten it."""
    by_kind: dict[str, list[str]] = {}
    for desktop, trouble in situation.survey.troubles:
        if trouble.excludes:
            by_kind.setdefault(trouble.kind, []).append(f"{desktop.name} ({trouble.words})")
    for kind, told in by_kind.items():
        yield Finding(f"left out: {kind}", "warn", _some(told), "they keep their image")


def _methods(situation: Situation) -> Iterator[Finding]:
    stuck = [
        f"{one.name}: {situation.choices[one.id].why}"
        for one in situation.moving
        if not situation.choices[one.id].method
    ]
    if stuck:
        yield Finding("method", "refuse", f"{len(stuck)} can be moved in no way that the rules allow: {_some(stuck)}")
    counts = {
        method: sum(situation.choices[one.id].method == method for one in situation.moving)
        for method in ("rebuild", "replace")
    }
    told = ", ".join(f"{number} by {method}" for method, number in counts.items() if number)
    if told and not stuck:
        yield Finding("method", "ok", told)
    gone = [one.name for one in situation.moving if one.image_id not in situation.survey.images and not one.broken]
    if gone and situation.definition.roll.put_back:
        words = f"the image of {_some(gone)} is gone or unknown: one that fails cannot be put back, it stays away from users"
        yield Finding("way back", "warn", words)


def _quota(situation: Situation) -> Iterator[Finding]:
    """Room for the second server of a desktop that is made before the first one goes."""
    surge = situation.definition.roll.max_surge
    replaced = [one for one in situation.moving if situation.choices[one.id].method == "replace"]
    if not surge or not replaced:
        return
    flavor, room = situation.flavor, situation.headroom
    needs = {
        "instances": (surge, room.instances),
        "cores": (surge * flavor.vcpus, room.cores),
        "MiB of memory": (surge * flavor.ram_mib, room.ram_mib),
        "volumes": (surge if any(one.volume_backed for one in replaced) else 0, room.volumes),
    }
    lacking = [
        f"{need} {what}, {left} are left" for what, (need, left) in needs.items() if left is not None and left < need
    ]
    if lacking:
        words = f"max_surge {surge} needs {'; '.join(lacking)}"
        yield Finding("quota", "refuse", words, "raise the quota, or set roll.max_surge: 0")
    else:
        yield Finding("quota", "ok", f"there is room for {surge} more")


def _other_roll(situation: Situation) -> Iterator[Finding]:
    pool = situation.definition.pool
    for claim in situation.claims:
        if claim.purpose == "roll" and claim.owner != situation.roll_id and not claim.is_expired():
            yield Finding("other roll", "refuse", str(claim), f"wait for it, or look: invoke pool.status {pool}")
    unfinished: dict[str, list[str]] = {}
    for desktop in situation.survey.desktops:
        state, roll = desktop.metadata.get(ROLL_STATE, ""), desktop.metadata.get(ROLL_ID, "")
        if state in [phase.value for phase in Phase if phase.in_flight] and roll != situation.roll_id:
            unfinished.setdefault(roll, []).append(f"{desktop.name} {state}")
    for roll, told in unfinished.items():
        todo = f"go on with it: invoke pool.continue {pool}; or give it up: invoke pool.abort {pool}"
        yield Finding("other roll", "refuse", f"{roll or 'a roll'} has not finished {_some(told)}", todo)


def _broker_health(situation: Situation) -> Iterator[Finding]:
    if situation.health is None:
        yield Finding(
            "broker", "refuse", f"it does not answer: {situation.silence}", "who is on which desktop is unknown"
        )
    elif not situation.health.ok:
        yield Finding("broker", "refuse", f"it is not well: {'; '.join(situation.health.problems)}")
    else:
        yield Finding("broker", "ok", "it says that it is well")


def _broker_abilities(situation: Situation) -> Iterator[Finding]:
    able, rules = situation.capabilities, situation.definition.roll
    if Cap.SESSIONS not in able:
        yield Finding(
            "broker: sessions",
            "warn",
            "it tells assignments, no sessions: whoever has a desktop assigned counts as on it",
        )
    if Cap.AVAILABILITY not in able:
        words = "it cannot hold a desktop back: a user may be given one that is about to be moved; only the look after"
        yield Finding(
            "broker: draining", "warn", f"{words} roll.settle ({duration_words(rules.settle)}) keeps them apart"
        )
    if Cap.MESSAGE not in able and rules.logoff_policy == "notify-then-force":
        words = "it shows users no messages: sessions would end without a word"
        yield Finding("broker: messages", "refuse", words, "set roll.logoff_policy: wait")
    if situation.survey.included and all(one.busy for one in situation.survey.included):
        words = "it says of no desktop that nobody is there: as it is, every one would be waited for"
        yield Finding("broker: free desktops", "warn", words)


def _broker_provisioning(situation: Situation) -> Iterator[Finding]:
    settings, able = situation.settings, situation.capabilities
    if settings is None:
        return
    if settings.provisioning is None:
        if Cap.PROVISIONING in able:
            yield Finding("broker: provisioning", "refuse", "whether it makes desktops by itself cannot be read")
        return
    pausing = situation.definition.roll.pause_broker_provisioning and Cap.PROVISIONING in able
    if settings.provisioning and not pausing:
        deletes = ", and deletes" if settings.enforced else ""
        words = f"it makes{deletes} desktops by itself while the roll works"
        yield Finding(
            "broker: provisioning", "refuse" if settings.enforced else "warn", words, "turn it off there for the roll"
        )
    elif settings.provisioning:
        yield Finding("broker: provisioning", "ok", "it is on: it will be paused, and turned on again")
    else:
        yield Finding("broker: provisioning", "ok", "it is off, and stays so")


def _broker_records(situation: Situation) -> Iterator[Finding]:
    survey = situation.survey
    if survey.strays:
        names = [seat.name for seat in survey.strays]
        yield Finding(
            "broker: records", "warn", f"{len(names)} belong to no server: {_some(names)}", "remove them there"
        )
    for kind, words in (
        ("no-seat", "servers that it does not know"),
        ("duplicate-seat", "desktops that it has several times"),
    ):
        names = [desktop.name for desktop, trouble in survey.troubles if trouble.kind == kind]
        if names:
            yield Finding("broker: records", "warn", f"{len(names)} {words}: {_some(names)}")


def _session_age(situation: Situation) -> Iterator[Finding]:
    """The age of what the broker says; its adapter already takes too old a `nobody` for somebody."""
    times = [desktop.seat.observed_at for desktop in situation.survey.included if desktop.seat]
    told = [time for time in times if time is not None]
    limit = situation.definition.max_session_age
    if len(told) < len(times):
        words = f"of {len(times) - len(told)} desktops it does not say when it last looked"
        yield Finding("broker: age of sessions", "warn", words)
    if not told:
        return
    age = max(timedelta(0), situation.now - min(told))
    words = f"the oldest is of {duration_words(age)} ago"
    if age <= limit:
        yield Finding("broker: age of sessions", "ok", words)
    else:
        yield Finding("broker: age of sessions", "warn", words, f"it should be at most {duration_words(limit)}")


def _canary(situation: Situation) -> Iterator[Finding]:
    moving = {one.name.casefold(): one for one in situation.moving}
    missing = [name for name in situation.definition.roll.canary_names if name.casefold() not in moving]
    if missing:
        yield Finding("canary", "refuse", f"not among the desktops to be moved: {_some(missing)}", "name others")
        return
    named = [moving[name.casefold()] for name in situation.definition.roll.canary_names]
    if moving and not any(one.offered for one in named or moving.values()):
        yield Finding("canary", "warn", "nobody's desktop is free and healthy now: the roll begins by waiting for one")


def _floor(situation: Situation) -> Iterator[Finding]:
    free, floor, size = situation.survey.free, situation.floor, len(situation.survey.desktops)
    if situation.moving and floor >= size:
        words = f"{floor} free desktops must stay, and the pool has {size}: nothing could ever be begun"
        yield Finding("floor", "refuse", words, "lower roll.min_available, or make more: invoke pool.create")
    elif situation.moving and free <= floor:
        words = f"{free} are free and {floor} must stay so: a free one is begun when users have logged off"
        yield Finding("floor", "warn", words)
    elif situation.moving:
        yield Finding("floor", "ok", f"{free} are free, {floor} stay so")


def _some(names: list[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return f"{', '.join(names[:_FEW])}{more}"
