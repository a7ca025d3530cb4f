"""The extra desktops of a roll: made once its image is proven, there for users while members are in hand, removed when it ends.

Each that serves lets one member more be in hand, so the pool never has fewer usable desktops than its size less `max_unavailable`.
"""

from dataclasses import dataclass, field
from datetime import datetime

from imagebuild.errors import ImagebuildError
from imagebuild.pool.definition import Rules
from imagebuild.pool.fleet import Fleet
from imagebuild.pool.lookout import View
from imagebuild.pool.model import Phase
from imagebuild.pool.roll_journal import RollLog
from imagebuild.pool.rules import Pace, choose, to_give_back


@dataclass
class Surge:
    """What a roll does about its extra desktops, beside letting each of them go its way."""

    log: RollLog
    fleet: Fleet
    is_over: bool = False
    """No member is to be moved any more: they have served."""
    _told: set[str] = field(default_factory=set)

    @property
    def well(self) -> int:
        """How many serve, and are well."""
        serving = (one for one in self.log.extras.pending.values() if not one.withheld)
        desktops = (self.fleet.desktops.get(one.name) for one in serving)
        return sum(one is not None and one.powered_on and not one.unwell for one in desktops)

    @property
    def goes(self) -> bool:
        """Are they to be removed now, and is one left?"""
        return self.is_over and bool(self.log.extras.pending or self.log.extras.flying)

    def make(self, view: View) -> list[ImagebuildError]:
        """Begin those that are missing, as far as they can boot, while there are members that they can serve for.

        A name that somebody has taken since the plan, by a larger pool say, stays his: there is one extra desktop less.
        """
        rules, log = self.fleet.rules, self.log
        lacking = [name for name in log.assignment.extras if name not in log.extras and not self._is_taken(name, view)]
        if not lacking or (rules.window is not None and not rules.window.is_open(view.now)):
            return []
        room = min(len(log.held.pending), rules.parallel_boots - log.working)
        return [error for name in lacking[: max(0, room)] for error in self.fleet.make(name, view)]

    def _is_taken(self, name: str, view: View) -> bool:
        taken = name in self.fleet.desktops or name.casefold() in view.seats
        if taken and name not in self._told:
            self.fleet.report.warn(f"one extra desktop less: somebody has made another {name} since the plan")
            self._told.add(name)
        return taken

    def going(self, view: View, *, early: bool) -> tuple[str, ...]:
        """Those that are to be removed now, as members are begun: free ones above the floor, busy ones to wait for their users.

        `early`: not only when the others are moved.
        """
        if not (self.goes or early):
            return ()
        desktops, serving = self.fleet.desktops, list(self.log.extras.pending.values())
        for one in serving:
            if one.name in desktops and (reason := desktops[one.name].excluded) is not None:
                self.fleet.keep(one.to(Phase.SKIPPED, view.now, reason=reason), one, view.now)
        gone = tuple(one.name for one in serving if one.name not in desktops)
        return gone + choose(desktops, self.log.extras, rules=self._rules, pace=self._pace, now=view.now)

    def leaving(self, now: datetime) -> list[tuple[str, str]]:
        """Those that users need again before they are gone."""
        if not self.log.extras.flying:
            return []
        return list(to_give_back(self.fleet.desktops, self.log.extras, rules=self._rules, pace=self._pace, now=now))

    def leave(self, reason: str, now: datetime) -> None:
        """Let those that serve stay, and those that are being emptied: the next roll removes them."""
        for one in list(self.log.extras.pending.values()):
            self.fleet.keep(one.to(Phase.SKIPPED, now, reason=reason), one, now)
        emptied = [(name, reason) for name, one in self.log.extras.flying.items() if one.untouched]
        self.fleet.give_back(emptied, now, outcome=Phase.SKIPPED)

    @property
    def _rules(self) -> Rules:
        """An extra one goes at any hour: the window is for desktops that users get anew."""
        return self.fleet.rules.model_copy(update={"window": None})

    @property
    def _pace(self) -> Pace:
        """All at once, as far as the floor holds."""
        every = len(self.log.extras)
        return Pace(limit=every, spare=self.fleet.spare, boots=every, room=every)
