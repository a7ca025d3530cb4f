"""A time of day in which desktops may be begun, as people say it: 22:00-05:00 in their own time zone, on some days or all."""

import re
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from imagebuild.complaints import written
from imagebuild.recipe_header import Section, TimeZone

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Window(Section):
    """`hours` are FROM-TO by the wall clock of `time_zone`, over midnight when TO is the earlier; `days` are those that it begins on."""

    hours: Annotated[str, written(f"{_CLOCK}-{_CLOCK}", "must be hours and minutes, FROM-TO: 22:00-05:00")] = Field(
        description="22:00-05:00: over midnight, where the end is the earlier"
    )
    time_zone: TimeZone = Field(description="an IANA name: Asia/Seoul, Europe/Berlin, UTC")
    days: tuple[Day, ...] = Field(default=DAYS, min_length=1, description="on which it begins: mon-fri, or a list")

    @field_validator("hours")
    @classmethod
    def _hours(cls, value: str) -> str:
        begin, end = value.split("-")
        if begin == end:
            raise ValueError("begins and ends at the same minute: leave the window out for any time")
        return value

    @field_validator("days", mode="before")
    @classmethod
    def _days(cls, value: Any) -> Any:
        """`mon-fri` or `sat, sun` in place of a list."""
        if not isinstance(value, str):
            return value
        if match := re.fullmatch(r"(\w{3})\s*-\s*(\w{3})", value.strip().lower()):
            first, last = match.groups()
            if first in DAYS and last in DAYS:
                begin, length = DAYS.index(first), (DAYS.index(last) - DAYS.index(first)) % 7 + 1
                return [DAYS[(begin + number) % 7] for number in range(length)]
        named = re.split(r"[,\s]+", value.strip().lower())
        if not set(named) <= set(DAYS):
            raise ValueError(f"must be days, from one to another (mon-fri) or a list of {', '.join(DAYS)}")
        return named

    @property
    def begin(self) -> time:
        """When it opens, by its own clock."""
        return time.fromisoformat(self.hours.split("-")[0])

    @property
    def end(self) -> time:
        """When it closes, by its own clock."""
        return time.fromisoformat(self.hours.split("-")[1])

    def is_open(self, now: datetime) -> bool:
        """May something be begun at this moment (aware)? The closing minute is outside."""
        local = now.astimezone(ZoneInfo(self.time_zone))
        clock, today = local.time(), local.weekday()
        if self.begin < self.end:
            return self.begin <= clock < self.end and DAYS[today] in self.days
        if clock >= self.begin:
            return DAYS[today] in self.days
        return clock < self.end and DAYS[today - 1] in self.days

    def opens_after(self, now: datetime) -> datetime:
        """The next moment at which it is open: `now` itself when it is. One that summer time skips is as much later."""
        if self.is_open(now):
            return now
        zone = ZoneInfo(self.time_zone)
        today = now.astimezone(zone).date()
        openings = (datetime.combine(today + timedelta(days=number), self.begin, tzinfo=zone) for number in range(9))
        return next(
            moment.astimezone(now.tzinfo)
            for moment in openings
            if moment.timestamp() > now.timestamp() and DAYS[moment.weekday()] in self.days
        )

    def __str__(self) -> str:
        days = "" if set(self.days) == set(DAYS) else f" {','.join(self.days)}"
        return f"{self.hours} {self.time_zone}{days}"
