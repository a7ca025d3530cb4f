"""When a roll looks again: often while a machine works, seldom while only users are waited for, and when something is due."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from imagebuild.pool.definition import Rules
from imagebuild.pool.model import Phase
from imagebuild.pool.progress import Progress
from imagebuild.pool.roll_journal import RollLog
from imagebuild.pool.stops import bakes_for
from imagebuild.pool.turn import ASK_AGAIN

CALM = 4
"""While only users are waited for, turns are so many times further apart."""
_LEAST = 1 / 10
"""Such a part of `look_every` is left to the services in any case, and no less than the look itself took them."""
_WORK = 1 / 6
"""After such a part of it a turn begins nothing more and looks again, but for looks that take long themselves."""
_LAST = 20
"""From so many desktops it is learned how long an act takes."""
_WORTH = 2
"""So many times as long as a look takes may be worked before the next one."""


def working_time(rules: Rules, *, look: timedelta) -> timedelta:
    """So long a turn may begin and act: a hundred calls in a row, and those that are well by then would wait for the last of them."""
    return max(rules.look_every * _WORK, look * _WORTH)


def rest(log: RollLog, rules: Rules, *, now: datetime, look: timedelta, took: float, ends: bool) -> float:
    """Seconds until the next turn, where the last one `took` so many, its look among them. `ends`: the roll is about to end.

    What is due is known beforehand, so the looks until then are moved a little: one of them falls on it.
    """
    seconds = rules.look_every.total_seconds()
    least = max(seconds * _LEAST, look.total_seconds())
    is_brisk = ends or any(_is_brisk(one, now) for one in log.flying.values())
    left = max(least, seconds - took) if is_brisk else seconds * CALM
    due = [ahead for moment in _due(log, rules, now) if (ahead := (moment - now).total_seconds()) > 0]
    if not due:
        return left
    first = max(least, min(due))
    return first / max(1, round(first / left))


def _is_brisk(one: Progress, now: datetime) -> bool:
    return one.phase is not Phase.DRAINING or one.free_since is not None or now - one.since < ASK_AGAIN


def _due(log: RollLog, rules: Rules, now: datetime) -> Iterator[datetime]:
    """Moments that are known beforehand: the end of a settling time, of the time that checks must hold, of a pause, of a bake.

    An act is looked at when the quickest of the last ones was seen to be over.
    """
    last = islice(reversed(log.held.ended.values()), _LAST)
    act = min((one.boot_since - one.act_since for one in last if one.boot_since and one.act_since), default=None)
    for one in log.flying.values():
        if one.phase is Phase.DRAINING and one.free_since is not None:
            yield one.free_since + rules.settle
        elif one.phase is Phase.CHECKING and one.ready_since is not None:
            yield one.ready_since + rules.min_ready
        elif one.phase is Phase.ACTING and one.act_since is not None and act is not None:
            yield one.act_since + act
    if rules.batch_pause > timedelta(0):
        ended = log.held.ended_since(now - rules.batch_pause)
        yield from (one.since + rules.batch_pause for one in ended if one.acted)
    if bakes := bakes_for(log, rules, now):
        yield now + bakes
