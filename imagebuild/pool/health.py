"""Is a desktop well after the act? What is missing is named, the cheapest question first; the guest itself is asked last.

Users' desktops do not let us in as administrator, so the stamp is read where a guest can speak without being asked: a line
`imagebuild: image recipe=R build=B` on its serial console. An image that writes none is believed by Nova's word alone (its image's
id, and `launched_at` moved), and that is told.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from imagebuild.broker import Cap, Seat
from imagebuild.cloud import Cloud
from imagebuild.guest import told_on_console
from imagebuild.pool.hands import Hands
from imagebuild.pool.model import Desktop
from imagebuild.pool.progress import Progress

MATCHES = "matches"
SILENT = "its image writes no stamp to the console: Nova's word for it"
_STAMP = re.compile(r"^image ((?:[a-z_]+=\S+ ?)+)$")


class Witness(Protocol):
    """Who looks at desktops from outside the cloud's own word. Each question is asked once and comes back soon."""

    def answers(self, address: str) -> bool:
        """Does Remote Desktop answer there?"""
        ...

    def stamp(self, server_id: str) -> Mapping[str, str] | None:
        """What the guest says that it was made from, None when it says nothing. Raises CloudError."""
        ...


@dataclass(frozen=True)
class ConsoleStamps:
    """The stamp as a guest tells it on its serial console while it boots."""

    cloud: Cloud

    def stamp(self, server_id: str) -> Mapping[str, str] | None:
        """The last line of its kind: Nova empties the console's log when a server is made anew, not always when it is rebuilt."""
        return read_stamp(self.cloud.console_log(server_id))


def read_stamp(console_log: str) -> dict[str, str] | None:
    """The stamp in a console's log."""
    found = [match[1] for line in told_on_console(console_log) if (match := _STAMP.match(line))]
    return dict(word.split("=", 1) for word in found[-1].split()) if found else None


def what_is_missing(desktop: Desktop, progress: Progress, *, witness: Witness) -> str | None:
    """The first thing that keeps it from being handed out, None when all is there but the stamp."""
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


def read_inside(desktop: Desktop, progress: Progress, *, hands: Hands, witness: Witness) -> tuple[str, bool]:
    """What the guest says of its image, in words, and whether that may be."""
    expected = hands.stamp_of(progress)
    told = witness.stamp(desktop.id)
    if told is None or not expected:
        return SILENT, True
    if all(told.get(name) == value for name, value in expected.items()):
        return MATCHES, True
    said = " ".join(f"{name}={told.get(name)}" for name in expected)
    return f"its stamp says {said}, the image is {' '.join(f'{k}={v}' for k, v in expected.items())}", False


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
