"""What can be made to go wrong with the stand-in broker, each by a switch; all are off at first."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass
class Troubles:
    """Numbers say how often still; each time that it happens takes one away.

    stale_counts: no more counting. login_after_look, login_after_save: behind the back of who has just read (saved) a pool, a user logs in,
    on the desktop `login_on` (as if it had been offered a moment before), else on any that is offered. duplicates: the record of a machine
    that was made anew stays. forget_logins: the next answers are 401 and every login is forgotten. scan_seconds: so long a scan takes.
    busy: the next answers are 503 with Retry-After `busy_seconds`. lose_answers: so many saves are done and not answered.
    put_empties: what a saved pool does not name is emptied. ignore_saves: the broker answers well and stores nothing.
    unwell, down: health tells that jobs do not run; that a database is not reached. licence_expired: nobody can log in.
    """

    stale_counts: bool = False
    login_after_look: int = 0
    login_after_save: int = 0
    login_on: str = ""
    duplicates: bool = False
    forget_logins: int = 0
    scan_seconds: float = 0.0
    busy: int = 0
    busy_seconds: int = 2
    lose_answers: int = 0
    put_empties: bool = False
    ignore_saves: bool = False
    unwell: bool = False
    down: bool = False
    licence_expired: bool = False

    def take(self, name: str) -> bool:
        """Does this happen now? Then it is one less."""
        left = getattr(self, name)
        if left <= 0:
            return False
        setattr(self, name, left - 1)
        return True

    def switch(self, told: dict[str, Any]) -> None:
        """Set what is named. Raises ValueError for a trouble that there is not, and a value of another type; then nothing is set."""
        known = {one.name: type(one.default) for one in fields(self)}
        for name, value in told.items():
            kind = known.get(name)
            if kind is None or not isinstance(value, (int, float) if kind is float else kind):
                raise ValueError(f"no such trouble: {name}={value!r}")
        for name, value in told.items():
            setattr(self, name, value)

    def tell(self) -> dict[str, Any]:
        """All of them."""
        return asdict(self)
