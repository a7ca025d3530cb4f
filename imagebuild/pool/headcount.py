"""Numbers that move though nobody who works with the roll moves them: desktops that turn up, records that the broker has no more."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from imagebuild.pool.lookout import View
from imagebuild.pool.quantities import count_of
from imagebuild.pool.roll_journal import RollLog
from imagebuild.pool.situation import some_of

BEGUN_BEFORE = timedelta(minutes=15)
"""What the broker had begun to make when its provisioning was paused may take so long to come."""


@dataclass
class Headcount:
    """What this run has seen since its first look; `budget`: so many may come or go as may fail.

    Counted are names: a desktop that turns up may be a server of the pool's or only a record of the broker's.
    """

    log: RollLog
    budget: int
    _servers: set[str] = field(default_factory=set)
    """Ids of all that there were."""
    _records: set[str] = field(default_factory=set)
    """Names without case of all that the broker has told of."""
    _strangers: set[str] = field(default_factory=set)
    _lost: tuple[str, ...] = ()
    _since: datetime | None = None
    _paused: bool = False

    def count(self, view: View) -> None:
        """Take in what a turn sees; nothing while the broker is silent."""
        if view.silence:
            return
        if self._paused is not bool(self.log.provisioning):  # what came until now was the broker's own business
            self._paused, self._since = not self._paused, None
            self._strangers.clear()
        servers, records = view.by_id.keys() - self._servers, view.seats.keys() - self._records
        missing = self._records - view.seats.keys()
        self._servers |= servers
        self._records |= records
        members = {one.name.casefold(): one.name for one in view.by_id.values()} if missing or records else {}
        if self._is_late(view.now):
            come = {view.by_id[server_id].name for server_id in servers} | (records - members.keys())
            self._strangers |= {name.casefold() for name in come if not self._is_expected(name)}
        there = (members[key] for key in sorted(missing & members.keys()))
        # the record of one that is in hand may go and come: with its old system, and with the way in which a broker holds back
        self._lost = tuple(name for name in there if name not in self.log.flying)
        self._since = self._since or view.now

    def why_grown(self) -> str | None:
        """Why a pool that grows by itself is not to be rolled; None while it does not."""
        if len(self._strangers) <= self.budget:
            return None
        came = some_of(sorted(self._strangers))
        return f"{count_of(len(self._strangers), 'desktop')} came that this roll has not made: {came}; somebody makes desktops"

    def why_forgotten(self) -> str | None:
        """What the broker has forgotten of desktops that are there, None while it is no more than may be."""
        if len(self._lost) <= self.budget:
            return None
        return f"the broker has no record any more of {count_of(len(self._lost), 'desktop')}: {some_of(self._lost)}"

    def _is_late(self, now: datetime) -> bool:
        """Is what comes now no more what was there at first, or on its way?"""
        if self._since is None:
            return False
        return not self.log.provisioning or now - self._since > BEGUN_BEFORE

    def _is_expected(self, name: str) -> bool:
        """Does the roll itself bring a desktop of that name?"""
        return self.log.find(name) is not None or any(
            name.casefold() == one.name.casefold() for one in self.log.everyone
        )
