"""Rows that people and their programs write about desktops, as seats.

Columns: name, user, session, availability; perhaps agent, id and observed_at.

A word that is not one of ours, and one that is missing, count as unknown; and unknown is busy. Who means "nobody" writes `none`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast, get_args

from imagebuild.broker import Agent, Availability, Seat, Session


def read_row(row: Mapping[str, object], pool: str, *, observed_at: datetime) -> Seat | None:
    """One desktop; None for a row without a name. `observed_at` is for rows that have no time of their own."""
    told = {str(key).strip().casefold(): _text(value) for key, value in row.items() if key is not None}
    if not told.get("name"):
        return None
    words = told.get("session", "").casefold()
    session = cast("Session", words if words in get_args(Session) else "unknown")
    words = told.get("availability", "").casefold()
    availability = cast("Availability", words if words in get_args(Availability) else "unknown")
    words = told.get("agent", "").casefold()
    return Seat(
        name=told["name"],
        pool=pool,
        broker_id=told.get("id", ""),
        assigned_user=told.get("user") or None,
        session=session,
        availability=availability,
        agent=cast("Agent", words if words in get_args(Agent) else "unknown"),
        observed_at=read_moment(told["observed_at"]) if told.get("observed_at") else observed_at,
    )


def read_moment(told: str) -> datetime | None:
    """An ISO time with its offset, in UTC. None for anything else: whose clock is meant would be a guess."""
    try:
        moment = datetime.fromisoformat(told)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else None


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
