"""Numbers as people write them in a pool file: `10%` or `3` of a pool, `90s`, `30m` or `24h` of time."""

import math
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Share:
    """So many of a pool, or so many percent of it."""

    number: int
    percent: bool = False

    def of(self, total: int) -> int:
        """How many that is of `total`, rounded down: a share never takes more than it says (as Kubernetes does for maxUnavailable)."""
        return math.floor(total * self.number / 100) if self.percent else self.number

    def __str__(self) -> str:
        return f"{self.number}%" if self.percent else str(self.number)


def parse_share(value: Any) -> Share:
    """A Share from `10%`, `"3"` or 3. Raises ValueError with words for a person."""
    if isinstance(value, Share):
        return value
    match = re.fullmatch(r"(\d{1,6})\s*(%?)", str(value).strip()) if isinstance(value, int | str) else None
    if match is None or isinstance(value, bool):
        raise ValueError("must be a number of desktops (3) or a share of the pool (10%)")
    share = Share(int(match[1]), percent=bool(match[2]))
    if share.percent and share.number > 100:
        raise ValueError("must be at most 100%")
    return share


def parse_duration(value: Any) -> timedelta:
    """A time from `90s`, `30m`, `24h`, `2d` or 0. Raises ValueError with words for a person."""
    if isinstance(value, timedelta):
        return value
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if text == "0":
        return timedelta(0)
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)\s*([smhd])", text)
    if match is None:
        raise ValueError("must be a number with its unit: 90s, 30m, 24h or 2d")
    return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])


def duration_words(duration: timedelta) -> str:
    """A time as a pool file has it, in the largest unit that it is a whole number of."""
    seconds = round(duration.total_seconds())
    for unit, size in reversed(_SECONDS.items()):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return "0" if not seconds else f"{seconds}s"


def lasting(duration: timedelta) -> str:
    """A time for a person to read, to the minute: `1 h 40 min`, `45 min`, `30 s`."""
    seconds = round(duration.total_seconds())
    if seconds < 90:
        return f"{seconds} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join(filter(None, (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "")))


def count_of(number: int, what: str, many: str = "") -> str:
    """`1 desktop`, `3 desktops`; `many`: the plural where it is not made by an `s`."""
    return f"{number} {what if number == 1 else many or what + 's'}"


PoolShare = Annotated[Share, BeforeValidator(parse_share), PlainSerializer(str, return_type=str)]
Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(duration_words, return_type=str)]
