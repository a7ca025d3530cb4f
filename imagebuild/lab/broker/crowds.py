"""Simulated users at work, switched on and off in the broker itself: a population for each pool that somebody asked one for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from imagebuild.lab.broker.connection_broker import ConnectionBroker
from imagebuild.lab.broker.population import Habits, Population

HASTY = Habits(away=60.0, work=90.0, disconnects=0.3, apart=20.0, returns=0.7, retry=5.0)
"""A working day in minutes: for who wants to see users come and go while a pool is rolled."""
MOST = 1000


class Crowds:
    """What was asked for outlives a restart of the broker; the users then come anew, and find their sessions again."""

    def __init__(self, broker: ConnectionBroker) -> None:
        self._broker = broker
        self._at_work: dict[str, Population] = {}
        for pool in broker.state.crowds:
            self._begin(pool)

    def set(self, pool: str, users: int, *, seed: int = 1, habits: Mapping[str, float] | None = None) -> None:
        """Let so many users work in this pool instead of those before, who log out; 0 is nobody.

        Raises ValueError for a pool that there is not, and for what is no number of users and no habit of theirs.
        """
        if pool not in {one["name"] for one in self._broker.state.pools.values()}:
            raise ValueError(f"there is no pool {pool}")
        wish = {"users": _whole(users), "seed": _whole(seed), "habits": asdict(_read_habits(habits or {}))}
        self.dismiss(pool)
        if users:
            self._broker.state.crowds[pool] = wish
            self._begin(pool)

    def dismiss(self, pool: str) -> None:
        """All users of the pool's crowd log out and stay away."""
        self._broker.state.crowds.pop(pool, None)
        if self._at_work.pop(pool, None) is not None:
            for desktop in self._broker.state.desktops:
                if desktop.user and desktop.user.startswith(_prefix(pool)):
                    self._broker.seating.log_out(desktop.user)

    def advance(self) -> None:
        """Let everything happen that is due by now."""
        for pool, population in self._at_work.items():
            population.advance(_Door(self._broker, pool), self._broker.now())

    def tell(self) -> dict[str, Any]:
        """By pool: what was asked for, and what the users have noticed since the broker started."""
        wishes = self._broker.state.crowds
        return {pool: {**wishes[pool], "diary": asdict(one.diary)} for pool, one in self._at_work.items()}

    def _begin(self, pool: str) -> None:
        wish = self._broker.state.crowds[pool]
        population = Population(pool, wish["users"], seed=wish["seed"], habits=Habits(**wish["habits"]))
        population.begin(self._broker.now())
        self._at_work[pool] = population


class _Door:
    """imagebuild.lab.broker.population.Portal without a wire. Users of two pools are different people."""

    def __init__(self, broker: ConnectionBroker, pool: str) -> None:
        self._seating = broker.seating
        self._prefix = _prefix(pool)

    def log_in(self, user: str, pool: str) -> str | None:
        """The name of a desktop, or None when none is free."""
        desktop = self._seating.log_in(self._prefix + user, pool)
        return desktop.name if desktop else None

    def disconnect(self, user: str) -> bool:
        """False: there was no session any more."""
        return self._seating.disconnect(self._prefix + user)

    def log_out(self, user: str) -> bool:
        """False: there was no session any more."""
        return self._seating.log_out(self._prefix + user)


def _prefix(pool: str) -> str:
    return f"{pool}-"


def _read_habits(told: Mapping[str, float]) -> Habits:
    known = asdict(HASTY)
    for name, value in told.items():
        if name not in known or not isinstance(value, int | float):
            raise ValueError(f"no such habit: {name}={value!r}")
    return Habits(**{**known, **told})


def _whole(number: object) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MOST:
        raise ValueError(f"expected a whole number from 0 to {MOST}, not {number!r}")
    return number
