"""All desktops of a roll: each in hand is let take its next step, some are given back, some begun. Who may, the roll says."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from imagebuild.broker import Cap
from imagebuild.errors import BrokerError, CloudError, DeadlinePassed, ImagebuildError, StepFailed
from imagebuild.pool.course import advance
from imagebuild.pool.definition import Rules
from imagebuild.pool.drain import begin
from imagebuild.pool.hands import Hands
from imagebuild.pool.headcount import Headcount
from imagebuild.pool.health import MATCHES, Witness
from imagebuild.pool.lookout import View
from imagebuild.pool.marks import ROLL_ID
from imagebuild.pool.model import Phase
from imagebuild.pool.newcomers import Newcomers
from imagebuild.pool.pacing import working_time
from imagebuild.pool.progress import Progress
from imagebuild.pool.roll_journal import RollLog
from imagebuild.pool.roll_status import news
from imagebuild.pool.roster import Lineup
from imagebuild.pool.rules import free_desktops, unassigned_desktops, why_halt
from imagebuild.pool.situation import some_of
from imagebuild.pool.turn import Turn
from imagebuild.report import Report

_HERALDS = 3
"""Of one alone the server could be made anew by somebody, and what it told with it."""
_TROUBLE = (BrokerError, CloudError, DeadlinePassed, StepFailed)
"""What keeps one desktop from its next step, and the others from nothing. A journal or a claim that is lost ends the process."""
_A_STEP = (Phase.ACTING, Phase.DRAINED)
"""Behind these the cloud has to be looked at anew."""
_IN_THE_PICTURE = (Phase.DRAINING, Phase.ACTING, Phase.CHECKING)
"""News that only say what a picture shows as well."""


@dataclass
class Fleet:
    """`desktops` is the pool by name as the last turn saw it; `moved_at` is when one of them last came further."""

    log: RollLog
    hands: Hands
    witness: Witness
    report: Report
    now: Callable[[], datetime]
    quieten: Callable[[], None] = lambda: None
    """Called before one is begun: the broker is to make none by itself from then on."""
    desktops: Lineup = field(default_factory=Lineup)
    view: View | None = None
    most: int = 0
    """So many servers the pool had at most, as this run has seen it."""
    moved_at: datetime | None = None
    is_cut: bool = False
    """The turn became long: there may be more to begin or to act on at once."""
    is_watched: bool = False
    """A picture of it is shown: only what ends, or goes wrong, is worth a line beside it."""

    def __post_init__(self) -> None:
        self.headcount = Headcount(self.log, max(1, self.rules.failure_budget(self.log.assignment.size)))
        self._newcomers = Newcomers(self.log, self.hands, self.report)
        if any(one.phase is Phase.DONE and one.stamp.startswith(MATCHES) for one in self.log.held.values()):
            self.hands.outspoken.add(self.log.assignment.to_image_id)

    @property
    def rules(self) -> Rules:
        """The pool's."""
        return self.hands.definition.roll

    @property
    def flying(self) -> list[Progress]:
        """The desktops in hand."""
        return list(self.log.flying.values())

    @property
    def spare(self) -> int:
        """How many free desktops there are above the floor; below 0: so many are lacking."""
        return free_desktops(self.desktops, self.log.flying) - self.log.assignment.floor

    @property
    def pending(self) -> list[Progress]:
        """Those that nothing was done to."""
        return list(self.log.held.pending.values())

    @property
    def vacating(self) -> list[Progress]:
        """Those whose old server was deleted in the last turn: of these it is sure that no follower was asked for yet."""
        moment = self.view and self.view.now
        return [one for one in self.flying if one.awaits_end and one.act_since == moment]

    def meet(self, view: View) -> None:
        """Take in what a turn sees; of the roll's desktops the server that it has in hand."""
        self.view = view
        self.desktops.meet(view.by_id, self.log.held, self.log.extras.values())
        self.most = max(self.most, self._present())
        self.headcount.count(view)

    def why_halt(self, *, grows: bool) -> str | None:
        """Why nothing more may be begun, None while all is well enough. `grows`: others may make desktops meanwhile."""
        log = self.log
        if grows and self.hands.pauses_provisioning:
            self.most = 0  # not paused yet: who comes and goes until then is the broker's own business
        moved = self._why_shrunk() or (None if grows else self.headcount.why_grown())
        return moved or why_halt(
            log.held,
            self.desktops,
            rules=self.rules,
            size=log.assignment.size,
            canaries=log.canaries,
            forgiven=log.forgiven,
            extras=log.extras,
        )

    def is_stuck(self, now: datetime, *, excused: bool) -> bool:
        """Has none come further for a whole `drain_deadline`, the times that are excused left out?"""
        if self.moved_at is None or excused:
            self.moved_at = now
        return now - self.moved_at > self.rules.drain_deadline

    def _why_shrunk(self) -> str | None:
        """A pool that loses its servers is not to be rolled; as many as may fail may go.

        How many there are where the broker makes them is the broker's own business.
        """
        if self.rules.refills:
            return None
        lacking = self.most - self._present()
        if lacking <= max(1, self.rules.failure_budget(self.log.assignment.size)):
            return None
        return f"{lacking} of {self.most} servers are gone from the pool: somebody deletes them, or a part of the cloud is down"

    def _present(self) -> int:
        """Those that Nova lists, and those that we have in hand between the old server and the new one."""
        there = self.view.by_id if self.view else {}
        ours = sum(one.method == "replace" and one.acted and one.server_id not in there for one in self.flying)
        extra = sum(one.server_id in there for one in self.log.extras.values())
        return len(there) - extra + ours

    def tell_end(self) -> None:
        """Let some of its desktops say that the roll is over: who has no journal of it could not know. Raises CloudError."""
        roll_id = self.log.assignment.id
        lacking = _HERALDS
        for name, desktop in self.desktops.items():
            if lacking and desktop.metadata.get(ROLL_ID) == roll_id and name in self.log.held:
                lacking -= self.hands.mark(self.log.held[name], over=True)

    def meet_newcomers(self, view: View) -> list[ImagebuildError]:
        """Take in what the broker has made since the last turn; gives what kept us from it."""
        if self.rules.refills and not view.silence:
            try:
                self._newcomers.meet(view)
            except CloudError as error:
                return [error]
        return []

    def give_back(self, leaving: Iterable[tuple[str, str]], now: datetime, *, outcome: Phase = Phase.PENDING) -> None:
        """Let these untouched desktops go, for the reasons given. What the window's end interrupts has waited for its user nonetheless."""
        for name, reason in leaving:
            progress = self.log.flying[name]
            since = progress.drain_since if "window" in reason else None
            changes = {"outcome": outcome, "reason": reason, "asked_at": None, "drain_since": since}
            self.log.save(progress.to(Phase.RETURNING, now, **changes))

    def advance(self, view: View) -> list[ImagebuildError]:
        """Let everyone in hand go as far as it gets in this turn; gives what kept some from it."""
        return [error for progress in self.flying for error in self._advance(progress, view)]

    def fill_gaps(self, now: datetime) -> list[ImagebuildError]:
        """Make the followers of servers that are gone by now, not only at the next turn; gives what kept some from it."""
        if self.view is None:
            return []
        later = replace(self.view, now=now)
        return [error for one in self.vacating for error in self._advance(one, later)]

    def begin(self, names: Iterable[str], view: View) -> list[ImagebuildError]:
        """Take these in hand; ends at the first that cannot be, and where the turn becomes long: the others are chosen again."""
        for name in names:
            if self._is_long(view):
                break
            progress = self.log.held.get(name) or self.log.extras[name]
            try:
                self.quieten()
                self.keep(begin(progress, self._turn_of(progress, view)), progress, view.now)
            except _TROUBLE as error:
                return [error]
        return []

    def make(self, name: str, view: View) -> list[ImagebuildError]:
        """An extra desktop of that name; gives what kept it from being made at once."""
        try:
            self.quieten()
        except _TROUBLE as error:
            return [error]
        progress = Progress(
            name=name,
            server_id="",
            method="make",
            from_image_id=None,
            phase=Phase.ACTING,
            since=view.now,
            act_since=view.now,
            attempt=1,
            accepted=True,
            acted=True,
            held=self.hands.can(Cap.AVAILABILITY),
            known=False,
        )
        self.log.save(progress)
        self.report.note(f"{name} is being made, an extra one")
        return self._advance(progress, view)

    def see_what_was_asked(self, view: View) -> list[ImagebuildError]:
        """What the broker was asked for in this turn it mostly shows at once: one question for all of them saves each a turn."""
        asked = [one for one in self.flying if one.asked_at == view.now]
        if not asked:
            return []
        again = self.hands.lookout.look_at_seats()
        return [error for progress in asked for error in self._advance(progress, again)]

    def skip(self, progress: Progress, now: datetime) -> None:
        """Leave one out for good."""
        desktop = self.desktops.get(progress.name)
        gone = "its server is gone, or no longer of this pool"
        reason = (desktop.excluded or "left out") if desktop else gone
        self.keep(progress.to(Phase.SKIPPED, now, reason=reason), progress, now)

    def tell_leftovers(self) -> None:
        """What a new server under an old name leaves in a broker that forgets nothing: a second record, for its operator to remove."""
        seats = {name: one.seat for name in self.log.held if (one := self.desktops.get(name)) is not None}
        twice = [name for name, seat in seats.items() if seat is not None and seat.duplicates]
        if twice:
            words = f"the broker has {len(twice)} of the desktops several times: {some_of(twice)}"
            self.report.warn(f"{words}; remove the records there that no machine belongs to any more")

    def keep(self, progress: Progress, before: Progress, now: datetime) -> None:
        """Write down how far it is, and say what is new."""
        self.log.save(progress)
        self.moved_at = now
        line = news(before, progress)
        if line is not None and not (self.is_watched and progress.phase in _IN_THE_PICTURE):
            tell = self.report.warn if progress.withheld else self.report.note
            tell(line)

    def _advance(self, progress: Progress, view: View) -> list[ImagebuildError]:
        before = progress
        try:
            while before.phase.in_flight:
                after = advance(before, self._turn_of(before, view))
                self.keep(after, before, view.now)
                if after.phase is before.phase or after.phase in _A_STEP:
                    break
                before = after
            if after.phase is Phase.DRAINED and progress.phase is Phase.DRAINING:
                return self._advance(after, view)
        except _TROUBLE as error:
            return [error]
        return []

    def _is_refilled(self, progress: Progress, view: View) -> bool:
        """Has the broker, by a look since that server went, as many unassigned desktops as it wants?"""
        looks = [seat.observed_at for seat in view.seats.values() if seat.observed_at is not None]
        seen = not looks or max(looks) >= (progress.boot_since or progress.since)
        free = unassigned_desktops(self.desktops, self.log.held)
        return seen and free >= self.log.assignment.threshold

    def _turn_of(self, progress: Progress, view: View) -> Turn:
        desktop = view.find(progress.server_id)
        return Turn(
            now=view.now,
            desktop=desktop if desktop and progress.is_known_as(desktop.name) else None,
            seat=view.seats.get(progress.known_as.casefold()),
            acts=self.log.working < self.rules.parallel_boots and not self._is_long(view),
            silent=bool(view.silence),
            rules=self.rules,
            hands=self.hands,
            witness=self.witness,
            save=self.log.save,
            newcomer=self._newcomers.next(view) if progress.awaits else None,
            obstacles=self._newcomers.obstacles,
            refilled=progress.awaits and self._is_refilled(progress, view),
        )

    def _is_long(self, view: View) -> bool:
        """Has the turn worked for so long that it is time to look again?"""
        is_long = self.now() - view.now > working_time(self.rules, look=view.took)
        self.is_cut = self.is_cut or is_long
        return is_long
