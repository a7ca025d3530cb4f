"""The broker's one center: its view of a cloud, which is as old as its last scan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imagebuild.lab.broker.cloud_view import Look, Machine
from imagebuild.lab.broker.machines import LATELY
from imagebuild.lab.broker.state import Desktop, State
from imagebuild.lab.broker.troubles import Troubles

ONLINE, OFFLINE, SCANNING = 1, 2, 5
_LABELS = {ONLINE: "Online", OFFLINE: "Offline", SCANNING: "Scanning"}


@dataclass(frozen=True)
class CenterSettings:
    """`every_seconds`: it scans by itself so often, 0 is never. `new_unavailable`: what a scan finds is offered to nobody at first."""

    id: int = 3
    name: str = "cloud"
    scan_seconds: float = 5.0
    every_seconds: float = 0.0
    new_unavailable: bool = False


class Center:
    """An OpenStack center."""

    def __init__(self, settings: CenterSettings, state: State, troubles: Troubles, now: Callable[[], float]) -> None:
        self.settings = settings
        self._state = state
        self._troubles = troubles
        self._now = now
        self._offline = False

    @property
    def scanning(self) -> bool:
        """Is a scan under way?"""
        return self._state.scan_until is not None

    @property
    def scan_is_due(self) -> bool:
        """Does a scan end with the next look?"""
        return self._state.scan_until is not None and self._now() >= self._state.scan_until

    def begin_scan(self) -> None:
        """A scan that is due later; what it finds is what is there at its end."""
        seconds = self._troubles.scan_seconds or self.settings.scan_seconds
        self._state.scan_until = self._now() + seconds

    def go_on(self, look: Look | None, *, scanned: bool, lost: bool) -> None:
        """End a scan that has `scanned` with this look, or found the cloud `lost`; begin one that the center does by itself."""
        every = self.settings.every_seconds
        if scanned:
            self._offline = lost
            self._state.scan_until, self._state.scanned_at = None, self._now()
            if look is not None:
                self._learn(look)
        elif not self.scanning and every and self._now() - self._state.scanned_at >= every:
            self.begin_scan()

    def learn_image(self, name: str) -> int:
        """The broker's own number of an image, a new one for a new image."""
        known = next((image for image in self._state.images if image["name"] == name), None)
        if known is None:
            known = {"id": self._state.new_id(), "name": name}
            self._state.images.append(known)
        return int(known["id"])

    def image_name(self, number: object) -> str | None:
        """The name of an image by the broker's number."""
        return next((str(image["name"]) for image in self._state.images if image["id"] == number), None)

    def _learn(self, look: Look) -> None:
        self._state.images[:] = [image for image in self._state.images if image["name"] in look.images]
        for name in look.images:
            self.learn_image(name)
        there = {machine.id for machine in look.machines}
        if not self._troubles.duplicates:
            kept = [one for one in self._state.desktops if one.machine in there or self._is_heard_of(one)]
            self._state.desktops[:] = kept
        for machine in look.machines:
            self._find_or_add(machine)

    def _find_or_add(self, machine: Machine) -> None:
        """By id; else a desktop of this name that only its agent has told of; else a new one."""
        self._state.ordered.pop(machine.name.casefold(), None)
        if any(one.machine == machine.id for one in self._state.desktops):
            return
        same = self._state.named(machine.name)
        alone = next((one for one in same if one.machine is None), None)
        if alone is not None:
            alone.name, alone.machine, alone.mark = machine.name, machine.id, machine.mark
            alone.running, alone.agent = machine.running, self._has_agent(machine)
            return
        made = Desktop(self._state.new_id(), machine.name, machine.id, machine.mark, machine.running)
        made.out_of_service = self.settings.new_unavailable
        made.agent = self._has_agent(machine) and not same
        self._state.desktops.append(made)

    def _has_agent(self, machine: Machine) -> bool:
        """Has its agent reported since the machine was launched?"""
        return self._state.heard.get(machine.name.casefold(), -1.0) >= machine.launched_at

    def _is_heard_of(self, desktop: Desktop) -> bool:
        """No center has it: somebody is on it, or its agent reported lately."""
        lately = self._state.heard.get(desktop.key, self._now()) > self._now() - LATELY
        return desktop.machine is None and (desktop.session != "none" or lately)

    def tell_short(self) -> dict[str, Any]:
        """An item of the list of centers."""
        status = SCANNING if self.scanning else OFFLINE if self._offline else ONLINE
        return {
            "id": self.settings.id,
            "name": self.settings.name,
            "flavor": "K",
            "type": "openstack",
            "type_label": "OpenStack",
            "online": int(status != OFFLINE),
            "status": status,
            "status_label": _LABELS[status],
        }

    def tell(self) -> dict[str, Any]:
        """The whole center; its password is masked, as the broker does it."""
        short = self.tell_short()
        return {
            "id": self.settings.id,
            "online": short["online"],
            "status": short["status"],
            "status_label": short["status_label"],
            "images": [dict(image) for image in self._state.images],
            "center_definition": {
                "name": self.settings.name,
                "type": "openstack",
                "flavor": "K",
                "vc_password": "********",
                "init_unavailable": int(self.settings.new_unavailable),
                "poll_interval": int(self.settings.every_seconds // 60),
            },
        }
