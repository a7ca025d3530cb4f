"""Simulated users: the same seed, the same day; what they wish does not hang on what they get."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest
from broker_wire import POOL, Site

from imagebuild.lab.broker.population import HOUR, Habits, Population

Told = TypeVar("Told")
DAY = 24 * HOUR
QUICK = Habits(away=HOUR / 2, work=HOUR, disconnects=0.4, apart=HOUR / 4, retry=60)


class Door:
    """A portal over the broker in this process; `closed` while nobody answers, `wishes` is what was asked for."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.closed = False
        self.wishes: list[tuple[str, str]] = []

    def log_in(self, user: str, pool: str) -> str | None:
        desktop = self.ask("in", user, lambda: self.site.broker.seating.log_in(user, pool))
        return desktop.name if desktop else None

    def disconnect(self, user: str) -> bool:
        return bool(self.ask("apart", user, lambda: self.site.broker.seating.disconnect(user)))

    def log_out(self, user: str) -> bool:
        return bool(self.ask("out", user, lambda: self.site.broker.seating.log_out(user)))

    def ask(self, what: str, user: str, do: Callable[[], Told]) -> Told:
        if self.closed:
            raise ConnectionRefusedError("nobody there")
        self.wishes.append((what, user))
        return do()


def site_of(desktops: int) -> Site:
    return Site(*(f"desktop-{number}" for number in range(1, desktops + 1)))


def live(population: Population, door: Door, seconds: float, *, each: Callable[[], None] = lambda: None) -> None:
    """So much time passes, from one event to the next."""
    end = door.site.now().timestamp() + seconds
    while population.next_at <= end:
        door.site.clock.sleep(max(0.0, population.next_at - door.site.now().timestamp()))
        population.advance(door, door.site.now().timestamp())
        each()


def begun(site: Site, users: int, *, seed: int = 7, habits: Habits = QUICK) -> Population:
    population = Population(POOL, users, seed=seed, habits=habits)
    population.begin(site.now().timestamp())
    return population


def test_a_day_with_desktops_enough_for_all_harms_nobody() -> None:
    door = Door(site_of(20))
    population = begun(door.site, 20)
    live(population, door, DAY)
    verdict, diary = door.site.broker.state.verdict, population.diary
    assert (verdict.sessions_cut, verdict.logins_refused, diary.lost) == (0, 0, 0)
    assert diary.logouts > 100
    assert diary.disconnects == verdict.disconnects > 50
    assert diary.logins - verdict.logins > 30  # they came back to a session that had waited for them


def test_with_too_few_desktops_what_users_notice_is_what_the_broker_counts() -> None:
    door = Door(site_of(5))
    population = begun(door.site, 20)
    busiest = 0

    def count() -> None:
        nonlocal busiest
        busiest = max(busiest, sum(one.user is not None for one in door.site.broker.state.desktops))

    live(population, door, DAY, each=count)
    assert busiest == 5
    assert population.diary.refused == door.site.broker.state.verdict.logins_refused > 100
    users = [one.user for one in door.site.broker.state.desktops if one.user]
    assert len(users) == len(set(users))


def test_the_same_seed_is_the_same_day_and_another_is_another() -> None:
    days = []
    for seed in (7, 7, 8):
        door = Door(site_of(8))
        live(begun(door.site, 10, seed=seed), door, DAY)
        days.append(door.wishes)
    assert days[0] == days[1] != days[2]


def test_it_does_not_matter_how_often_time_is_looked_at() -> None:
    coarse, fine = Door(site_of(10)), Door(site_of(10))
    live(begun(fine.site, 10), fine, DAY)
    population = begun(coarse.site, 10)
    for _ in range(int(DAY // 600)):
        coarse.site.clock.sleep(600)
        population.advance(coarse, coarse.site.now().timestamp())
    assert coarse.wishes == fine.wishes


def test_who_loses_a_session_says_so_and_logs_in_again() -> None:
    door = Door(site_of(10))
    population = begun(door.site, 10)
    live(population, door, 4 * HOUR)
    on = [one.name for one in door.site.broker.state.desktops if one.session != "none"]
    for name in on:
        door.site.broker.machines.ended(name)
        door.site.broker.machines.booted(name)
    before = population.diary.lost
    live(population, door, DAY)
    assert door.site.broker.state.verdict.sessions_cut == len(on) > 0
    assert 0 < population.diary.lost - before <= len(on)


def test_a_portal_that_does_not_answer_is_tried_again() -> None:
    door = Door(site_of(5))
    population = begun(door.site, 5)
    door.closed = True
    live(population, door, HOUR)
    assert population.diary.no_answer > 10
    assert population.diary.logins == 0
    door.closed = False
    live(population, door, HOUR)
    assert population.diary.logins > 0


def test_nobody_new_comes_in_the_evening() -> None:
    door = Door(site_of(30))
    habits = replace(QUICK, evening_from=18.0, morning_at=7.0, returns=0.0)
    population = begun(door.site, 30, habits=habits)
    hours: list[float] = []
    known = 0

    def note() -> None:
        nonlocal known
        now = door.site.now()
        hours.extend([now.hour + now.minute / 60] * (population.diary.logins - known))
        known = population.diary.logins

    live(population, door, 3 * DAY, each=note)
    assert len(hours) > 200
    assert min(hours) >= 7
    assert max(hours) < 18


def test_who_never_leaves_stays() -> None:
    door = Door(site_of(10))
    live(begun(door.site, 10, habits=replace(QUICK, never_leaves=1.0)), door, 5 * DAY)
    assert [one.session for one in door.site.broker.state.desktops] == ["active"] * 10
    assert door.site.broker.state.verdict.logouts == 0


def test_in_real_time_they_rest_until_something_is_due_and_end_when_told() -> None:
    door = Door(site_of(5))
    population = Population(POOL, 5, seed=7, habits=QUICK)
    rests: list[float] = []

    def rest(seconds: float) -> bool:
        rests.append(seconds)
        door.site.clock.sleep(seconds)
        return len(rests) > 4000

    population.live(door, now=lambda: door.site.now().timestamp(), rest=rest, longest=5.0)
    assert max(rests) <= 5.0
    assert min(rests) >= 0.0
    assert population.diary.logins == door.site.broker.state.verdict.logins + returned(door) > 5


def returned(door: Door) -> int:
    """How often somebody came back to a session that was still there."""
    there: set[str] = set()
    found = 0
    for what, user in door.wishes:
        if what == "in":
            found += user in there
            there.add(user)
        elif what == "out":
            there.discard(user)
    return found


@pytest.mark.parametrize("users", [0, 1])
def test_the_smallest_populations(users: int) -> None:
    door = Door(site_of(1))
    population = begun(door.site, users)
    live(population, door, DAY)
    assert (population.next_at == float("inf")) == (users == 0)
    assert (population.diary.logins > 0) == (users == 1)
