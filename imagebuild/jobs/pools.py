"""Rolls of pools: plan, roll, continue, status, pause, abort, rollback. Each gives the exit code that a CI server is to see."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from imagebuild.errors import Busy, RecipeError, RollRefused
from imagebuild.images import Version, find_version
from imagebuild.jobs.pool_desk import Desk, check_plan, open_desk, roll_of
from imagebuild.jobs.pool_making import MEMBERS
from imagebuild.jobs.pool_unfinished import last_known, refuse_unfinished, unfinished
from imagebuild.jobs.pool_work import begin_roll, tell, work_on
from imagebuild.jobs.settings import Settings
from imagebuild.pool.model import RollState
from imagebuild.pool.quantities import count_of
from imagebuild.pool.roll_plan import RollPlan
from imagebuild.pool.roll_status import REFUSED, exit_code
from imagebuild.pool.rollback import WayBack, find_way_back
from imagebuild.properties import WISH
from imagebuild.report import Report, Screen

Ask = Callable[[str], bool]


def plan(name: str, settings: Settings, report: Report, *, to: str = "") -> RollPlan:
    """Say what a roll would do to each desktop, and whether it may begin. Changes nothing; raises RollRefused when it may not."""
    with open_desk(name, settings, report) as desk:
        made = desk.plan(desk.survey(), _version(desk, to))
        _show(made, report)
        check_plan(made)
        if made.moves or made.leftovers:
            report.say(f"next: invoke pool.roll {name}{f' --to {to}' if to else ''}")
        return made


def roll(
    name: str,
    settings: Settings,
    report: Report,
    *,
    to: str = "",
    canary: str = "",
    yes: bool,
    ask: Ask,
    screen: Screen | None = None,
) -> int:
    """Move the pool to a version (the recipe's current one without `to`). Shows the plan first, and begins when `yes` or `ask` says so."""
    with open_desk(name, settings, report) as desk:
        desk = _with_canary(desk, canary)
        pool = desk.survey()
        refuse_unfinished(desk, pool)
        state = desk.state()
        made = desk.plan(pool, _version(desk, to))
        _show(made, report)
        check_plan(made)
        if not (made.moves or made.leftovers):
            report.say(f"{name}: there is nothing to roll", state=RollState.COMPLETED.value)
            return 0
        extra = f", and remove {count_of(len(made.leftovers), 'extra one')}" if made.leftovers else ""
        if not (yes or ask(f"roll {count_of(len(made.moves), 'desktop')} of {name} to {made.to}{extra}")):
            report.say(f"nothing was changed; to do it: invoke pool.roll {name} --yes")
            return REFUSED
        return begin_roll(desk, made, state=state, back=False, screen=screen)


def rollback(
    name: str, settings: Settings, report: Report, *, to: str = "", yes: bool, ask: Ask, screen: Screen | None = None
) -> int:
    """Bring the desktops that a roll has moved back to what they had. Says first what users may lose; a roll that waits is given up."""
    with open_desk(name, settings, report) as desk:
        last = desk.last_roll()
        if last is not None and last[0].is_alive():
            raise Busy(f"{last[1].assignment.id} is at work", hint=f"pause it first: invoke pool.pause {name}")
        given_up = last[1].assignment.id if last is not None and not last[1].state.finished else None
        state = desk.state()
        made, way = _plan_back(desk, to, given_up=given_up)
        _show(made, report)
        _warn_of_loss(way, report)
        _check_back(made, way)
        words = f"take {count_of(len(made.moves), 'desktop')} of {name} back to {made.to}; what users have put there is lost"
        if not (yes or ask(words)):
            report.say(f"nothing was changed; to do it: invoke pool.rollback {name} --yes")
            return REFUSED
        if last is not None and given_up:
            work_on(desk, last[0], giving_up="a rollback was asked for", keeps_extras=True, screen=screen)
            state = desk.state()
            made, way = _plan_back(desk, to, given_up=given_up)
            _check_back(made, way)
        return begin_roll(desk, made, state=state, back=True, screen=screen)


def _plan_back(desk: Desk, to: str, *, given_up: str | None) -> tuple[RollPlan, WayBack]:
    """The plan of the way back; what the roll `given_up` has in hand does not refuse it, as that ends first.

    Without a `to` it is that roll that is taken back, and not one before it: Raises RollRefused where it has moved nobody yet.
    """
    pool = desk.survey()
    image_id = _version(desk, to).image.id if to else None
    way = find_way_back(pool, roll_id=None if to else given_up, to_image_id=image_id)
    return desk.plan(pool, _version(desk, way.image_id), only=way.names, roll_id=given_up), way


def _check_back(made: RollPlan, way: WayBack) -> None:
    """Raise RollRefused when the way back may not begin, and where nobody can go it: to end having done nothing is not to be back."""
    check_plan(made)
    if not made.moves:
        left = [f"{name}: {reason}" for name, reason in made.left_out if name in way.names]
        words = f"no desktop of {made.pool} can be taken back to {made.to} now"
        raise RollRefused(words, hint="mend what is named for each, and ask again", details=left)


def go_on(name: str, settings: Settings, report: Report, *, screen: Screen | None = None) -> int:
    """Go on with the pool's unfinished roll: past its stop, after a pause, a halt or a kill -9; also on another machine."""
    with open_desk(name, settings, report) as desk:
        return work_on(desk, unfinished(desk), screen=screen)


def abort(name: str, settings: Settings, report: Report, *, screen: Screen | None = None) -> int:
    """End the roll for good: what works is finished, what was not touched keeps its image. Where a process works, it is asked to."""
    with open_desk(name, settings, report) as desk:
        if _wish(desk, "abort"):
            return 0
        return work_on(desk, unfinished(desk, ends=True), giving_up="somebody aborted it", screen=screen)


def pause(name: str, settings: Settings, report: Report) -> None:
    """Ask the process that rolls the pool, wherever it runs, to finish what is in hand and stop."""
    with open_desk(name, settings, report) as desk:
        if not _wish(desk, "pause"):
            report.say(f"no process rolls {name}; see: invoke pool.status {name}")


def status(name: str, settings: Settings, report: Report) -> int:
    """Tell how the pool stands and how its last roll is; only reads."""
    with open_desk(name, settings, report) as desk:
        pool = desk.survey()
        images = ", ".join(f"{number} on {image}" for image, number in pool.by_image().items())
        extra = f" and {len(pool.extras)} extra" if pool.extras else ""
        told = f"{name}: {count_of(len(pool.desktops), 'desktop')}{extra}, {pool.free} free; {images or 'none'}"
        report.say(told, images=pool.by_image(), extras=[one.name for one in pool.extras])
        standing = desk.standing_claims()
        for claim in standing:
            report.say(f"  {claim}", owner=claim.owner)
        at_work = {roll_of(claim) for claim in standing}
        log = last_known(desk, pool, at_work=at_work)
        if log is None:
            report.say("this machine has the journal of no roll of it, and its servers tell of none that has not ended")
            return 0
        tell(log, report, desk.now(), at_work=log.assignment.id in at_work)
        return exit_code(log)


def _wish(desk: Desk, wish: Literal["pause", "abort"]) -> bool:
    """Tell the process that rolls the pool what is wanted; False when none does. One that changes its members heeds no wish."""
    standing = [one for one in desk.standing_claims() if one.seed != MEMBERS]
    for claim in standing:
        desk.cloud.update_image(claim.id, properties={WISH: wish})
        desk.report.say(f"{claim.owner} ({claim.holder}) is asked to {wish}: it finishes what it has in hand")
    return bool(standing)


def _version(desk: Desk, to: str) -> Version:
    return find_version(desk.cloud, to or desk.definition.recipe, borrowed=True)


def _with_canary(desk: Desk, canary: str) -> Desk:
    if not canary:
        return desk
    names = tuple(name.strip() for name in canary.split(",") if name.strip())
    if not names:
        raise RecipeError("--canary names nothing", hint="--canary desktop-3, or desktop-3,desktop-7")
    rules = desk.definition.roll.model_copy(update={"canary_names": names})
    return replace(desk, definition=desk.definition.model_copy(update={"roll": rules}))


def _show(made: RollPlan, report: Report) -> None:
    lines = list(made.as_lines())
    report.say("\n".join(lines), **made.as_json())


def _warn_of_loss(way: WayBack, report: Report) -> None:
    report.warn(f"users had {count_of(len(way.used), 'desktop')} since, and what they saved there is lost:")
    for line in way.used:
        report.note(line)
    if way.others:
        report.warn(f"left as they are, with yet another image before: {', '.join(way.others)}")
