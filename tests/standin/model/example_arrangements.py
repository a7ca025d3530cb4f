"""What must be so before an example can be played, and which examples cannot be played at all and why. Keys are line numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model_fakes import Bench, make_installer

from imagebuild.lab.guest.standin.scripts.inventory import SECTIONS

Arrange = Callable[[Bench, dict[str, Any]], dict[str, Any]]
PACKAGES = "HKLM:\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Component Based Servicing\\Packages"

UNPLAYABLE: dict[int, tuple[str, str]] = {
    49: ("ready: a failing query is data", "WMI never fails here"),
    65: ("workplace: a foreign right that stays is an error", "access rights are not modelled beyond open and closed"),
    70: (
        "cloudbase-init: a service that the installer started is stopped; one that stays up is a failure",
        "services always stop here",
    ),
    122: ("desktop: what does not stay is told, the rest goes on", "the task scheduler never denies access here"),
    135: ("updates: a proxy that netsh refuses leaves the memory whole", "netsh.exe never fails here"),
    144: (
        "job: a start that was cut off is made good, a second wrapper does nothing",
        "the task scheduler never refuses here",
    ),
    158: ("updates: prerequisites without packages is no answer", "the played Windows always has packages"),
}
OTHER_WORDS: dict[int, str] = {
    81: "the checksum of another file",
    131: "names of accounts of which the played Windows says something else",
}
FREE: tuple[str, ...] = (
    "Get-CloneState.cloudbase_init.instances[].plugins",
    "Get-CloneState.stamp",
    "Get-Inventory.volatile.service_states",
    "Get-Inventory.profiles",
    # shown as null only: the played WMI objects of the examples had few properties
    "Get-Inventory.accounts[].password_expires",
    "Get-Inventory.accounts[].password_required",
    "Get-Inventory.activation.products[].channel",
    # 'absent', a number or yes and no, by what this Windows has
    "Set-Desktop.items[].before.",
    "Set-Desktop.items[].after.",
)

YOUNGER_SECTIONS = {"desktop", "remote_desktop", "time_source", "broker_settings"}


def only(*names: str) -> Arrange:
    """The hostile examples send one set of parameters to several scripts; the stand-in refuses what a script does not read."""
    return lambda bench, given: {name: value for name, value in given.items() if name in names}


def with_agent(bench: Bench, given: dict[str, Any]) -> dict[str, Any]:
    """The service is installed, and what an earlier run of the recipe would have left is there."""
    bench.guest.services.add(given["service"], start_mode="Manual", path='"C:\\Program Files\\agent x.exe"')
    for setting in given.get("settings", []):
        bench.guest.registry.set(setting["path"], setting["name"], setting.get("value", "x"))
    for record in given.get("records", []):
        if "file" in record:
            bench.guest.files.write_text(record["file"], "x")
        elif "name" in record:
            bench.guest.registry.set(record["path"], record["name"], "x")
        else:
            bench.guest.registry.make_key(record["path"])
    return given | ({"file": given["file"]} if "file" in given else {})


def with_installer(**keys: object) -> Arrange:
    """The installer file of the example, with what it does."""

    def arrange(bench: Bench, given: dict[str, Any]) -> dict[str, Any]:
        bench.guest.files.write(given["path"], make_installer(kind=given["kind"], **keys))
        return given

    return arrange


def with_library(bench: Bench, given: dict[str, Any]) -> dict[str, Any]:
    bench.guest.files.write_text("C:\\Program Files\\a.dll", "version=1.0.0.0\n")
    return with_installer()(bench, given)


def with_product(bench: Bench, given: dict[str, Any]) -> dict[str, Any]:
    """Everything that `detect` asks for."""
    bench.guest.registry.set(given["detect"]["registry"]["path"], "DisplayVersion", "8.10.1")
    bench.guest.services.add(given["detect"]["service"], start_mode="Auto", path="x")
    return given


def with_cloudbase_media(*, installed: bool, foreign: bool = False) -> Arrange:
    def arrange(bench: Bench, given: dict[str, Any]) -> dict[str, Any]:
        bench.guest.files.write(
            given["installer"], make_installer("Cloudbase-Init 1.1.2", kind="msi", service="cloudbase-init")
        )
        if not installed:
            with bench.guest.store.change():
                bench.guest.store.section("services").pop("cloudbase-init")
        if foreign:
            bench.guest.files.write_text("C:\\Windows\\Setup\\Scripts\\SetupComplete.cmd", "echo foreign\r\n")
        return given | {"sha256": bench.guest.files.sha256(given["installer"])}

    return arrange


def with_package(bench: Bench, given: dict[str, Any]) -> dict[str, Any]:
    bench.guest.files.write(given["path"], b"#!imagebuild stand-in package\n")
    return given


def with_installed_package(bench: Bench, given: dict[str, Any]) -> dict[str, Any]:
    bench.guest.registry.set(f"{PACKAGES}\\Package_for_KB4474419~31bf3856ad364e35~amd64~~6.1.3.2", "CurrentState", 112)
    return with_package(bench, given)


def with_another_cd(bench: Bench, given: dict[str, Any]) -> dict[str, Any]:
    bench.machine.discs = {"CCCOMA_X64": bench.disk}
    return given


def without_strangers(bench: Bench, given: dict[str, Any]) -> dict[str, Any]:
    """Members of a domain cannot be added here; the SID can, and a local account of that name."""
    bench.guest.identity.set_password("local \ud55c", "x")
    return given | {"members": [name for name in given["members"] if "\\" not in name]}


def with_test_payload(bench: Bench, given: dict[str, Any]) -> dict[str, Any]:
    bench.guest.files.write_text("C:\\imagebuild\\scripts\\Test-Payload.ps1", "# a payload\n")
    return given


def before_settings(bench: Bench, given: dict[str, Any]) -> dict[str, Any]:
    """The inventories of the examples are older than its sections of what our own scripts set."""
    del bench
    return given | {"sections": [name for name in SECTIONS if name not in YOUNGER_SECTIONS]}


ARRANGE: dict[int, Arrange] = {
    22: with_agent, 23: with_agent, 109: with_agent, 110: with_agent, 111: with_agent, 112: with_agent, 113: with_agent, 114: with_agent,
    40: before_settings, 41: before_settings, 42: before_settings, 56: only("id"), 93: only("id", "script"), 148: only("id", "remove"),
    66: with_cloudbase_media(installed=True), 67: with_cloudbase_media(installed=False),
    68: with_cloudbase_media(installed=True, foreign=True), 69: with_cloudbase_media(installed=False, foreign=True),
    71: with_package, 72: with_installed_package, 73: with_package,
    75: with_library, 76: with_installer(exit_code=3221225477), 77: with_installer(service="LeoAgent"), 78: with_library,
    79: with_product, 80: with_installer(exit_code=1603), 81: with_installer(),
    92: with_another_cd, 129: without_strangers, 130: without_strangers, 143: with_test_payload,
}  # fmt: skip
