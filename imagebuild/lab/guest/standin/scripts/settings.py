"""The sections of Get-Inventory that tell of what our own scripts set: how it is now in the played Windows."""

from __future__ import annotations

from typing import Any

from imagebuild.lab.guest.standin.model.edition import TERMINAL
from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.scripts.broker_agent import PLACES
from imagebuild.lab.guest.standin.scripts.contract import as_text
from imagebuild.lab.guest.standin.scripts.desktop import holds, read_setting
from imagebuild.lab.guest.standin.scripts.desktop_items import TIME, list_items
from imagebuild.lab.guest.standin.scripts.remote_desktop import POLICIES, USERS

TIME_POLICIES = "HKLM:\\SOFTWARE\\Policies\\Microsoft\\W32Time\\Parameters"
Record = dict[str, Any]


def desktop(guest: Guest) -> list[Record]:
    """Whether each item of Set-Desktop holds, and which of its settings do not."""
    records = []
    for item in list_items([]):
        lacking = [one.id for one in item.settings if not holds(one, read_setting(guest, one))]
        records.append({"name": item.name, "holds": not lacking, "lacking": lacking})
    return sorted(records, key=lambda record: str(record["name"]))


def remote_desktop(guest: Guest) -> Record:
    """Switches as they work, and who may log on."""
    denied = _effective(guest, POLICIES, TERMINAL, "fDenyTSConnections", 1)
    nla = _effective(guest, POLICIES, TERMINAL + "\\WinStations\\RDP-Tcp", "UserAuthentication", 0)
    users = [{"name": name} for name in sorted(guest.store.section("groups").get(USERS, []))]
    return {"enabled": denied == 0, "nla": nla == 1, "members": users}


def time_source(guest: Guest) -> Record:
    """Where the clock is set by."""
    kind, servers = (
        _effective(guest, TIME_POLICIES, TIME + "\\Parameters", name, None) for name in ("Type", "NtpServer")
    )
    return {"type": kind, "servers": as_text(servers)}


def broker_settings(guest: Guest) -> list[Record]:
    """What the agents are told of their broker, at the places that Set-BrokerAgent has noted."""
    records = []
    for service in guest.registry.value_names(PLACES):
        for place in guest.registry.get(PLACES, service):
            path, _, name = str(place).partition("\t")
            value = guest.registry.get(path, name)
            if value is not None:
                records.append({"service": service, "name": name, "value": as_text(value)})
    return sorted(records, key=lambda record: (record["service"].lower(), record["name"].lower()))


def _effective(guest: Guest, policy: str, path: str, name: str, default: Any) -> Any:
    """A policy wins over what the scripts set."""
    return guest.registry.get(policy, name, guest.registry.get(path, name, default))
