"""The roll of a pool: one loop over all its desktops, no threads. Each turn looks once, lets every desktop in hand take its next step,
and begins others as the rules allow.

It ends completed, halted, paused, aborted or baking; whichever it is, nobody's desktop is left half done: what was begun is finished or put
back, what was not touched goes back to its users, and the broker provisions as it did before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from imagebuild.errors import BrokerError, CloudError, ImagebuildError, Interrupted
from imagebuild.pool.definition import Rules
from imagebuild.pool.fleet import Fleet
from imagebuild.pool.hands import Hands
from imagebuild.pool.headcount import Headcount
from imagebuild.pool.health import Witness
from imagebuild.pool.lookout import View
from imagebuild.pool.model import RollState
from imagebuild.pool.pacing import rest
from imagebuild.pool.patience import Patience
from imagebuild.pool.progress import Progress
from imagebuild.pool.roll_journal import RollLog
from imagebuild.pool.rules import Pace, choose, to_give_back, why_halt
from imagebuild.pool.stops import at_stop, bakes_for, before_canary, done, next_stop
from imagebuild.pool.surroundings import Surroundings
from imagebuild.report import Report
from imagebuild.waiting import Clock, Deadline, pause

Wish = Literal["pause", "abort"]

GAP = 3
"""After such a part of a turn's time a server deleted in it is mostly gone, and its follower is made."""
_LONGEST = timedelta(days=60)


@dataclass
class Roll:
    """One roll at work. `wishes` is asked every turn what a person wants; it raises Busy when the pool is no longer ours."""

    log: RollLog
    hands: Hands
    witness: Witness
    now: Callable[[], datetime]
    clock: Clock
    report: Report
    wishes: Callable[[], Wish | None] = lambda: None
    watch: Callable[["Roll", View], None] = lambda roll, view: None
    """Called after every turn: for who shows how it goes."""
    taken_up: bool = False
    """An earlier process began it, here or elsewhere."""
    ending: tuple[RollState, str] | None = None
    _stuck: bool = False
    """The last turn could not end what it had to: the desktops being well does not make that good."""

    def __post_init__(self) -> None:
        self.fleet = Fleet(self.log, self.hands, self.witness, self.report, self.now)
        self._around = Surroundings(self.log, self.hands, self.report)
        self._patience = Patience(self.report)
        budget = max(1, self.rules.failure_budget(self.log.assignment.size))
        self._headcount = Headcount(self.log, budget)

    @property
    def rules(self) -> Rules:
        """The pool's."""
        return self.hands.definition.roll

    @property
    def flying(self) -> list[Progress]:
        """The desktops in hand."""
        return self.fleet.flying

    def run(self) -> RollState:
        """Work until it ends; gives how. Raises Busy, and Interrupted when services stay away with desktops in hand."""
        deadline = Deadline.after(_LONGEST.total_seconds(), self.clock)
        begun = self.clock.now()
        while not self.turn():
            if not self.fleet.is_cut:
                self._rest(begun, deadline)
            begun = self.clock.now()
        return self.log.state

    def take_up(self) -> None:
        """A person says go on: what is done is good enough to pass a stop, and what has failed was looked at."""
        if self.log.state is RollState.BAKING and at_stop(self.log):
            self._pass_stop()
        if self.log.state is RollState.HALTED:
            self.log.note(forgiven=list(self.log.held.failed))

    def turn(self) -> bool:
        """One turn; True when the roll has ended."""
        self.fleet.is_cut = False
        if (wish := self.wishes()) is not None and self.ending is None:
            self.end(RollState.ABORTED if wish == "abort" else RollState.PAUSED, "somebody asked for it")
        troubles: list[ImagebuildError] = []
        try:
            view = self.hands.lookout.look()
        except CloudError as error:
            self._bear([error])
            return self._is_lost(self.now()) and self._conclude(self.now())
        if self.taken_up:
            self.fleet.believe_marks(view)
            self.taken_up = False
        troubles += self.fleet.meet_newcomers(view)
        self.fleet.meet(view)
        self._headcount.count(view)
        if self.ending is None:
            if not self.flying and at_stop(self.log) and bakes_for(self.log, self.rules, view.now) == timedelta(0):
                self._pass_stop()
            troubles += self._look_around(view)
        self.fleet.give_back(self._leaving(view.now), view.now)
        troubles += self.fleet.advance(view)
        if self.ending is None and not troubles:
            troubles += self._begin(view)
        troubles += self.fleet.see_what_was_asked(view)
        if troubles:
            self.fleet.is_cut = False  # who fails is given time
            self._bear(troubles)
        elif not (view.silence or self._stuck):
            self._patience.rest()
        ended = self._conclude(view.now)
        self.watch(self, view)
        return ended

    def end(self, state: RollState, reason: str) -> None:
        """Begin nothing more; what works is finished, what was not touched is given back."""
        if self.ending is None:
            self.ending = state, reason
            if reason:
                self.report.note(f"{state.value}: {reason}")

    def done(self) -> int:
        """How many desktops have the image now, by this roll."""
        return done(self.log)

    # ------------------------------------------------------------------------------------------ the parts of a turn

    def _look_around(self, view: View) -> list[ImagebuildError]:
        """What is not about one desktop. Gives what kept us from looking."""
        told = f"the broker is silent: {view.silence}" if view.silence else self._headcount.why_forgotten()
        troubles: list[ImagebuildError] = [BrokerError(told)] if told else []
        try:
            self._around.prepare()
            wrong = self._around.what_is_wrong(view.now) or self._why_halt()
            if wrong is None and (self.log.passed or self.rules.refills):
                refused = self._around.use_for_new_desktops()
                wrong = refused if self.rules.refills else None
        except (CloudError, BrokerError) as error:
            return [*troubles, error]
        if wrong:
            self.end(RollState.HALTED, wrong)
        return troubles

    def _why_halt(self) -> str | None:
        log = self.log
        moved = self.fleet.why_shrunk() or (None if self._around.makes_desktops else self._headcount.why_grown())
        return moved or why_halt(
            log.held,
            self.fleet.desktops,
            rules=self.rules,
            size=log.assignment.size,
            canaries=log.canaries,
            forgiven=log.forgiven,
        )

    def _leaving(self, now: datetime) -> list[tuple[str, str]]:
        """Who is in hand, untouched, and goes back: everybody when the roll ends."""
        if self.ending is not None:
            return [(one.name, self.ending[0].value) for one in self.flying if one.untouched]
        pace = self._pace()
        return list(to_give_back(self.fleet.desktops, self.log.held, rules=self.rules, pace=pace, now=now))

    def _begin(self, view: View) -> list[ImagebuildError]:
        if at_stop(self.log):
            return []
        pace = self._pace()
        chosen = choose(self.fleet.desktops, self.log.held, rules=self.rules, pace=pace, now=view.now)
        if chosen:
            self.log.enter(RollState.CANARY if pace.canary else RollState.ROLLING, view.now)
        if chosen and pace.canary:
            self.log.note(canaries=[*self.log.canaries, *chosen])
        return self.fleet.begin(chosen, view)

    def _conclude(self, now: datetime) -> bool:
        """Where the roll stands after this turn; True when it has ended."""
        self._stuck = False
        if self.flying and not self._is_lost(now):
            return False
        try:
            if self.ending is None:
                self._go_on(now)
            if self.ending is None:
                return False
            if self._proved_nothing(self.ending[0]):
                self._around.take_image_back()
            self._around.restore()
        except (CloudError, BrokerError) as error:
            self._stuck = True
            self._bear([error])
            if self.ending is None or not self._is_lost(now):
                return False
            self.report.warn(f"the broker's provisioning is not restored: {error}")
        state, reason = self.ending
        self.log.enter(state, now, reason)
        if self.flying:
            names = ", ".join(one.name for one in self.flying)
            raise Interrupted(
                f"{reason}; still in hand: {names}", hint=f"invoke pool.continue {self.log.assignment.pool}"
            )
        return True

    def _go_on(self, now: datetime) -> None:
        """Nothing is in hand: is it all done, is it to be looked at, or what is it waiting for?"""
        desktops = self.fleet.desktops
        if not any((found := desktops.get(one.name)) and found.excluded is None for one in self.fleet.pending):
            for one in self.fleet.pending:
                self.fleet.skip(one, now)
            self._complete()
            return
        for one in self.fleet.pending:
            if one.name not in desktops:
                self.fleet.skip(one, now)
        if at_stop(self.log):  # a person's word is waited for, or the time to pass
            self.log.enter(RollState.BAKING, now)
            if not self.rules.auto_continue:
                self.end(RollState.BAKING, "")
            return
        self.log.enter(RollState.CANARY if before_canary(self.log) else RollState.ROLLING, now)
        window = self.rules.window
        if self.fleet.moved_at is None or (window is not None and not window.is_open(now)):
            self.fleet.moved_at = now
        if now - self.fleet.moved_at > self.rules.drain_deadline:
            self.end(RollState.HALTED, "nothing could be begun for so long: too few desktops are free")

    def _complete(self) -> None:
        if self.done():
            self._around.use_for_new_desktops()
        self.fleet.tell_leftovers()
        back = self.log.assignment.back
        self.end(RollState.ROLLED_BACK if back else RollState.COMPLETED, "")

    def _proved_nothing(self, state: RollState) -> bool:
        """Does it end for good before its canary has passed, or has that failed?"""
        failed = any(name in self.log.held and self.log.held[name].failed for name in self.log.canaries)
        return failed or (state.finished and (before_canary(self.log) or not self.done()))

    def _pass_stop(self) -> None:
        """What is done is good: go on. From now on the broker makes new desktops from the new image, too."""
        self.log.note(passed=next_stop(self.log))
        self.fleet.moved_at = None

    def _rest(self, begun: float, deadline: Deadline) -> None:
        """Between two turns, the last of which began then."""
        if self.fleet.vacating:
            pause(self.rules.look_every.total_seconds() / GAP, deadline=deadline)
            self._fill_gaps()
        look = self.fleet.view.took if self.fleet.view else timedelta(0)
        took, ends = self.clock.now() - begun, self.ending is not None
        pause(rest(self.log, self.rules, now=self.now(), look=look, took=took, ends=ends), deadline=deadline)

    def _fill_gaps(self) -> None:
        """Between two turns: nothing is listed, only the servers deleted a moment ago are looked for."""
        if troubles := self.fleet.fill_gaps(self.now()):
            self._bear(troubles)

    # ------------------------------------------------------------------------------------------ smaller questions

    def _pace(self) -> Pace:
        stop, assignment = next_stop(self.log), self.log.assignment
        room = assignment.size if stop is None else stop - self.done() - len(self.flying)
        return Pace(
            limit=assignment.limit,
            floor=assignment.floor,
            boots=self.rules.parallel_boots,
            room=room,
            canary=before_canary(self.log),
        )

    def _bear(self, troubles: list[ImagebuildError]) -> None:
        """Services fail now and then; for too long, and nothing more is begun."""
        if too_much := self._patience.bear(troubles[0], self.now()):
            self.end(RollState.HALTED, too_much)

    def _is_lost(self, now: datetime) -> bool:
        """Ending, and what is needed to end well stays away."""
        return self.ending is not None and self._patience.is_over(now)
