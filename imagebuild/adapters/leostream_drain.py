"""Taking a desktop out of a Leostream pool and putting it back: what the interface leaves, having no call to mark one unavailable.

By a rule `name ne DESKTOP` in a pool that is defined by attributes, or by leaving it out of an ad hoc pool. Both change the pool's
definition, which nothing else may do at the same time, and what happens to a standing assignment is nowhere written: the
operator opts in. Putting back leaves the definition as it was (of an ad hoc pool: the same desktops, perhaps in another order).
"""

from collections.abc import Mapping
from typing import Any, Literal

from imagebuild.adapters.leostream_values import provision_of, writable
from imagebuild.broker import Seat
from imagebuild.errors import BrokerRefused

Drain = Literal["none", "attribute_rule", "adhoc"]


def offer(pool: Mapping[str, Any], seat: Seat, *, by: Drain, available: bool, refills: bool = False) -> dict[str, Any]:
    """The pool to write back, with this desktop in it or not. Raises BrokerRefused where the pool is not defined in that way.

    To leave one out is refused while the broker provisions: it would make a new one for each, unless that is what is wanted
    (`refills`). To put one back never is.
    """
    if not (available or refills) and provision_of(pool).get("provision_on_off"):
        raise BrokerRefused(
            f"could not take {seat.name} from offer: the broker provisions this pool, and would make another for it",
            hint="pause the provisioning first (pause_broker_provisioning)",
        )
    kept = writable(pool)
    definition = dict(kept.get("pool_definition") or {})
    change = _change_rules if by == "attribute_rule" else _change_list
    return {**kept, "pool_definition": change(definition, seat, available)}


def left_out(pool: Mapping[str, Any]) -> frozenset[str]:
    """The desktops (without case) that a rule keeps out of the pool."""
    definition = pool.get("pool_definition") or {}
    rules = definition.get("attributes") or ()
    return frozenset(
        str(rule.get("text_to_match")).casefold() for rule in rules if isinstance(rule, Mapping) and _keeps_out(rule)
    )


def parent_of(pool: Mapping[str, Any]) -> int | None:
    """The number of the pool above this one, which still has what a rule keeps out of it."""
    parent = (pool.get("pool_definition") or {}).get("parent_pool_id")
    return parent if isinstance(parent, int) else None


def _keeps_out(rule: Mapping[str, Any]) -> bool:
    return rule.get("vm_table_field") == "name" and rule.get("condition_type") == "ne"


def _change_rules(definition: dict[str, Any], seat: Seat, available: bool) -> dict[str, Any]:
    if definition.get("restrict_by") != "A" or definition.get("pool_attribute_join") != "A":
        raise BrokerRefused(
            "`drain: attribute_rule` needs a pool of desktops that match ALL of some attributes",
            hint="change the pool's definition in the broker, or take another `drain`",
        )
    rules = list(definition.get("attributes") or ())
    ours = [rule for rule in rules if _keeps_out(rule) and str(rule.get("text_to_match")).casefold() == seat.key]
    if available:
        rules = [rule for rule in rules if rule not in ours]
    elif not ours:
        rules.append({"vm_table_field": "name", "condition_type": "ne", "text_to_match": seat.name})
    return {**definition, "attributes": rules}


def _change_list(definition: dict[str, Any], seat: Seat, available: bool) -> dict[str, Any]:
    if definition.get("restrict_by") != "H":
        raise BrokerRefused(
            "`drain: adhoc` needs a pool whose desktops are named one by one",
            hint="change the pool's definition in the broker, or take another `drain`",
        )
    numbers = {int(number) for number in (seat.broker_id, *seat.duplicates) if number.isdecimal()}
    if not numbers:
        raise BrokerRefused(f"the broker's number of {seat.name} is not known", hint="read the pool's desktops anew")
    listed = list(definition.get("adhoc_vms") or ())
    if not available:
        listed = [one for one in listed if one.get("id") not in numbers]
    else:
        there = {one.get("id") for one in listed}
        listed += [{"id": number, "name": seat.name} for number in sorted(numbers - there)]
    return {**definition, "adhoc_vms": listed}
