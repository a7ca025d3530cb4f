"""Membership of a domain. Who joins a machine is not played: where its server's metadata note a domain, it is joined to that one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagebuild.lab.guest.standin.model.files import WINDOWS

if TYPE_CHECKING:
    from imagebuild.lab.guest.standin.model.guest import Guest

NOTE = "vdi_domain"
LOG = WINDOWS + "\\debug\\NetSetup.LOG"
LATE_SECONDS = 20.0


class Domain:
    """The domain is kept on the disk; there is no controller, so whether the machine is trusted there is a fault's to say."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._state = guest.store.section("domain")

    @property
    def name(self) -> str | None:
        """The DNS name of the domain that it is a member of."""
        found: str | None = self._state.get("name")
        return found

    @property
    def is_trusted(self) -> bool:
        """Whether Test-ComputerSecureChannel says True."""
        return self.name is not None and "domain-trust-broken" not in self._guest.faults

    def join_as_noted(self) -> None:
        """What somebody does at a clone's first start. Late, it brings a restart."""
        faults, meta = self._guest.faults, self._guest.machine.metadata().get("meta") or {}
        wanted = str(meta.get(NOTE) or "")
        if not wanted:
            return
        if "domain-join-refused" in faults:
            self._guest.files.append(LOG, f"NetpProvisionComputerAccount: {wanted}: status 0xaac\r\n".encode())
        elif "domain-joins-late" in faults:
            self._guest.clock.spawn("domain join", lambda: self._join_late(wanted))
        else:
            self._join(wanted)

    def leave(self) -> None:
        """What generalize does to the membership."""
        with self._guest.store.change():
            self._state.pop("name", None)

    def _join(self, name: str) -> None:
        with self._guest.store.change():
            self._state["name"] = name

    def _join_late(self, name: str) -> None:
        if self._guest.clock.wait(LATE_SECONDS):
            self._join(name)
            self._guest.power.end_now(restart=True)
