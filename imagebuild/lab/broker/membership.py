"""Which desktops are in a pool by its definition: attributes that match, desktops named one by one, or a whole center."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from imagebuild.lab.broker.state import Desktop, State

ROOT = 1
"""The pool of all desktops, which every other pool is below."""
NAMES = ("name", "display_name", "windows_name")
CONDITIONS: Mapping[str, Callable[[str, str], bool]] = {
    "eq": lambda told, text: told == text,
    "ne": lambda told, text: told != text,
    "ct": lambda told, text: text in told,
    "nc": lambda told, text: text not in told,
    "bw": lambda told, text: told.startswith(text),
    "ew": lambda told, text: told.endswith(text),
}


def members(state: State, pool: int, desktops: Iterable[Desktop]) -> list[Desktop]:
    """Those of `desktops` that are in the pool, and in all pools above it."""
    while pool != ROOT and pool in state.pools:
        definition = state.pools[pool]["pool_definition"]
        desktops = [desktop for desktop in desktops if _belongs(definition, desktop)]
        pool = int(definition.get("parent_pool_id") or ROOT)
    return list(desktops)


def _belongs(definition: Mapping[str, Any], desktop: Desktop) -> bool:
    kind = definition["restrict_by"]
    if kind == "H":
        return desktop.id in {one.get("id") for one in definition.get("adhoc_vms") or ()}
    if kind == "C":
        return desktop.machine is not None
    found = [_matches(rule, desktop) for rule in definition.get("attributes") or ()]
    return all(found) if definition.get("pool_attribute_join", "A") == "A" else any(found)


def _matches(rule: Mapping[str, Any], desktop: Desktop) -> bool:
    return CONDITIONS[rule["condition_type"]](desktop.key, str(rule.get("text_to_match", "")).casefold())
