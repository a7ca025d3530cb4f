"""Get-Inventory: what is in this Windows, section by section, in a stable order."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from imagebuild.lab.guest.standin.model import edition
from imagebuild.lab.guest.standin.model.catalogue import SOURCE
from imagebuild.lab.guest.standin.model.drivers import inf_version
from imagebuild.lab.guest.standin.model.files import WINDOWS
from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.model.network import ADAPTER_INDEX
from imagebuild.lab.guest.standin.model.registry import CONTROL, SERVICES, UNINSTALL, WINDOWS_NT
from imagebuild.lab.guest.standin.model.services import STARTS
from imagebuild.lab.guest.standin.model.updates import HOTFIXES
from imagebuild.lab.guest.standin.scripts import settings
from imagebuild.lab.guest.standin.scripts.contract import Run, ascii_json, plays
from imagebuild.lab.guest.standin.scripts.image import adapters

Record = dict[str, Any]
START_NAMES = {number: word for word, number in STARTS.items()}
NICS = {
    "e1000": ("Intel(R) PRO/1000 MT", "e1iexpress"),
    "e1000e": ("Intel(R) 82574L", "e1iexpress"),
    "virtio": ("Red Hat VirtIO Ethernet", "netkvm"),
}


def _order(records: list[Record], *by: str) -> list[Record]:
    return sorted(records, key=lambda one: ([str(one[name] or "").lower() for name in by], ascii_json(one)))


def _os(guest: Guest) -> Record:
    def text(path: str, name: str) -> str:
        return str(guest.registry.get(path, name, ""))

    language = CONTROL + "\\Nls\\Language"
    names = {
        "product_name": "ProductName", "edition": "EditionID", "installation_type": "InstallationType", "build": "CurrentBuildNumber",
        "build_lab": "BuildLabEx", "display_version": "DisplayVersion", "release": "ReleaseId", "service_pack": "CSDVersion",
    }  # fmt: skip
    return {key: text(WINDOWS_NT, name) for key, name in names.items()} | {
        "version": edition.VERSION, "language": edition.LANGUAGE, "ui_languages": [edition.CULTURE], "product_type": 1,
        "revision": guest.registry.get(WINDOWS_NT, "UBR"),
        "architecture": text(CONTROL + "\\Session Manager\\Environment", "PROCESSOR_ARCHITECTURE"),
        "system_locale": text(language, "Default"), "install_language": text(language, "InstallLanguage"),
        "time_zone": text(CONTROL + "\\TimeZoneInformation", "TimeZoneKeyName"),
        "is_windows_11": False, "dotnet_4_release": None, "dotnet_35": True,
    }  # fmt: skip


def _packages(guest: Guest) -> list[Record]:
    records = []
    for key in guest.registry.subkeys(HOTFIXES):
        part = key.split("~")
        if len(part) == 5 and re.search(r"^Package_for_|LanguagePack|LanguageFeatures|-FOD-Package", key):
            state = int(guest.registry.get(f"{HOTFIXES}\\{key}", "CurrentState", 0))
            records.append(
                {"name": part[0], "architecture": part[2], "language": part[3], "version": part[4], "state": state}
            )
    return _order(records, "name", "architecture", "language", "version")


def _updates(guest: Guest) -> list[Record]:
    table: dict[str, Record] = {}
    for package in _packages(guest):
        found = re.search(r"KB(\d{6,8})", package["name"])
        if found:
            installed = package["state"] == 112
            table[found[1]] = {
                "kb": f"KB{found[1]}",
                "hotfix": installed,
                "servicing_state": package["state"],
                "history_result": None,
            }
    for entry in reversed(guest.updates.history()):
        kb = next(one.kb for one in SOURCE if one.id == entry["id"])
        fresh = {"kb": f"KB{kb}", "hotfix": False, "servicing_state": None, "history_result": None}
        table.setdefault(kb, fresh)["history_result"] = entry["result_code"]
    return _order(list(table.values()), "kb")


def _drivers(guest: Guest) -> list[Record]:
    records = [
        {
            "device_id": one.id, "hardware_id": one.id.rsplit("\\", 1)[0], "name": f"stand-in {one.service} device", "class": None,
            "version": one.driver_version, "date": None, "inf": one.inf, "provider": "Red Hat, Inc. (stand-in)",
            "signer": None, "signed": False,
        }
        for one in guest.drivers.entities() if one.driver
    ]  # fmt: skip
    return _order(records, "device_id")


def _driver_packages(guest: Guest) -> list[Record]:
    records = []
    folder = WINDOWS + "\\INF"
    for name in guest.files.children(folder):
        text = guest.files.read_text(f"{folder}\\{name}")
        date = re.search(r"(?im)^\s*DriverVer\s*=\s*([0-9/]+)", text)
        catalog = re.search(r'(?im)^\s*CatalogFile(?:\.\w+)?\s*=\s*"?([^\s";]+)', text)
        setup_class = re.search(r'(?im)^\s*Class\s*=\s*"?([^\s";]+)', text)
        records.append({
            "inf": name, "sha256": guest.files.sha256(f"{folder}\\{name}"), "date": date[1] if date else None,
            "version": inf_version(text) or None, "catalog": catalog[1] if catalog else None,
            "class": setup_class[1] if setup_class else None,
        })  # fmt: skip
    return _order(records, "catalog", "version", "sha256")


def _kernel_drivers(guest: Guest) -> list[Record]:
    records = []
    for name in guest.registry.subkeys(SERVICES):
        key = f"{SERVICES}\\{name}"
        if guest.registry.get(key, "Type") == 1:
            start = START_NAMES[int(guest.registry.get(key, "Start", 3))]
            records.append({"name": name, "start": start, "path": str(guest.registry.get(key, "ImagePath", ""))})
    return _order(records, "name")


def _programs(guest: Guest) -> list[Record]:
    records = []
    for key in guest.registry.subkeys(UNINSTALL):
        path = f"{UNINSTALL}\\{key}"
        texts = {
            field: str(guest.registry.get(path, name, ""))
            for field, name in (
                ("name", "DisplayName"),
                ("version", "DisplayVersion"),
                ("publisher", "Publisher"),
                ("parent", "ParentKeyName"),
            )
        }
        if texts["name"]:
            msi = guest.registry.get(path, "WindowsInstaller") == 1
            records.append(texts | {"key": key, "view": "64", "user_sid": None, "msi": msi, "hidden": False})
    return _order(records, "name", "version", "view", "key")


def _services(guest: Guest) -> list[Record]:
    records = [
        {"name": one.name, "start": one.start_mode, "path": one.path, "account": one.account}
        for one in guest.services.all()
    ]
    return _order(records, "name")


def _accounts(guest: Guest) -> list[Record]:
    return [
        {
            "name": one.name, "sid": f"{guest.identity.sid}-{one.rid}", "disabled": one.disabled, "password_required": True,
            "password_expires": False,
        }
        for one in guest.identity.accounts()
    ]  # fmt: skip


def _profiles(guest: Guest) -> list[Record]:
    sids = {one.name.casefold(): f"{guest.identity.sid}-{one.rid}" for one in guest.identity.accounts()}
    names = [name for name in guest.files.children("C:\\Users") if name.casefold() in sids]
    return _order(
        [
            {"sid": sids[name.casefold()], "path": f"C:\\Users\\{name}", "special": False, "loaded": True}
            for name in names
        ],
        "sid",
    )


def _network(guest: Guest) -> list[Record]:
    nic = guest.machine.nic()
    if nic is None:
        return []
    name, service = NICS[nic]
    return [{"name": f"{name} (stand-in)", "pnp_id": f"PCI\\STAND-IN_{nic.upper()}", "service": service}]


def _activation(guest: Guest) -> Record:
    product = {
        "name": edition.NAME,
        "id": "stand-in",
        "status": 1,
        "partial_key": "STAND",
        "channel": "VOLUME_KMSCLIENT",
    }
    return {"rearms_left": guest.sysprep.rearms_left(), "kms_host": None, "products": [product]}


def _certificates(guest: Guest) -> list[Record]:
    return [
        {"store": "My", "thumbprint": name, "subject": subject} for name, subject in guest.remote.certificates().items()
    ]


SECTIONS: dict[str, Callable[[Guest], Any]] = {
    "os": _os, "packages": _packages, "updates": _updates, "drivers": _drivers, "driver_packages": _driver_packages,
    "kernel_drivers": _kernel_drivers, "programs": _programs, "appx": lambda guest: [], "features": lambda guest: [], "services": _services,
    "accounts": _accounts, "profiles": _profiles, "network": _network, "activation": _activation, "certificates": _certificates,
    "desktop": settings.desktop, "remote_desktop": settings.remote_desktop, "time_source": settings.time_source,
    "broker_settings": settings.broker_settings,
}  # fmt: skip


@plays("Get-Inventory", "sections")
def get_inventory(run: Run) -> dict[str, Any]:
    """The named sections, or all."""
    guest = run.guest
    wanted = run.parameters.texts("sections") if run.parameters.get("sections") is not None else list(SECTIONS)
    result: dict[str, Any] = {"problems": {}, "volatile": {}}
    for name, look in SECTIONS.items():
        if name not in wanted:
            continue
        run.step(f"inventory: {name}")
        result[name] = look(guest)
        if name == "services":
            result["volatile"]["service_states"] = {one.name: one.state for one in guest.services.all()}
        if name == "network":
            addresses = [
                {"index": ADAPTER_INDEX, "mac": one["mac"], "ip": one["ip"], "dns": None} for one in adapters(guest)
            ]
            result["volatile"]["addresses"] = addresses
    return result
