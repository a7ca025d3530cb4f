"""What a roll costs for each desktop, as counts of a simulated roll: nothing here looks at a real clock."""

import pytest

from tests.benchmarks.pool_model import Model, Outcome, Pace, a_model, longest_of

SIZE = 300


@pytest.fixture(scope="module")
def rolled() -> Outcome:
    """A pool that nobody uses, at night."""
    return a_model(SIZE).run()


def test_every_desktop_is_moved(rolled: Outcome) -> None:
    assert (rolled.ending, rolled.done) == ("completed", SIZE)


def test_a_desktop_costs_few_calls_beyond_its_rebuild(rolled: Outcome) -> None:
    assert rolled.calls["rebuild_server"] == SIZE
    assert rolled.calls_beyond <= 6


def test_no_desktop_is_asked_about_again_and_again(rolled: Outcome) -> None:
    assert rolled.calls["server"] == SIZE, "one last look at each, right before the act"
    assert rolled.calls["set_server_metadata"] == 2 * SIZE + 3, (
        "when it is taken in hand and given back; some that all is over"
    )
    assert rolled.calls["console_log"] == SIZE


def test_a_turn_is_one_listing_and_few_questions(rolled: Outcome) -> None:
    turns = rolled.seconds / 15 + 5
    assert rolled.calls["servers"] <= turns
    assert rolled.questions["seats"] <= 3 * turns
    assert rolled.questions["set_available"] == 2 * SIZE


def test_it_is_nearly_as_short_as_its_rules_allow(rolled: Outcome) -> None:
    assert rolled.of_ideal >= 0.9


def test_a_larger_pool_asks_no_more_for_each_desktop(rolled: Outcome) -> None:
    larger = a_model(2 * SIZE).run()
    assert larger.calls_each < rolled.calls_each
    assert larger.seconds < 1.1 * rolled.seconds, "its batches are larger, too"


def test_replacing_costs_few_calls_beyond_delete_port_and_create() -> None:
    replaced = a_model(SIZE, method="replace").run()
    assert (replaced.ending, replaced.done) == ("completed", SIZE)
    assert replaced.calls_beyond <= 6
    assert replaced.of_ideal >= 0.9


def test_among_users_nobody_is_cut_off_and_nobody_finds_no_desktop() -> None:
    crowded = a_model(100, busy=0.4, min_available=20).run()
    assert (crowded.ending, crowded.done) == ("completed", 100)
    assert crowded.logins > 100
    assert (crowded.cut, crowded.refused) == (0, 0)


def test_the_ideal_schedule_is_what_it_says() -> None:
    assert longest_of([10.0, 10.0, 10.0], places=2, pause=5.0) == 25.0
    model = a_model(11)
    assert isinstance(model, Model) and model.limit == 1
    model.paces = {name: Pace(rebuild=30, agent=27) for name in model.site.names}
    each = 60 + (30 + 3 + 27) + 60
    assert model.ideal_seconds() == each + 60 + 10 * each + 9 * 30
