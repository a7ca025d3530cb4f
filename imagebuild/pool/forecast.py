"""How long a roll has yet to go, by its own measure: what its desktops took so far, and how many the rules let be in hand at once."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import chain, islice
from statistics import fmean

from imagebuild.pool.definition import Rules
from imagebuild.pool.experience import GUESS, Experience
from imagebuild.pool.model import Phase
from imagebuild.pool.progress import Progress
from imagebuild.pool.roll_journal import RollLog

ROLLS = 3
"""So many of a pool's last rolls are learnt from: its image and its hosts change."""


def learn(logs: Iterable[RollLog]) -> Experience:
    """What desktops took in these rolls, the newest first."""
    measured = filter(None, (_times(_done(log), _in_place) for log in logs))
    took = list(islice(measured, ROLLS))
    if not took:
        return GUESS
    rolls = "the last roll" if len(took) == 1 else f"the last {len(took)} rolls"
    return Experience(timedelta(seconds=fmean(chain(*took))), f"as in {rolls} of this pool on this machine")


def time_left(log: RollLog, rules: Rules, now: datetime) -> timedelta:
    """For the machines alone: waiting for users, for a window and for a person's word comes on top.

    A desktop takes its place from the moment that it is free until it is done, and the pause after it; and a boot from the act until it
    runs. Places and boots are both limited, and the scarcer one sets the pace.
    """
    done = _done(log)
    each = _mean(done, _in_place) or timedelta(seconds=log.assignment.usual_seconds)
    boot = _mean(done, _booting) or each
    flying = log.held.flying.values()
    waiting = len(log.held.pending)
    waiting += sum(one.phase is Phase.DRAINING and one.free_since is None for one in flying)
    tail = max(
        (max(timedelta(0), each - (now - one.free_since)) for one in flying if one.free_since), default=timedelta(0)
    )
    if not waiting:
        return tail
    limit = max(1, log.assignment.limit + len(log.extras.pending))
    paces = (waiting * (each + rules.batch_pause) / limit, waiting * boot / rules.parallel_boots)
    return tail + max(*paces, each)


def _in_place(one: Progress) -> timedelta | None:
    return one.since - one.free_since if one.free_since else None


def _booting(one: Progress) -> timedelta | None:
    return one.boot_since - one.act_since if one.boot_since and one.act_since else None


def _done(log: RollLog) -> list[Progress]:
    return [one for one in log.held.ended.values() if one.phase is Phase.DONE]


def _mean(done: Iterable[Progress], took: Callable[[Progress], timedelta | None]) -> timedelta | None:
    told = _times(done, took)
    return timedelta(seconds=fmean(told)) if told else None


def _times(done: Iterable[Progress], took: Callable[[Progress], timedelta | None]) -> list[float]:
    """In seconds, of those that tell."""
    return [time.total_seconds() for one in done if (time := took(one)) is not None]
