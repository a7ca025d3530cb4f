"""What a seat means: unknown is busy, several records of one name are read with care, old news is no news."""

from datetime import UTC, datetime, timedelta

import pytest

from imagebuild.broker import Agent, Availability, Seat, Session, distrust_old, one_a_name

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


@pytest.mark.parametrize(
    ("user", "session", "busy"),
    [
        (None, "none", False),
        (None, "unknown", True),
        (None, "active", True),
        (None, "disconnected", True),
        ("ann", "none", True),
        ("", "none", True),
    ],
)
def test_only_what_is_nobodys_and_has_no_session_is_free(user: str | None, session: Session, busy: bool) -> None:
    assert Seat(name="d", pool="p", assigned_user=user, session=session).busy is busy


def test_a_seat_of_which_only_the_name_is_known_is_busy() -> None:
    assert Seat(name="d", pool="p").busy


def test_upper_and_lower_case_are_one_name() -> None:
    assert Seat(name="DESKTOP-1", pool="p").key == Seat(name="desktop-1", pool="p").key


def test_single_records_stay_as_they_are_in_their_order() -> None:
    seats = (Seat(name="b", pool="p", session="none"), Seat(name="a", pool="p", broker_id="7"))
    assert one_a_name(seats) == seats


@pytest.mark.parametrize(
    ("sessions", "busiest"),
    [
        (("none", "active"), "active"),
        (("unknown", "disconnected"), "disconnected"),
        (("none", "unknown"), "unknown"),
        (("none", "none"), "none"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_of_several_records_the_busiest_counts(sessions: tuple[Session, ...], busiest: str, turned: bool) -> None:
    records = [Seat(name="d", pool="p", session=session) for session in sessions]
    (seat,) = one_a_name(reversed(records) if turned else records)
    assert seat.session == busiest


@pytest.mark.parametrize(
    ("told", "merged"),
    [
        (("available", "unavailable"), "available"),
        (("unknown", "unavailable"), "unknown"),
        (("unavailable", "unavailable"), "unavailable"),
    ],
)
def test_what_is_offered_under_any_record_is_offered(told: tuple[Availability, ...], merged: str) -> None:
    (seat,) = one_a_name(Seat(name="d", pool="p", availability=one) for one in told)
    assert seat.availability == merged


@pytest.mark.parametrize(
    ("told", "merged"), [(("up", "up"), "up"), (("up", "down"), "unknown"), (("down", "down"), "down")]
)
def test_agents_of_one_name_that_disagree_are_unknown(told: tuple[Agent, ...], merged: str) -> None:
    (seat,) = one_a_name(Seat(name="d", pool="p", agent=one) for one in told)
    assert seat.agent == merged


def test_duplicates_are_named_and_the_oldest_look_counts() -> None:
    records = [
        Seat(name="d", pool="p", broker_id="1", observed_at=NOW),
        Seat(name="D", pool="p", broker_id="2", observed_at=NOW - QUARTER, assigned_user="ann"),
        Seat(name="d", pool="p", broker_id="3", observed_at=NOW),
    ]
    (seat,) = one_a_name(records)
    assert (seat.broker_id, seat.duplicates, seat.assigned_user) == ("1", ("2", "3"), "ann")
    assert seat.observed_at == NOW - QUARTER
    (undated,) = one_a_name([*records, Seat(name="d", pool="p")])
    assert undated.observed_at is None


@pytest.mark.parametrize(
    ("age", "busy"),
    [
        (timedelta(0), False),
        (QUARTER, False),
        (QUARTER + timedelta(seconds=1), True),
        (-QUARTER, False),
        (-QUARTER - timedelta(seconds=1), True),
        (None, True),
    ],
)
def test_old_news_that_nobody_is_there_is_not_believed(age: timedelta | None, busy: bool) -> None:
    seat = Seat(name="d", pool="p", session="none", observed_at=None if age is None else NOW - age)
    (read,) = distrust_old([seat], now=NOW, max_age=QUARTER)
    assert read.busy is busy


def test_only_a_look_from_after_a_moment_says_something_about_it() -> None:
    seat = Seat(name="d", pool="p", observed_at=NOW)
    assert seat.seen_after(NOW - QUARTER)
    assert seat.seen_after(NOW)
    assert not seat.seen_after(NOW + timedelta(seconds=1))
    assert not Seat(name="d", pool="p").seen_after(NOW)


def test_old_news_of_somebody_is_kept() -> None:
    seat = Seat(name="d", pool="p", session="disconnected", assigned_user="ann")
    assert distrust_old([seat], now=NOW, max_age=QUARTER) == (seat,)
