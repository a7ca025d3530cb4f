"""Where a roll stops to be looked at: after its canary and at its checkpoints, until somebody says go on, or the time to bake is over."""

from datetime import datetime, timedelta

from imagebuild.pool.definition import Rules
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.roll_journal import RollLog


def next_stop(log: RollLog) -> int | None:
    """The next one, in desktops done; None when nothing is ahead."""
    return next((stop for stop in log.assignment.stops if stop > log.passed), None)


def at_stop(log: RollLog) -> bool:
    """Are as many done as the next stop wants?"""
    stop = next_stop(log)
    return stop is not None and done(log) >= stop


def before_canary(log: RollLog) -> bool:
    """Is the first stop still ahead, so that only canaries may be begun?"""
    stops = log.assignment.stops
    return bool(stops) and log.passed < stops[0]


def done(log: RollLog) -> int:
    """How many desktops have the image now, by this roll; one that the broker wanted none for any more proves nothing."""
    return log.held.counts[Phase.DONE] - len(log.held.without)


def bakes_for(log: RollLog, rules: Rules, now: datetime) -> timedelta | None:
    """So long it bakes yet; None when it does not, or waits for a person's word."""
    if log.state is not RollState.BAKING or not rules.auto_continue:
        return None
    return max(timedelta(0), (log.state_since or now) + rules.bake_time - now)


def canary_failed(log: RollLog) -> bool:
    """Has one of those that went first?"""
    return any(name in log.held and log.held[name].failed for name in log.canaries)


def proved_nothing(log: RollLog, state: RollState) -> bool:
    """Does it end for good before its canary has passed, or has that failed?"""
    return canary_failed(log) or (state.finished and (before_canary(log) or not done(log)))
