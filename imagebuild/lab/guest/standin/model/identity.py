"""Who this machine is: its SID, its name, its local accounts and their passwords."""

from __future__ import annotations

import os
from typing import NamedTuple

from imagebuild.lab.guest.standin.model.registry import CONTROL, Registry
from imagebuild.lab.guest.standin.model.store import Store

NAMES = CONTROL + "\\ComputerName"
ADMINISTRATOR = "Administrator"
NETBIOS_LENGTH = 15


class Account(NamedTuple):
    """A local account; `rid` is the last part of its SID."""

    name: str
    rid: int
    disabled: bool


class Identity:
    """Passwords are kept in clear in the state: this is a model, and the lab's passwords are made for one build."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._state = store.section("identity")
        self._accounts = store.section("accounts")

    def install_factory(self) -> None:
        """The accounts and the name of a base image; nobody has a password yet."""
        self._accounts[ADMINISTRATOR.casefold()] = {
            "name": ADMINISTRATOR,
            "rid": 500,
            "disabled": False,
            "password": None,
        }
        self._accounts["guest"] = {"name": "Guest", "rid": 501, "disabled": True, "password": None}
        self.rename("WIN-STANDIN")

    @property
    def sid(self) -> str | None:
        """The machine SID; None between generalize and the next first boot."""
        found: str | None = self._state.get("sid")
        return found

    def make_sid(self) -> str:
        """A new machine SID of three random parts."""
        parts = "-".join(str(int.from_bytes(os.urandom(4), "big")) for _ in range(3))
        with self._store.change():
            self._state["sid"] = f"S-1-5-21-{parts}"
        return str(self._state["sid"])

    def forget_sid(self) -> None:
        """What generalize does to the machine SID."""
        with self._store.change():
            self._state.pop("sid", None)

    def rename(self, name: str) -> None:
        """Take a computer name at once, cut to what NetBIOS allows. ValueError for a name that Windows would not take."""
        short = name.split(".", 1)[0][:NETBIOS_LENGTH].strip("-").upper()
        if not short or short.isdigit() or not short.replace("-", "").isalnum():
            raise ValueError(f"'{name}' cannot be a computer name")
        with self._store.change():
            for key in ("ActiveComputerName", "ComputerName"):
                self._registry.set(f"{NAMES}\\{key}", "ComputerName", short)

    def computer_name(self) -> str:
        """The name that this Windows answers to now."""
        return str(self._registry.get(NAMES + "\\ActiveComputerName", "ComputerName", "WIN-STANDIN"))

    def set_password(self, user: str, password: str) -> None:
        """Set a password; an account of that name is made when there is none."""
        with self._store.change():
            fresh = {"name": user, "rid": 1000 + len(self._accounts), "disabled": False, "password": None}
            self._accounts.setdefault(user.casefold(), fresh)["password"] = password

    def set_disabled(self, user: str, *, disabled: bool) -> None:
        """Disable or enable a local account; one that is not there is no error."""
        with self._store.change():
            if user.casefold() in self._accounts:
                self._accounts[user.casefold()]["disabled"] = disabled

    def password_of(self, user: str) -> str | None:
        """None: no such account, disabled, or no password yet, so that nobody can log on over the network."""
        entry = self._accounts.get(user.casefold())
        return None if entry is None or entry["disabled"] else entry["password"]

    def accounts(self) -> list[Account]:
        """The local accounts, by their RID."""
        entries = sorted(self._accounts.values(), key=lambda entry: int(entry["rid"]))
        return [Account(entry["name"], entry["rid"], entry["disabled"]) for entry in entries]

    def remove_account(self, name: str) -> None:
        """Delete a local account; one that is not there is no error."""
        with self._store.change():
            self._accounts.pop(name.casefold(), None)
