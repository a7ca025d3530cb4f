"""All that the stand-in broker remembers: desktops, pools, images, users and what users had to bear; as JSON and back."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any

KEPT = 1000
"""Incidents that are remembered one by one; the counters know all."""


@dataclass
class Desktop:
    """One record of a desktop. `assigned` is the user's number in the broker, 0 for nobody; `user` is who is really on it.

    `session`: none, active or disconnected. `mark` changes with each new disk or start of the machine, as far as the cloud tells.
    """

    id: int
    name: str
    machine: str | None = None
    mark: str = ""
    running: bool = True
    agent: bool = False
    silent_since: float = 0.0
    out_of_service: bool = False
    assigned: int = 0
    user: str | None = None
    session: str = "none"
    session_since: float = 0.0
    given_at: float = 0.0
    last_user: str | None = None

    @property
    def key(self) -> str:
        """The name without case."""
        return self.name.casefold()

    @property
    def free(self) -> bool:
        """Nobody's, offered, and its agent answers."""
        return not self.assigned and self.session == "none" and not self.out_of_service and self.running and self.agent


@dataclass(frozen=True)
class Incident:
    """Something that a user should not have seen: `what` is sessions_cut or logins_refused; `at` in Unix seconds."""

    what: str
    user: str
    place: str
    at: float
    why: str


@dataclass
class Verdict:
    """The counters from the users' side."""

    logins: int = 0
    disconnects: int = 0
    logouts: int = 0
    sessions_cut: int = 0
    logins_refused: int = 0
    incidents: list[Incident] = field(default_factory=list)

    def note(self, incident: Incident) -> None:
        """Count it, and remember it while there is room."""
        setattr(self, incident.what, getattr(self, incident.what) + 1)
        self.incidents = [*self.incidents, incident][-KEPT:]

    def forget(self, places: Collection[str]) -> None:
        """What happened at these places is no longer counted."""
        for one in self.incidents:
            if one.place in places:
                setattr(self, one.what, getattr(self, one.what) - 1)
        self.incidents = [one for one in self.incidents if one.place not in places]


@dataclass
class State:
    """Everything that survives a restart.

    `counted` are copies of the desktops at the last counting; `wishes` are calls of CloudView that are due, name and arguments;
    `ordered` are desktops that were made for a pool and not yet found by a scan; `heard` is when an agent last reported;
    `crowds` are the simulated users that were asked for, by pool.
    """

    desktops: list[Desktop] = field(default_factory=list)
    pools: dict[int, dict[str, Any]] = field(default_factory=dict)
    images: list[dict[str, Any]] = field(default_factory=list)
    users: dict[str, int] = field(default_factory=dict)
    wishes: list[list[Any]] = field(default_factory=list)
    ordered: dict[str, str] = field(default_factory=dict)
    last_id: int = 100
    scan_until: float | None = None
    scanned_at: float = 0.0
    counted_at: float = 0.0
    counted: list[Desktop] = field(default_factory=list)
    heard: dict[str, float] = field(default_factory=dict)
    crowds: dict[str, dict[str, Any]] = field(default_factory=dict)
    verdict: Verdict = field(default_factory=Verdict)

    def new_id(self) -> int:
        """A number that nothing has had."""
        self.last_id += 1
        return self.last_id

    def named(self, name: str) -> list[Desktop]:
        """Every record of this name, the oldest first."""
        return [desktop for desktop in self.desktops if desktop.key == name.casefold()]

    def of_user(self, user: str) -> Desktop | None:
        """Where this user has a session."""
        return next((one for one in self.desktops if one.user == user and one.session != "none"), None)

    def number_of(self, user: str) -> int:
        """The broker's number of a user."""
        return self.users.setdefault(user, len(self.users) + 1)

    def dump(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))


def load(text: str) -> State:
    """What `dump` gave. Raises ValueError, TypeError or KeyError for anything else."""
    told = json.loads(text)
    verdict = told.pop("verdict")
    incidents = [Incident(**one) for one in verdict.pop("incidents")]
    for name in ("desktops", "counted"):
        told[name] = [Desktop(**one) for one in told[name]]
    told["pools"] = {int(number): pool for number, pool in told["pools"].items()}
    return State(**told, verdict=Verdict(**verdict, incidents=incidents))
