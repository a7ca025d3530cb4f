"""The broker's pools: told with counts that are as old as the last counting, stored after a check, and kept filled."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from imagebuild.lab.broker.center import Center
from imagebuild.lab.broker.membership import ROOT, members
from imagebuild.lab.broker.pool_checks import Problem, find_problems
from imagebuild.lab.broker.state import Desktop, State

FIELDS = (
    "name",
    "display_name",
    "notes",
    "running_desktops_threshold",
    "pool_definition",
    "provision",
    "domain",
    "log",
)
_READ_ONLY = ("restrict_by_desc", "parent_pool_name")
_DESCRIPTIONS = {"A": "Attributes", "H": "Desktops", "C": "Centers"}
JOBS_REST = 30.0
"""Seconds without new orders after the cloud has refused one."""
KEPT_JOBS = 100
_RUNNING = 22  # the only status that an example of the interface shows; what others mean is nowhere written


class Pools:
    """All pools."""

    def __init__(self, state: State, center: Center, now: Callable[[], float]) -> None:
        self._state = state
        self._center = center
        self._now = now
        self._removed: set[str] = set()
        self._rests_until = 0.0
        self.jobs: deque[dict[str, Any]] = deque(maxlen=KEPT_JOBS)
        """What could not be done, the last one last: a machine to be made or removed, when, and what the cloud said."""
        root = {"name": "All Desktops", "pool_definition": {"restrict_by": "C", "parent_pool_id": 0}}
        state.pools.setdefault(ROOT, root)

    def add(self, told: Mapping[str, Any]) -> int:
        """Store a new pool, unchecked. Gives its number."""
        number = self._state.new_id()
        self._store(number, told)
        return number

    def change(self, number: int, told: Mapping[str, Any], *, empties: bool) -> None:
        """Store what is named; what is not named stays, or is emptied."""
        kept = self._state.pools[number]
        required = {name: kept[name] for name in ("name", "pool_definition")}
        self._store(number, {**(required if empties else kept), **told})

    def remove(self, name: str) -> list[str]:
        """Forget the pool of this name; gives the names of its desktops. Raises KeyError when there is none, ValueError for that of all."""
        number = next((one for one, pool in self._state.pools.items() if pool["name"] == name), None)
        if number is None:
            raise KeyError(name)
        if number == ROOT:
            raise ValueError("the pool of all desktops stays")
        there = [one.name for one in members(self._state, number, self._state.desktops)]
        del self._state.pools[number]
        return there

    def problems(self, told: Mapping[str, Any], number: int | None = None) -> list[Problem]:
        """What is wrong with a pool that is to be stored under this number."""
        whole = {**self._state.pools[number], **told} if number is not None else told
        problems = find_problems(
            whole, has_image=lambda one: self._center.image_name(one) is not None, center=self._center.settings.id
        )
        if not problems and not self._reaches_root(self._parent(whole) or ROOT, number):
            problems.append({"path": "/body/pool_definition/parent_pool_id", "message": "Please select a pool above"})
        return problems

    def is_taken(self, name: object, number: int | None = None) -> bool:
        """Does another pool have this name?"""
        return any(pool["name"] == name and one != number for one, pool in self._state.pools.items())

    def count(self) -> None:
        """Count anew: what pools tell of their desktops is as of now. With it, provisioning looks whether there are enough."""
        self._state.counted_at = self._now()
        self._state.counted = [replace(desktop) for desktop in self._state.desktops]
        for number in self._state.pools:
            self.fill(number)

    def fill(self, number: int) -> None:
        """Order new machines while fewer than the threshold are nobody's; with enforced limits let go of those that are too many."""
        provision = self._state.pools[number].get("provision") or {}
        if not provision.get("provision_on_off") or self._now() < self._rests_until:
            return
        there = members(self._state, number, self._state.desktops)
        ordered = sum(name == self._state.pools[number]["name"] for name in self._state.ordered.values())
        unassigned = [one for one in there if not one.assigned and one.session == "none"]
        threshold, most = (int(provision.get(key) or 0) for key in ("provision_threshold", "provision_max"))
        missing = min(threshold - len(unassigned) - ordered, most - len(there) - ordered)
        for _ in range(missing):
            self._order(number, provision)
        if provision.get("provision_limits_enforce"):
            left = [one for one in unassigned if one.machine is not None and one.machine not in self._removed]
            going = len(unassigned) - len(left)
            excess = max(len(unassigned) - threshold, len(there) - most, 0) - going
            for one in left[len(left) - excess :] if excess > 0 else ():
                self._removed.add(str(one.machine))
                self._state.wishes.append(["remove", [one.machine]])

    def give_up(self, call: str, what: str, why: str) -> None:
        """A job has failed. The machine may be ordered again, under the next number, but not at once."""
        self.jobs.append({"job": call, "what": what, "at": self._now(), "problem": why})
        self._state.ordered.pop(what.casefold(), None)
        self._removed.discard(what)
        self._rests_until = self._now() + JOBS_REST

    def _order(self, number: int, provision: Mapping[str, Any]) -> None:
        value = int(provision.get("provision_vm_name_next_value") or 1)
        name = str(provision.get("provision_vm_name") or "desktop-{SEQUENCE}").replace("{SEQUENCE}", str(value))
        self._state.pools[number]["provision"]["provision_vm_name_next_value"] = value + 1
        self._state.ordered[name.casefold()] = self._state.pools[number]["name"]
        image = self._center.image_name(provision.get("provision_vm_id")) or ""
        self._state.wishes.append(["make", [name, image, copy.deepcopy(dict(provision))]])

    def list_all(self) -> list[dict[str, Any]]:
        """The short form of each."""
        return [
            {"id": number, "name": pool["name"], "parent_pool_id": self._parent(pool), **self._stats(number)}
            for number, pool in self._state.pools.items()
        ]

    def tell(self, number: int) -> dict[str, Any]:
        """The whole pool, with the desktops that are in it by now as they were when they were last counted."""
        told = copy.deepcopy(self._state.pools[number])
        definition = told["pool_definition"]
        definition["restrict_by_desc"] = _DESCRIPTIONS[definition["restrict_by"]]
        counted_at = datetime.fromtimestamp(self._state.counted_at, UTC).isoformat()
        return {
            "id": number,
            **told,
            "is_root": int(number == ROOT),
            "read_only": int(number == ROOT),
            "pool_stats": {"counts_updated": counted_at, **self._stats(number)},
            "vms_list": [_item(desktop) for desktop in self._counted(number)],
        }

    def _store(self, number: int, told: Mapping[str, Any]) -> None:
        kept = {name: copy.deepcopy(told[name]) for name in FIELDS if name in told}
        definition = kept["pool_definition"]
        for name in _READ_ONLY:
            definition.pop(name, None)
        definition.setdefault("parent_pool_id", ROOT)
        self._state.pools[number] = kept
        self.fill(number)

    def _stats(self, number: int) -> dict[str, int]:
        there = self._counted(number)
        assigned, away = (
            sum(bool(one.assigned) for one in there),
            sum(one.out_of_service for one in there if not one.assigned),
        )
        running = sum(one.running for one in there)
        return {
            "total_vm": len(there),
            "assigned_vm": assigned,
            "unavailable_vm": away,
            "available_vm": len(there) - assigned - away,
            "total_vm_running": running,
            "total_vm_stopped": len(there) - running,
            "total_vm_suspended": 0,
            "total_agent_running": sum(one.agent for one in there),
            "total_logged_in": sum(one.session != "none" for one in there),
            "total_connected": sum(one.session == "active" for one in there),
        }

    def _counted(self, number: int) -> list[Desktop]:
        return members(self._state, number, self._state.counted)

    def _reaches_root(self, above: int, number: int | None) -> bool:
        """Do the pools above end in that of all desktops, and not in this one?"""
        while above != ROOT:
            if above == number or above not in self._state.pools:
                return False
            above = self._parent(self._state.pools[above])
        return True

    @staticmethod
    def _parent(pool: Mapping[str, Any]) -> int:
        return int(pool["pool_definition"].get("parent_pool_id") or 0)


def _item(desktop: Desktop) -> dict[str, Any]:
    return {
        "id": desktop.id,
        "name": desktop.name,
        "display_name": desktop.name,
        "hda_status": "Running" if desktop.agent else "",
        "out_of_service": int(desktop.out_of_service),
        "status": _RUNNING,
        "user_id": desktop.assigned,
    }
