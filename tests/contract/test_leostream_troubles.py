"""The REST adapter at the lab's stand-in broker, which plays the trouble: nobody is taken for gone, nothing stored wrong unseen."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagebuild.errors import BrokerRefused
from tests.contract.broker_bench import POOL
from tests.contract.standin_broker import StandinBench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[StandinBench]:
    """A stand-in broker that is well."""
    bench = StandinBench(tmp_path)
    bench.service.turn()
    yield bench
    bench.close()


def trouble(bench: StandinBench, **switches: object) -> None:
    bench.service.broker.troubles.switch(switches)


def test_a_forgotten_login_is_made_anew(bench: StandinBench) -> None:
    assert bench.seats()
    trouble(bench, forget_logins=1)
    assert len(bench.seats()) == 3


def test_a_busy_broker_is_asked_again(bench: StandinBench) -> None:
    trouble(bench, busy=3, busy_seconds=7)
    begun = bench.api.clock.now()
    assert len(bench.seats()) == 3
    assert 21 <= bench.api.clock.now() - begun < 40


def test_a_login_between_two_looks_is_seen_at_the_second(bench: StandinBench) -> None:
    trouble(bench, login_after_look=1, login_on="desktop-2")
    assert not bench.seats()["desktop-2"].busy
    assert bench.seats()["desktop-2"].busy


def test_who_came_while_the_desktop_was_taken_from_offer_is_there(bench: StandinBench) -> None:
    bench.broker.set_provisioning(POOL, on=False)
    trouble(bench, login_after_save=1, login_on="desktop-2")
    bench.broker.set_available(bench.seats()["desktop-2"], available=False, reason="roll")
    seat = bench.seats()["desktop-2"]
    assert (seat.availability, seat.busy) == ("unavailable", True)


def test_old_counts_keep_the_time_of_their_counting(bench: StandinBench) -> None:
    before = bench.seats()["desktop-2"]
    trouble(bench, stale_counts=True)
    bench.put("desktop-2", "ann", "active")
    seat = bench.seats()["desktop-2"]
    assert seat.observed_at == before.observed_at, "so who has held it back meanwhile knows better than to believe it"
    trouble(bench, stale_counts=False)
    seat = bench.seats()["desktop-2"]
    assert seat.busy
    assert before.observed_at is not None
    assert seat.seen_after(before.observed_at)


def test_a_user_who_came_around_the_broker_makes_every_free_desktop_doubtful(bench: StandinBench) -> None:
    bench.service.broker.seating.log_in_on("rita", "desktop-3", assigned=False)
    assert all(seat.busy for seat in bench.seats().values())


def test_a_save_whose_answer_is_lost_is_seen_to_be_stored(bench: StandinBench) -> None:
    trouble(bench, lose_answers=1)
    assert bench.broker.set_provisioning(POOL, on=False) is True
    assert bench.broker.settings(POOL).provisioning is False


def test_a_save_that_is_answered_and_not_stored_is_found_out(bench: StandinBench) -> None:
    trouble(bench, ignore_saves=True)
    with pytest.raises(BrokerRefused, match=r"something else in provision\.provision_on_off"):
        bench.broker.set_provisioning(POOL, on=False)


def test_a_broker_that_empties_what_is_not_named_loses_nothing(bench: StandinBench) -> None:
    number = next(one for one, pool in bench.service.broker.state.pools.items() if pool["name"] == POOL)
    before = {**bench.service.broker.state.pools[number]}
    trouble(bench, put_empties=True)
    bench.broker.set_provisioning(POOL, on=False)
    bench.broker.set_provisioning(POOL, on=True)
    assert bench.service.broker.state.pools[number] == before


def test_a_slow_scan_is_waited_for(bench: StandinBench) -> None:
    trouble(bench, scan_seconds=0.2)
    bench.broker.set_pool_image(POOL, "v2")
    assert bench.broker.settings(POOL).image_name == "v2"


@pytest.mark.parametrize("switch", ["unwell", "down"])
def test_a_broker_that_is_not_well_says_so(bench: StandinBench, switch: str) -> None:
    assert bench.broker.health().ok
    trouble(bench, **{switch: True})
    assert not bench.broker.health().ok


def test_an_expired_licence_is_told_as_one(bench: StandinBench) -> None:
    trouble(bench, licence_expired=True)
    with pytest.raises(BrokerRefused, match="LICENSE_EXPIRED") as caught:
        bench.broker.seats(POOL)
    assert "licence" in caught.value.hint


def test_duplicates_after_a_machine_was_made_anew_are_one_seat(bench: StandinBench) -> None:
    trouble(bench, duplicates=True)
    bench.put("desktop-2", "ann", "active")
    bench.duplicate("desktop-2")
    seat = bench.seats()["desktop-2"]
    assert seat.busy
    assert len(seat.duplicates) == 1
