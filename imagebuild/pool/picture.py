"""A roll on one screen while it works: how far it is, who is in hand and what each waits for, what failed, and how long it may take yet."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from imagebuild.pool.definition import Rules
from imagebuild.pool.forecast import time_left
from imagebuild.pool.model import Desktop, Phase, RollState
from imagebuild.pool.progress import Progress
from imagebuild.pool.quantities import lasting
from imagebuild.pool.roll_journal import RollLog
from imagebuild.pool.roster import Lineup
from imagebuild.pool.rules import free_desktops, occupied
from imagebuild.pool.stops import bakes_for

_BAR = 30
_FAILURES = 5
_ORDER = (Phase.CHECKING, Phase.BOOTING, Phase.ACTING, Phase.DRAINED, Phase.RETURNING, Phase.DRAINING)
_COUNTED = (Phase.PENDING, *reversed(_ORDER), Phase.SKIPPED, Phase.FAILED, Phase.QUARANTINED)
_LOST = (Phase.FAILED, Phase.QUARANTINED, Phase.SKIPPED)


def picture(
    log: RollLog,
    desktops: Lineup,
    *,
    rules: Rules,
    now: datetime,
    rows: int,
    ending: tuple[RollState, str] | None = None,
) -> tuple[str, ...]:
    """At most `rows` lines. `desktops`: the pool by name as it was last seen; `ending`: how the roll is about to end, and why."""
    head = list(_head(log, desktops, rules=rules, now=now, ending=ending))
    lost = list(_lost(log))
    foot = (
        []
        if ending or not log.held
        else [f"  Ctrl-C pauses it; from elsewhere: invoke pool.pause {log.assignment.pool}"]
    )
    flying = list(_flying(log, desktops, rules=rules, now=now))
    return (*head, *_fitting(flying, rows - len(head) - len(lost) - len(foot)), *lost, *foot)[:rows]


def _head(
    log: RollLog,
    desktops: Lineup,
    *,
    rules: Rules,
    now: datetime,
    ending: tuple[RollState, str] | None,
) -> Iterator[str]:
    assignment, counts = log.assignment, log.held.counts
    verb = "goes back to" if assignment.back else "goes to"
    yield f"{assignment.pool} {verb} {assignment.to}: {_state(log, rules, now, ending)}"
    done, size = counts[Phase.DONE], len(log.held)
    bar = "#" * (done * _BAR // max(1, size))
    yield f"  [{bar:-<{_BAR}}] {done} of {size} done{_to_go(log, rules, now, ending)}"
    told = ", ".join(f"{counts[phase]} {phase.value}" for phase in _COUNTED if counts[phase])
    if told:
        yield f"  {told}"
    if len(log.held.ended) == size and not log.flying:
        return
    flying = log.held.flying.values()
    waiting = sum(_waits(one, desktops.get(one.name), rules) for one in flying)
    users = f", and {waiting} that {'wait for their users' if waiting > 1 else 'waits for its user'}" if waiting else ""
    free = free_desktops(desktops, log.flying)
    extra = len(log.extras.pending)
    stay = f"{assignment.floor} {'stays' if assignment.floor == 1 else 'stay'}"
    more, limit = f"; {extra} extra" if extra else "", assignment.limit + extra
    yield f"  in hand: {len(flying) - waiting} of at most {limit}{users}; free: {free}, of which {stay}{more}"


def _state(log: RollLog, rules: Rules, now: datetime, ending: tuple[RollState, str] | None) -> str:
    if ending is not None:
        state, reason = ending
        rest = "; what is in hand is finished first" if log.flying else ""
        return f"{state.value}{f': {reason}' if reason else ''}{rest}"
    words = log.state.value
    if (bakes := bakes_for(log, rules, now)) is not None:
        words += f", it goes on by itself in {lasting(bakes)}"
    if rules.window is not None and not rules.window.is_open(now):
        words += f"; begins nothing before {_moment(rules.window.opens_after(now))}"
    return words


def _to_go(log: RollLog, rules: Rules, now: datetime, ending: tuple[RollState, str] | None) -> str:
    if ending is not None or len(log.held.ended) == len(log.held):
        return ""
    users = any(one.phase is Phase.DRAINING and one.free_since is None for one in log.flying.values())
    return f", about {lasting(time_left(log, rules, now))} to go{' when the users have left' if users else ''}"


def _flying(log: RollLog, desktops: Mapping[str, Desktop], *, rules: Rules, now: datetime) -> Iterator[str]:
    """Those that work first; those that wait for a user in the order of their deadlines."""
    for one in sorted(log.flying.values(), key=lambda one: (_ORDER.index(one.phase), one.drain_since or one.since)):
        for_so_long = lasting(timedelta(seconds=int((now - one.since).total_seconds())))
        words = _waits_for(one, desktops.get(one.name), rules)
        yield f"  {one.name:15s} {one.phase.value:9s} {for_so_long:>10s}  {words}".rstrip()


def _waits(one: Progress, desktop: Desktop | None, rules: Rules) -> bool:
    return one.phase is Phase.DRAINING and desktop is not None and occupied(desktop, rules)


def _waits_for(one: Progress, desktop: Desktop | None, rules: Rules) -> str:
    if one.phase is Phase.DRAINING and one.free_since is not None:
        return "is free; looked at again before it is touched"
    if desktop is not None and _waits(one, desktop, rules):
        seat = desktop.seat
        who = seat.assigned_user if seat is not None and seat.assigned_user else "whoever is on it"
        until = (one.drain_since or one.since) + rules.drain_deadline
        verb, end = "skipped", until
        if rules.force_after is not None and one.noticed_at is not None:
            verb, end = "ended", one.noticed_at + rules.force_after
        return f"waits for {who}, {verb} at {_moment(end)}"
    back = "back to its old image: " if one.going_back else ""
    return f"{back}{one.why}" if one.why else back.rstrip(": ")


def _lost(log: RollLog) -> Iterator[str]:
    lost = [one for crew in (log.held, log.extras) for one in crew.ended.values() if one.phase in _LOST]
    lost.sort(key=lambda one: (_LOST.index(one.phase), one.since))
    for one in lost[:_FAILURES]:
        yield f"  {one.name:15s} {one.phase.value}: {one.why}"
    if len(lost) > _FAILURES:
        yield f"  and {len(lost) - _FAILURES} more, not moved"


def _fitting(lines: Sequence[str], room: int) -> Sequence[str]:
    """As many as there is room for, and how many are not shown."""
    if len(lines) <= room or not lines:
        return lines
    shown = max(0, room - 1)
    return (*lines[:shown], f"  and {len(lines) - shown} more in hand")


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
