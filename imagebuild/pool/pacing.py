"""When a roll looks again: often while a machine works, seldom while only users are waited for, and not just before something is due."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from imagebuild.pool.definition import Rules
from imagebuild.pool.model import Phase
from imagebuild.pool.progress import Progress
from imagebuild.pool.roll_journal import RollLog
from imagebuild.pool.stops import bakes_for
from imagebuild.pool.turn import ASK_AGAIN

CALM = 4
"""While only users are waited for, turns are so many times further apart."""
_LEAST = 1 / 3
"""Such a part of `look_every` is left to the services in any case, however long a turn has taken."""
_ALMOST = 1 / 5
"""What is due within such a part of it after the next look is waited for: else it would be seen a whole turn late."""


def rest(log: RollLog, rules: Rules, *, now: datetime, took: float, ends: bool) -> float:
    """Seconds until the next turn, where the last one `took` so many. `ends`: the roll is about to end."""
    seconds = rules.look_every.total_seconds()
    if not (ends or any(_is_brisk(one, now) for one in log.flying.values())):
        bakes = bakes_for(log, rules, now)
        return min(seconds * CALM, bakes.total_seconds()) if bakes else seconds * CALM
    left = max(seconds * _LEAST, seconds - took)
    due = ((moment - now).total_seconds() for moment in _due(log, rules))
    return max((one for one in due if left < one <= left + seconds * _ALMOST), default=left)


def _is_brisk(one: Progress, now: datetime) -> bool:
    return one.phase is not Phase.DRAINING or one.free_since is not None or now - one.since < ASK_AGAIN


def _due(log: RollLog, rules: Rules) -> Iterator[datetime]:
    """Moments that are known beforehand: the end of a settling time, of the time that checks must hold, of a pause in a place."""
    for one in log.flying.values():
        if one.phase is Phase.DRAINING and one.free_since is not None:
            yield one.free_since + rules.settle
        elif one.phase is Phase.CHECKING and one.ready_since is not None:
            yield one.ready_since + rules.min_ready
    if rules.batch_pause > timedelta(0):
        yield from (one.since + rules.batch_pause for one in log.held.values() if one.phase.finished and one.acted)
