"""The way of one desktop through a roll: from one phase to the next, each turn asks once and never waits."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from imagebuild.broker import Cap
from imagebuild.errors import BrokerRefused, CloudRefused
from imagebuild.pool.act import act, is_let_go, watch, why_doubted
from imagebuild.pool.drain import drain
from imagebuild.pool.health import read_inside, stale_records, what_is_missing
from imagebuild.pool.model import Desktop, Phase
from imagebuild.pool.progress import Progress
from imagebuild.pool.quantities import duration_words
from imagebuild.pool.refill import await_follower
from imagebuild.pool.server_groups import explain_fault
from imagebuild.pool.turn import ASK_AGAIN, Turn

SHOWS_UP = timedelta(minutes=5)
"""So long a new server may be missing from Nova's listing, and a desktop that was given back from the broker's."""


def advance(progress: Progress, turn: Turn) -> Progress:
    """Where the desktop is after this turn. Raises CloudError, BrokerError: it then stands as it was last saved, and is looked at again."""
    return _WAYS[progress.phase](progress, turn)


def _boot(progress: Progress, turn: Turn) -> Progress:
    """Nova has done its part; wait for a machine that runs. One that was switched off is switched on to be looked at."""
    desktop = turn.desktop
    if progress.awaits:
        return await_follower(progress, turn)
    if desktop is None:
        return turn.lose(progress) if progress.waited(turn.now, SHOWS_UP) else progress
    if desktop.broken:
        words = explain_fault(desktop.fault or desktop.status, turn.hands.group_of(progress))
        return turn.fail(progress, f"it is broken: {words}")
    if desktop.status == "SHUTOFF" and desktop.task_state is None:
        try:
            turn.hands.cloud.start_server(desktop.id)
        except CloudRefused as error:
            return _wait(progress, turn, f"it does not start: {error}", is_over=False)
    elif desktop.status == "ACTIVE" and desktop.task_state is None:
        if progress.method == "make" and desktop.seat is None and turn.hands.can(Cap.SCAN):
            turn.hands.broker.refresh(wait=False)
        return progress.to(Phase.CHECKING, turn.now)
    if turn.now - (progress.boot_since or progress.since) > turn.rules.boot_timeout:
        return turn.fail(progress, f"it does not start: it is {desktop.status}, task {desktop.task_state}")
    return progress


def _check(progress: Progress, turn: Turn) -> Progress:
    """All must be there, and stay so for `min_ready`; then what is inside is read, and that is the last question."""
    desktop = turn.desktop
    if desktop is None:
        return turn.lose(progress)
    if desktop.status == "SHUTOFF" and desktop.task_state is None:
        return _start_once_more(progress, turn)
    if turn.silent:  # it may well be there; a broker that stays silent halts the roll
        return progress
    if progress.method == "make":
        progress = _meet(progress, desktop, turn)
    missing = what_is_missing(desktop, progress, witness=turn.witness)
    if missing is not None:
        return _wait(replace(progress, ready_since=None), turn, missing, is_over=desktop.broken)
    if progress.ready_since is None:
        words = f"it is well, and is to stay so for {duration_words(turn.rules.min_ready)}"
        progress = replace(progress, ready_since=turn.now, reason=words)
    if turn.now - (progress.ready_since or turn.now) < turn.rules.min_ready:
        return progress
    verdict, words = read_inside(desktop, progress, hands=turn.hands, witness=turn.witness)
    if verdict != "well":
        return _wait(progress, turn, words, is_over=verdict == "wrong")
    for record in stale_records(desktop, progress, hands=turn.hands):
        if desktop.seat is not None:
            turn.hands.broker.forget(desktop.seat, record)
    if progress.method == "make":
        return replace(turn.give_back(progress.serving(), Phase.PENDING, ""), stamp=words)
    outcome = Phase.FAILED if progress.going_back else Phase.DONE
    reason = (progress.failure or progress.reason) if progress.going_back else ""
    return replace(turn.give_back(progress, outcome, reason), stamp=words)


def _meet(progress: Progress, desktop: Desktop, turn: Turn) -> Progress:
    """An extra one that the broker has come to know: it is offered to nobody until it is proven; who was quicker stays on it."""
    seat = desktop.seat
    if seat is None:
        return progress
    met = replace(progress, known=True, broker_id=seat.broker_id)
    lately = met.asked_at is not None and turn.now - met.asked_at < ASK_AGAIN
    if not met.held or seat.busy or seat.availability == "unavailable" or lately:
        return met
    turn.hands.hold_back(seat)
    return replace(met, asked_at=turn.now)


def _start_once_more(progress: Progress, turn: Turn) -> Progress:
    """It has gone off by itself, as one does whose hypervisor's process dies: its host may be to blame, so once that is forgiven."""
    if progress.fell:
        return turn.fail(progress, "it has gone off by itself, and again after it was started once more")
    words = "it has gone off by itself, and is started once more"
    return progress.to(Phase.BOOTING, turn.now, fell=True, ready_since=None, reason=words)


def _wait(progress: Progress, turn: Turn, missing: str, *, is_over: bool) -> Progress:
    """It may still come, until boot_timeout; where it `is_over` it cannot."""
    if is_over or turn.now - (progress.boot_since or progress.since) > turn.rules.boot_timeout:
        return turn.fail(progress, missing)
    return replace(progress, reason=missing)


def _return(progress: Progress, turn: Turn) -> Progress:
    """Offer it again and see that it is so; switched off again where it was. Only then does its server say that the roll is over."""
    if progress.method == "remove" and progress.accepted:
        return _leave_nothing(progress, turn)
    desktop = turn.desktop
    if desktop is None and progress.outcome not in (Phase.FAILED, Phase.SKIPPED):
        return turn.lose(progress)
    if desktop is not None and _is_to_go_off(progress, desktop, turn):
        return _switch_off(progress, desktop, turn)
    if progress.held and not _is_offered(progress, turn):
        return _offer(progress, turn)
    return _end(progress, turn)


def _is_to_go_off(progress: Progress, desktop: Desktop, turn: Turn) -> bool:
    """Was it off, and can it be so again before anybody is given it?"""
    was_off = progress.was_off and progress.acted and progress.asked_at is None
    return was_off and desktop.status == "ACTIVE" and not desktop.busy and not progress.waited(turn.now, SHOWS_UP)


def _switch_off(progress: Progress, desktop: Desktop, turn: Turn) -> Progress:
    """Only where nobody can be on it: the same last look as before an act. One that may be in use stays on."""
    if desktop.task_state is not None:
        return progress
    latest = turn.hands.lookout.recheck(desktop, held=progress.held)
    doubted = is_let_go(latest, progress) or not progress.held and why_doubted(latest, turn) is not None
    if not latest.busy and not doubted:
        turn.hands.cloud.stop_server(desktop.id)
    return progress


def _leave_nothing(progress: Progress, turn: Turn) -> Progress:
    """Its server was deleted: what we asked of the broker is taken back as soon as it has forgotten it, too, and offers it to nobody."""
    known = turn.silent or turn.seat is not None
    if progress.held and known and not progress.waited(turn.now, SHOWS_UP):
        return progress
    if progress.held:
        turn.hands.offer_again(progress)
    return progress.to(progress.outcome or Phase.DONE, turn.now, reason=progress.failure, held=False)


def _is_offered(progress: Progress, turn: Turn) -> bool:
    """Does the broker show it as offered, after we asked for it? What it took for a desktop that it has no record of, it cannot show."""
    seat = turn.seat
    if progress.asked_at is None or turn.silent:
        return False
    return seat.availability != "unavailable" if seat else progress.waited(turn.now, SHOWS_UP)


def _offer(progress: Progress, turn: Turn) -> Progress:
    """Ask for it, by its name where the broker has no record of it now. What it does not show for long stays our hold, and that is told."""
    asked, seat = progress.asked_at, turn.seat
    is_late = progress.waited(turn.now, turn.rules.boot_timeout if seat else SHOWS_UP)
    if is_late and asked is not None and not turn.silent:
        return _end(progress, turn, held=True)
    if asked is not None and turn.now - asked < ASK_AGAIN:
        return progress
    try:
        if turn.hands.can(Cap.AVAILABILITY):
            turn.hands.offer(seat or turn.hands.seat_of(progress, stands=turn.desktop is not None))
    except BrokerRefused as error:
        if is_late and seat is None:
            return _end(progress, turn, held=True)
        if is_late:
            return progress.to(Phase.QUARANTINED, turn.now, reason=f"the broker does not offer it again: {error}")
        return replace(progress, reason=progress.reason or str(error))
    begun = turn.now if asked is None else progress.since  # while it was refused it had no time to show
    return replace(progress, since=begun, asked_at=turn.now)


def _end(progress: Progress, turn: Turn, *, held: bool = False) -> Progress:
    """The roll lets it go, and its server says so; `held`: the broker does not show that users have it again."""
    outcome = progress.outcome or Phase.PENDING
    ended = progress.to(outcome, turn.now, held=held)
    if outcome is Phase.PENDING:
        ended = replace(ended, outcome=None, asked_at=None, free_since=None, free_seen=None)
    if ended.server_id:  # also one that is no longer the pool's, or goes by another name
        turn.hands.mark(ended)
    return ended


_WAYS: Mapping[Phase, Callable[[Progress, Turn], Progress]] = {
    Phase.DRAINING: drain,
    Phase.DRAINED: act,
    Phase.ACTING: watch,
    Phase.BOOTING: _boot,
    Phase.CHECKING: _check,
    Phase.RETURNING: _return,
}
