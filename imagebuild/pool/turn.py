"""What one turn of a roll gives to one desktop: what is seen of it, and who acts. And what becomes of one that fails."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from imagebuild.broker import Cap, Seat
from imagebuild.pool.definition import Rules
from imagebuild.pool.hands import Hands
from imagebuild.pool.health import Witness
from imagebuild.pool.model import Desktop, Phase
from imagebuild.pool.progress import Progress
from imagebuild.pool.rules import occupied

ASK_AGAIN = timedelta(minutes=1)
"""So long a request to the broker may take to show, before it is made again."""

ABSENCE = timedelta(hours=1)
"""So long a server that is there may be missing from Nova's list, before it is given up."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """`desktop` is None when its server is gone, renamed, or no longer of this pool; `seat`: what the broker has by its name all the same.

    `acts`: there is room for one more that boots, and the turn has time for it; `save` writes to the journal.
    """

    now: datetime
    desktop: Desktop | None
    seat: Seat | None
    acts: bool
    silent: bool
    """The broker did not answer: nothing is begun on its word."""
    rules: Rules
    hands: Hands
    witness: Witness
    save: Callable[[Progress], None]
    newcomer: Desktop | None = None
    """Of a desktop that awaits one: what the broker has made, and is in nobody's place yet."""
    obstacles: tuple[str, ...] = ()
    """And: why some that have come are none for it."""
    refilled: bool = False
    """And: the broker has as many unassigned desktops as it wants."""

    def occupied(self, desktop: Desktop, progress: Progress) -> bool:
        """May somebody be on it? Not on an extra one that the broker has never had a record of: it can have given it to nobody."""
        unknown = progress.extra and not progress.known and desktop.seat is None and not self.silent
        return not unknown and occupied(desktop, self.rules)

    def give_back(self, progress: Progress, outcome: Phase, reason: str) -> Progress:
        """On its way to users again, as it is."""
        return progress.to(Phase.RETURNING, self.now, outcome=outcome, reason=reason, asked_at=None)

    def fail(self, progress: Progress, reason: str) -> Progress:
        """It went wrong: try again, else put the old image back, else keep users from it. What was not touched is given back."""
        if not progress.acted:
            return self.give_back(progress, Phase.FAILED, reason)
        if progress.extra and not progress.vacant:
            return self._fail_extra(progress, reason)
        if progress.method == "broker":
            return self._fail_follower(progress, reason)
        again = progress.to(Phase.DRAINED, self.now, reason=reason, ready_since=None, boot_since=None, accepted=False)
        if progress.attempt <= self.rules.retries:
            return again
        old = progress.from_image_id
        if self.rules.put_back and not progress.going_back and old and self.hands.version_of(old) is not None:
            return replace(again, going_back=True, attempt=0, failure=reason)
        if progress.vacant:  # there is nothing to keep users from
            hint = "" if progress.extra else f"; invoke pool.create {self.hands.definition.pool} makes it"
            return self.give_back(progress, Phase.FAILED, reason + hint)
        return self._mark(progress.to(Phase.QUARANTINED, self.now, reason=reason))

    def _fail_follower(self, progress: Progress, reason: str) -> Progress:
        """The broker hands it out already: nobody new gets it from now on. Where nobody is on it, it goes for another."""
        seat = self.seat if self.hands.can(Cap.AVAILABILITY) else None
        kept = replace(progress, held=seat is not None, asked_at=self.now, ready_since=None, accepted=False)
        is_last = self.desktop is None or occupied(self.desktop, self.rules) or progress.attempt > self.rules.retries
        emptied = kept.to(
            Phase.DRAINING, self.now, reason=reason, drain_since=self.now, free_since=None, free_seen=None
        )
        after = self._mark(kept.to(Phase.QUARANTINED, self.now, reason=reason) if is_last else emptied)
        if seat is not None:
            self.hands.hold_back(seat)
        return after

    def _mark(self, progress: Progress) -> Progress:
        """Its server tells of it first: what is over in our journal would never be told."""
        self.hands.mark(progress)
        return progress

    def _fail_extra(self, progress: Progress, reason: str) -> Progress:
        """Emptied, in case that somebody was given it, and made once more; else removed: it has no old image to go back to."""
        if progress.method == "remove":
            return progress.to(Phase.FAILED, self.now, reason=reason)
        again = progress.to(
            Phase.DRAINING,
            self.now,
            reason=reason,
            drain_since=self.now,
            asked_at=None,
            free_since=None,
            free_seen=None,
            ready_since=None,
            boot_since=None,
            accepted=False,
        )
        if progress.attempt <= self.rules.retries:
            return again
        lost = replace(again, method="remove", outcome=Phase.FAILED, failure=reason)
        self.save(lost)
        self.hands.mark(lost)
        return lost

    def lose(self, progress: Progress) -> Progress:
        """Nova's list does not have it: wait, or leave it out; what was destroyed already has failed. What we asked of the broker ends."""
        reason = self.why_lost(progress)
        if reason is None:
            return progress
        if progress.extra and self.hands.cloud.server(progress.server_id) is None:
            fails = progress.method == "make" or progress.outcome is Phase.FAILED
            outcome = Phase.FAILED if fails else None
            gone = replace(progress, method="remove", accepted=True, outcome=outcome)
            return gone.to(Phase.RETURNING, self.now, failure=progress.failure or (reason if outcome else ""))
        others = progress.method == "broker" and progress.acted  # the broker makes another if it wants one
        if others and progress.attempt <= self.rules.retries:
            more = progress.attempt + 1
            return progress.to(
                Phase.BOOTING, self.now, server_id="", attempt=more, boot_since=self.now, ready_since=None
            )
        return self.give_back(progress, Phase.FAILED if progress.acted else Phase.SKIPPED, reason)

    def why_lost(self, progress: Progress) -> str | None:
        """Why it is given up, None while it may come back: a list leaves out what is in a part of the cloud that is down."""
        server, tag = self.hands.cloud.server(progress.server_id), self.hands.definition.tag
        if server is None:
            return "its server is gone: somebody deleted it"
        if not progress.is_known_as(server.name):
            return f"somebody has renamed its server: it is {server.name} now"
        if server.status != "UNKNOWN" and tag not in server.tags:
            return f"it is no longer tagged {tag}"
        return "Nova lists it no more, though it is there" if progress.waited(self.now, ABSENCE) else None
