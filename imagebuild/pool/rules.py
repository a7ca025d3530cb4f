"""Which desktops a roll may begin now, which it must give back, and when it must halt: functions from value to value."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from imagebuild.pool.definition import Rank, Rules
from imagebuild.pool.model import Desktop, Phase
from imagebuild.pool.progress import Progress
from imagebuild.pool.quantities import count_of
from imagebuild.pool.roster import Lineup, Roster


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The bounds of one moment, in desktops. `room`: so many may be begun until the next stop; `canary`: only free and healthy ones.

    `spare`: so many are free above the floor, whoever of the roll's crews takes them; below 0: so many are lacking.
    """

    limit: int
    spare: int
    boots: int
    room: int
    canary: bool = False


def occupied(desktop: Desktop, rules: Rules) -> bool:
    """May somebody be on it? Unknown is yes. No, where a broken machine that does not run is one that the broker does not know."""
    seat = desktop.seat
    if seat is None:
        return not (desktop.broken and desktop.power_state != 1)
    if seat.session == "disconnected" and not rules.disconnected_is_busy:
        return False
    return seat.busy


def rank_of(desktop: Desktop, rules: Rules) -> Rank:
    """Which of the kinds that `order` puts in a row it is."""
    if occupied(desktop, rules):
        return "longest-idle"
    if desktop.unwell:
        return "broken"
    return "free" if desktop.powered_on else "free-off"


def free_desktops(desktops: Lineup, flying: Iterable[str]) -> int:
    """How many desktops a user could get now: none in hand, member or extra one, also where the broker cannot hold them back."""
    return len(desktops.offered) - sum(name in desktops.offered for name in flying)


def unassigned_desktops(desktops: Lineup, held: Roster) -> int:
    """How many desktops nobody has, as a broker counts them that makes another when they are too few; those in hand are none."""
    return sum(not one.busy and name not in held.flying for name, one in desktops.items())


def taken_places(desktops: Mapping[str, Desktop], held: Roster, *, rules: Rules, now: datetime) -> int:
    """How many of `max_unavailable` are used. A desktop with a user on it serves that user, so one that waits for its user is not one.

    A place that has become free stays so for `batch_pause`: that is the pause between one desktop and its follower.
    """
    in_hand = sum(_takes_place(one, desktops.get(one.name), rules) for one in held.flying.values())
    return in_hand + sum(one.acted for one in held.ended_since(now - rules.batch_pause))


def choose(desktops: Lineup, held: Roster, *, rules: Rules, pace: Pace, now: datetime) -> tuple[str, ...]:
    """Who may be begun now, in order, all of them together.

    Free ones: within the limit, above the floor, and no more than can boot soon. Busy ones, when no free one waits for its place: no
    more wait for their users than places are left for them, as who has made his user leave is not to be given back for want of one;
    taking one of them makes no free one fewer.
    """
    window = rules.window
    if window is not None and not window.is_open(now):
        return ()
    places = pace.limit - taken_places(desktops, held, rules=rules, now=now)
    waiting = [one for one in held.flying.values() if one.untouched]
    watched = sum(_is_occupied(one, desktops, rules) for one in waiting)
    queue = pace.boots - (len(waiting) - watched)
    spare = pace.spare
    chosen: list[str] = []
    crowded = False
    for desktop in _in_order(desktops, held, rules=rules, canary=pace.canary):
        if len(chosen) >= pace.room:
            break
        if occupied(desktop, rules):
            if watched < places and not crowded:
                chosen.append(desktop.name)
                watched += 1
            continue
        if places <= 0 or queue <= 0:
            crowded = True
            continue
        if desktop.offered and spare <= 0:
            continue
        chosen.append(desktop.name)
        places, queue, spare = places - 1, queue - 1, spare - desktop.offered
    return tuple(chosen)


def to_give_back(
    desktops: Lineup, held: Roster, *, rules: Rules, pace: Pace, now: datetime
) -> Iterator[tuple[str, str]]:
    """Who is in hand, untouched, and must go back for now, with the reason; the last begun first.

    Because the window has closed; because users took so many that the floor is broken; because one that waited for its
    user has become free while all places are taken.
    """
    untouched = sorted((one for one in held.flying.values() if one.untouched), key=lambda one: one.since, reverse=True)
    if rules.window is not None and not rules.window.is_open(now):
        yield from ((one.name, "the window has closed") for one in untouched)
        return
    lacking = -pace.spare
    over = taken_places(desktops, held, rules=rules, now=now) - pace.limit
    for one in untouched:
        desktop = desktops.get(one.name)
        if desktop is None or occupied(desktop, rules):
            continue
        if lacking > 0 and desktop.powered_on and not desktop.unwell:
            yield one.name, "users need it: the pool is at its floor"
            lacking, over = lacking - 1, over - 1
        elif over > 0 and one.phase is Phase.DRAINING:
            yield one.name, "all places are taken"
            over -= 1


def why_halt(
    held: Roster,
    desktops: Lineup,
    *,
    rules: Rules,
    size: int,
    canaries: Sequence[str],
    forgiven: Sequence[str] = (),
    extras: Roster | None = None,
) -> str | None:
    """Why nothing more may be begun, None while all is well enough. A canary's failure is not to be forgiven."""
    for name in canaries:
        if name in held and held[name].failed:
            return f"the canary {name} failed: {held[name].reason}"
    failed = [*held.failed.values(), *(extras.failed.values() if extras else ())]
    failed = [one for one in failed if one.name not in forgiven]
    if len(failed) > (budget := rules.failure_budget(size)):
        named = "; ".join(f"{one.name}: {one.reason}" for one in failed[:3])
        return f"{count_of(len(failed), 'desktop')} failed, {budget} may: {named}"
    done = held.counts[Phase.DONE]
    ill = sorted(name for name in desktops.unwell if _is_ill(held.ended.get(name), desktops))
    if len(ill) > max(1, rules.max_unhealthy.of(done)):
        return f"{len(ill)} of {done} desktops that were done have fallen ill: {', '.join(ill[:5])}"
    return None


def _in_order(desktops: Mapping[str, Desktop], held: Roster, *, rules: Rules, canary: bool) -> list[Desktop]:
    pending = [desktops[name] for name in held.pending if name in desktops]
    named = {name.casefold() for name in rules.canary_names}
    if canary:
        pending = [one for one in pending if (one.name.casefold() in named if named else one.offered)]
    ranks = {rank: number for number, rank in enumerate(dict.fromkeys((*rules.order, *get_args(Rank))))}
    pending = [one for one in pending if one.excluded is None]
    return sorted(pending, key=lambda one: (ranks[rank_of(one, rules)], _nearness(one)))


def _nearness(desktop: Desktop) -> int:
    """Of busy ones: who is likely to leave first. The broker tells no times, so a closed window counts for long idle."""
    session = desktop.seat.session if desktop.seat else "unknown"
    return ("none", "disconnected", "active", "unknown").index(session)


def _takes_place(progress: Progress, desktop: Desktop | None, rules: Rules) -> bool:
    return not (progress.phase is Phase.DRAINING and desktop is not None and occupied(desktop, rules))


def _is_occupied(progress: Progress, desktops: Mapping[str, Desktop], rules: Rules) -> bool:
    desktop = desktops.get(progress.name)
    return desktop is None or occupied(desktop, rules)


def _is_ill(progress: Progress | None, desktops: Lineup) -> bool:
    """Was one that is unwell done? A broker that makes desktops may also delete those that are too many."""
    done = progress is not None and progress.phase is Phase.DONE
    return done and progress is not None and (progress.method != "broker" or progress.name in desktops)
