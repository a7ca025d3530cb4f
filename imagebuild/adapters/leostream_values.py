"""Leostream's objects as our values: desktops of a pool as seats, a pool's provisioning, and the pool as it may be written back.

Of a desktop the interface tells a name, whether it is out of service, whose it is and a word of its agent; who is logged in is told
only as sums over the pool, counted now and then. So what it does not say is read as somebody being there.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from imagebuild.broker import Agent, Availability, Health, PoolSettings, Seat, Session
from imagebuild.errors import BrokerError, BrokerRefused

WRITABLE = (
    "name",
    "display_name",
    "notes",
    "running_desktops_threshold",
    "pool_definition",
    "provision",
    "domain",
    "log",
)
"""The fields of PoolBasicModel, which is what a PUT takes."""
_READ_ONLY = frozenset({"restrict_by_desc", "parent_pool_name"})
_MOVING = ("provision", "provision_vm_name_next_value")  # goes on by itself with each desktop that the broker makes


def read_seats(pool: Mapping[str, Any], name: str, *, zone: tzinfo, trust_unassigned: bool) -> list[Seat]:
    """The desktops of a pool. With more users logged in than desktops assigned, somebody sits where the broker shows nobody.

    Both sums are of the same counting, so an old one raises no false alarm. Such a user came around the broker ("rogue").
    """
    stats = pool.get("pool_stats") or {}
    observed_at = read_time(stats.get("counts_updated"), zone)
    assigned = stats.get("assigned_vm")
    people = [stats.get("total_logged_in"), stats.get("total_connected")]
    hidden = not trust_unassigned and any(
        isinstance(assigned, int) and isinstance(number, int) and number > assigned for number in people
    )
    seats = [
        _read_seat(item, name, observed_at)
        for item in pool.get("vms_list") or ()
        if isinstance(item, Mapping) and item.get("name")
    ]
    return [seat.distrusted() for seat in seats] if hidden else seats


def _read_seat(item: Mapping[str, Any], pool: str, observed_at: datetime | None) -> Seat:
    user = item.get("user_id")
    told = isinstance(user, int) and not isinstance(user, bool)
    session: Session = "none" if told and user == 0 else "unknown"
    availability: Availability = "unknown"
    if item.get("out_of_service") in (0, 1):
        availability = "unavailable" if item["out_of_service"] else "available"
    words = item.get("hda_status")
    agent: Agent = "unknown" if not isinstance(words, str) else "up" if words.strip() else "down"
    return Seat(
        name=str(item["name"]),
        pool=pool,
        broker_id=str(item.get("id", "")),
        assigned_user=f"user {user}" if told and user != 0 else None,
        session=session,
        availability=availability,
        agent=agent,
        observed_at=observed_at,
    )


def read_time(told: object, zone: tzinfo) -> datetime | None:
    """A moment in UTC; `zone` is where the broker's clock stands, for times that do not say it. None for what is no time."""
    try:
        moment = datetime.fromisoformat(str(told))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def read_settings(pool: Mapping[str, Any], name: str, *, image_name: str | None) -> PoolSettings:
    """How a pool provisions. Of the object only these fields are taken: it can hold a password."""
    provision = provision_of(pool)
    on, enforced, image = (
        provision.get(key) for key in ("provision_on_off", "provision_limits_enforce", "provision_vm_id")
    )
    pattern = provision.get("provision_vm_name")
    return PoolSettings(
        pool=name,
        image_name=image_name,
        image_id=None if not image else str(image),
        name_pattern=str(pattern) if pattern else None,
        next_value=_number(provision.get("provision_vm_name_next_value")),
        threshold=_number(provision.get("provision_threshold")),
        maximum=_number(provision.get("provision_max")),
        provisioning=None if on is None else bool(on),
        enforced=None if enforced is None else bool(enforced),
    )


def _number(told: object) -> int | None:
    return told if isinstance(told, int) and not isinstance(told, bool) else None


def provision_of(pool: Mapping[str, Any]) -> Mapping[str, Any]:
    """The pool's `provision` object; empty for a pool that has none."""
    told = pool.get("provision")
    return told if isinstance(told, Mapping) else {}


def center_of(pool: Mapping[str, Any]) -> int | None:
    """The id of the center that the pool provisions in."""
    center = provision_of(pool).get("center")
    return _number(center.get("id")) if isinstance(center, Mapping) else None


def read_health(told: Mapping[str, Any]) -> Health:
    """system/health: well when the broker says OK and nothing of it is down. A high load is told, and no reason to stop."""
    problems, down = [], False
    for name, part in sorted((told.get("components") or {}).items()):
        if not isinstance(part, Mapping):
            continue  # null: this broker has no such part
        down = down or any(part.get(key) == 0 for key in ("reachable", "running"))
        if part.get("msg") not in (None, "OK"):
            problems.append(f"{name}: {part['msg']}")
    words = (told.get("broker") or {}).get("msg")
    if words != "OK":
        problems.append(f"broker: {words or 'says nothing of itself'}")
    return Health(words == "OK" and not down, tuple(problems))


def writable(pool: Mapping[str, Any]) -> dict[str, Any]:
    """What of a pool goes back into a PUT: all of it, as nobody says whether what is left out stays or is emptied.

    Raises BrokerRefused where the broker gave asterisks for a password: they would be stored.
    """
    kept = {name: _without_read_only(pool[name]) for name in WRITABLE if name in pool}
    masked = next(
        (path for path, value in _leaves(kept) if isinstance(value, str) and value and not value.strip("*")), None
    )
    if masked:
        raise BrokerRefused(
            f"the broker masks {'.'.join(masked)} of the pool: writing the pool back would store the asterisks",
            hint="change this pool in the broker's own pages",
        )
    return kept


def differences(wanted: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
    """The names of the fields that are not stored as wanted; no values, as they can be secret. 1 and true are the same to it."""
    want, have = (dict(_leaves(each)) for each in (wanted, stored))
    paths = sorted((want.keys() | have.keys()) - {_MOVING})
    return [".".join(path) for path in paths if path not in want or path not in have or want[path] != have[path]]


def change_provision(pool: Mapping[str, Any], **fields: object) -> dict[str, Any]:
    """The pool to write back, with these fields of `provision` changed and nothing else."""
    kept = writable(pool)
    if not isinstance(kept.get("provision"), dict):
        raise BrokerError(
            "this pool has no provisioning in the broker", hint="set it up in the broker's own pages first"
        )
    return {**kept, "provision": {**kept["provision"], **fields}}


def _without_read_only(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_read_only(part) for key, part in value.items() if key not in _READ_ONLY}
    return [_without_read_only(part) for part in value] if isinstance(value, list) else value


def _leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every plain value with the names that lead to it; a list or object that is empty counts as a value."""
    parts: Sequence[tuple[str, Any]]
    if isinstance(value, Mapping) and value:
        parts = [(str(key), part) for key, part in value.items()]
    elif isinstance(value, list) and value:
        parts = [(str(number), part) for number, part in enumerate(value)]
    else:
        return [(path, value)]
    return [leaf for key, part in parts for leaf in _leaves(part, (*path, key))]
