"""What is expected of an image's clones, and what was seen of one: the two sides of a verification, as plain values."""

from dataclasses import dataclass
from typing import Any

from imagebuild.broker import Registration

Value = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What the image and its recipe promise of every clone.

    `desktop`: Remote Desktop is on. `agent`: the service of the broker's agent. `registers`: it has one, and there is a broker to be asked.
    `builder_sid`: the machine SID before sysprep, where this machine still knows it; no clone may have it.
    """

    recipe: str
    build: str
    disk_bus: str
    desktop: bool
    agent: str | None = None
    registers: bool = False
    builder_sid: str | None = None


@dataclass(frozen=True)
class Sighting:
    """What was seen of one clone. Seconds are counted from its creation; None: it never came to that.

    `fault`: why the cloud could not run it; `trouble`: the last thing that went wrong inside. `state`, `drivers`, `pending`,
    `agent` and `traces` are the values of the guest scripts.
    """

    name: str
    addresses: tuple[str, ...] = ()
    fault: str = ""
    trouble: str = ""
    active_seconds: float | None = None
    certificate: str | None = None
    ready_seconds: float | None = None
    desktop_seconds: float | None = None
    registered_seconds: float | None = None
    registration: Registration | None = None
    broker_trouble: str = ""
    state: Value | None = None
    drivers: Value | None = None
    pending: Value | None = None
    agent: Value | None = None
    traces: Value | None = None

    def usable_seconds(self, *, desktop: bool) -> float | None:
        """From creation until somebody could have worked with it: Windows at rest, and Remote Desktop answering where it shall."""
        if self.ready_seconds is None or (desktop and self.desktop_seconds is None):
            return None
        return max(self.ready_seconds, self.desktop_seconds or 0.0)
