"""Is a desktop well after the act? What is missing is named, the cheapest question first; the guest itself is asked last.

What is inside is read from what the guest says on its serial console (see console_words). An image whose desktops do not speak is
believed by Nova's word alone (its image's id, and `launched_at` moved) and by the agent's (its name), and that is told.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from imagebuild.broker import Cap, Seat
from imagebuild.cloud import Cloud
from imagebuild.console_words import Told, read_told
from imagebuild.pool.hands import Hands
from imagebuild.pool.membership import what_keeps_it_out
from imagebuild.pool.model import Desktop
from imagebuild.pool.progress import Progress

MATCHES = "matches"
SILENT = "its image writes no stamp to the console: Nova's word for it"
NO_MEMBER = "its image does not tell its domain: the agent's word for it"
Verdict = Literal["well", "waits", "wrong"]
"""`waits`: it may come right by itself."""


class Witness(Protocol):
    """Who looks at desktops from outside the cloud's own word. Each question is asked once and comes back soon."""

    def answers(self, address: str) -> bool:
        """Does Remote Desktop answer there?"""
        ...

    def told(self, server_id: str) -> Told:
        """What the guest says of itself. Raises CloudError."""
        ...


@dataclass(frozen=True)
class ConsoleWitness:
    """What guests say on their serial consoles."""

    cloud: Cloud

    def told(self, server_id: str) -> Told:
        """One call."""
        return read_told(self.cloud.console_log(server_id))


def what_is_missing(desktop: Desktop, progress: Progress, *, witness: Witness) -> str | None:
    """The first thing that keeps it from being handed out, None when all is there but what is inside."""
    if desktop.broken:
        return f"it is broken: {desktop.fault or desktop.status}"
    if desktop.status != "ACTIVE" or desktop.task_state is not None:
        return f"it is {desktop.status}, task {desktop.task_state}"
    if not desktop.addresses:
        return "it has no address"
    if progress.addresses and not set(progress.addresses) & set(desktop.addresses):
        return f"it is at {desktop.addresses[0]}, it was at {progress.addresses[0]}"
    if (words := _missing_in_broker(desktop, progress)) is not None:
        return words
    if not witness.answers(desktop.addresses[0]):
        return f"Remote Desktop does not answer at {desktop.addresses[0]}"
    return None


def read_inside(desktop: Desktop, progress: Progress, *, hands: Hands, witness: Witness) -> tuple[Verdict, str]:
    """What the guest says of itself, and what to make of it. Another image's stamp stays wrong; name and domain may still come."""
    expected, told = hands.stamp_of(progress), witness.told(desktop.id)
    if not expected:  # no image of ours: what stands there may be the old system's
        return "well", SILENT
    if told.stamp is not None and any(told.stamp.get(name) != value for name, value in expected.items()):
        said = " ".join(f"{name}={told.stamp.get(name)}" for name in expected)
        return "wrong", f"its stamp says {said}, the image is {' '.join(f'{k}={v}' for k, v in expected.items())}"
    image_id = hands.target(progress)
    if told.stamp is not None:
        hands.outspoken.add(image_id)
    elif image_id in hands.outspoken:
        return "waits", "it has not told its stamp, as others of this image have"
    words, domain = MATCHES if told.stamp else SILENT, hands.definition.domain
    if told.member is None:
        return "well", f"{words}; {NO_MEMBER}" if domain else words
    missing = what_keeps_it_out(told.member, name=desktop.name, domain=domain)
    return ("waits", missing) if missing else ("well", words)


def _missing_in_broker(desktop: Desktop, progress: Progress) -> str | None:
    """An agent of the new system under this name is also the proof of the host's name: a broker knows agents by nothing else.

    What the broker saw before Nova started the new system says nothing about it. A broker that tells nothing of agents cannot be asked.
    """
    seat = desktop.seat
    if seat is None:
        if progress.extra:
            return "the broker does not know it"
        return "the broker does not know it any more" if progress.known else None
    if seat.agent == "down":
        return "its agent has not reported to the broker"
    if seat.agent == "up" and _is_older(seat, desktop):
        return "the broker has not looked at it since it was started"
    return None


def _is_older(seat: Seat, desktop: Desktop) -> bool:
    return seat.observed_at is not None and desktop.launched_at is not None and seat.observed_at < desktop.launched_at


def stale_records(desktop: Desktop, progress: Progress, *, hands: Hands) -> tuple[str, ...]:
    """Records of the broker's that the desktop had before it was replaced, and that can be removed now that there is a newer one."""
    seat = desktop.seat
    if seat is None or not seat.duplicates or not hands.can(Cap.FORGET):
        return ()
    return tuple(one for one in (seat.broker_id, *seat.duplicates) if one == progress.broker_id)
