"""What a roll would do, as a value: to which image, which desktops in which way, which are left out and why, and whether it may begin."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from imagebuild.broker import Broker
from imagebuild.cloud import Cloud
from imagebuild.images import Version
from imagebuild.pool.definition import PoolDefinition
from imagebuild.pool.differences import HardwareChange, hardware_changes
from imagebuild.pool.experience import GUESS, Experience
from imagebuild.pool.membership import REJOIN
from imagebuild.pool.model import Desktop, Method
from imagebuild.pool.preflight import inspect
from imagebuild.pool.quantities import count_of, lasting
from imagebuild.pool.situation import Finding, Situation, assess, knock, matches
from imagebuild.pool.survey import Survey
from imagebuild.pool.testimony import was_well_with

_SHOWN = "the canary must show that it is a member, and so must every other"
_NOT_SHOWN = "name it in the pool's file (`domain:`), and the canary must show that it is a member"


NEW_NAMES = (
    "the new desktops are other machines, with names and computer accounts of their own; the old accounts go only if the broker removes "
    "them"
)


@dataclass(frozen=True)
class Move:
    """One desktop that is to be moved."""

    server_id: str
    name: str
    method: Method
    why: str
    from_image_id: str | None
    from_image: str
    busy: bool

    def __str__(self) -> str:
        state = "waits for its user" if self.busy else "free"
        why = f"  ({self.why})" if self.why else ""
        return f"{self.name:15s}  {self.method}  DESTROYS ROOT DISK  from {self.from_image}  {state}{why}"


@dataclass(frozen=True)
class Estimate:
    """How long the moving alone takes, when every desktop takes what is `usual`; waiting for users comes on top."""

    batch: int
    batches: int
    usual: Experience = GUESS

    @property
    def total(self) -> timedelta:
        """All batches one after the other."""
        return self.batches * self.usual.each

    def __str__(self) -> str:
        return (
            f"{count_of(self.batches, 'batch', 'batches')} of at most {self.batch}, about {lasting(self.total)} if each takes "
            f"{lasting(self.usual.each)} ({self.usual.rests_on}); waiting for users, and for a word after the canary, comes on top"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values, times in seconds."""
        each = {"each_seconds": self.usual.each.total_seconds(), "rests_on": self.usual.rests_on}
        return {"batch": self.batch, "batches": self.batches, "seconds": self.total.total_seconds(), **each}


@dataclass(frozen=True, kw_only=True)
class RollPlan:
    """A roll before it begins. `checksum` is the image's fingerprint as it was seen now; `floor` and `limit` are whole desktops."""

    pool: str
    to: str
    to_image_id: str
    checksum: str | None
    made_at: datetime
    moves: tuple[Move, ...]
    matching: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    """Names with the reason."""
    findings: tuple[Finding, ...]
    changes: tuple[HardwareChange, ...]
    size: int
    floor: int
    limit: int
    estimate: Estimate
    extras: tuple[str, ...] = ()
    """Names of the extra desktops that it makes."""
    leftovers: tuple[tuple[str, str], ...] = ()
    """Names and server ids of extra desktops that are there from before."""
    domain: str | None = None
    threshold: int = 0
    """So many unassigned desktops the broker wants to have."""

    @property
    def refused(self) -> bool:
        """May it not begin?"""
        return any(finding.level == "refuse" for finding in self.findings)

    def as_lines(self) -> Iterator[str]:
        """For a person."""
        yield f"{self.pool}: {len(self.moves)} of {count_of(self.size, 'desktop')} to {self.to} ({self.to_image_id})"
        yield from (f"  {move}" for move in self.moves)
        yield from (f"  {name:15s}  is left as it is: {reason}" for name, reason in self.left_out)
        if self.matching:
            yield f"  with it already: {len(self.matching)}"
        for before in dict.fromkeys(change.before for change in self.changes):
            yield f"  hardware, {before} -> {self.to}:"
            yield from (f"    {change}" for change in self.changes if change.before == before)
        if self.extras:
            yield f"  extra, from {self.to}, until the roll ends: {', '.join(self.extras)}"
        if self.leftovers:
            yield f"  extra, of an earlier roll, until this one ends: {', '.join(name for name, _ in self.leftovers)}"
        more = len(self.extras) + len(self.leftovers)
        with_extras = f", and {more} more while the extra ones serve" if more else ""
        yield f"  in hand at once: at most {self.limit}{with_extras}; kept free: at least {self.floor}"
        yield f"  time: {self.estimate}"
        if self.moves:
            yield from self._told_of_methods()
        yield from (f"  {finding}" for finding in self.findings)

    def _told_of_methods(self) -> Iterator[str]:
        """What a person should know of the ways that desktops are moved."""
        domain = f"  domain{f' {self.domain}' if self.domain else ''}"
        if {move.method for move in self.moves} == {"broker"}:
            yield "  broker: the server is deleted, and the broker makes one of another name and address, as far as it wants one"
            yield f"{domain}: {NEW_NAMES}; {_SHOWN if self.domain else _NOT_SHOWN}"
        else:
            yield "  rebuild keeps server, name and address; replace makes a new server with the same name and address"
            yield f"{domain}: {REJOIN}; {_SHOWN if self.domain else _NOT_SHOWN}"

    def as_json(self) -> dict[str, Any]:
        """Plain values, times in ISO form and lengths in seconds."""
        plain = asdict(self) | {"made_at": self.made_at.isoformat(), "refused": self.refused}
        return plain | {"estimate": self.estimate.as_json()}


def plan_roll(
    definition: PoolDefinition,
    survey: Survey,
    *,
    to: Version,
    cloud: Cloud,
    broker: Broker,
    now: datetime,
    only: frozenset[str] | None = None,
    roll_id: str | None = None,
    back: bool = False,
    paused: bool = False,
    answers: Callable[[str], bool] | None = None,
) -> RollPlan:
    """The plan, with its preflight. Reads only; raises NotFound, CloudError.

    `only`: names of the desktops to be moved; `roll_id`: a roll of ours that goes on; `back`: a return to an image that the pool had;
    `paused`: the last roll has left the broker's provisioning off; `answers`: does Remote Desktop answer
    at that address? Without it nobody is knocked at.
    """
    situation = assess(
        definition,
        survey,
        to=to,
        cloud=cloud,
        broker=broker,
        now=now,
        only=only,
        roll_id=roll_id,
        back=back,
        paused=paused,
    )
    return compose(knock(situation, answers) if answers else situation)


def plan_end(
    definition: PoolDefinition, survey: Survey, *, to: str, to_image_id: str, threshold: int | None, now: datetime
) -> RollPlan:
    """The plan of a roll that is only to be ended: nobody more is moved, so there is nothing that could refuse it. No calls."""
    rules, size = definition.roll, len(survey.desktops)
    return RollPlan(
        pool=survey.pool,
        to=to,
        to_image_id=to_image_id,
        checksum=None,
        made_at=now,
        moves=(),
        matching=(),
        left_out=(),
        findings=(),
        changes=(),
        size=size,
        floor=rules.free_floor(threshold, size),
        limit=rules.unavailable_limit(size),
        estimate=Estimate(1, 0),
        threshold=threshold or 0,
    )


def compose(situation: Situation) -> RollPlan:
    """The plan of a situation; no calls."""
    survey, to, rules = situation.survey, situation.to, situation.definition.roll
    moves = tuple(move for desktop in situation.moving if (move := _move(situation, desktop)))
    before = {move.from_image_id for move in moves} - {to.image.id}
    olds = [image for image_id, image in survey.images.items() if image_id in before]
    size = len(survey.desktops)
    return RollPlan(
        pool=survey.pool,
        to=to.name,
        to_image_id=to.image.id,
        checksum=to.image.fingerprint,
        made_at=situation.now,
        moves=moves,
        matching=tuple(one.name for one in survey.included if matches(one, to) and one.id not in situation.choices),
        left_out=tuple(_left_out(situation)),
        findings=inspect(situation),
        changes=hardware_changes(olds, to.image),
        size=size,
        floor=situation.floor,
        limit=max(rules.unavailable_limit(size), situation.back),
        estimate=_estimate(situation, len(moves)),
        extras=situation.extras,
        leftovers=tuple((one.name, one.id) for one in survey.extras),
        threshold=situation.threshold or 0,
        domain=situation.definition.domain,
    )


def _move(situation: Situation, desktop: Desktop) -> Move | None:
    choice = situation.choices[desktop.id]
    if choice.method is None:
        return None
    came_from = was_well_with(desktop)
    return Move(
        server_id=desktop.id,
        name=desktop.name,
        method=choice.method,
        why=choice.why,
        from_image_id=came_from,
        from_image=situation.survey.image_name(came_from),
        busy=desktop.busy,
    )


def _left_out(situation: Situation) -> Iterator[tuple[str, str]]:
    for desktop in situation.survey.desktops:
        choice = situation.choices.get(desktop.id)
        if desktop.excluded is not None:
            yield desktop.name, desktop.excluded
        elif choice is not None and choice.method is None:
            yield desktop.name, choice.why


def _estimate(situation: Situation, moves: int) -> Estimate:
    """The canary by itself, then batches: what the limit, the floor and the boots at once let through."""
    rules, size = situation.definition.roll, len(situation.survey.desktops)
    spare = max(1, situation.survey.free - situation.floor)
    extra = len(situation.extras) + len(situation.survey.extras)
    batch = max(1, min(rules.unavailable_limit(size) + extra, rules.parallel_boots, spare + extra))
    first = min(rules.canary_count, moves)
    return Estimate(batch, math.ceil(first / batch) + math.ceil((moves - first) / batch))
