"""The promise, from the users' side: hundreds of seeded rolls with people at work, faults, and a kill -9 anywhere. Nobody is cut off."""

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from imagebuild.broker import Cap, Seat
from imagebuild.cloud import Server
from imagebuild.errors import BrokerUnreachable, CloudUnreachable
from imagebuild.pool.marks import EXTRA, ROLL_STATE
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.roll import Roll
from tests.unit.pool.rolling import POOL, Killed, Site

SEEDS = range(int(os.environ.get("SEEDS", "30")))
FINISHED = (RollState.COMPLETED, RollState.HALTED)


class Storm:
    """One roll with everything that a seed makes happen."""

    def __init__(self, seed: int, **rules: object) -> None:
        self.dice = random.Random(seed)
        dice = self.dice
        wanted = {
            "max_unavailable": dice.choice(["10%", "30%", "2", "50%"]),
            "max_surge": dice.choice([0, 1, 1, "20%"]),
            "min_available": dice.choice([1, 2, 3]),
            "parallel_boots": dice.choice([1, 3, 10]),
            "drain_deadline": dice.choice(["1h", "6h"]),
            "boot_timeout": "10m",
            "act_timeout": "10m",
            "method": dice.choice(["auto", "auto", "replace"]),
            "auto_continue": dice.random() < 0.7,
            "max_failures": dice.choice([1, 3, 12]),
            **rules,
        }
        self.site = self.make_site(**wanted)
        self.broken_floors: list[str] = []
        self.users = 0
        self._watch_floor()
        for _ in range(dice.randrange(10)):
            self.arrive()
        self.site.clock.at(dice.uniform(10, 200), self._somebody)

    def make_site(self, **rules: Any) -> Site:
        """What it blows over."""
        return Site(12, **rules)

    # ------------------------------------------------------------------------------------------ people

    def _somebody(self) -> None:
        """Somebody comes, leaves or closes a window; then somebody else does, for a working day."""
        dice, site = self.dice, self.site
        taken = [record for record in site.broker.pools[POOL].all() if record.user is not None]
        what = dice.random()
        if what < 0.45:
            self.arrive()
        elif taken and what < 0.85:
            site.broker.log_out(dice.choice(taken).name)
        elif taken:
            site.broker.disconnect(dice.choice(taken).name)
        if site.clock.now() < 60_000:
            site.clock.at(dice.expovariate(1 / 240), self._somebody)

    def arrive(self) -> None:
        """Somebody asks for a desktop."""
        self.users += 1
        self.site.broker.arrive(POOL, f"user-{self.users}")

    def log_in_at_the_last_moment(self) -> None:
        """Now and then somebody gets the desktop whose server is being looked at for the last time; the broker is asked after that."""
        site = self.site
        inner: Callable[[str], Server | None] = site.cloud.server

        def server(server_id: str) -> Server | None:
            found = inner(server_id)
            if found is not None and self.dice.random() < 0.3 and self._is_free(found.name):
                self.users += 1
                site.broker.log_in(found.name, f"user-{self.users}")
            return found

        site.cloud.server = server  # type: ignore[method-assign]

    # ------------------------------------------------------------------------------------------ what is watched

    def _is_free(self, name: str) -> bool:
        if not self.site.has_server(name) or name.casefold() not in self.site.broker.pools[POOL].records:
            return False
        record, server = self.site.broker.record(name), self.site.server(name)
        return record.user is None and record.available and record.agent == "up" and server.status == "ACTIVE"

    def _is_unproven(self, name: str) -> bool:
        told = self.site.server(name).metadata
        return EXTRA in told and told[ROLL_STATE] == Phase.ACTING

    def _watch_floor(self) -> None:
        """Whenever a free desktop is taken from users, the floor of others must stay."""
        site = self.site
        inner: Callable[..., None] = site.broker.set_available

        def taken(seat: Seat, *, available: bool, reason: str) -> None:
            if not available and self._is_free(seat.name) and not self._is_unproven(seat.name):
                names = [record.name for record in site.broker.pools[POOL].all()]
                others = sum(self._is_free(name) for name in names if name != seat.name)
                if others < (site.definition.roll.min_available or 0):
                    self.broken_floors.append(f"{seat.name} taken, {others} left")
            inner(seat, available=available, reason=reason)

        site.broker.set_available = taken  # type: ignore[method-assign]

    # ------------------------------------------------------------------------------------------ what goes wrong

    def break_things(self) -> None:
        """Machines that do not come back, agents that stay silent, answers that are lost."""
        dice, site = self.dice, self.site
        bad = set(dice.sample(site.names, dice.randrange(3)))
        silent = set(dice.sample(site.names, dice.randrange(2)))
        worst = dice.random() < 0.2  # not even the old image helps

        def fault(server: Server) -> str:
            going_back = site.cloud.rebuilds and site.cloud.rebuilds[-1] == (server.name, site.old.id)
            return "No valid host was found" if server.name in bad and (worst or not going_back) else ""

        site.cloud.rebuild_fault = fault
        site.cloud.silent_agents = lambda server: server.name in silent and server.image_id == site.new.id
        for _ in range(dice.randrange(6)):
            site.clock.at(dice.uniform(100, 9000), self._one_fault)

    def _one_fault(self) -> None:
        dice, site = self.dice, self.site
        times = dice.choice([1, 1, 3])
        dice.choice(
            [
                lambda: site.broker.faults.fail("seats", BrokerUnreachable("503"), times=times),
                lambda: site.broker.faults.fail("set_available", BrokerUnreachable("503"), times=times),
                lambda: site.broker.faults.lose_answer("set_available", times=times),
                lambda: site.cloud.faults.fail("servers", CloudUnreachable("503"), times=times),
                lambda: site.cloud.faults.lose_answer("rebuild_server", times=times),
                lambda: site.cloud.faults.lose_answer("delete_server", times=times),
                lambda: site.cloud.faults.lose_answer("create_desktop", times=times),
                lambda: site.cloud.faults.fail("rebuild_server", CloudUnreachable("503"), times=times),
                lambda: site.cloud.faults.fail("set_server_metadata", CloudUnreachable("503"), times=times),
            ]
        )()

    # ------------------------------------------------------------------------------------------ the roll

    def roll(self, *, kills: int = 0) -> Roll:
        """From the first start to an end, by as many processes as it takes."""
        site, dice = self.site, self.dice
        roll = site.start()
        for _ in range(kills + 20):
            site.kill_at = len(site.lines) + dice.randrange(40) if kills > 0 else None
            kills -= 1
            try:
                state = roll.run()
            except Killed:
                site.kill_at = None
                site.clock.sleep(dice.choice([1, 60, 3600]))
                roll = site.resume()
                continue
            if state in FINISHED:
                return roll
            site.kill_at = None
            roll = site.resume()
            roll.take_up()
        raise AssertionError(f"it does not end: {roll.log.state} {roll.log.reason}")

    def verify(self, roll: Roll, *, floor: bool = True) -> None:
        """What must be so after any roll."""
        site = self.site
        assert site.broker.cut == []
        assert site.broker.pools[POOL].provisioning is True
        kept = {one.name for one in roll.log.everyone if one.phase is Phase.QUARANTINED}
        assert set(site.held_back()) <= kept
        self._verify_extras(roll)
        for one in roll.log.everyone:
            name = one.name
            assert one.phase.finished or (roll.log.state is RollState.HALTED and one.phase is Phase.PENDING), (
                name,
                one,
            )
            assert one.phase in (Phase.DONE, Phase.PENDING) or one.reason, (name, one)
            if one.extra:
                continue
            if one.phase is Phase.DONE:
                assert site.cloud.image_now(name) == site.new.id
            elif one.phase in (Phase.SKIPPED, Phase.FAILED):
                assert site.cloud.image_now(name) == site.old.id, (name, one)
        if floor:
            assert self.broken_floors == []

    def _verify_extras(self, roll: Roll) -> None:
        """The roll knows of all of them, and those that are still there could not be removed, or serve while it is halted."""
        there = [one.name for one in self.site.cloud.servers() if EXTRA in one.metadata]
        assert len(there) == len(set(there)) <= len(roll.log.assignment.extras)
        for name in there:
            one = roll.log.extras[name]
            assert (
                one.phase in (Phase.SKIPPED, Phase.FAILED, Phase.QUARANTINED) or roll.log.state is RollState.HALTED
            ), one
            assert one.phase is not Phase.DONE, one


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_is_cut_off_and_the_floor_holds(seed: int) -> None:
    storm = Storm(seed)
    storm.break_things()
    storm.verify(storm.roll())


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_and_resumed_anywhere(seed: int) -> None:
    storm = Storm(seed)
    storm.break_things()
    storm.verify(storm.roll(kills=1 + seed % 5))


@pytest.mark.parametrize("seed", SEEDS)
def test_users_come_between_any_two_questions(seed: int) -> None:
    storm = Storm(seed, method="auto")
    for _ in range(200):
        chance = storm.dice.random() < 0.3
        storm.site.broker.between("seats", storm.arrive if chance else _nothing)
    storm.verify(storm.roll(), floor=False)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_broker_that_holds_nobody_back_hands_out_the_very_desktop_before_the_last_look(seed: int) -> None:
    storm = Storm(seed, allow_unheld=True)
    storm.site.broker.caps = frozenset({Cap.SESSIONS, Cap.PROVISIONING})
    storm.log_in_at_the_last_moment()
    storm.verify(storm.roll(), floor=False)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_broker_counts_seldom(seed: int) -> None:
    storm = Storm(seed, drain_deadline="6h")
    storm.site.broker.count_every = storm.dice.choice([120.0, 600.0])
    storm.verify(storm.roll(kills=seed % 2), floor=False)


def _nothing() -> None:
    pass
