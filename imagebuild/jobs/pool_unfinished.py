"""The roll of a pool that has not ended: known on this machine, or taken up from what the pool's servers say of it."""

from collections.abc import Collection

from imagebuild.build_folder import BuildFolder
from imagebuild.errors import Busy, RollRefused
from imagebuild.images import Version
from imagebuild.jobs.pool_desk import Desk, another_owner, check_plan, rolls_of, started_by
from imagebuild.journal import Journal
from imagebuild.pool.assignment import Assignment, assign
from imagebuild.pool.progress import Note
from imagebuild.pool.roll_journal import RollLog
from imagebuild.pool.roll_plan import RollPlan, plan_end
from imagebuild.pool.roll_status import next_commands
from imagebuild.pool.starting import believe_marks, find_roll, infer_state, marked_by, recall
from imagebuild.pool.survey import Survey


def unfinished(desk: Desk, *, ends: bool = False) -> BuildFolder:
    """The pool's unfinished roll: this machine's, or one that its servers tell of. Raises RollRefused, Busy.

    `ends`: it is only to be ended. No plan is made of it then, so whatever would refuse one cannot refuse this.
    """
    last = desk.last_roll()
    if last is not None and last[0].is_alive():
        raise Busy(f"{last[1].assignment.id} is at work", hint=f"look: invoke pool.status {desk.pool}")
    if last is not None and not last[1].state.finished:
        return last[0]
    return _recall(desk, ends=ends)


def last_known(desk: Desk, pool: Survey, *, at_work: Collection[str]) -> RollLog | None:
    """The pool's last roll: this machine's, or a later one that its servers tell of; None when there is neither. Nothing is written.

    `at_work`: the rolls that processes work on. Where another machine has gone on with ours, its servers are further than our journal.
    """
    last = desk.last_roll()
    if last is not None and not last[1].state.finished:
        if not last[0].is_alive():
            believe_marks(last[1], pool.everyone, desk.now())
        return last[1]
    found = find_roll(pool)
    if found is None:
        return last[1] if last else None
    to = desk.version_of(found[1].to_image_id)
    made = _plan(desk, pool, found, to) if to else _plan_end(desk, pool, found, to)
    log = recall(pool, made, _assign(desk, made, found, started_by=""), note=found[1])
    log.state, log.reason = infer_state(log, pool.everyone, rules=desk.definition.roll, at_work=found[0] in at_work)
    return log


def _recall(desk: Desk, *, ends: bool) -> BuildFolder:
    """A roll whose journal is elsewhere, or lost: taken up from what its servers say."""
    pool = desk.survey()
    found = find_roll(pool)
    if found is None:
        raise RollRefused(f"{desk.pool} has no unfinished roll", hint=f"begin one: invoke pool.roll {desk.pool}")
    roll_id, note = found
    to = desk.version_of(note.to_image_id)
    if to is None and not ends:
        words = f"{roll_id} has not ended, by what its servers say, and its image {note.to_image_id} is gone, or none of ours"
        todo = f"end it: invoke pool.abort {desk.pool}; take back what it has moved: invoke pool.rollback {desk.pool}"
        raise RollRefused(words, hint=todo)
    made = _plan(desk, pool, found, to) if to and not ends else _plan_end(desk, pool, found, to)
    check_plan(made)
    desk.report.warn(f"the journal of {roll_id} is not on this machine: it is taken up from what the servers say")
    assignment = _assign(desk, made, found, started_by=started_by())
    folder = BuildFolder(rolls_of(desk.settings) / roll_id)
    with Journal(folder.journal) as journal:
        journal.write("taken_up", owner=another_owner(roll_id))
        recall(pool, made, assignment, note=note, write=journal.write)
    return folder


def _plan(desk: Desk, pool: Survey, found: tuple[str, Note], to: Version) -> RollPlan:
    """What is left to be done of it."""
    roll_id, note = found
    only = marked_by(pool, roll_id) if note.back else None
    return desk.plan(pool, to, roll_id=roll_id, only=only, knocks=False)


def _plan_end(desk: Desk, pool: Survey, found: tuple[str, Note], to: Version | None) -> RollPlan:
    """The same where nothing more is to be done of it but to end it."""
    image_id, threshold = found[1].to_image_id, desk.broker.settings(desk.pool).threshold
    name = to.name if to else image_id
    return plan_end(desk.definition, pool, to=name, to_image_id=image_id, threshold=threshold, now=desk.now())


def _assign(desk: Desk, made: RollPlan, found: tuple[str, Note], *, started_by: str) -> Assignment:
    roll_id, note = found
    rules, now = desk.definition.roll, desk.now()
    return assign(made, rules, roll_id=roll_id, began_at=now, started_by=started_by, back=note.back)


def refuse_unfinished(desk: Desk, pool: Survey) -> None:
    """A pool has one roll: raises RollRefused when this machine, or the pool's servers, know of one that has not ended."""
    last = desk.last_roll()
    if last is not None and not last[1].state.finished:
        words = f"{last[1].assignment.id} to {last[1].assignment.to} is {last[1].state.value}: a pool has one roll"
        raise RollRefused(words, hint="; ".join(next_commands(last[1])))
    if (found := find_roll(pool)) is not None:
        words = f"{found[0]} has not ended, as the servers tell it (its journal is elsewhere): a pool has one roll"
        raise RollRefused(words, hint=f"invoke pool.continue {desk.pool}; invoke pool.abort {desk.pool}")
