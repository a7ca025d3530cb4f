"""Boots and shutdowns: the marks by which a reboot is proven, and shutdown.exe with its countdown."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from imagebuild.lab.guest.standin.machine import Machine
from imagebuild.lab.guest.standin.model.clock import Clock
from imagebuild.lab.guest.standin.model.faults import Faults
from imagebuild.lab.guest.standin.model.store import Store

BOOT_EVENT = 6005
KOREA = timezone(timedelta(hours=9))
ALREADY_SCHEDULED = 1190
IN_PROGRESS = 1115


class BootMark(NamedTuple):
    """Three proofs of a reboot, as jobs.ps1 collects them."""

    uptime_seconds: int
    boot_time: str
    event_index: int

    def as_json(self) -> dict[str, int | str]:
        """The mark as the guest scripts write it."""
        return {"uptime_seconds": self.uptime_seconds, "boot_time": self.boot_time, "event_index": self.event_index}


class Power:
    """A countdown can be replaced until it ends; what it then does is real."""

    def __init__(self, store: Store, machine: Machine, clock: Clock, faults: Faults) -> None:
        self._store = store
        self._state = store.section("power")
        self._machine = machine
        self._clock = clock
        self._faults = faults
        self._lock = threading.Lock()
        self._ticket = 0
        self._pending = False
        self.ending = False
        self.gone = False

    def count_boot(self) -> None:
        """One more boot: the event log started."""
        with self._store.change():
            self._state["boots"] = int(self._state.get("boots", 0)) + 1

    def uptime(self) -> int:
        """Whole seconds since this boot."""
        return int(self._machine.uptime_seconds())

    def mark(self) -> BootMark:
        """Where this boot stands. The record number grows by some dozens with every start of the event log."""
        began = self._clock.now() - timedelta(seconds=self.uptime())
        return BootMark(self.uptime(), dmtf(began), 100 + 40 * int(self._state.get("boots", 0)))

    def shutdown(self, *, restart: bool, delay: float) -> int:
        """shutdown.exe /r or /s: its exit code. It comes back at once, the machine goes after the delay."""
        with self._lock:
            if self.ending:
                return IN_PROGRESS
            if self._pending:
                return ALREADY_SCHEDULED
            self._pending = True
            self._ticket += 1
            ticket = self._ticket
        self._clock.spawn("shutdown", lambda: self._count_down(ticket, restart=restart, delay=delay))
        return 0

    def abort(self) -> None:
        """shutdown.exe /a."""
        with self._lock:
            self._pending = False
            self._ticket += 1

    def _count_down(self, ticket: int, *, restart: bool, delay: float) -> None:
        if not self._clock.wait(delay, lambda: ticket != self._ticket):
            return
        with self._lock:
            if ticket != self._ticket:
                return
            self.ending = True
        if restart and "reboot-never-returns" in self._faults:
            self.gone = True
            self._machine.console(
                "stand-in: fault reboot-never-returns: Windows ends here and nothing answers any more"
            )
            return
        if not restart and "never-shuts-down" in self._faults:
            self._machine.console("stand-in: fault never-shuts-down: the machine stays up")
            return
        self.end_now(restart=restart)

    def end_now(self, *, restart: bool) -> None:
        """Without a countdown: the state is on the disk at every moment."""
        self.ending = True
        if restart:
            self._machine.reboot()
        else:
            self._machine.power_off()


def dmtf(moment: datetime) -> str:
    """WMI's form of a time, with Korea's offset: 20260101103000.500000+540."""
    return moment.astimezone(KOREA).strftime("%Y%m%d%H%M%S.%f") + "+540"
