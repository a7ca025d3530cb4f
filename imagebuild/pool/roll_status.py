"""How a roll stands, for a person and for a program: from what it remembers, without a call."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from imagebuild.pool.health import MATCHES
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.progress import Progress
from imagebuild.pool.quantities import lasting
from imagebuild.pool.roll_journal import RollLog
from imagebuild.pool.situation import some_of

COMPLETED, REFUSED, WITH_REST, HALTED, ABORTED, WAITS = 0, 2, 3, 4, 5, 6
"""Exit codes: done; it may not begin, or nobody said yes; done, but some were skipped or failed; halted; aborted; it waits for
`invoke pool.continue`."""

_TOLD = (
    Phase.DONE,
    Phase.RETURNING,
    Phase.CHECKING,
    Phase.BOOTING,
    Phase.ACTING,
    Phase.DRAINED,
    Phase.DRAINING,
    Phase.PENDING,
    Phase.SKIPPED,
    Phase.FAILED,
    Phase.QUARANTINED,
)
_ACTS = {"rebuild": "rebuilt", "replace": "replaced", "broker": "deleted, for the broker to make another"}
_AT_WORK = (RollState.PLANNED, RollState.CANARY, RollState.ROLLING)
_BY_MARKS = "as its servers tell it: its journal is not on this machine"
_REST = (Phase.SKIPPED, Phase.FAILED, Phase.QUARANTINED)


def exit_code(log: RollLog) -> int:
    """What a CI server is told."""
    if log.state in (RollState.COMPLETED, RollState.ROLLED_BACK):
        return WITH_REST if any(one.phase in _REST or one.withheld for one in log.everyone) else COMPLETED
    return {RollState.HALTED: HALTED, RollState.ABORTED: ABORTED}.get(log.state, WAITS)


def summary(log: RollLog) -> str:
    """One line: how many are how far."""
    counts = log.held.counts
    told = ", ".join(f"{counts[phase]} {phase.value}" for phase in _TOLD if counts[phase])
    there = len(log.extras.pending) + len(log.extras.flying)
    return f"{log.state.value}: {told or 'no desktops'}{f'; {there} extra' if there else ''}"


def news(before: Progress, after: Progress) -> str | None:
    """What is worth a line of it, for who watches; None for the small steps."""
    name, why = after.name, f": {after.why}" if after.why else ""
    if after.phase is before.phase:
        return None
    if after.phase is Phase.BOOTING and after.fell:
        return f"{name} has gone off by itself, and is started once more"
    if after.extra:
        return _extra_news(after, why)
    if after.phase is Phase.DRAINING:
        return f"{name} is taken in hand{' once more, somebody came' if before.phase is Phase.DRAINED else ''}"
    if after.phase is Phase.DRAINED and after.acted:
        return f"{name} is not well{why}; {'its old image is put back' if after.going_back else 'one more attempt'}"
    if after.phase is Phase.ACTING:
        return f"{name} is being {_ACTS[after.method]}"
    if after.phase is Phase.FAILED and after.going_back:
        return f"{name} has failed{why}{_back(after)}"
    if after.phase is Phase.CHECKING:
        return f"{_whole_name(after)} runs, and is looked at"
    if after.phase is Phase.PENDING:
        return f"{name} is given back for now{why}"
    verb = "has" if after.phase is Phase.FAILED else "is"
    return f"{_whole_name(after)} {verb} {after.phase.value}{why}" if after.phase.finished else None


def _extra_news(after: Progress, why: str) -> str | None:
    """The same of an extra desktop."""
    told = {
        Phase.PENDING: f"{after.name}, an extra one, {'is given back for now' if why else 'serves'}{why}",
        Phase.ACTING: f"{after.name} is being {'removed' if after.method == 'remove' else 'made once more'}",
        Phase.DONE: f"{after.name}, an extra one, is removed",
        Phase.FAILED: f"{after.name}, an extra one, has failed{why}",
        Phase.SKIPPED: f"{after.name}, an extra one, is left for the next roll to remove{why}",
        Phase.QUARANTINED: f"{after.name}, an extra one, is quarantined{why}",
    }
    if after.phase is Phase.DRAINING and after.acted:
        return f"{after.name}, an extra one, is not well{why}"
    return told.get(after.phase)


def as_lines(log: RollLog, now: datetime, *, at_work: bool = False) -> Iterator[str]:
    """The whole: what it is, how far, who is in hand or was left behind and why, what comes next. `at_work`: a process rolls it now."""
    assignment = log.assignment
    verb = "goes back to" if assignment.back else "goes to"
    seen = bool(assignment.started_by)
    begun = f"begun {assignment.began_at:%Y-%m-%d %H:%M} UTC by {assignment.started_by}" if seen else _BY_MARKS
    yield f"{assignment.pool} {verb} {assignment.to}: {assignment.id}, {begun}"
    yield f"  {summary(log)}{f' ({log.reason})' if log.reason else ''}"
    if log.state in _AT_WORK and not at_work:
        yield "  no process works on it"
    yield f"  in hand at once: at most {assignment.limit + len(log.extras.pending)}; kept free: at least {assignment.floor}"
    if log.state is RollState.BAKING:
        yield f"  to be tried before it goes on: {some_of([one.known_as for one in log.held.values() if _is_done(one)])}"
    for one in log.everyone:
        if one.phase.in_flight or one.phase in _REST or one.withheld:
            back = _back(one)
            since = lasting(timedelta(seconds=int((now - one.since).total_seconds()))) if seen else ""
            follower = f"; {one.follower} is in its place" if one.follower else ""
            yield f"  {one.name:15s} {one.phase.value:11s} {since:>10s}  {one.why}{back}{follower}"
    if log.extras.pending:
        yield f"  extra until it ends: {some_of(list(log.extras.pending))}"
    yield from (f"  {name:15s} left out                {reason}" for name, reason in log.left_out)
    believed = Counter(one.stamp for one in log.held.values() if _is_done(one) and one.stamp not in ("", MATCHES))
    yield from (f"  of those done, {number}: {words}" for words, number in believed.items())
    if log.provisioning:
        left = ", and was left so: the next roll turns it on, or you do, in the broker" if log.state.finished else ""
        yield f"  the broker's own provisioning is paused by this roll{left}"
    yield from (f"next: {command}" for command in next_commands(log, at_work=at_work))


def _back(progress: Progress) -> str:
    """What became of the way to its old image; nothing where that is not known."""
    if not progress.going_back:
        return ""
    if progress.phase.in_flight:
        return ", on its way to its old image"
    if progress.phase is Phase.QUARANTINED:
        return "; its old image did not help"
    return "; it has its old image again" if progress.outcome is Phase.FAILED else ""


def next_commands(log: RollLog, *, at_work: bool = False) -> tuple[str, ...]:
    """What a person can do now."""
    pool, state = log.assignment.pool, log.state
    if at_work:
        return (f"invoke pool.pause {pool}", f"invoke pool.abort {pool}")
    back = (f"invoke pool.rollback {pool}   (to go back)",) if any(map(_is_done, log.held.values())) else ()
    if state in (RollState.COMPLETED, RollState.ABORTED):
        return back
    if state is RollState.ROLLED_BACK:
        return ()
    if state is RollState.HALTED:
        recipe = log.assignment.to.rpartition("-v")[0]
        image = (f"invoke rollback {recipe} --reason '...'   (when it is the image: the one before is current again)",)
        canary = any(name in log.held and log.held[name].failed for name in log.canaries)
        go_on = (f"invoke pool.continue {pool}   (when you know why)",)
        return (f"invoke pool.abort {pool}", *back, *(image if canary and recipe else go_on))
    return (f"invoke pool.continue {pool}", f"invoke pool.abort {pool}")


def _whole_name(progress: Progress) -> str:
    """With the desktop that has taken its place under another name."""
    return f"{progress.follower} in place of {progress.name}" if progress.follower else progress.name


def _is_done(progress: Progress) -> bool:
    return progress.phase is Phase.DONE


def as_facts(log: RollLog) -> dict[str, Any]:
    """The same for a program."""
    desktops, extras = ({name: _as_fact(one) for name, one in some.items()} for some in (log.held, log.extras))
    told = {"roll": log.assignment.id, "pool": log.assignment.pool, "to": log.assignment.to, "state": log.state.value}
    return told | {
        "reason": log.reason,
        "desktops": desktops,
        "extras": extras,
        "left_out": dict(log.left_out),
        "exit_code": exit_code(log),
    }


def _as_fact(one: Progress) -> dict[str, str]:
    told = {"phase": one.phase.value, "reason": one.why, "since": one.since.isoformat(), "stamp": one.stamp}
    return told | ({"follower": one.follower} if one.follower else {})
