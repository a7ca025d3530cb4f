"""What the supervisor knows of one service, and how soon a service that died is started again."""

import socket
import time
from dataclasses import dataclass
from typing import Any

STEADY_SECONDS = (
    20.0  # a service that lived this long and died is started at once; a younger one waits longer each time
)
LONGEST_PAUSE = 15.0


@dataclass
class Service:
    """One service of the plan and what is known about its process."""

    spec: dict[str, Any]
    state: str = "stopped"  # stopped | starting | ready | pausing | stopping
    pid: int = 0
    line: socket.socket | None = None
    told: bool = False  # it knows that its needs are up
    since: float = 0.0
    due: float = 0.0  # when pausing: start again; when stopping: kill
    restarts: int = 0
    quick_deaths: int = 0

    @property
    def name(self) -> str:
        """As the plan names it."""
        return str(self.spec["name"])

    def died(self) -> float:
        """Take note of a death that nobody asked for: the service pauses and is due again. Gives the seconds that it lived."""
        lived = time.monotonic() - self.since
        self.quick_deaths = self.quick_deaths + 1 if lived < STEADY_SECONDS else 0
        pause = min(LONGEST_PAUSE, 2.0 ** (self.quick_deaths - 1)) if self.quick_deaths else 0.0
        self.state, self.due, self.restarts = "pausing", time.monotonic() + pause, self.restarts + 1
        return lived

    def describe(self) -> dict[str, Any]:
        """What the tool is told of it."""
        return {"pid": self.pid, "state": self.state, "restarts": self.restarts, "since_monotonic": self.since}
