"""The stand-in broker put together: one state, its parts, one clock; `go_on` is all that happens by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from imagebuild.lab.broker.center import Center, CenterSettings
from imagebuild.lab.broker.cloud_view import CloudView, NoCloud, Refused
from imagebuild.lab.broker.machines import Machines
from imagebuild.lab.broker.membership import ROOT, members
from imagebuild.lab.broker.pools import Pools
from imagebuild.lab.broker.seating import Seating
from imagebuild.lab.broker.state import State
from imagebuild.lab.broker.troubles import Troubles

COUNT_SECONDS = 60.0


class ConnectionBroker:
    """`now` gives Unix seconds, of the wall or simulated. `registrations` gives what agents have said, all of it, each time.

    `lock` is for whoever asks from several threads: everything but `go_on`, which takes it itself, and never while it asks the cloud.
    """

    def __init__(
        self,
        state: State | None = None,
        *,
        now: Callable[[], float],
        cloud: CloudView | None = None,
        registrations: Callable[[], Iterable[Mapping[str, Any]]] = tuple,
        center: CenterSettings | None = None,
        count_seconds: float = COUNT_SECONDS,
    ) -> None:
        self.state = state or State()
        self.now = now
        self.lock = threading.RLock()
        self.troubles = Troubles()
        self.center = Center(center or CenterSettings(), self.state, self.troubles, now)
        self.pools = Pools(self.state, self.center, now)
        self.machines = Machines(self.state, now)
        self.seating = Seating(self.state, now)
        self._cloud = cloud or NoCloud()
        self._registrations = registrations
        self._count_seconds = count_seconds

    def go_on(self) -> None:
        """One turn: look at the cloud, hear the agents, end a scan, count, order machines. Raises OSError for a cloud that is silent."""
        look, lost, scanned = None, None, self.center.scan_is_due
        try:
            look = self._cloud.look(images=scanned) if scanned or self._is_watching() else None
        except OSError as error:
            lost = error
        with self.lock:
            if look is not None:
                self.machines.watch(look)
            self.machines.hear(self._registrations())
            self.center.go_on(look, scanned=scanned, lost=lost is not None)
            self._count()
        if lost is not None:
            raise lost
        self._fulfil()

    def _is_watching(self) -> bool:
        """Is there a machine that users get, or that somebody is on? Others are of interest when the center is scanned."""
        with self.lock:
            state = self.state
            if any(one.machine and one.session != "none" for one in state.desktops):
                return True
            pools = [number for number in state.pools if number != ROOT]
            return any(one.machine for number in pools for one in members(state, number, state.desktops))

    def _fulfil(self) -> None:
        """What cannot be done now is tried again at another turn, after the rest."""
        while self.state.wishes:
            call, arguments = wish = self.state.wishes[0]
            try:
                getattr(self._cloud, call)(*arguments)
            except Refused as error:
                with self.lock:
                    self.pools.give_up(call, str(arguments[0]), str(error))
            except OSError:
                with self.lock:
                    self.state.wishes[:] = [*self.state.wishes[1:], wish]
                raise
            with self.lock:
                del self.state.wishes[0]

    def _count(self) -> None:
        due = self.now() - self.state.counted_at >= self._count_seconds
        if due and not self.troubles.stale_counts:
            self.pools.count()
