"""When a roll looks again: as long as there is nothing to see it waits, and no longer than that."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from imagebuild.errors import CloudUnreachable
from imagebuild.pool.model import RollState
from imagebuild.pool.roll import Roll
from tests.unit.pool.rolling import Site


def _times(site: Site, call: str) -> list[float]:
    """Seconds of the clock at which the cloud was asked for this, from now on."""
    told: list[float] = []
    inner = getattr(site.cloud, call)

    def asked(*given: object, **named: object) -> object:
        told.append(site.clock.now())
        return inner(*given, **named)

    setattr(site.cloud, call, asked)
    return told


def test_the_follower_of_a_deleted_server_does_not_wait_for_the_next_turn() -> None:
    site = Site(3, method="replace")
    deleted, made = _times(site, "delete_server"), _times(site, "create_desktop")
    assert site.start().run() is RollState.COMPLETED
    assert len(deleted) == len(made) == 3
    assert all(later - earlier <= 5 for earlier, later in zip(deleted, made, strict=True))


def test_a_server_that_takes_longer_to_go_is_followed_at_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fakes.cloud_world.DELETE_SECONDS", 40.0)
    site = Site(3, method="replace")
    deleted, made = _times(site, "delete_server"), _times(site, "create_desktop")
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert len(site.cloud._machines) == 3
    assert all(40 <= later - earlier <= 55 for earlier, later in zip(deleted, made, strict=True))


def test_the_next_are_begun_the_moment_that_the_canary_has_baked() -> None:
    site = Site(4, bake_time="100s", batch_pause="0s")
    roll = site.start()
    seen: dict[RollState, float] = {}

    def watch(roll: Roll, view: object) -> None:
        seen.setdefault(roll.log.state, site.clock.now())

    roll.watch = watch
    assert roll.run() is RollState.COMPLETED
    assert seen[RollState.ROLLING] - seen[RollState.BAKING] == pytest.approx(100)


def test_while_a_canary_bakes_for_long_little_is_asked() -> None:
    site = Site(4, bake_time="60m")
    listed = _times(site, "servers")
    assert site.start().run() is RollState.COMPLETED
    pauses = [timedelta(seconds=later - earlier) for earlier, later in zip(listed, listed[1:], strict=False)]
    assert sum(one >= timedelta(seconds=55) for one in pauses) >= 55


def test_a_turn_that_becomes_long_looks_again_before_it_acts_on_the_rest() -> None:
    site = Site(40, max_unavailable=20, parallel_boots=20, min_available=0, bake_time="0")
    seen: list[str] = []
    site.cloud.faults.before = _slow(site, seen, "rebuild_server", seconds=1.0)  # type: ignore[method-assign]
    assert site.start().run() is RollState.COMPLETED
    turns = "".join(name[0] for name in seen if name in ("servers", "rebuild_server")).split("s")
    assert max(map(len, turns)) == 3, "a sixth of the 15 seconds between two looks"
    assert min(len(turn) for turn in turns if turn) >= 1
    assert sum(map(len, turns)) == 40


def test_a_cloud_that_fails_slowly_is_not_asked_at_once_again() -> None:
    site = Site(4, bake_time="0")
    roll = site.start()
    before = _times(site, "servers")
    site.cloud.faults.before = _slow(site, [], "set_server_metadata", seconds=30.0)  # type: ignore[method-assign]
    site.cloud.faults.fail("set_server_metadata", CloudUnreachable("away"), times=3)
    assert roll.run() is RollState.COMPLETED
    assert before[1] - before[0] == pytest.approx(31.5), "a tenth of the 15 seconds is left to it"


def _slow(site: Site, seen: list[str], slow: str, *, seconds: float) -> Callable[[str], None]:
    """The cloud's calls take no time but for one; `seen` gets the names of all."""
    before = site.cloud.faults.before

    def called(method: str) -> None:
        seen.append(method)
        site.clock.sleep(seconds if method == slow else 0.0)
        before(method)

    return called
