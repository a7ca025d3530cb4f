"""Patch Tuesday: the second Tuesday of a month, counted from the next UTC day on."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from imagebuild.patch_days import last_patch_tuesday, patch_tuesday, period


@pytest.mark.parametrize(
    ("year", "month", "day"),
    [(2026, 9, 8), (2026, 10, 13), (2026, 11, 10), (2026, 12, 8), (2027, 1, 12), (2025, 4, 8), (2024, 2, 13)],
)
def test_the_second_tuesday_of_the_month(year: int, month: int, day: int) -> None:
    assert patch_tuesday(year, month) == date(year, month, day)


def test_every_one_is_a_tuesday_of_the_second_week() -> None:
    days = [patch_tuesday(year, month) for year in range(2020, 2040) for month in range(1, 13)]
    assert {day.weekday() for day in days} == {1}
    assert {day.day for day in days} == set(range(8, 15))


@pytest.mark.parametrize(
    ("at", "last"),
    [
        (datetime(2026, 11, 10, 23, 59, tzinfo=UTC), date(2026, 10, 13)),
        (datetime(2026, 11, 11, 0, 0, tzinfo=UTC), date(2026, 11, 10)),
        (datetime(2026, 11, 30, 12, 0, tzinfo=UTC), date(2026, 11, 10)),
        (datetime(2026, 12, 1, 0, 0, tzinfo=UTC), date(2026, 11, 10)),
        (datetime(2027, 1, 1, 0, 0, tzinfo=UTC), date(2026, 12, 8)),
        (datetime(2026, 3, 1, 0, 0, tzinfo=UTC), date(2026, 2, 10)),
        # 09:00 in Seoul on the 11th is midnight UTC; an hour before it is still the 10th
        (datetime(2026, 11, 11, 9, 0, tzinfo=timezone(timedelta(hours=9))), date(2026, 11, 10)),
        (datetime(2026, 11, 11, 8, 0, tzinfo=timezone(timedelta(hours=9))), date(2026, 10, 13)),
    ],
)
def test_it_counts_from_the_next_utc_day_on(at: datetime, last: date) -> None:
    assert last_patch_tuesday(at) == last


def test_periods_have_their_length_and_follow_each_other() -> None:
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    starts = [period(noon + timedelta(days=n), days=7) for n in range(28)]
    assert len(set(starts)) in (4, 5)
    assert all(
        timedelta(0) <= (noon + timedelta(days=n)).date() - start < timedelta(7) for n, start in enumerate(starts)
    )
    assert period(noon, days=1) == noon.date()
