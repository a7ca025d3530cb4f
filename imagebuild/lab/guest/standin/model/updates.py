"""The update agent: what is offered now, what an installation does, what a reboot finishes, and the history that it keeps."""

from __future__ import annotations

from typing import Any, NamedTuple

from imagebuild.lab.guest.standin.model.catalogue import FLAKY, SOURCE, Update
from imagebuild.lab.guest.standin.model.clock import Clock, Pause, stamp
from imagebuild.lab.guest.standin.model.faults import Faults
from imagebuild.lab.guest.standin.model.files import WINDOWS, Files
from imagebuild.lab.guest.standin.model.registry import CURRENT, SERVICING, WINDOWS_UPDATE, Registry
from imagebuild.lab.guest.standin.model.store import Store

REBOOT_REQUIRED = WINDOWS_UPDATE + "\\Auto Update\\RebootRequired"
DISTRIBUTION = WINDOWS + "\\SoftwareDistribution"
DOWNLOADS = DISTRIBUTION + "\\Download"
HOTFIXES = CURRENT + "\\Component Based Servicing\\Packages"
INSTALLED, PENDING = 112, 96
SUCCEEDED, FAILED = 2, 4
DOWNLOAD_SECONDS, INSTALL_SECONDS = 0.1, 0.3
CONFIGURE_SECONDS, LONG_CONFIGURE_SECONDS = 3, 120
FAILS_ALWAYS = "0x800F0922"


class Outcome(NamedTuple):
    """What one installation gave: OperationResultCode, HRESULT, whether a reboot completes it."""

    result_code: int
    hresult: str
    reboot_required: bool


class Updates:
    """State of each update by KB: 'downloaded', 'pending' (a reboot completes it) or 'installed'; absent: not there."""

    def __init__(self, store: Store, files: Files, registry: Registry, clock: Clock, faults: Faults) -> None:
        self._store = store
        self._files = files
        self._registry = registry
        self._clock = clock
        self._faults = faults
        self._state = store.section("updates")

    def offered(self) -> list[Update]:
        """What applies and is not installed. What another one must precede is not offered before that one is in."""
        return [
            one
            for one in SOURCE
            if self.state(one.kb) not in ("installed", "pending")
            and (one.needs is None or self.state(one.needs) == "installed")
        ]

    def state(self, kb: str) -> str | None:
        """'downloaded', 'pending', 'installed', or None."""
        found: str | None = self._state.get("states", {}).get(kb)
        return found

    def download(self, update: Update, pause: Pause) -> None:
        """Fetch one update, which takes a moment and leaves a file."""
        pause.wait(DOWNLOAD_SECONDS)
        self._files.write_text(
            f"{DOWNLOADS}\\{update.id}\\KB{update.kb}.cab", f"imagebuild stand-in for KB{update.kb}\n" * 1000
        )
        self._set_state(update.kb, "downloaded")

    def install(self, update: Update, pause: Pause) -> Outcome:
        """One installation; failures that come first or always are in the catalogue and the faults."""
        if "update-hangs" in self._faults:
            pause.hang()
        pause.wait(INSTALL_SECONDS)
        failure = self._failure_of(update)
        if failure is not None:
            self._remember(update, FAILED, failure)
            return Outcome(FAILED, failure, reboot_required=False)
        with self._store.change():
            self._set_state(update.kb, "pending" if update.reboots else "installed")
            if update.reboots:
                self._registry.make_key(REBOOT_REQUIRED)
                self._registry.make_key(SERVICING + "\\RebootPending")
        hresult = "0x00240005" if update.reboots else "0x00000000"
        self._remember(update, SUCCEEDED, hresult)
        return Outcome(SUCCEEDED, hresult, update.reboots)

    def reboot_required(self) -> bool:
        """Whether an installed update waits for a reboot."""
        return self._registry.has_key(REBOOT_REQUIRED)

    def history(self) -> list[dict[str, Any]]:
        """Newest first: date, result_code, hresult, id, title."""
        return list(reversed(self._state.get("history", [])))

    def forget_history(self) -> None:
        """What deleting the data store does."""
        with self._store.change():
            self._state["history"] = []

    def begin_configuring(self) -> bool:
        """At boot: whether updates wait to be finished. Until that is done component servicing says that it is at work."""
        pending = "pending" in self._state.get("states", {}).values()
        if pending:
            self._registry.make_key(SERVICING + "\\RebootInProgress")
        return pending

    def finish_configuring(self) -> None:
        """The seconds (here) or the half hour (there) in which WinRM answers already; then the updates are in."""
        self._clock.wait(
            LONG_CONFIGURE_SECONDS if "early-winrm-long-configuring" in self._faults else CONFIGURE_SECONDS
        )
        with self._store.change():
            for kb, state in list(self._state["states"].items()):
                if state == "pending":
                    self._set_state(kb, "installed")
            for key in (REBOOT_REQUIRED, SERVICING + "\\RebootPending", SERVICING + "\\RebootInProgress"):
                self._registry.remove_key(key)

    def _failure_of(self, update: Update) -> str | None:
        if update.kb == FLAKY and "update-fails-always" in self._faults:
            return FAILS_ALWAYS
        tried = any(entry["id"] == update.id for entry in self._state.get("history", []))
        return None if tried else update.fails_first

    def _set_state(self, kb: str, state: str) -> None:
        with self._store.change():
            self._state.setdefault("states", {})[kb] = state
            if state in ("installed", "pending"):
                package = next(one.package for one in SOURCE if one.kb == kb)
                self._registry.set(
                    f"{HOTFIXES}\\{package}", "CurrentState", INSTALLED if state == "installed" else PENDING
                )

    def _remember(self, update: Update, result_code: int, hresult: str) -> None:
        entry = {
            "date": stamp(self._clock.now()),
            "result_code": result_code,
            "hresult": hresult,
            "id": update.id,
            "title": update.title,
        }
        with self._store.change():
            self._state.setdefault("history", []).append(entry)
