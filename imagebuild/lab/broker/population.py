"""Simulated users, from a seed: they come, work, disconnect, come back and log out. The same seed gives the same wishes, whatever happens.

Times are seconds on whatever clock the caller has, so a working day passes in no time or in a day.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

HOUR = 3600.0


class Portal(Protocol):
    """Where users go. Any call may raise OSError: the user tries again a little later."""

    def log_in(self, user: str, pool: str) -> str | None:
        """Ask for a desktop; its name, or None when none is free."""
        ...

    def disconnect(self, user: str) -> bool:
        """Close the window. False: there was no session any more."""
        ...

    def log_out(self, user: str) -> bool:
        """End the session. False: there was none any more."""
        ...


@dataclass(frozen=True, kw_only=True)
class Habits:
    """What users are like, as means of exponential times in seconds, and shares from 0 to 1.

    `away`: between two sessions. `work`: at the desktop, until leaving. `disconnects`: who leaves closes the window instead of logging
    out. `apart`: so long a disconnected session waits; `returns`: then its user comes back, else it ends. `never_leaves`: such users
    log in once and stay. `retry`: after a refusal. `evening_from`, `morning_at`: hours of the clock between which nobody new comes.
    """

    away: float = 4 * HOUR
    work: float = 2 * HOUR
    disconnects: float = 0.3
    apart: float = HOUR / 2
    returns: float = 0.7
    never_leaves: float = 0.0
    retry: float = 60.0
    evening_from: float | None = None
    morning_at: float = 7.0


@dataclass
class _User:
    name: str
    luck: random.Random
    stays: bool
    does: str = "log_in"  # next; or disconnect, or log_out
    desktop: str | None = None  # where he left his work


@dataclass
class Diary:
    """What the users themselves noticed. `lost`: they came back to a session, or wanted to end it, and it was gone."""

    logins: int = 0
    refused: int = 0
    disconnects: int = 0
    logouts: int = 0
    lost: int = 0
    no_answer: int = 0


class Population:
    """So many users of one pool. `begin` once, then `advance` as often as time has passed."""

    def __init__(self, pool: str, users: int, *, seed: int, habits: Habits | None = None) -> None:
        self.pool = pool
        self.habits = habits or Habits()
        self.diary = Diary()
        self._users = [self._make(number, seed) for number in range(1, users + 1)]
        self._due: list[tuple[float, int]] = []

    def begin(self, now: float) -> None:
        """Everybody is away, and comes when he comes."""
        self._due = [(self._come(now, user), number) for number, user in enumerate(self._users)]
        heapq.heapify(self._due)

    @property
    def next_at(self) -> float:
        """When the next of them does something."""
        return self._due[0][0] if self._due else float("inf")

    def advance(self, portal: Portal, now: float) -> int:
        """Let everything happen that is due, in order. Gives how much that was."""
        happened = 0
        while self.next_at <= now:
            at, number = heapq.heappop(self._due)
            user = self._users[number]
            try:
                then = getattr(self, f"_{user.does}")(user, portal, at)
            except OSError:
                self.diary.no_answer += 1
                then = at + self.habits.retry
            if then is not None:
                heapq.heappush(self._due, (max(then, at + 0.001), number))
            happened += 1
        return happened

    def live(
        self, portal: Portal, *, now: Callable[[], float], rest: Callable[[float], bool], longest: float = 1.0
    ) -> None:
        """Advance in real time until `rest` gives True: it lets so many seconds pass, or less when this is to end (an Event's wait)."""
        self.begin(now())
        while not rest(min(longest, max(0.0, self.next_at - now()))):
            self.advance(portal, now())

    def _make(self, number: int, seed: int) -> _User:
        luck = random.Random(f"{seed} {number}")
        return _User(f"user-{number:04}", luck, luck.random() < self.habits.never_leaves)

    def _come(self, now: float, user: _User) -> float:
        user.does = "log_in"
        return self._by_day(now + _spread(user, self.habits.away))

    def _by_day(self, moment: float) -> float:
        """Not in the night: then in the morning, a little later each."""
        evening, morning = self.habits.evening_from, self.habits.morning_at
        if evening is None:
            return moment
        day, hour = moment // (24 * HOUR), moment / HOUR % 24
        if morning <= hour < evening:
            return moment
        day += hour >= evening
        return day * 24 * HOUR + (morning + moment % HOUR / HOUR) * HOUR

    def _log_in(self, user: _User, portal: Portal, at: float) -> float | None:
        desktop = portal.log_in(user.name, self.pool)
        if desktop is None:
            self.diary.refused += 1
            return at + self.habits.retry
        self.diary.logins += 1
        self.diary.lost += user.desktop not in (None, desktop)
        user.desktop = desktop
        if user.stays:
            return None
        user.does = "disconnect" if user.luck.random() < self.habits.disconnects else "log_out"
        return at + _spread(user, self.habits.work)

    def _disconnect(self, user: _User, portal: Portal, at: float) -> float:
        if not portal.disconnect(user.name):
            return self._complain(user, at)
        self.diary.disconnects += 1
        user.does = "log_in" if user.luck.random() < self.habits.returns else "log_out"
        return at + _spread(user, self.habits.apart)

    def _log_out(self, user: _User, portal: Portal, at: float) -> float:
        if not portal.log_out(user.name):
            return self._complain(user, at)
        self.diary.logouts += 1
        user.desktop = None
        return self._come(at, user)

    def _complain(self, user: _User, at: float) -> float:
        """His work is gone; he logs in again at once."""
        self.diary.lost += 1
        user.does, user.desktop = "log_in", None
        return at


def _spread(user: _User, mean: float) -> float:
    return user.luck.expovariate(1 / mean) if mean > 0 else 0.0
