"""The users' side: who gets which desktop, and what users had to bear. It tells the truth at once; the broker's counts come later."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from imagebuild.lab.broker.membership import members
from imagebuild.lab.broker.state import Desktop, Incident, State


class Seating:
    """Policy: the user's own session, else the desktop that he had last, else the free one that was given the longest ago."""

    def __init__(self, state: State, now: Callable[[], float]) -> None:
        self._state = state
        self._now = now
        self._strangers = count(1)

    def log_in(self, user: str, pool: str) -> Desktop | None:
        """A user asks the pool for a desktop; None, and noted, when there is none. Raises KeyError for a pool that there is not."""
        there = members(self._state, self._number(pool), self._state.desktops)
        desktop = self._state.of_user(user)
        if desktop is None:
            free = [one for one in there if one.free]
            had = [one for one in free if one.last_user == user]
            desktop = min(had or free, key=lambda one: (one.given_at, one.id), default=None)
        if desktop is None:
            taken = sum(one.session != "none" for one in there)
            why = f"of {len(there)} desktops {taken} have a session, and no other is offered"
            self._state.verdict.note(Incident("logins_refused", user, pool, self._now(), why))
            return None
        self._sit(desktop, user)
        return desktop

    def log_in_on(self, user: str, name: str, *, assigned: bool = True) -> Desktop:
        """A user gets this very desktop, as if it had been offered a moment ago; `assigned=False`: around the broker, which is not told.

        Raises KeyError when there is none of this name or somebody else is on it.
        """
        desktop = next((one for one in reversed(self._state.named(name)) if one.user in (None, user)), None)
        if desktop is None:
            raise KeyError(name)
        self._sit(desktop, user, assigned=assigned)
        return desktop

    def disconnect(self, user: str) -> bool:
        """The window is closed, the programs go on. False: this user has no session."""
        desktop = self._state.of_user(user)
        if desktop is None:
            return False
        desktop.session = "disconnected"
        self._state.verdict.disconnects += 1
        return True

    def log_out(self, user: str) -> bool:
        """The session ends, and with it the assignment. False: this user has no session."""
        desktop = self._state.of_user(user)
        if desktop is None:
            return False
        desktop.user, desktop.session, desktop.assigned = None, "none", 0
        self._state.verdict.logouts += 1
        return True

    def surprise(self, name: str, pool: int) -> None:
        """Somebody whom nobody expected logs in: on the desktop of this name if nobody is there, else on any that is offered."""
        user = f"stranger-{next(self._strangers)}"
        if name:
            free = [one for one in self._state.named(name) if one.session == "none" and one.running]
        else:
            free = [one for one in members(self._state, pool, self._state.desktops) if one.free]
        if free:
            self._sit(free[-1], user)

    def _sit(self, desktop: Desktop, user: str, *, assigned: bool = True) -> None:
        if desktop.session == "none":
            desktop.session_since = self._now()
            self._state.verdict.logins += 1
        desktop.user = desktop.last_user = user
        desktop.session, desktop.given_at = "active", self._now()
        desktop.assigned = self._state.number_of(user) if assigned else 0

    def _number(self, pool: str) -> int:
        for number, kept in self._state.pools.items():
            if kept["name"] == pool:
                return number
        raise KeyError(pool)
