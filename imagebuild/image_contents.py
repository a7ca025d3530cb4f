"""What is in an image, made small and comparable: the inventory of a Windows as sections of `name: value` lines.

Left out is what differs between two equal images (SIDs, addresses, states of services) and what is nobody's business (product keys).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Contents = Mapping[str, Mapping[str, str]]
Record = Mapping[str, Any]

SECTIONS = ("settings", "updates", "drivers", "programs", "features", "services", "appx", "certificates")
"""In the order in which a person reads them."""
LEAST_USEFUL = ("certificates", "services", "appx", "features", "settings", "drivers", "programs", "updates", "steps")
"""What is left out first of a record that is too long for a property."""
_ALWAYS_TOLD = ("broker", "desktop", "remote desktop", "time servers")
"""Topics of what our own guest scripts set. A record without such a line does not tell: it is older, or the guest could not say."""

_OS_LEFT_OUT = frozenset({"product_type"})


def read_contents(inventory: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The sections of an inventory as Get-Inventory gives it. A section that it could not read is not there: unknown is not empty."""
    sections: dict[str, dict[str, str]] = {}
    for name, source, read in _READERS:
        records = inventory.get(source)
        if records is not None:
            sections[name] = _gather(pair for record in records for pair in [read(record)] if pair)
    if inventory.get("os") is not None:
        sections["settings"] = _read_settings(inventory)
    return {name: sections[name] for name in SECTIONS if name in sections}


def topic_of(section: str, name: str) -> str:
    """The topic of a line that stands in every record that knows of it, so that one without the line does not tell; '' for others."""
    if section != "settings":
        return ""
    return next((topic for topic in _ALWAYS_TOLD if name == topic or name.startswith(f"{topic} ")), "")


def _gather(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The pairs by name; a name that comes several times (32 and 64 bits, two versions in the store) has all of its values."""
    found: dict[str, set[str]] = {}
    for name, value in pairs:
        found.setdefault(name, set()).add(value)
    return {name: ", ".join(sorted(values)) for name, values in sorted(found.items())}


def _read_settings(inventory: Mapping[str, Any]) -> dict[str, str]:
    """Windows itself, its accounts, its activation, and what our own guest scripts set, as it was found in the guest."""
    settings = {
        f"windows {name}": ", ".join(value) if isinstance(value, list) else str(value)
        for name, value in inventory["os"].items()
        if value not in (None, "") and name not in _OS_LEFT_OUT
    }
    for account in inventory.get("accounts") or ():
        settings[f"account {account['name']}"] = "disabled" if account["disabled"] else "enabled"
    activation = inventory.get("activation") or {}
    for product in activation.get("products") or ():
        settings[f"license {product['name']}"] = str(product["channel"])
    for name in ("kms_host", "rearms_left"):
        if activation.get(name) not in (None, ""):
            settings[name.replace("_", " ")] = str(activation[name])
    settings |= _gather([*_read_desktop(inventory), *_read_time(inventory), *_read_brokers(inventory)])
    return dict(sorted(settings.items()))


def _read_desktop(inventory: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The items of Set-Desktop and what Set-RemoteDesktop sets; `holds` is None for an item that could not be read."""
    for item in inventory.get("desktop") or ():
        if item["holds"] is not None:
            yield f"desktop {item['name']}", _on_off(item["holds"])
    remote = inventory.get("remote_desktop")
    if remote is None:
        return
    yield "remote desktop", _on_off(remote["enabled"])
    yield "remote desktop nla", _on_off(remote["nla"])
    if remote["members"] is not None:
        yield "remote desktop members", ", ".join(one["name"] for one in remote["members"]) or "none"


def _read_time(inventory: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Where the clock is set by: servers (each has flags behind a comma), the domain, both or nothing."""
    source = inventory.get("time_source") or {"type": None}
    if source["type"] is None:
        return
    servers = [server.split(",")[0] for server in source["servers"].split()]
    kind = source["type"].lower()
    found = ["the domain's"] * (kind in ("nt5ds", "allsync")) + servers * (kind in ("ntp", "allsync"))
    yield "time servers", ", ".join(found) or "none"


def _read_brokers(inventory: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Which broker each agent is told."""
    for one in inventory.get("broker_settings") or ():
        yield f"broker {one['service']}", f"{one['name']} {one['value']}"


def _on_off(flag: bool) -> str:
    return "on" if flag else "off"


def _read_update(record: Record) -> tuple[str, str] | None:
    # 112 = installed, as component servicing counts; hotfix = Windows itself lists it. History alone also knows failed ones.
    installed = record["servicing_state"] == 112 or record["hotfix"]
    return (record["kb"], "installed") if installed else None


def _read_service(record: Record) -> tuple[str, str] | None:
    return record["name"], str(record["start"])


_READERS: tuple[tuple[str, str, Callable[[Record], tuple[str, str] | None]], ...] = (
    ("updates", "updates", _read_update),
    ("drivers", "driver_packages", lambda record: (record["catalog"], str(record["version"]))),
    ("programs", "programs", lambda record: (record["name"].strip(), record["version"]) if record["name"] else None),
    ("features", "features", lambda record: (record["name"], "on")),
    ("services", "services", _read_service),
    ("appx", "appx", lambda record: (record["name"], record["version"])),
    ("certificates", "certificates", lambda record: (record["thumbprint"], f"{record['store']}: {record['subject']}")),
)
