"""What a kind of broker cannot do: every optional call of imagebuild.broker.Broker, refused by the name of its capability."""

from collections.abc import Sequence

from imagebuild.broker import Cap, PoolSettings, Registration, Seat
from imagebuild.errors import CapabilityMissing


class Limited:
    """A broker of this kind with these capabilities. Its adapter overrides what it has a way to do; the rest raises CapabilityMissing."""

    def __init__(self, kind: str, capabilities: frozenset[Cap]) -> None:
        self._kind = kind
        self._capabilities = capabilities

    def capabilities(self) -> frozenset[Cap]:
        """What it is able to do."""
        return self._capabilities

    def require(self, cap: Cap) -> None:
        """Raise CapabilityMissing unless it has this one."""
        if cap not in self._capabilities:
            raise self._missing(cap)

    def set_available(self, seat: Seat, *, available: bool, reason: str) -> None:
        """No way to."""
        raise self._missing(Cap.AVAILABILITY)

    def notify(self, seat: Seat, text: str, *, minutes: int) -> None:
        """No way to."""
        raise self._missing(Cap.MESSAGE)

    def release(self, seat: Seat) -> None:
        """No way to."""
        raise self._missing(Cap.RELEASE)

    def forget(self, seat: Seat, broker_id: str) -> None:
        """No way to."""
        raise self._missing(Cap.FORGET)

    def settings(self, pool: str) -> PoolSettings:
        """It tells nothing of how it provisions."""
        return PoolSettings(pool=pool)

    def set_pool_image(self, pool: str, image_name: str, *, scan: bool = True) -> None:
        """No way to."""
        raise self._missing(Cap.POOL_IMAGE)

    def set_provisioning(self, pool: str, *, on: bool) -> bool:
        """No way to."""
        raise self._missing(Cap.PROVISIONING)

    def refresh(self, *, wait: bool = True) -> None:
        """No way to."""
        raise self._missing(Cap.SCAN)

    def registrations(self) -> Sequence[Registration]:
        """No way to."""
        raise self._missing(Cap.REGISTRATIONS)

    def _missing(self, cap: Cap) -> CapabilityMissing:
        return CapabilityMissing(
            f"{self._kind} has no way to do this: {cap.value}", hint="it is done by hand in the broker, or left out"
        )
