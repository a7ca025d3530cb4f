"""The promise where the broker makes the new desktops: seeded rolls with people at work, faults, and a kill -9 anywhere."""

from typing import Any

import pytest

from imagebuild.cloud import Server
from imagebuild.errors import BrokerUnreachable, CloudUnreachable
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.roll import Roll
from tests.unit.pool.refilling import RefillSite
from tests.unit.pool.rolling import POOL
from tests.unit.pool.test_roll_storm import SEEDS, Storm


class RefillStorm(Storm):
    """The same storm over a broker that provisions."""

    site: RefillSite

    def make_site(self, **rules: Any) -> RefillSite:
        """The broker wants some free; now and then it takes what is held back out of its pool, and deletes what is too much."""
        dice = self.dice
        site = RefillSite(
            12, threshold=dice.choice([4, 6, 12]), maximum=dice.choice([14, 30]), **{**rules, "max_surge": 0}
        )
        site.maker.counts_held = dice.random() < 0.5
        site.maker.enforces = dice.random() < 0.3
        return site

    def break_things(self) -> None:
        """New desktops that stay silent, a broker that pauses, answers that are lost."""
        dice, site = self.dice, self.site
        bad = {f"desktop-{dice.randrange(13, 30)}" for _ in range(dice.randrange(4))}

        def is_silent(server: Server) -> bool:
            return server.name in bad

        site.cloud.silent_agents = is_silent
        for _ in range(dice.randrange(6)):
            site.clock.at(dice.uniform(100, 9000), self._one_fault_of_these)
        if dice.random() < 0.3:
            begin = dice.uniform(100, 4000)
            site.clock.at(begin, lambda: setattr(site.maker, "works", False))
            site.clock.at(begin + dice.choice([60, 1800]), lambda: setattr(site.maker, "works", True))

    def _one_fault_of_these(self) -> None:
        dice, site = self.dice, self.site
        times = dice.choice([1, 1, 3])
        dice.choice(
            [
                lambda: site.broker.faults.fail("seats", BrokerUnreachable("503"), times=times),
                lambda: site.broker.faults.lose_answer("set_available", times=times),
                lambda: site.broker.faults.lose_answer("set_pool_image", times=times),
                lambda: site.broker.faults.lose_answer("set_provisioning", times=times),
                lambda: site.cloud.faults.fail("servers", CloudUnreachable("503"), times=times),
                lambda: site.cloud.faults.lose_answer("delete_server", times=times),
                lambda: site.cloud.faults.lose_answer("set_server_metadata", times=times),
                lambda: site.cloud.faults.lose_answer("tag_server", times=times),
            ]
        )()

    def verify(self, roll: Roll, *, floor: bool = True) -> None:
        """What must be so after any roll."""
        site, log = self.site, roll.log
        names = {server.name: server for server in site.servers()}
        assert site.broker.cut == []
        assert site.broker.pools[POOL].provisioning is True
        kept = {one.known_as for one in log.held.values() if one.phase is Phase.QUARANTINED}
        assert set(site.held_back()) & names.keys() <= kept
        followers = [one.follower for one in log.held.values() if one.follower]
        assert len(followers) == len(set(followers)), "one follows one"
        for name, one in log.held.items():
            assert one.phase.finished or (log.state is RollState.HALTED and one.phase is Phase.PENDING), (name, one)
            if one.phase is Phase.DONE:
                assert name not in names
                follower = names.get(one.follower)
                assert follower is None or follower.image_id == site.new.id
            elif one.phase is Phase.SKIPPED:
                assert name not in names or names[name].image_id == site.old.id
        if log.state is RollState.COMPLETED and log.passed:
            assert site.broker.pools[POOL].image == "small-v2"
        if floor:
            assert self.broken_floors == []


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_is_cut_off_and_the_floor_holds(seed: int) -> None:
    storm = RefillStorm(seed)
    storm.break_things()
    storm.verify(storm.roll())


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_and_resumed_anywhere(seed: int) -> None:
    storm = RefillStorm(seed)
    storm.break_things()
    storm.verify(storm.roll(kills=1 + seed % 5))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_broker_counts_seldom(seed: int) -> None:
    storm = RefillStorm(seed, drain_deadline="6h")
    storm.site.broker.count_every = storm.dice.choice([120.0, 600.0])
    storm.verify(storm.roll(kills=seed % 2), floor=False)
