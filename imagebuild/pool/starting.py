"""How a roll comes to be: from a plan, or, where its journal is not at hand, from what its servers say of it."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from imagebuild.pool.marks import PREVIOUS_IMAGE_ID, ROLL_ID, ROLL_NOTE, ROLL_STATE
from imagebuild.pool.model import Desktop, Phase
from imagebuild.pool.progress import Note, Progress
from imagebuild.pool.roll_plan import Move

_BEFORE_THE_ACT = (Phase.PENDING, Phase.DRAINING, Phase.DRAINED)


def progress_of(move: Move, now: datetime) -> Progress:
    """A desktop of a plan before anything is done to it."""
    return Progress(
        name=move.name, server_id=move.server_id, method=move.method, from_image_id=move.from_image_id, since=now
    )


def find_rolls(desktops: Iterable[Desktop]) -> dict[str, Note]:
    """The rolls whose marks these servers carry, by id, with what one of them notes; the unfinished ones, told apart by the phases."""
    found: dict[str, Note] = {}
    for desktop in desktops:
        roll_id, phase = desktop.metadata.get(ROLL_ID), _phase(desktop)
        note = Note.read(desktop.metadata.get(ROLL_NOTE, ""))
        if roll_id and note is not None and phase is not None and phase.in_flight:
            found.setdefault(roll_id, note)
    return found


def from_marks(desktop: Desktop, before: Progress, *, roll_id: str, now: datetime) -> Progress:
    """The desktop as its server says, where that is further than what we know: cloud and broker are trusted over the journal."""
    phase, note = _phase(desktop), Note.read(desktop.metadata.get(ROLL_NOTE, ""))
    if desktop.metadata.get(ROLL_ID) != roll_id or phase is None or note is None:
        return before
    told = replace(before, server_id=desktop.id, attempt=note.attempt, held=note.held, was_off=note.was_off)
    told = replace(told, going_back=note.going_back)
    if phase is Phase.DRAINING and before.phase is Phase.PENDING:
        return told.to(
            Phase.DRAINING, now, drain_since=now, known=desktop.seat is not None, addresses=desktop.addresses
        )
    if phase is Phase.ACTING and before.phase in _BEFORE_THE_ACT:
        old = desktop.metadata.get(PREVIOUS_IMAGE_ID) or before.from_image_id
        accepted = {"accepted": True, "acted": True, "act_since": now, "from_image_id": old}
        return told.to(Phase.ACTING, now, known=desktop.seat is not None, **accepted)
    if phase.finished and not before.phase.finished:
        old = desktop.metadata.get(PREVIOUS_IMAGE_ID) or before.from_image_id
        return told.to(phase, now, held=False, from_image_id=old, reason=before.reason or "as its server says")
    return before


def _phase(desktop: Desktop) -> Phase | None:
    """How far a roll was with it, by the server's own word."""
    told = desktop.metadata.get(ROLL_STATE, "")
    return Phase(told) if told in list(Phase) else None
