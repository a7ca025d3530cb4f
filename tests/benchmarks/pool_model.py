"""A pool of any size on the fakes and a simulated clock: desktops that take their time, users who come and go, and the ideal schedule.

Times are seconds of the simulated clock, drawn once by a seed, so the ideal schedule is worked out from the very times that the roll meets.
"""

import heapq
import inspect
import json
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from imagebuild.pool.health import ConsoleWitness
from tests.fakes.cloud_state import BOOT_SECONDS, DELETE_SECONDS
from tests.unit.pool.rolling import POOL, Site

SETTLE, MIN_READY, BATCH_PAUSE, BAKE = 60.0, 60.0, 30.0, 60.0
"""The rules of the model: Rules' defaults, but for a short bake."""


UNAVOIDABLE = ("rebuild_server", "delete_server", "create_port", "create_desktop")


@dataclass(frozen=True)
class Pace:
    """How long one desktop takes: Nova's part, and from its boot to its agent's word to the broker."""

    rebuild: float
    agent: float

    def act(self, method: str) -> float:
        """From the call until the broker has it back."""
        spawn = self.rebuild if method == "rebuild" else DELETE_SECONDS
        return spawn + BOOT_SECONDS + self.agent


@dataclass(frozen=True)
class Outcome:
    """What a roll took: `seconds` of the simulated clock, `calls` as HTTP requests to the cloud by kind, `questions` to the broker.

    `cpu_seconds` are the roll's own; `fakes_seconds` those of the fake cloud, broker and users beside it.
    """

    desktops: int
    done: int
    ending: str
    seconds: float
    ideal: float
    calls: dict[str, int]
    questions: dict[str, int]
    cpu_seconds: float
    fakes_seconds: float
    cut: int
    refused: int
    logins: int

    @property
    def calls_each(self) -> float:
        """Requests to the cloud for each desktop, all of the roll's together."""
        return sum(self.calls.values()) / self.desktops

    @property
    def calls_beyond(self) -> float:
        """Those that are not the act itself: a rebuild; or one delete, port and create. To look for what is to be made is beyond it."""
        acts = sum(min(self.calls.get(act, 0), self.done) for act in UNAVOIDABLE)
        return self.calls_each - acts / self.desktops

    @property
    def of_ideal(self) -> float:
        """1 = no roll by these rules could be shorter."""
        return self.ideal / self.seconds


@dataclass
class Stopwatch:
    """The CPU seconds that are spent in what it is put `around`, however the calls are nested."""

    seconds: float = 0.0
    _inside: bool = False

    def around(self, thing: object) -> None:
        """Every public method of it."""
        for name, _ in inspect.getmembers(type(thing), inspect.isfunction):
            if not name.startswith("_"):
                setattr(thing, name, self._timed(getattr(thing, name)))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            if self._inside:
                return method(*given, **named)
            self._inside, begun = True, time.thread_time()
            try:
                return method(*given, **named)
            finally:
                self._inside = False
                self.seconds += time.thread_time() - begun

        return timed


@dataclass
class Model:
    """The pool before its roll. `limit` desktops may be in hand at once."""

    site: Site
    limit: int
    rng: random.Random
    paces: dict[str, Pace] = field(default_factory=dict)

    def run(self) -> "Outcome":
        """Plan, roll to the end, and say what it took."""
        site = self.site
        roll = site.start()
        fakes = Stopwatch()
        for fake in (site.cloud, site.broker, site.clock):
            fakes.around(fake)
        begun, spent = site.clock.now(), time.thread_time()
        for faults in (site.cloud.faults, site.broker.faults):
            faults.requests.clear()
        state = roll.run()
        return Outcome(
            desktops=len(site.names),
            done=roll.done(),
            ending=f"{state.value} {roll.log.reason}".strip(),
            seconds=site.clock.now() - begun,
            ideal=self.ideal_seconds(),
            calls=dict(site.cloud.faults.requests),
            questions=dict(site.broker.faults.requests),
            cpu_seconds=time.thread_time() - spent - fakes.seconds,
            fakes_seconds=fakes.seconds,
            cut=len(site.broker.cut),
            refused=len(site.broker.refused),
            logins=site.broker.logins,
        )

    def ideal_seconds(self) -> float:
        """The shortest roll that its rules allow: a canary, the bake, then `limit` places that are never empty but for the pause."""
        method = "replace" if self.site.definition.roll.method == "replace" else "rebuild"
        each = [SETTLE + pace.act(method) + MIN_READY for pace in self.paces.values()]
        canary, rest = each[0], each[1:]
        return canary + BAKE + longest_of(rest, places=self.limit, pause=BATCH_PAUSE)


def longest_of(jobs: Iterable[float], *, places: int, pause: float, before: float = 0.0, line: float = 0.0) -> float:
    """When the last of the jobs ends, each begun as soon as a place is free and has been so for `pause`.

    Where `line` is not 0 they stand in line after `before` seconds each, and one is let through every `line` seconds.
    """
    free_at = [0.0] * places
    end = next_at = 0.0
    for job in jobs:
        through = max(next_at, heapq.heappop(free_at) + before)
        next_at, done = through + line, through + job
        end = max(end, done)
        heapq.heappush(free_at, done + pause)
    return end


@dataclass(frozen=True)
class Outside(ConsoleWitness):
    """The witness of a real roll, where all ports answer and no console says anything."""

    def answers(self, address: str) -> bool:
        """Remote Desktop answers everywhere."""
        return True


class QuietSite(Site):
    """Its journal is written and forgotten: what the roll itself keeps in memory is what is measured."""

    def write(self, event: str, **facts: Any) -> None:
        """The line as a journal would write it, counted."""
        self.written += len(json.dumps({"event": event, **facts}))

    written = 0


def a_model(desktops: int, *, busy: float = 0.0, seed: int = 1, **rules: Any) -> Model:
    """A pool of so many desktops on the old image. `busy`: the share that users have at work; as many come as go."""
    limit = max(1, desktops // 10)
    roll = {"max_unavailable": "10%", "parallel_boots": limit, "bake_time": f"{BAKE:.0f}s", **rules}
    model = Model(QuietSite(desktops, **roll), limit, random.Random(seed))
    for name in model.site.names:
        model.paces[name] = Pace(model.rng.uniform(30, 60), model.rng.uniform(40, 90))
    cloud = model.site.cloud
    model.site.witness = Outside(cloud)  # type: ignore[assignment]
    cloud.rebuild_seconds = lambda server: model.paces[server.name].rebuild
    cloud.boots = lambda server_id: _report_later(model, cloud._machines[server_id].server.name)
    if busy:
        _Crowd(model, size=int(busy * desktops)).come()
    return model


def _report_later(model: Model, name: str) -> None:
    """Its agent comes up some time after Nova says ACTIVE."""
    model.site.clock.at(model.paces[name].agent, lambda: model.site.broker.booted(name))


@dataclass
class _Crowd:
    """Users at work, about `size` at any time; sessions last two hours on average."""

    model: Model
    size: int
    _number: int = 0

    MEAN_SECONDS = 7200.0

    def come(self) -> None:
        """Those who are there at the beginning, all over the pool; then one after the other."""
        for name in self.model.rng.sample(sorted(self.model.paces), self.size):
            self._number += 1
            self.model.site.broker.log_in(name, f"user-{self._number}")
            self._leave_later(name)
        self._next()

    def _next(self) -> None:
        rate = self.size / self.MEAN_SECONDS
        self.model.site.clock.at(self.model.rng.expovariate(rate), self._arrive)

    def _arrive(self) -> None:
        self._number += 1
        name = self.model.site.broker.arrive(POOL, f"user-{self._number}")
        if name is not None:
            self._leave_later(name)
        self._next()

    def _leave_later(self, name: str) -> None:
        user = self.model.site.broker.record(name).user

        def leave() -> None:
            if self.model.site.broker.record(name).user == user:  # unless the session was cut meanwhile
                self.model.site.broker.log_out(name)

        self.model.site.clock.at(self.model.rng.expovariate(1 / self.MEAN_SECONDS), leave)
