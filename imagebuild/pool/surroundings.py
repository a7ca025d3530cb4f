"""What a roll changes and watches beside the desktops: the broker's provisioning, its image for new desktops, and the image itself."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from imagebuild.broker import Cap
from imagebuild.errors import BrokerRefused
from imagebuild.pool.hands import Hands
from imagebuild.pool.roll_journal import RollLog
from imagebuild.report import Report

LOOK_EVERY = timedelta(minutes=5)


@dataclass
class Surroundings:
    """Written down before it is changed, restored at every end of a run. Calls may raise CloudError or BrokerError."""

    log: RollLog
    hands: Hands
    report: Report
    makes_desktops: bool = False
    """The broker makes desktops by itself: it is not paused, or not yet."""
    _prepared: bool = False
    _rests: bool = False
    """And is not to make any while this run has desktops in hand."""
    _refused: str = ""
    _looked_at: datetime | None = None

    def prepare(self) -> None:
        """See, once a run, what the broker makes of its own and from which image; and let it look for the new one meanwhile."""
        if self._prepared:
            return
        broker, pool = self.hands.broker, self.log.assignment.pool
        settings = broker.settings(pool)
        self.log.note(pool_image=settings.image_name)
        if self._refills and self.log.image_before is None:
            self.log.note(image_before=settings.image_name or "")
        self.makes_desktops = bool(settings.provisioning)
        if self.log.flying:
            self.quieten()
        if self.hands.can(Cap.SCAN):
            broker.refresh(wait=False)
        self._prepared = True

    def quieten(self) -> None:
        """Pause the broker's own making of desktops, where the pool has that paused: right before a run has its first one in hand.

        Not hours before, when the window is closed yet: no server would say by then that it was us.
        """
        if self._rests or not self.hands.pauses_provisioning:
            return
        if self.hands.broker.settings(self.log.assignment.pool).provisioning:
            self._pause()
        self._rests = True

    def restore(self) -> None:
        """Let the broker make desktops again, if it did before.

        One that refuses will not change its mind: it keeps no template that is hidden, say, and an image that was superseded is. The
        pool is left as it is and told; the run that goes on, and brings the broker the new image, tries again.
        """
        if not self.log.provisioning:
            return
        try:
            self.hands.broker.set_provisioning(self.log.assignment.pool, on=True)
        except BrokerRefused as error:
            reasons = f" ({'; '.join(error.details)})" if error.details else ""
            self.report.warn(f"the broker's own provisioning stays paused: {error}{reasons}")
            return
        self.log.note(provisioning=None)
        self.makes_desktops = True

    def use_for_new_desktops(self) -> str | None:
        """Let the broker make new desktops from the image, mostly only when some have proven it; gives why it does not.

        One that is hidden, as what a roll goes back to mostly is, would be looked for in vain for minutes.
        """
        assignment = self.log.assignment
        if not self.hands.can(Cap.POOL_IMAGE):
            return None
        if self.log.pool_image == assignment.to:
            if not self.hands.pauses_provisioning:
                self.restore()  # an earlier process may have been cut off between the image and the switch
            return None
        if self._refused:
            return self._refused
        version = self.hands.version_of(assignment.to_image_id)
        hidden = version is not None and version.image.hidden
        try:
            self._set_image(assignment.to, scan=not hidden)
        except BrokerRefused as error:
            todo = (
                f"; to make it current again: invoke rollback {version.recipe} --to {version.name}"
                if version and hidden
                else ""
            )
            self._refused = f"the broker still makes new desktops from {self.log.pool_image}: {error}{todo}"
            self.report.warn(self._refused)
        if not self._rests:
            self.restore()
        return self._refused or None

    def take_image_back(self, *, is_bad: bool) -> bool:
        """Let the broker make new desktops from what it made them from before a roll that has proven nothing; False: none at all.

        It may be too late for that: an image that was superseded is hidden, and a broker that has looked since knows it no more. Then it
        is not to make others of one that `is_bad`.
        """
        before = self.log.image_before
        if before is None or self.log.pool_image != self.log.assignment.to:
            return True
        try:
            if before in ("", self.log.pool_image):
                raise BrokerRefused("it does not tell what else it has made them from")
            self._set_image(before, scan=False)
        except BrokerRefused as error:
            if is_bad:
                self._pause()
            goes_on = "makes no new desktops for now" if is_bad else "goes on making new desktops"
            self.report.warn(f"the broker {goes_on}, as it has only {self.log.pool_image} for them: {error}")
            return not is_bad
        return True

    def _set_image(self, name: str, *, scan: bool) -> None:
        """A broker that makes desktops rests meanwhile, and that is noted: it would make one at the moment of the change."""
        if self.makes_desktops and self.hands.can(Cap.PROVISIONING):
            self._pause()
        self.hands.broker.set_pool_image(self.log.assignment.pool, name, scan=scan)
        self.log.note(pool_image=name)

    def _pause(self) -> None:
        """Noted as ours to turn on: whoever is cut off does it when he goes on."""
        self.log.note(provisioning=True)
        self.hands.broker.set_provisioning(self.log.assignment.pool, on=False)
        self.makes_desktops = False

    @property
    def _refills(self) -> bool:
        return self.hands.definition.roll.refills

    def what_is_wrong(self, now: datetime) -> str | None:
        """Has somebody changed the image, or the broker's settings, behind our back? Looked at now and then."""
        if self._looked_at is not None and now - self._looked_at < LOOK_EVERY:
            return None
        self._looked_at = now
        assignment, broker = self.log.assignment, self.hands.broker
        image = self.hands.cloud.image(assignment.to_image_id)
        if image is None or image.status != "active":
            return f"the image {assignment.to} is {image.status if image else 'gone'}"
        if assignment.checksum and not image.has_data(assignment.checksum):
            return f"the image {assignment.to} is another one: its checksum has changed"
        health = broker.health()
        if not health.ok:
            return f"the broker is not well: {'; '.join(health.problems)}"
        settings = broker.settings(assignment.pool)
        self.makes_desktops = bool(settings.provisioning)
        if settings.provisioning and self._rests:
            return "somebody has turned the broker's provisioning on"
        if self._refills and settings.provisioning is False and not self.log.provisioning:
            return "the broker makes no new desktops: its provisioning was turned off"
        if settings.image_name in (self.log.pool_image, assignment.to) or self._is_forgotten(settings.image_name):
            return None
        return f"somebody has set the broker's image for new desktops to {settings.image_name}"

    def _is_forgotten(self, image_name: str | None) -> bool:
        """Is that no image, where the one before is hidden or gone by now? A scan makes the broker forget such a one, and nobody was it."""
        if image_name:
            return False
        version = self.hands.version_of(self.log.pool_image) if self.log.pool_image else None
        return version is None or version.image.hidden
