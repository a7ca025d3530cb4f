"""The roll of a pool that has not ended: known on this machine, or taken up from what the pool's servers say of it."""

from imagebuild.build_folder import BuildFolder
from imagebuild.errors import Busy, RollRefused
from imagebuild.images import find_version
from imagebuild.jobs.pool_desk import Desk, another_owner, check_plan, rolls_of, started_by
from imagebuild.journal import Journal
from imagebuild.pool.assignment import assign
from imagebuild.pool.roll_status import next_commands
from imagebuild.pool.starting import find_roll, marked_by, recall


def unfinished(desk: Desk) -> BuildFolder:
    """The pool's unfinished roll: this machine's, or one that its servers tell of. Raises RollRefused, Busy."""
    last = desk.last_roll()
    if last is not None and last[0].is_alive():
        raise Busy(f"{last[1].assignment.id} is at work", hint=f"look: invoke pool.status {desk.pool}")
    if last is not None and not last[1].state.finished:
        return last[0]
    return _recall(desk, finished=last[1].assignment.id if last else "")


def _recall(desk: Desk, *, finished: str) -> BuildFolder:
    """A roll whose journal is elsewhere, or lost: taken up from what its servers say."""
    pool = desk.survey()
    found = find_roll(pool, finished=finished)
    if found is None:
        raise RollRefused(f"{desk.pool} has no unfinished roll", hint=f"begin one: invoke pool.roll {desk.pool}")
    roll_id, note = found
    only = marked_by(pool, roll_id) if note.back else None
    made = desk.plan(pool, find_version(desk.cloud, note.to_image_id), roll_id=roll_id, only=only, knocks=False)
    check_plan(made)
    desk.report.warn(f"the journal of {roll_id} is not on this machine: it is taken up from what the servers say")
    now, rules = desk.now(), desk.definition.roll
    assignment = assign(made, rules, roll_id=roll_id, began_at=now, started_by=started_by(), back=note.back)
    folder = BuildFolder(rolls_of(desk.settings) / roll_id)
    with Journal(folder.journal) as journal:
        journal.write("taken_up", owner=another_owner(roll_id))
        recall(pool, made, assignment, note=note, write=journal.write)
    return folder


def refuse_unfinished(desk: Desk) -> None:
    """A pool has one roll: raises RollRefused when this machine knows of one that has not ended."""
    last = desk.last_roll()
    if last is not None and not last[1].state.finished:
        words = f"{last[1].assignment.id} to {last[1].assignment.to} is {last[1].state.value}: a pool has one roll"
        raise RollRefused(words, hint="; ".join(next_commands(last[1])))
