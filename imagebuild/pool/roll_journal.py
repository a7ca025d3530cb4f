"""What a roll remembers: every change goes to its journal first, and from the journal all of it comes back after a kill -9."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from imagebuild.errors import ImagebuildError
from imagebuild.journal import Entry
from imagebuild.pool.assignment import Assignment
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.progress import Progress, as_facts, from_facts
from imagebuild.pool.roster import Roster

Write = Callable[..., None]


def nowhere(event: str, **facts: Any) -> None:
    """A journal for who only looks."""
    del event, facts


@dataclass
class RollLog:
    """The state of one roll; `write` puts a line on the disk before it is believed.

    `passed`: the last stop that was left behind, in desktops done. `canaries`: the names that went first; `forgiven`: those whose failure
    somebody has seen and gone on. `provisioning`: True while the broker's own making of desktops is paused by us.
    """

    assignment: Assignment
    held: Roster = field(default_factory=Roster)
    extras: Roster = field(default_factory=Roster)
    """The desktops beyond the pool's members, which this roll or one before it has made: none of them is `held`."""
    state: RollState = RollState.PLANNED
    reason: str = ""
    state_since: datetime | None = None
    passed: int = 0
    canaries: tuple[str, ...] = ()
    forgiven: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    provisioning: bool | None = None
    pool_image: str | None = None
    """What the broker makes new desktops from, as we last saw or set it."""
    image_before: str | None = None
    """What it made them from before a roll that lets it make the new ones; '': it did not say."""
    write: Write = nowhere

    @property
    def flying(self) -> Mapping[str, Progress]:
        """The desktops in hand, in the order in which they were taken."""
        return {**self.held.flying, **self.extras.flying} if self.extras else self.held.flying

    @property
    def everyone(self) -> Iterator[Progress]:
        """The members that it moves, then its extra desktops."""
        return itertools.chain(self.held.values(), self.extras.values())

    def find(self, name: str) -> Progress | None:
        """How far it is with the desktop of that name."""
        return self.held.get(name) or self.extras.get(name)

    @property
    def working(self) -> int:
        """How many desktops are between the cloud's first work on them and their first healthy look: what `parallel_boots` counts."""
        return sum(crew.counts[phase] for crew in (self.held, self.extras) for phase in (Phase.ACTING, Phase.BOOTING))

    def begin(self, **noted: Any) -> None:
        """The first line, and in it what is noted of the roll from the start: two lines would be one too many for a kill between them."""
        desktops = [as_facts(one) for one in self.everyone]
        self.write(
            "roll_begun",
            assignment=self.assignment.as_facts(),
            desktops=desktops,
            left_out=[*map(list, self.left_out)],
            noted=noted,
        )
        self._take(noted)

    def save(self, progress: Progress) -> None:
        """A desktop has come further, or is about to."""
        before = self.find(progress.name)
        if before != progress:
            self.write("desktop", **as_facts(progress, before))
            self._put(progress)

    def enter(self, state: RollState, now: datetime, reason: str = "") -> None:
        """The roll itself has come further."""
        if (state, reason) != (self.state, self.reason):
            self.write("state", state=state.value, reason=reason, now=now.isoformat())
            self.state, self.reason, self.state_since = state, reason, now

    def note(self, **facts: Any) -> None:
        """Change any of passed, canaries, forgiven, provisioning, pool_image, image_before."""
        self.write("noted", **facts)
        self._take(facts)

    def apply(self, entry: Entry) -> None:
        """One line of an older run."""
        facts = entry.facts
        if entry.event == "desktop":
            self._put(from_facts(facts, self.find(facts["name"])))
        elif entry.event == "state":
            self.state, self.reason = RollState(facts["state"]), facts["reason"]
            self.state_since = datetime.fromisoformat(facts["now"])
        elif entry.event == "noted":
            self._take(facts)

    def _put(self, progress: Progress) -> None:
        (self.extras if progress.extra else self.held).put(progress)

    def _take(self, facts: Mapping[str, Any]) -> None:
        for name, value in facts.items():
            setattr(self, name, tuple(value) if isinstance(value, list) else value)


def read_log(entries: Iterable[Entry], *, write: Write = nowhere) -> RollLog | None:
    """The roll that a journal tells of, None when it never began. Raises ImagebuildError for lines that fit no roll."""
    log: RollLog | None = None
    for entry in entries:
        try:
            if entry.event == "roll_begun":
                log = _read_begin(entry.facts, write)
            elif log is not None:
                log.apply(entry)
        except (KeyError, TypeError, ValueError) as error:
            raise ImagebuildError(
                f"the roll's journal has a line that cannot be read: {entry.event}: {error}"
            ) from error
    return log


def _read_begin(facts: Mapping[str, Any], write: Write) -> RollLog:
    desktops: Sequence[Mapping[str, Any]] = facts["desktops"]
    told = [from_facts(one) for one in desktops]
    log = RollLog(
        assignment=Assignment.from_facts(facts["assignment"]),
        held=Roster(one for one in told if not one.extra),
        extras=Roster(one for one in told if one.extra),
        left_out=tuple((name, reason) for name, reason in facts["left_out"]),
        write=write,
    )
    log._take(facts.get("noted", {}))
    return log
