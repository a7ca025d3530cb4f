"""Emptying a desktop: it is offered to nobody new, who is on it is told and waited for, and it is not taken while somebody may be there."""

import math
from dataclasses import replace
from datetime import timedelta

from imagebuild.broker import Cap, Seat
from imagebuild.pool.model import Desktop, Phase
from imagebuild.pool.progress import Progress
from imagebuild.pool.quantities import duration_words
from imagebuild.pool.testimony import note_of
from imagebuild.pool.turn import ASK_AGAIN, Turn


def begin(progress: Progress, turn: Turn) -> Progress:
    """Take it in hand. What an operator has made unavailable himself is not ours to make available again."""
    desktop = turn.desktop
    if desktop is None:
        return turn.lose(progress)
    seat, can_hold = desktop.seat, turn.hands.can(Cap.AVAILABILITY)
    begun = progress.to(
        Phase.DRAINING,
        turn.now,
        drain_since=turn.now - _drained_before(progress),
        held=can_hold and seat is not None and (seat.availability != "unavailable" or _held_by_a_roll(desktop)),
        was_off=desktop.status == "SHUTOFF",
        addresses=desktop.addresses,
        known=seat is not None or (progress.extra and progress.known),
        broker_id=seat.broker_id if seat else "",
        reason="",
        outcome=None,
        asked_at=None,
        noticed_at=None,
        told_at=None,
        free_since=None,
        free_seen=None,
    )
    turn.save(begun)
    if begun.held and seat is not None:
        return _ask_for_hold(begun, seat, turn)
    turn.hands.mark(begun)
    return begun


def _drained_before(progress: Progress) -> timedelta:
    """How long it was in hand before it was given back untouched; while it was not, its deadline stood still."""
    return progress.since - progress.drain_since if progress.drain_since else timedelta(0)


def _held_by_a_roll(desktop: Desktop) -> bool:
    """Has an earlier roll kept users from it, and left it so: quarantined?"""
    note = note_of(desktop)
    return note is not None and note.held


def drain(progress: Progress, turn: Turn) -> Progress:
    """Wait until the broker has shown it empty twice, `settle` apart, after it was seen to be held back."""
    desktop = turn.desktop
    if desktop is None:
        return turn.lose(progress)
    if desktop.excluded is not None and not progress.acted:
        return turn.give_back(progress, Phase.PENDING, desktop.excluded)
    if turn.silent:
        return replace(progress, free_since=None)
    if (asked := _hold(progress, desktop, turn)) is not None:
        return asked
    if turn.occupied(desktop, progress):
        if not is_forced(progress, desktop, turn):
            return _wait_for_user(replace(progress, free_since=None, free_seen=None), desktop, turn)
    elif progress.noticed_at is not None:  # whoever was told has gone
        progress = replace(progress, noticed_at=None, told_at=None)
    seen = desktop.seat.observed_at if desktop.seat else None
    if progress.free_since is None:
        return replace(progress, free_since=turn.now, free_seen=seen)
    looked_again = seen is None or progress.free_seen is None or seen > progress.free_seen
    if not looked_again and turn.rules.settle:
        return unless_too_long(progress, turn, "it was free when the broker last looked, and that is long ago")
    if turn.now - progress.free_since < turn.rules.settle:
        return replace(progress, reason="it is free, and settles")
    return progress.to(Phase.DRAINED, turn.now, reason="")


def is_forced(progress: Progress, desktop: Desktop, turn: Turn) -> bool:
    """Has the user who is on it been told, and the time that he was given passed? Only where the pool's rules say so."""
    rules, told = turn.rules, progress.noticed_at
    if rules.force_after is None or told is None or rules.logoff_policy == "wait":
        return False
    user = (desktop.seat and desktop.seat.assigned_user) or ""
    return user == progress.told_user and turn.now - told >= rules.force_after


def _hold(progress: Progress, desktop: Desktop, turn: Turn) -> Progress | None:
    """Ask until the broker shows it held back; None once that is so, or where it has no way to."""
    seat = desktop.seat
    if not progress.held or seat is None or seat.availability == "unavailable":
        return None
    if progress.asked_at is None or turn.now - progress.asked_at >= ASK_AGAIN:
        return _ask_for_hold(progress, seat, turn)
    return unless_too_long(progress, turn, "the broker does not hold it back")


def _ask_for_hold(progress: Progress, seat: Seat, turn: Turn) -> Progress:
    """Not before its server tells of it: who goes on without our journal is to give it back."""
    if progress.asked_at is None:
        turn.hands.mark(progress)
    turn.hands.hold_back(seat)
    return replace(progress, asked_at=turn.now)


def _wait_for_user(progress: Progress, desktop: Desktop, turn: Turn) -> Progress:
    who = {"active": "somebody is on it", "disconnected": "a session is open on it"}
    seat = desktop.seat
    if seat is None:
        words = "the broker does not know it"
    elif seat.session in who:
        words = who[seat.session]
    else:
        words = (
            "it is somebody's"
            if seat.assigned_user is not None
            else "the broker does not know whether somebody is on it"
        )
    waiting = unless_too_long(progress, turn, words)
    if waiting.phase is not Phase.DRAINING or seat is None:
        return waiting
    return _notify(waiting, seat, turn)


def unless_too_long(progress: Progress, turn: Turn, words: str) -> Progress:
    """Report rather than force: who cannot be had within the deadline keeps the old image."""
    since = progress.drain_since or progress.since
    if turn.now - since <= turn.rules.drain_deadline:
        return replace(progress, reason=words)
    outcome = Phase.FAILED if progress.acted else Phase.SKIPPED
    return turn.give_back(progress, outcome, f"{words}, for {duration_words(turn.rules.drain_deadline)}")


def _notify(progress: Progress, seat: Seat, turn: Turn) -> Progress:
    """Tell the user when the drain begins, and again and again."""
    if seat.session != "active" or not turn.hands.can(Cap.MESSAGE):
        return progress
    rules, user, first, last = turn.rules, seat.assigned_user or "", progress.noticed_at, progress.told_at
    if user != progress.told_user:  # and who was told has gone
        first = last = None
    if last is not None and (not rules.notify_every or turn.now - last < rules.notify_every):
        return progress
    limit = rules.force_after if rules.force_after is not None else rules.drain_deadline
    until = (first or turn.now) + limit
    minutes = max(0, math.ceil((until - turn.now).total_seconds() / 60))
    if not turn.hands.tell_user(seat, minutes=minutes, until=until):
        return progress
    return replace(progress, noticed_at=first or turn.now, told_at=turn.now, told_user=user)
