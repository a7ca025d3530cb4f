"""How a roll comes to be: from a plan, or, where its journal is not at hand, from what its servers say of it."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime

from imagebuild.pool.assignment import Assignment
from imagebuild.pool.definition import Rules
from imagebuild.pool.marks import ROLL_ID
from imagebuild.pool.model import Desktop, Method, Phase, RollState
from imagebuild.pool.progress import Note, Progress
from imagebuild.pool.roll_journal import RollLog, Write, nowhere
from imagebuild.pool.roll_plan import Move, RollPlan
from imagebuild.pool.roster import Lineup, Roster
from imagebuild.pool.rules import why_halt
from imagebuild.pool.stops import before_canary, done
from imagebuild.pool.survey import Survey
from imagebuild.pool.testimony import in_hand, newest, note_of, phase_of

_BEFORE_THE_ACT = (Phase.PENDING, Phase.DRAINING, Phase.DRAINED)


def progress_of(move: Move, now: datetime) -> Progress:
    """A desktop of a plan before anything is done to it."""
    return Progress(
        name=move.name, server_id=move.server_id, method=move.method, from_image_id=move.from_image_id, since=now
    )


def start(plan: RollPlan, assignment: Assignment, *, provisioning: bool = False, write: Write) -> RollLog:
    """The roll that a plan becomes; its first line is written. `provisioning`: see RollLog; the roll before this one has left it so."""
    held = Roster(progress_of(move, assignment.began_at) for move in plan.moves)
    extras = Roster(_extra(name, server_id, assignment.began_at) for name, server_id in plan.leftovers)
    log = RollLog(assignment, held, extras, left_out=plan.left_out, write=write)
    log.begin(provisioning=provisioning or None)
    return log


def find_roll(survey: Survey) -> tuple[str, Note] | None:
    """The unfinished roll that the servers tell of, and what it is about.

    One that has desktops in hand; else the last one, if it does not say that it is over, where desktops are left that do not have its
    image, or extra ones, or the broker's provisioning is off.
    """
    by_roll: dict[str, list[Desktop]] = {}
    for desktop in survey.everyone:
        if roll_id := desktop.metadata.get(ROLL_ID):
            by_roll.setdefault(roll_id, []).append(desktop)
    told = {roll_id: note for roll_id, desktops in by_roll.items() if (note := _note_among(desktops))}
    if roll_id := next(iter(in_hand(survey.everyone, finished=survey.finished)), None):
        return roll_id, told[roll_id]
    if not told or (last := newest(told)) in survey.finished:
        return None
    if any(note.over for note in map(note_of, by_roll[last]) if note):
        return None
    left = any(one.image_id != told[last].to_image_id for one in survey.included)
    left = left or told[last].provisioning or any(one.extra for one in by_roll[last])
    return (last, told[last]) if left else None


def marked_by(survey: Survey, roll_id: str) -> frozenset[str]:
    """The desktops that this roll has had in hand."""
    return frozenset(one.name for one in survey.desktops if one.metadata.get(ROLL_ID) == roll_id)


def recall(survey: Survey, plan: RollPlan, assignment: Assignment, *, note: Note, write: Write = nowhere) -> RollLog:
    """The roll as its servers tell it, where its journal is not at hand: what is planned anew, and what it had done already."""
    now = assignment.began_at
    followers = {one.name for one in survey.desktops if name_in_roll(one) != one.name}
    held = Roster(progress_of(move, now) for move in plan.moves if move.name not in followers)
    for desktop in survey.desktops:
        if desktop.metadata.get(ROLL_ID) == assignment.id and phase_of(desktop) is not None:
            method: Method = "replace" if desktop.vtpm else "rebuild"
            name = name_in_roll(desktop)
            blank = Progress(name=name, server_id=desktop.id, method=method, from_image_id=None, since=now)
            held.put(from_marks(desktop, held.get(name, blank), roll_id=assignment.id, now=now))
    extras = Roster(extra_from_marks(one, None, roll_id=assignment.id, now=now) for one in survey.extras)
    log = RollLog(assignment, held, extras, left_out=plan.left_out, write=write)
    log.passed = max((stop for stop in assignment.stops if stop <= done(log)), default=0)
    # whom it has touched before the first stop were canaries, and their failure is not to be forgotten
    canaries = [one.name for one in held.values() if one.phase is not Phase.PENDING] if before_canary(log) else []
    provisioning, image = note.provisioning or None, note.pool_image or None
    log.begin(passed=log.passed, canaries=canaries, provisioning=provisioning, image_before=image)
    return log


def believe_marks(log: RollLog, desktops: Iterable[Desktop], now: datetime) -> str | None:
    """Where the servers are further than the journal, somebody has gone on from another machine: they are right.

    Gives a later roll of the pool that they tell of, None when there is none.
    """
    roll_id, there = log.assignment.id, tuple(desktops)
    marked = {name_in_roll(one): one for one in there if one.metadata.get(ROLL_ID) == roll_id}
    for progress in list(log.held.values()):
        if progress.name in marked:
            log.save(from_marks(marked[progress.name], progress, roll_id=roll_id, now=now))
    for desktop in (one for one in there if one.extra):
        log.save(extra_from_marks(desktop, log.extras.get(desktop.name), roll_id=roll_id, now=now))
    return _give_way(log, there, now)


def _give_way(log: RollLog, desktops: Collection[Desktop], now: datetime) -> str | None:
    """What a later roll has had in hand is left to it, without a call, and so is what the broker makes new desktops from."""
    ours = log.assignment.id
    later = {one.id: told for one in desktops if newest((ours, told := one.metadata.get(ROLL_ID, ours))) != ours}
    names = {name: later[one.id] for one in desktops if one.id in later for name in (one.name, name_in_roll(one))}
    for progress in list(log.flying.values()):
        if other := later.get(progress.server_id) or names.get(progress.known_as):
            words = f"{other} has had it in hand since"
            log.save(progress.to(Phase.SKIPPED, now, reason=words, held=False, going_back=False, outcome=None))
    if not later:
        return None
    log.note(image_before=None)
    return newest(later.values())


def infer_state(log: RollLog, desktops: Iterable[Desktop], *, rules: Rules, at_work: bool) -> tuple[RollState, str]:
    """How far a roll is that only its servers tell of, and why: what they show halts who would go on with it, or is a stop's, or neither.

    `at_work`: a process goes on with it and may know what has been forgiven.
    """
    lineup = Lineup()
    lineup.meet({one.id: one for one in desktops}, log.held, log.extras.values())
    size, canaries = log.assignment.size, log.canaries
    reason = why_halt(log.held, lineup, rules=rules, size=size, canaries=canaries, extras=log.extras)
    if reason and not at_work:
        return RollState.HALTED, reason
    if done(log) in log.assignment.stops and not log.flying:
        return RollState.BAKING, ""
    return (RollState.CANARY if before_canary(log) else RollState.ROLLING), ""


def from_marks(desktop: Desktop, before: Progress, *, roll_id: str, now: datetime) -> Progress:
    """The desktop as its server says, where that is further than what we know: cloud and broker are trusted over the journal."""
    phase, note = phase_of(desktop), note_of(desktop)
    if desktop.metadata.get(ROLL_ID) != roll_id or phase is None or note is None:
        return before
    told = replace(before, server_id=desktop.id, attempt=note.attempt, held=note.held, was_off=note.was_off)
    failure = before.failure or ("it failed, as its server says" if note.going_back else "")
    told = replace(told, going_back=note.going_back, failure=failure)
    told = replace(told, from_image_id=note.from_image_id or before.from_image_id)
    if note.follows:
        told = replace(told, method="broker", follower=desktop.name, acted=True, accepted=True, addresses=())
        if phase is Phase.BOOTING and before.follower != desktop.name and not before.phase.finished:
            return told.to(Phase.BOOTING, now, boot_since=now, held=False)
    if phase is Phase.DRAINING and before.phase is Phase.PENDING:
        return told.to(
            Phase.DRAINING, now, drain_since=now, known=desktop.seat is not None, addresses=desktop.addresses
        )
    if phase is Phase.ACTING and before.phase in _BEFORE_THE_ACT:
        accepted = {"accepted": True, "acted": True, "act_since": now}
        return told.to(Phase.ACTING, now, known=desktop.seat is not None, **accepted)
    if phase.finished and not before.phase.finished:
        return told.to(phase, now, reason=before.reason or "as its server says")
    return before


def extra_from_marks(desktop: Desktop, before: Progress | None, *, roll_id: str, now: datetime) -> Progress:
    """The same of an extra desktop: one that this roll has not in hand serves, whoever made it, until it is removed."""
    told, ours = _extra(desktop.name, desktop.id, now), desktop.metadata.get(ROLL_ID) == roll_id
    phase, note = phase_of(desktop), note_of(desktop)
    if ours and phase is Phase.ACTING and note is not None:
        told = replace(told, method="make", attempt=note.attempt, acted=True, held=note.held)
        told = told.to(Phase.BOOTING, now, boot_since=now)
    elif ours and phase is Phase.DRAINING and note is not None:
        told = replace(told, held=note.held).to(Phase.DRAINING, now, drain_since=now)
    if before is None or not before.server_id:
        return told
    later = told.method == "remove" and (before.method == "make" or before.phase is Phase.PENDING)
    return replace(told, failure=before.failure) if later and told.phase is not before.phase else before


def _extra(name: str, server_id: str, now: datetime) -> Progress:
    return Progress(name=name, server_id=server_id, method="remove", from_image_id=None, since=now)


def name_in_roll(desktop: Desktop) -> str:
    """By what name a roll has it: one that the broker has made goes by that of the desktop in whose place it is."""
    note = note_of(desktop)
    return note.follows if note is not None and note.follows else desktop.name


def _note_among(desktops: Iterable[Desktop]) -> Note | None:
    """What a roll is about, by the first of its desktops that tells."""
    return next(filter(None, map(note_of, desktops)), None)
