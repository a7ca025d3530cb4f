"""Desktops that the broker itself makes while a roll works: met where it lists them, and made members of the pool.

Membership is never guessed: such a server has a name of the pool's, the broker lists that name among the pool's desktops, and Nova made
it since the roll began. What the broker has made before that, or makes between two rolls, a person takes over (`invoke pool.adopt`).
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from imagebuild.pool.adoption import Adoption, adopt, find_adoptions
from imagebuild.pool.hands import Hands
from imagebuild.pool.lookout import View
from imagebuild.pool.marks import PREVIOUS_IMAGE_ID, ROLL_ID, ROLL_STATE
from imagebuild.pool.model import Desktop
from imagebuild.pool.progress import Progress
from imagebuild.pool.roll_journal import RollLog
from imagebuild.pool.survey import moment_of
from imagebuild.pool.turn import ASK_AGAIN
from imagebuild.report import Report

SKEW = timedelta(minutes=5)
"""So far may the cloud's clock and ours be apart."""
_SOON = 2
"""One that Nova is still building is looked for again after so many turns."""


@dataclass
class Newcomers:
    """Those of one roll. Listing all servers is dear: that is done when the broker lists a name that no member has, and not every turn."""

    log: RollLog
    hands: Hands
    report: Report
    obstacles: tuple[str, ...] = ()
    """Why some that have come are not taken in."""
    _unknown: frozenset[str] = frozenset()
    _again_at: datetime = datetime.min.replace(tzinfo=UTC)

    def meet(self, view: View) -> None:
        """Make members of those that have come. Raises CloudError.

        One that the broker has still made from another image, before it knew of this roll, is moved like the old ones.
        """
        for adoption in self._find(view):
            if not (adoption.member or adoption.obstacle):
                adopt(self.hands.definition, self.hands.cloud, adoption, marks=self._marks(adoption))
                self.hands.lookout.admit(adoption.server.id)
                self.report.note(f"{adoption.server.name} is new, the broker has made it")
        for desktop in self._unclaimed(view):
            if desktop.image_id != self.log.assignment.to_image_id and desktop.name not in self.log.held:
                self.log.save(
                    Progress(
                        name=desktop.name,
                        server_id=desktop.id,
                        method="broker",
                        from_image_id=desktop.image_id,
                        since=view.now,
                    )
                )

    def next(self, view: View) -> Desktop | None:
        """One of the roll's image that is in nobody's place yet."""
        image_id = self.log.assignment.to_image_id
        return next((one for one in self._unclaimed(view) if one.image_id == image_id), None)

    def _unclaimed(self, view: View) -> list[Desktop]:
        """Members that this roll has met, and has not in hand."""
        roll_id = self.log.assignment.id
        met = [
            one
            for one in view.by_id.values()
            if one.metadata.get(ROLL_ID) == roll_id and not one.metadata.get(ROLL_STATE)
        ]
        claimed = {one.server_id for one in self.log.held.values()} if met else set()
        return [one for one in met if one.id not in claimed]

    def _find(self, view: View) -> list[Adoption]:
        definition = self.hands.definition
        members = {one.name.casefold() for one in view.by_id.values()}
        ours = {name.casefold() for one in self.log.held.values() for name in (one.name, one.follower)}
        unknown = frozenset(
            key for key in view.seats if key not in members | ours and definition.number_of(key) is not None
        )
        if not unknown or (unknown == self._unknown and view.now < self._again_at):
            return []
        since = self.log.assignment.began_at - SKEW
        found = [
            one
            for one in find_adoptions(definition, self.hands.cloud)
            if one.server.name.casefold() in unknown and _is_made_since(one, since)
        ]
        self.obstacles = tuple(_words(one) for one in found if one.obstacle)
        soon = any(one.server.status == "BUILD" for one in found)
        self._unknown = unknown
        self._again_at = view.now + (definition.roll.look_every * _SOON if soon else ASK_AGAIN)
        return found

    def _marks(self, adoption: Adoption) -> dict[str, str | None]:
        """What it says of the roll that has met it; with the image of those before it, it can be taken back like any other."""
        before = Counter(one.from_image_id for one in self.log.held.values()).most_common(1)
        is_new = adoption.server.image_id in (None, self.log.assignment.to_image_id)
        return {ROLL_ID: self.log.assignment.id, PREVIOUS_IMAGE_ID: before[0][0] if before and is_new else None}


def _words(adoption: Adoption) -> str:
    server = adoption.server
    return f"{server.name}: {server.fault or adoption.obstacle}"


def _is_made_since(adoption: Adoption, moment: datetime) -> bool:
    made = moment_of(adoption.server.created_at)
    return made is not None and made >= moment
