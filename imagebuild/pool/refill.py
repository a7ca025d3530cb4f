"""`method: broker`: the old server goes, and the broker makes another, of another name, as far as it wants one.

It keeps a number of unassigned desktops. So a roll that deletes one gets a new one where that number is no longer reached, and none where
users have left more than that free.
"""

from dataclasses import replace
from datetime import timedelta

from imagebuild.broker import Cap
from imagebuild.pool.model import Desktop, Phase
from imagebuild.pool.progress import Progress
from imagebuild.pool.quantities import duration_words
from imagebuild.pool.turn import Turn

NOTICED = timedelta(minutes=5)
"""So long a broker may show a desktop whose server is gone; nobody is to be sent there, so it stays held back."""


def vacate(progress: Progress, turn: Turn) -> Progress:
    """Its server is gone: so goes the port that we had made for it, and the broker is asked to look."""
    turn.hands.give_up_port(progress)
    if turn.hands.can(Cap.SCAN):
        turn.hands.broker.refresh(wait=False)
    return progress.to(
        Phase.BOOTING, turn.now, server_id="", boot_since=turn.now, reason="the broker is to make another"
    )


def await_follower(progress: Progress, turn: Turn) -> Progress:
    """Until the broker has made one that nobody else follows, or shows that it wants no more."""
    gone_for = turn.now - (progress.boot_since or progress.since)
    if turn.silent:
        return progress
    if progress.held and turn.seat is not None and gone_for <= NOTICED:
        return replace(progress, reason="the broker has not noticed yet that its server is gone")
    if progress.held and turn.seat is None:
        turn.hands.offer_again(progress)
        progress = replace(progress, held=False, asked_at=None)
    if turn.newcomer is not None:
        return _claim(progress, turn.newcomer, turn)
    if turn.refilled and gone_for >= turn.rules.settle:
        return progress.to(
            Phase.DONE, turn.now, reason="the broker has as many free ones as it wants, and made none for it"
        )
    if gone_for <= turn.rules.boot_timeout:
        return replace(progress, reason="the broker is to make another")
    why = "; ".join(turn.obstacles) or "its own list of jobs may tell why"
    words = f"the broker has made no other within {duration_words(turn.rules.boot_timeout)}: {why}"
    return progress.to(Phase.FAILED, turn.now, reason=words)


def _claim(progress: Progress, newcomer: Desktop, turn: Turn) -> Progress:
    """This one takes its place. It has an address of its own, users may be on it already, and the broker must know it."""
    claimed = progress.to(
        Phase.BOOTING,
        turn.now,
        server_id=newcomer.id,
        follower=newcomer.name,
        addresses=(),
        known=True,
        broker_id=newcomer.seat.broker_id if newcomer.seat else "",
        held=False,
        was_off=False,
        boot_since=turn.now,
        reason="",
    )
    turn.save(claimed)
    turn.hands.claim(claimed)
    return claimed
