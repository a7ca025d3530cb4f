"""What is wrong with a pool that somebody wants to store, in the words and places that the interface has for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from imagebuild.lab.broker.membership import CONDITIONS, NAMES

Problem = dict[str, str]

_INTEGERS = (
    "provision_threshold",
    "provision_max",
    "provision_vm_id",
    "provision_vm_name_next_value",
    "provision_server_id",
    "provision_tenant_id",
)
_TEXTS = {"provision_vm_name": 255, "provision_vm_display_name": 255, "provision_url": 4095}
_SWITCHES = ("provision_limits_enforce", "mark_deletable", "mark_unavailable")
_POOL_TEXTS = {"display_name": 255, "notes": 4095}
_KINDS = {"A": "attributes", "H": "ad hoc", "C": "centers"}


def find_problems(pool: Mapping[str, Any], *, has_image: Callable[[object], bool], center: int) -> list[Problem]:
    """One line a field, as `{"path": "/body/...", "message": ...}`; an empty list for a pool that can be stored."""
    return [
        {"path": f"/body/{path}", "message": message}
        for path, message in (
            *_check_words(pool),
            *_check_definition(pool.get("pool_definition")),
            *_check_provision(pool.get("provision"), has_image, center),
        )
    ]


def _check_words(pool: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    name = pool.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= 100:
        yield "name", "Please enter a name of at most 100 characters"
    for field, longest in _POOL_TEXTS.items():
        if field in pool and (not isinstance(pool[field], str) or len(pool[field]) > longest):
            yield field, f"Expected text of at most {longest} characters"


def _check_definition(definition: object) -> Iterator[tuple[str, str]]:
    if not isinstance(definition, Mapping):
        yield "pool_definition", "Expected an object"
        return
    if definition.get("restrict_by") not in _KINDS:
        yield "pool_definition/restrict_by", f"This stand-in knows only {', '.join(_KINDS)}"
    if definition.get("pool_attribute_join", "A") not in ("A", "O"):
        yield "pool_definition/pool_attribute_join", "Not in enum list: A, O"
    for number, rule in enumerate(_list(definition, "attributes")):
        place = f"pool_definition/attributes/{number}"
        if not isinstance(rule, Mapping) or rule.get("vm_table_field") not in NAMES:
            yield f"{place}/vm_table_field", f"This stand-in knows only {', '.join(NAMES)}"
        elif rule.get("condition_type") not in CONDITIONS:
            yield f"{place}/condition_type", f"This stand-in knows only {', '.join(CONDITIONS)}"
    for number, one in enumerate(_list(definition, "adhoc_vms")):
        if not isinstance(one, Mapping) or not _is_integer(one.get("id")):
            yield f"pool_definition/adhoc_vms/{number}/id", "Expected integer"


def _check_provision(told: object, has_image: Callable[[object], bool], center: int) -> Iterator[tuple[str, str]]:
    if told is None:
        return
    if not isinstance(told, Mapping):
        yield "provision", "Expected an object"
        return
    on = told.get("provision_on_off")
    if on not in (0, 1) or not isinstance(on, (int, bool)):
        yield "provision/provision_on_off", "Missing property" if on is None else "Expected 0 or 1"
    yield from (
        (f"provision/{one}", "Expected integer") for one in _INTEGERS if one in told and not _is_integer(told[one])
    )
    yield from ((f"provision/{one}", "Expected 0 or 1") for one in _SWITCHES if one in told and told[one] not in (0, 1))
    for field, longest in _TEXTS.items():
        if field in told and (not isinstance(told[field], str) or len(told[field]) > longest):
            yield f"provision/{field}", f"Expected text of at most {longest} characters"
    if on == 1 and not has_image(told.get("provision_vm_id")):
        yield "provision/provision_vm_id", "Please select a template"
    place = told.get("center")
    if place is not None and (not isinstance(place, Mapping) or place.get("id") != center):
        yield "provision/center/id", "Please select a center"


def _list(told: Mapping[str, Any], name: str) -> list[Any]:
    found = told.get(name)
    return found if isinstance(found, list) else []


def _is_integer(told: object) -> bool:
    return isinstance(told, int) and not isinstance(told, bool)
