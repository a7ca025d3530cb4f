"""The act itself: the last look, then the call that destroys a root disk; and what the cloud makes of it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from imagebuild.broker import Cap
from imagebuild.cloud import Server
from imagebuild.errors import CloudError, CloudUnreachable, DeadlinePassed, StepFailed
from imagebuild.pool.drain import is_forced, unless_too_long
from imagebuild.pool.model import Desktop, Method, Phase, is_persistent
from imagebuild.pool.progress import Progress
from imagebuild.pool.quantities import lasting
from imagebuild.pool.refill import vacate
from imagebuild.pool.survey import ONES_OWN, ROLLABLE
from imagebuild.pool.turn import Turn

AHEAD = timedelta(seconds=5)
"""So far may a broker's clock be ahead of ours: clocks that are set by the network agree to a second, and some tell whole seconds only."""


def act(progress: Progress, turn: Turn) -> Progress:
    """Look once more at the server and at its user, and act at once: nobody who came in the meantime is cut off.

    The broker is asked last. Raises CloudError, BrokerError: then nothing is known, and the next turn looks again.
    """
    desktop, lookout = turn.desktop, turn.hands.lookout
    if desktop is None:
        return _follow(progress, turn) if progress.vacant else turn.lose(progress)
    if turn.silent or _is_in_use(desktop, progress, turn):
        return _wait_again(progress, turn)
    if not turn.acts:
        return progress
    server = lookout.fresh(progress.server_id)
    if server is None or not progress.is_known_as(server.name):
        return turn.lose(progress)
    if (words := _why_not(server, turn)) is not None:
        return _not_now(progress, turn, words)
    if (words := _why_no_follower(progress, turn)) is not None:
        return turn.fail(replace(progress, attempt=progress.attempt + 1), words)
    latest = lookout.recheck(desktop, held=progress.held)
    if _is_in_use(latest, progress, turn) or is_let_go(latest, progress):
        return _wait_again(progress, turn)
    if not progress.held and (doubt := why_doubted(latest, turn)) is not None:
        return unless_too_long(progress, turn, doubt)
    acting = progress.to(
        Phase.ACTING,
        turn.now,
        attempt=progress.attempt + 1,
        accepted=False,
        launched_before=desktop.launched_at,
        act_since=turn.now,
        stamp=progress.stamp if progress.method == "remove" else "",
        fell=False,
        noticed_at=None,  # whoever is on it after this was told nothing
        told_at=None,
        **({} if progress.method == "rebuild" else _legacy(server)),
    )
    turn.save(acting)
    if (refused := _destroy(acting, server, turn)) is not None:
        return turn.fail(acting, refused)
    return replace(acting, accepted=True, acted=True)


def watch(progress: Progress, turn: Turn) -> Progress:
    """See how far the cloud is with it."""
    if progress.method == "rebuild":
        return _watch_rebuild(progress, turn)
    if (going := _watch_delete(progress, turn)) is not None:
        return going
    try:
        return _AFTERWARDS[progress.method](progress, turn)
    except CloudUnreachable:
        raise
    except (CloudError, StepFailed, DeadlinePassed) as error:
        # Its address may be held for a moment longer than its server.
        return _unless_too_long(progress, turn, f"nothing could take its place: {error}")


def _watch_rebuild(progress: Progress, turn: Turn) -> Progress:
    if not progress.accepted:  # the answer was lost, or we were: what the server says of itself is the answer
        server = turn.hands.lookout.fresh(progress.server_id)
        if server is None:
            return turn.lose(progress)
        if not turn.hands.was_accepted(progress, server):
            return progress.to(Phase.DRAINED, turn.now, attempt=progress.attempt - 1)
        return replace(progress, accepted=True, acted=True)
    desktop = turn.desktop
    if desktop is None:
        return turn.lose(progress)
    if desktop.status == "ERROR":
        return turn.fail(progress, f"the rebuild failed: {desktop.fault or 'Nova says no more'}")
    is_new = desktop.launched_at != progress.launched_before
    if desktop.status in ("ACTIVE", "SHUTOFF") and desktop.task_state in (None, "powering-off") and is_new:
        return progress.to(Phase.BOOTING, turn.now, boot_since=turn.now)
    return _unless_too_long(progress, turn, f"Nova has not rebuilt it: {desktop.status}, task {desktop.task_state}")


def _watch_delete(progress: Progress, turn: Turn) -> Progress | None:
    """The old server goes, if there was one; None when it is known to be gone by our own act."""
    old = turn.hands.cloud.server(progress.old_server_id) if progress.old_server_id else None
    if not progress.accepted:  # as above; a server that still stands has a user to be looked for once more
        if old is not None and old.task_state != "deleting":
            return progress.to(Phase.DRAINED, turn.now, attempt=progress.attempt - 1)
        return replace(progress, accepted=True, acted=True)
    return _unless_too_long(progress, turn, "Nova has not deleted it") if old is not None else None


def _leave(progress: Progress, turn: Turn) -> Progress:
    """Nothing is to take its place: the broker is asked to look, and to forget it."""
    if turn.hands.can(Cap.SCAN):
        turn.hands.broker.refresh(wait=False)
    return progress.to(Phase.RETURNING, turn.now)


def _make_anew(progress: Progress, turn: Turn) -> Progress:
    """One of the same name is made, on the same port if it had one of its own."""
    made = turn.hands.make_anew(progress)
    return progress.to(Phase.BOOTING, turn.now, server_id=made.id, old_metadata={}, old_tags=(), boot_since=turn.now)


def _destroy(progress: Progress, server: Server, turn: Turn) -> str | None:
    """Ask the cloud for it; gives why the cloud did not take it."""
    try:
        if progress.method == "rebuild":
            turn.hands.rebuild(progress, server)
        else:
            turn.hands.cloud.delete_server(server.id)
    except CloudUnreachable:
        raise
    except CloudError as error:
        verb = "rebuild" if progress.method == "rebuild" else "delete"
        return f"the cloud refused to {verb} it: {error}"
    return None


def _legacy(server: Server) -> dict[str, Any]:
    """What its follower needs of a server that goes, and nobody can tell when it is gone."""
    told = {"group_id": server.group_id, "old_metadata": dict(server.metadata), "old_tags": server.tags}
    return {"old_server_id": server.id, **told}


def _why_not(server: Server, turn: Turn) -> str | None:
    """What stands against acting on the server as it is this moment."""
    if is_persistent(server.metadata) and not turn.rules.include_persistent:
        return ONES_OWN
    if server.locked:
        return f"somebody has locked it: {server.locked_reason or 'no reason is given'}"
    if server.status not in ROLLABLE or server.task_state is not None:
        return f"it is {server.status}, task {server.task_state}"
    return None


def _why_no_follower(progress: Progress, turn: Turn) -> str | None:
    """Why none could be made in its place, so that it is not deleted for nothing."""
    if progress.method != "replace":
        return None
    try:
        turn.hands.parts_of(progress)
    except CloudUnreachable:
        raise
    except (CloudError, StepFailed) as error:
        return f"nothing could take its place: {error}"
    return None


def _follow(progress: Progress, turn: Turn) -> Progress:
    """Its server went in an earlier attempt: what is to take its place is asked for once more."""
    if not turn.acts:
        return progress
    return progress.to(Phase.ACTING, turn.now, attempt=progress.attempt + 1, accepted=True, act_since=turn.now)


def _is_in_use(desktop: Desktop, progress: Progress, turn: Turn) -> bool:
    """May somebody be on it who has not been given his time to leave?"""
    return turn.occupied(desktop, progress) and not is_forced(progress, desktop, turn)


def is_let_go(desktop: Desktop, progress: Progress) -> bool:
    """Does the broker offer it again, though it is ours to hold back? Then somebody may be given it the moment after it was asked."""
    return progress.held and desktop.seat is not None and desktop.seat.availability != "unavailable"


def why_doubted(desktop: Desktop, turn: Turn) -> str | None:
    """Why somebody could have come since the broker counted. Of a desktop that is not held back, its word must be younger than `settle`.

    A broker whose clock is ahead calls all of its words young.
    """
    age = turn.hands.lookout.age(desktop)
    if age is not None and age < -AHEAD:
        return f"the broker's clock is {lasting(-age)} ahead of ours: how old its word on it is, nobody can tell"
    return "the broker's word on it is too old to act on" if age is not None and age > turn.rules.settle else None


def _not_now(progress: Progress, turn: Turn, words: str) -> Progress:
    if not progress.acted:
        return turn.give_back(progress, Phase.PENDING, words)
    if progress.waited(turn.now, turn.rules.act_timeout):
        return turn.fail(replace(progress, attempt=turn.rules.retries + 1, going_back=True), words)
    return progress


def _wait_again(progress: Progress, turn: Turn) -> Progress:
    """Somebody came: from the beginning. One that was acted on already has its own time to wait."""
    since = turn.now if progress.acted else progress.drain_since
    return progress.to(Phase.DRAINING, turn.now, drain_since=since, free_since=None, free_seen=None)


def _unless_too_long(progress: Progress, turn: Turn, words: str) -> Progress:
    limit = turn.rules.act_timeout
    if turn.desktop is not None and turn.desktop.volume_backed:
        limit += turn.rules.reimage_per_gib * turn.hands.image_gib(progress)
    if turn.now - (progress.act_since or progress.since) <= limit:
        return progress
    return turn.fail(progress, words)


_AFTERWARDS: Mapping[Method, Callable[[Progress, Turn], Progress]] = {
    "replace": _make_anew,
    "make": _make_anew,
    "remove": _leave,
    "broker": vacate,
}
"""What comes when the old server is gone, by method."""
