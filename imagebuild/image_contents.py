"""What is in an image, made small and comparable: the inventory of a Windows as sections of `name: value` lines.

Left out is what differs between two equal images (SIDs, addresses, states of services) and what is nobody's business (product keys).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Contents = Mapping[str, Mapping[str, str]]
Record = Mapping[str, Any]

SECTIONS = ("settings", "updates", "drivers", "programs", "features", "services", "appx", "certificates")
"""In the order in which a person reads them."""
LEAST_USEFUL = ("certificates", "services", "appx", "features", "settings", "drivers", "programs", "updates", "steps")
"""What is left out first of a record that is too long for a property."""

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


def _gather(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The pairs by name; a name that comes several times (32 and 64 bits, two versions in the store) has all of its values."""
    found: dict[str, set[str]] = {}
    for name, value in pairs:
        found.setdefault(name, set()).add(value)
    return {name: ", ".join(sorted(values)) for name, values in sorted(found.items())}


def _read_settings(inventory: Mapping[str, Any]) -> dict[str, str]:
    """Windows itself, its accounts and its activation."""
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
    return dict(sorted(settings.items()))


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
