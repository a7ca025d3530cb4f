"""When Microsoft publishes updates, as far as a calendar can tell: what is known of Windows Update without asking a Windows."""

from datetime import UTC, date, datetime, timedelta

_TUESDAY = 1


def patch_tuesday(year: int, month: int) -> date:
    """The second Tuesday of a month: the day of the month's cumulative updates."""
    first = date(year, month, 1)
    return first + timedelta(days=(_TUESDAY - first.weekday()) % 7 + 7)


def last_patch_tuesday(at: datetime) -> date:
    """The newest Patch Tuesday whose updates are out everywhere at that moment.

    They come at 10:00 in Redmond, which is 17:00 or 18:00 UTC; it counts from the next UTC day on, when also a WSUS that
    synchronises at night has them.
    """
    day = at.astimezone(UTC).date() - timedelta(days=1)
    this_month = patch_tuesday(day.year, day.month)
    if this_month <= day:
        return this_month
    last_month = day.replace(day=1) - timedelta(days=1)
    return patch_tuesday(last_month.year, last_month.month)


def period(at: datetime, *, days: int) -> date:
    """The first day of the period of so many days that the moment lies in; periods are counted from the year 1 on, in UTC."""
    today = at.astimezone(UTC).date()
    return today - timedelta(days=today.toordinal() % days)
