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
from imagebuild.pool.health import Witness
from imagebuild.pool.lookout import View
from imagebuild.pool.model import RollState
from imagebuild.pool.pacing import rest
from imagebuild.pool.patience import Patience
from imagebuild.pool.progress import Progress
from imagebuild.pool.roll_journal import RollLog
from imagebuild.pool.rules import Pace, choose, to_give_back
from imagebuild.pool.starting import believe_marks
from imagebuild.pool.stops import at_stop, bakes_for, before_canary, canary_failed, done, next_stop, proved_nothing
from imagebuild.pool.surge import Surge
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
        self._around = Surroundings(self.log, self.hands, self.report)
        self.fleet = Fleet(self.log, self.hands, self.witness, self.report, self.now, self._around.quieten)
        self.surge = Surge(self.log, self.fleet)
        self._patience = Patience(self.report)

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
            self.log.note(forgiven=[*self.log.held.failed, *self.log.extras.failed])

    def turn(self) -> bool:
        """One turn; True when the roll has ended."""
        self.fleet.is_cut = False
        troubles: list[ImagebuildError] = []
        try:
            self._heed(self.wishes())
            view = self.hands.lookout.look()
        except CloudError as error:
            self._bear([error])
            return self._is_lost(self.now()) and self._conclude(self.now())
        if self.taken_up:
            self.taken_up = False
            if other := believe_marks(self.log, view.by_id.values(), view.now):
                self.end(RollState.HALTED, f"{other} has rolled the pool since: give this one up")
                self.surge.is_over = False
        troubles += self.fleet.meet_newcomers(view)
        self.fleet.meet(view)
        if self.ending is None:
            if not self.flying and at_stop(self.log) and bakes_for(self.log, self.rules, view.now) == timedelta(0):
                self._pass_stop()
            troubles += self._look_around(view)
        self.fleet.give_back(self._leaving(view.now), view.now)
        troubles += self.fleet.advance(view)
        if not troubles:
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

    def end(self, state: RollState, reason: str, *, keeps_extras: bool = False) -> None:
        """Begin nothing more; what works is finished, what was not touched is given back. Who aborts may keep the extra desktops."""
        if self.ending is None:
            self.ending = state, reason
            self.surge.is_over = state is RollState.ABORTED and not keeps_extras
            if reason:
                self.report.note(f"{state.value}: {reason}")

    def done(self) -> int:
        """How many desktops have the image now, by this roll."""
        return done(self.log)

    # ------------------------------------------------------------------------------------------ the parts of a turn

    def _heed(self, wish: Wish | None) -> None:
        """What a person wants. One who has aborted the roll, and then does not want to wait for users of extra desktops, need not."""
        if wish is not None and self.ending is None:
            self.end(RollState.ABORTED if wish == "abort" else RollState.PAUSED, "somebody asked for it")
        elif wish == "pause" and self.surge.goes:
            self.surge.leave("somebody did not wait for its user", self.now())

    def _look_around(self, view: View) -> list[ImagebuildError]:
        """What is not about one desktop. Gives what kept us from looking."""
        told = f"the broker is silent: {view.silence}" if view.silence else self.fleet.headcount.why_forgotten()
        troubles: list[ImagebuildError] = [BrokerError(told)] if told else []
        try:
            self._around.prepare()
            wrong = self._around.what_is_wrong(view.now) or self.fleet.why_halt(grows=self._around.makes_desktops)
            if wrong is None and (self.log.passed or self.rules.refills):
                refused = self._around.use_for_new_desktops()
                wrong = refused if self.rules.refills else None
        except (CloudError, BrokerError) as error:
            return [*troubles, error]
        if wrong:
            self.end(RollState.HALTED, wrong)
        return troubles

    def _leaving(self, now: datetime) -> list[tuple[str, str]]:
        """Who is in hand, untouched, and goes back: everybody when the roll ends."""
        extras = self.surge.leaving(now)
        if self.ending is not None:
            crew, extras = (self.log.held.flying, extras) if self.surge.goes else (self.log.flying, [])
            return [(one.name, self.ending[0].value) for one in crew.values() if one.untouched] + extras
        pace = self._pace()
        return [*to_give_back(self.fleet.desktops, self.log.held, rules=self.rules, pace=pace, now=now), *extras]

    def _begin(self, view: View) -> list[ImagebuildError]:
        """On the way back extra desktops go first: nobody wants their image."""
        going = self.surge.going(view, early=self.log.assignment.back and self.ending is None)
        if going or self.surge.goes:
            return self.fleet.begin(going, view)
        if self.ending is not None or at_stop(self.log):
            return []
        if not before_canary(self.log) and (troubles := self.surge.make(view)):
            return troubles
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
            if self.ending is None or (self.surge.goes and not self._is_lost(now)):
                self._lose_patience(now)
                return False
            unproven = proved_nothing(self.log, self.ending[0])
            if not unproven or self._around.take_image_back(is_bad=canary_failed(self.log)):
                self._around.restore()
            if self.ending[0].finished and not self.flying:
                self.fleet.tell_end()
        except (CloudError, BrokerError) as error:
            self._stuck = True
            self._bear([error])
            if self.ending is None or not self._is_lost(now):
                return False
            self.report.warn(f"the broker's provisioning is not restored: {error}")
        state, reason = self.ending
        self.log.enter(RollState.PAUSED if self.flying and state.finished else state, now, reason)
        if self.flying:
            names = ", ".join(one.name for one in self.flying)
            command = "invoke pool.abort" if state.finished else "invoke pool.continue"
            raise Interrupted(f"{reason}; still in hand: {names}", hint=f"{command} {self.log.assignment.pool}")
        return True

    def _go_on(self, now: datetime) -> None:
        """Nothing is in hand: is it all done, is it to be looked at, or what is it waiting for?"""
        desktops = self.fleet.desktops
        if not any((found := desktops.get(one.name)) and found.excluded is None for one in self.fleet.pending):
            for one in self.fleet.pending:
                self.fleet.skip(one, now)
            self.surge.is_over = True
            if self.surge.goes:
                self.log.enter(RollState.ROLLING, now)
            else:
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

    def _lose_patience(self, now: datetime) -> None:
        """Nothing is in hand, and nothing could be begun: for how long?"""
        window = self.rules.window
        closed = window is not None and not window.is_open(now) and not self.surge.goes
        if not self.fleet.is_stuck(now, excused=closed or self.log.state is RollState.BAKING):
            return
        words = "nothing could be begun for so long: too few desktops are free"
        if self.surge.goes:
            self.surge.leave(words, now)
        else:
            self.end(RollState.HALTED, words)

    def _complete(self) -> None:
        if self.done():
            self._around.use_for_new_desktops()
        self.fleet.tell_leftovers()
        back = self.log.assignment.back
        self.end(RollState.ROLLED_BACK if back else RollState.COMPLETED, "")

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
        stop, assignment, canary = next_stop(self.log), self.log.assignment, before_canary(self.log)
        return Pace(
            limit=max(assignment.limit, canary) + self.surge.well,
            spare=self.fleet.spare,
            boots=self.rules.parallel_boots,
            room=assignment.size if stop is None else stop - self.done() - len(self.log.held.flying),
            canary=canary,
        )

    def _bear(self, troubles: list[ImagebuildError]) -> None:
        """Services fail now and then; for too long, and nothing more is begun."""
        if too_much := self._patience.bear(troubles[0], self.now()):
            self.end(RollState.HALTED, too_much)

    def _is_lost(self, now: datetime) -> bool:
        """Ending, and what is needed to end well stays away."""
        return self.ending is not None and self._patience.is_over(now)
