"""The registry of the modelled Windows: keys and typed values by the paths that PowerShell uses (HKLM:\\SOFTWARE\\...)."""

from __future__ import annotations

from typing import Any

from imagebuild.lab.guest.standin.model.store import Store

CURRENT = "HKLM:\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion"
WINDOWS_NT = "HKLM:\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion"
CONTROL = "HKLM:\\SYSTEM\\CurrentControlSet\\Control"
SERVICES = "HKLM:\\SYSTEM\\CurrentControlSet\\Services"
WINLOGON = WINDOWS_NT + "\\Winlogon"
SERVICING = CURRENT + "\\Component Based Servicing"
WINDOWS_UPDATE = CURRENT + "\\WindowsUpdate"
SETUP_STATE = CURRENT + "\\Setup\\State"
SYSPREP_STATUS = "HKLM:\\SYSTEM\\Setup\\Status\\SysprepStatus"
UNINSTALL = CURRENT + "\\Uninstall"
STAMP = "HKLM:\\SOFTWARE\\imagebuild\\Image"


class Registry:
    """Keys are found whatever the case of their letters and keep the case in which they were made."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.section("registry")

    def has_key(self, path: str) -> bool:
        """Whether there is such a key."""
        return _fold(path) in self._keys

    def make_key(self, path: str) -> None:
        """Make a key and all above it; one that exists keeps its values."""
        with self._store.change():
            parts = path.rstrip("\\").split("\\")
            for length in range(1, len(parts) + 1):
                name = "\\".join(parts[:length])
                self._keys.setdefault(_fold(name), {"path": name, "values": {}})

    def get(self, path: str, name: str, default: Any = None) -> Any:
        """The data of a value, or the default where key or value are not there."""
        found = self._value(path, name)
        return default if found is None else found["data"]

    def kind(self, path: str, name: str) -> str | None:
        """String, DWord, MultiString ...; None where there is no such value."""
        found = self._value(path, name)
        return None if found is None else str(found["kind"])

    def set(self, path: str, name: str, data: Any, kind: str | None = None) -> None:
        """Write a value, its key included. Without a kind a whole number is a DWord, a list a MultiString, else it is a String."""
        if kind is None:
            kind = "DWord" if isinstance(data, int) else "MultiString" if isinstance(data, list) else "String"
        with self._store.change():
            self.make_key(path)
            self._keys[_fold(path)]["values"][name.casefold()] = {"name": name, "kind": kind, "data": data}

    def remove_value(self, path: str, name: str) -> bool:
        """Whether there was something to remove."""
        with self._store.change():
            key = self._keys.get(_fold(path))
            return key is not None and key["values"].pop(name.casefold(), None) is not None

    def remove_key(self, path: str) -> bool:
        """Remove a key with everything below it; whether there was one."""
        with self._store.change():
            start = _fold(path)
            gone = [key for key in self._keys if key == start or key.startswith(start + "\\")]
            for key in gone:
                del self._keys[key]
            return bool(gone)

    def subkeys(self, path: str) -> list[str]:
        """Names of the keys directly below."""
        start = _fold(path) + "\\"
        return sorted(
            entry["path"].rsplit("\\", 1)[-1]
            for key, entry in list(self._keys.items())
            if key.startswith(start) and "\\" not in key[len(start) :]
        )

    def value_names(self, path: str) -> list[str]:
        """Names of the values of a key, in order; none for a key that is not there."""
        key = self._keys.get(_fold(path), {"values": {}})
        return sorted(str(value["name"]) for value in list(key["values"].values()))

    def _value(self, path: str, name: str) -> dict[str, Any] | None:
        key = self._keys.get(_fold(path))
        found: dict[str, Any] | None = None if key is None else key["values"].get(name.casefold())
        return found


def _fold(path: str) -> str:
    return path.rstrip("\\").casefold()
