"""What happens to the machines below the desktops, seen by the cloud and by the agents; a session on one that ends is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from imagebuild.lab.broker.cloud_view import Look, Machine
from imagebuild.lab.broker.state import Desktop, Incident, State

LATELY = 3600.0
"""Seconds for which a desktop that no center has is remembered by its agent's word alone."""


class Machines:
    """The machines of all desktops. What the broker itself knows of them comes later, with a scan."""

    def __init__(self, state: State, now: Callable[[], float]) -> None:
        self._state = state
        self._now = now
        self._looked_at: float | None = None

    def watch(self, look: Look) -> None:
        """Compare with the look before: a machine that is gone, does not run or was begun anew has ended what was on it."""
        there = {machine.id: machine for machine in look.machines}
        before = self._looked_at if self._looked_at is not None else self._now()
        self._looked_at = self._now()
        for desktop in self._state.desktops:
            if desktop.machine is not None:
                self._compare(desktop, there.get(desktop.machine), before)

    def _compare(self, desktop: Desktop, machine: Machine | None, before: float) -> None:
        if machine is None:
            self._end(desktop, "its machine is gone", self._now())
            desktop.running = False
            return
        if desktop.mark and machine.mark != desktop.mark:
            self._end(desktop, "its machine was begun anew", before)
        elif not machine.running and desktop.running:
            self._end(desktop, "its machine was stopped", self._now())
        desktop.running, desktop.mark = machine.running, machine.mark

    def ended(self, name: str, why: str = "its machine was ended") -> None:
        """Said by who ends it: everything under this name stands still."""
        for desktop in self._state.named(name):
            self._end(desktop, why, self._now())
            desktop.running = False

    def booted(self, name: str) -> None:
        """Said by who drives it: the newest record of this name runs, and its agent has reported."""
        desktop = self._state.named(name)[-1]
        desktop.running = desktop.agent = True

    def hear(self, registrations: Iterable[Mapping[str, Any]]) -> None:
        """Agents that have reported since the last time. An agent reports once a start: under a session it means that the machine was
        started anew. One that nobody knows is a desktop that no center has, if it reported lately."""
        for said in registrations:
            at, name = moment_of(said.get("at")), said.get("name")
            if not isinstance(name, str) or not name or at <= self._state.heard.get(name.casefold(), 0.0):
                continue
            self._state.heard[name.casefold()] = at
            if self._state.named(name) or at > self._now() - LATELY:
                self._report(name, at)

    def _report(self, name: str, at: float) -> None:
        known = self._state.named(name)
        if not known:
            known = [Desktop(self._state.new_id(), name)]
            self._state.desktops += known
        desktop = known[-1]
        if desktop.session != "none" and desktop.session_since < at:
            self._end(desktop, "its machine was started anew", at)
        if at >= desktop.silent_since:
            desktop.agent = True

    def _end(self, desktop: Desktop, why: str, at: float) -> None:
        if desktop.session != "none":
            self._state.verdict.note(Incident("sessions_cut", desktop.user or "?", desktop.name, self._now(), why))
            desktop.user, desktop.session, desktop.assigned = None, "none", 0
        if desktop.agent:
            desktop.agent, desktop.silent_since = False, at


def moment_of(told: object) -> float:
    """Unix seconds of an ISO time, which is UTC where it does not say; 0 for anything else."""
    try:
        moment = datetime.fromisoformat(str(told))
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
