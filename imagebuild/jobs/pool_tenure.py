"""How long a pool is ours: what people want of the roll is read from its claim, and nothing is done any more once that is lost.

A process does not know that it was frozen (a laptop asleep, SIGSTOP, a virtual machine that was paused), nor for how long. Meanwhile a
person may have given its roll to another machine; what it saw before, and meant to do next, is then no longer right. So between two turns
and before each call within one the claim is looked at, unless that was done a moment ago.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from imagebuild.claim import Claim, renew
from imagebuild.cloud import Cloud
from imagebuild.errors import CloudUnreachable
from imagebuild.pool.roll import Wish
from imagebuild.properties import WISH

CLAIM_SECONDS = 1800.0
FRESH = timedelta(seconds=5)
"""So old may the last look at the claim be when something is done."""
T = TypeVar("T")


class Tenure:
    """The claim of the process that works, in `cloud`. `is_asked`: has a signal come that asks for a pause?"""

    def __init__(
        self, cloud: Cloud, claim: Claim, *, is_asked: Callable[[], bool], now: Callable[[], datetime]
    ) -> None:
        self._cloud = cloud
        self._claim = claim
        self._is_asked = is_asked
        self._now = now
        self._looked_at = now()

    def wish(self) -> Wish | None:
        """What people want of the roll: a signal here, or a wish on its claim from anywhere. Raises Busy when the claim is lost."""
        return "pause" if self._is_asked() else self._look()

    def around(self, inner: T) -> T:
        """The same cloud or broker, each call of which raises Busy instead when the claim is lost."""
        return cast(T, _Fenced(inner, self.hold))

    def hold(self) -> None:
        """Raise Busy when the claim is lost. A clock that was set back counts as a long time."""
        if not timedelta(0) <= self._now() - self._looked_at <= FRESH:
            self._look()

    def _look(self) -> Wish | None:
        """A cloud that does not answer says nothing: its claim stands until somebody breaks it, or it expires."""
        asked_at = self._now()
        try:
            if self._claim.expires_at - datetime.now(UTC) < timedelta(seconds=CLAIM_SECONDS / 2):
                self._claim = renew(self._cloud, self._claim, CLAIM_SECONDS)
            image = self._cloud.image(self._claim.id)
            if image is None:
                renew(self._cloud, self._claim, CLAIM_SECONDS)  # says who has it now
        except CloudUnreachable:
            if datetime.now(UTC) > self._claim.expires_at:
                raise
            return None
        self._looked_at = asked_at
        told = image.properties.get(WISH) if image else None
        return "abort" if told == "abort" else "pause" if told == "pause" else None


class _Fenced:
    """Whatever is asked of `inner`: `hold` comes first."""

    def __init__(self, inner: object, hold: Callable[[], None]) -> None:
        self._inner = inner
        self._hold = hold

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **more: Any) -> Any:
            self._hold()
            return found(*arguments, **more)

        return call
