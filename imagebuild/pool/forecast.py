"""How long a roll has yet to go, by its own measure: what its desktops took so far, and how many the rules let be in hand at once."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from statistics import fmean

from imagebuild.pool.definition import Rules
from imagebuild.pool.model import Phase
from imagebuild.pool.progress import Progress
from imagebuild.pool.roll_journal import RollLog
from imagebuild.pool.roll_plan import USUAL_TIME


def time_left(log: RollLog, rules: Rules, now: datetime) -> timedelta:
    """For the machines alone: waiting for users, for a window and for a person's word comes on top.

    A desktop takes its place from the moment that it is free until it is done, and the pause after it; and a boot from the act until it
    runs. Places and boots are both limited, and the scarcer one sets the pace.
    """
    done = [one for one in log.held.values() if one.phase is Phase.DONE]
    each = _mean(done, _in_place) or USUAL_TIME
    boot = _mean(done, _booting) or each
    flying = [one for one in log.flying.values() if not one.extra]
    waiting = sum(one.phase is Phase.PENDING for one in log.held.values())
    waiting += sum(one.phase is Phase.DRAINING and one.free_since is None for one in flying)
    tail = max(
        (max(timedelta(0), each - (now - one.free_since)) for one in flying if one.free_since), default=timedelta(0)
    )
    if not waiting:
        return tail
    limit = max(1, log.assignment.limit + len(log.serving))
    paces = (waiting * (each + rules.batch_pause) / limit, waiting * boot / rules.parallel_boots)
    return tail + max(*paces, each)


def _in_place(one: Progress) -> timedelta | None:
    return one.since - one.free_since if one.free_since else None


def _booting(one: Progress) -> timedelta | None:
    return one.boot_since - one.act_since if one.boot_since and one.act_since else None


def _mean(done: Iterable[Progress], took: Callable[[Progress], timedelta | None]) -> timedelta | None:
    told = [time.total_seconds() for one in done if (time := took(one)) is not None]
    return timedelta(seconds=fmean(told)) if told else None
