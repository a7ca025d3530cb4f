"""Set-RemoteDesktop: remote desktop on or off, with its firewall group and the members of its local group."""

from __future__ import annotations

import re
from typing import Any

from imagebuild.lab.guest.standin.model.edition import TERMINAL
from imagebuild.lab.guest.standin.model.registry import SERVICES
from imagebuild.lab.guest.standin.model.services import STARTS
from imagebuild.lab.guest.standin.scripts.contract import Run, ScriptError, plays

POLICIES = "HKLM:\\SOFTWARE\\Policies\\Microsoft\\Windows NT\\Terminal Services"
USERS = "Remote Desktop Users"
NO_DOMAIN, NO_USER = "the domain does not exist or cannot be reached", "no such account"


@plays("Set-RemoteDesktop", "enabled", "nla", "members")
def set_remote_desktop(run: Run) -> dict[str, Any]:
    """Switch it on or off and let accounts in."""
    guest = run.guest
    enabled, nla = run.parameters.flag("enabled", default=True), run.parameters.flag("nla", default=True)
    changed = []
    for path, name, value in (
        (TERMINAL, "fDenyTSConnections", int(not enabled)),
        (TERMINAL + "\\WinStations\\RDP-Tcp", "UserAuthentication", int(nla)),
    ):
        if guest.registry.get(path, name) != value:
            guest.registry.set(path, name, value)
            changed.append(name)
    if enabled and guest.registry.get(f"{SERVICES}\\TermService", "Start") == STARTS["Disabled"]:
        guest.services.set_start_mode("TermService", "Manual")
        changed.append("TermService")
    added = [_add_member(run, name) for name in run.parameters.texts("members")]
    failed = [one for one in added if one["state"] == "failed"]
    if failed:
        listed = "; ".join(f"'{one['name']}': {one['words']}" for one in failed)
        advice = "Domain accounts can be added only where the domain is reached: leave them to the clone (agent, group policy)"
        raise ScriptError(f"could not add to Remote Desktop Users: {listed}. {advice}")
    return {
        "enabled": enabled,
        "nla": nla,
        "changed": changed,
        "firewall": "group",
        "policies": {name: guest.registry.get(POLICIES, name) for name in ("fDenyTSConnections", "UserAuthentication")},
        "service_start": guest.registry.get(f"{SERVICES}\\TermService", "Start"),
        "members": added,
    }


def _add_member(run: Run, name: str) -> dict[str, Any]:
    """The stand-in has no domain: SIDs and local accounts can be members."""
    guest = run.guest
    group = guest.store.section("groups").setdefault(USERS, [])
    if name.casefold() in group:
        return {"name": name, "state": "already"}
    if re.search(r"[\\@]", name):
        return {"name": name, "state": "failed", "hresult": "0x8007054B", "words": NO_DOMAIN}
    accounts = {account.name.casefold() for account in guest.identity.accounts()}
    if not re.fullmatch(r"S-1-[0-9-]+", name) and name.casefold() not in accounts:
        return {"name": name, "state": "failed", "hresult": "0x8007056B", "words": NO_USER}
    with guest.store.change():
        group.append(name.casefold())
    return {"name": name, "state": "added"}
