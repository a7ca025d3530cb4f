"""A roll at work in this process: its journal, the pool's claim, Ctrl-C, what a person sees meanwhile, and how it has ended."""

from collections.abc import Callable
from datetime import datetime

from imagebuild.build_folder import BuildFolder, new_build_folder
from imagebuild.errors import Interrupted, RollRefused
from imagebuild.interruption import signals_as_pause
from imagebuild.jobs.pool_desk import Desk, rolls_of, started_by
from imagebuild.jobs.pool_tenure import Tenure
from imagebuild.jobs.pool_view import heard, view_of
from imagebuild.journal import Journal
from imagebuild.pool.assignment import assign
from imagebuild.pool.model import RollState
from imagebuild.pool.roll import Roll
from imagebuild.pool.roll_journal import RollLog, read_log
from imagebuild.pool.roll_plan import RollPlan
from imagebuild.pool.roll_status import as_facts, as_lines, exit_code
from imagebuild.pool.starting import start
from imagebuild.report import Report, Screen


def begin_roll(desk: Desk, made: RollPlan, *, state: str, back: bool, screen: Screen | None) -> int:
    """A new roll, of a pool that is still in the `state` in which it was planned: a person may have thought for long about the plan."""
    last = desk.last_roll()
    folder = new_build_folder(rolls_of(desk.settings), desk.pool)
    assignment = assign(
        made,
        desk.definition.roll,
        roll_id=folder.id,
        began_at=desk.now(),
        started_by=started_by(),
        back=back,
    )

    def begin(journal: Journal) -> None:
        left_paused = last is not None and bool(last[1].provisioning)
        start(made, assignment, provisioning=left_paused, write=journal.write)
        if last is not None and left_paused:
            desk.report.say(
                f"{last[1].assignment.id} left the broker's provisioning paused: it is turned on at the end"
            )

    return work_on(desk, folder, state=state, begin=begin, screen=screen)


def work_on(
    desk: Desk,
    folder: BuildFolder,
    *,
    screen: Screen | None,
    state: str = "",
    begin: Callable[[Journal], None] | None = None,
    giving_up: str = "",
    keeps_extras: bool = False,
) -> int:
    """Work on the roll of that folder until it ends, under the pool's claim; `begin` writes the first lines of a new one.

    `keeps_extras`: see Roll.end.
    """
    with (
        Journal(folder.journal) as journal,
        desk.claimed(folder, state=state) as claim,
        signals_as_pause() as is_asked,
    ):
        if begin is not None:
            begin(journal)
        log = read_log(journal.entries(), write=journal.write)
        if log is None:
            raise RollRefused(f"{folder.id} never began", hint=f"invoke pool.roll {desk.pool}")
        tenure = Tenure(desk.cloud, claim, is_asked=heard(is_asked, screen), now=desk.now)
        work = desk.roll(log, tenure=tenure, watch=view_of(desk.report, screen))
        work.taken_up = begin is None
        work.fleet.is_watched = screen is not None
        if giving_up:
            work.end(RollState.ABORTED, giving_up, keeps_extras=keeps_extras)
        elif begin is None:
            work.take_up()
        with desk.report.step("roll", f"{desk.pool} to {log.assignment.to}: {folder.id}"):
            _run(work, screen)
        tell(log, desk.report, desk.now())
        return exit_code(log)


def _run(work: Roll, screen: Screen | None) -> None:
    """Until it ends. Who leaves at once, by a second Ctrl-C, is told what stands half done and what mends it."""
    try:
        work.run()
    except KeyboardInterrupt as error:
        names = ", ".join(one.name for one in work.flying)
        words = f"left at once; still in hand: {names}" if names else "left at once; nothing was in hand"
        hint = f"go on with it: invoke pool.continue {work.log.assignment.pool}"
        raise Interrupted(words, hint=hint) from error
    finally:
        if screen is not None:
            screen.leave()


def tell(log: RollLog, report: Report, now: datetime, *, at_work: bool = False) -> None:
    """Say how it stands; `at_work`: a process rolls it now."""
    report.say("\n".join(as_lines(log, now, at_work=at_work)), **as_facts(log), at_work=at_work)
