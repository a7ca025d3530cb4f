"""What the stand-in broker asks of a cloud: one look at its machines and images, and now and then a new machine or one less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Machine:
    """A server. `mark` is any text that changes when its disk or its start does (image and launch time of a Nova server).

    `launched_at`, in Unix seconds: what an agent of its name has said before was another machine's word.
    """

    id: str
    name: str
    running: bool = True
    mark: str = ""
    launched_at: float = 0.0


@dataclass(frozen=True)
class Look:
    """What was there at one moment; `images` by name, as each has one of its own."""

    machines: tuple[Machine, ...] = ()
    images: tuple[str, ...] = ()


class Refused(Exception):
    """The cloud said no, in its own words: asking for the same again will not help."""


class CloudView(Protocol):
    """Any call may raise OSError: then there is no news, and the same is asked for again. `make` and `remove` may raise Refused."""

    def look(self, *, images: bool) -> Look | None:
        """All machines, and the images if they are wanted; None when nobody watches this cloud."""
        ...

    def make(self, name: str, image: str, provision: Mapping[str, Any]) -> None:
        """Begin to make a machine by a pool's `provision` object."""
        ...

    def remove(self, machine: str) -> None:
        """Begin to delete the machine with this id."""
        ...


class NoCloud:
    """Nothing to be seen; who drives the broker says himself what happens to machines."""

    def look(self, *, images: bool) -> Look | None:
        """Nothing."""
        return None

    def make(self, name: str, image: str, provision: Mapping[str, Any]) -> None:
        """Nobody does it."""

    def remove(self, machine: str) -> None:
        """Nobody does it."""
