"""The contents of an image: an inventory as lines that can be compared, without what only looks different and what is secret."""

import json
from copy import deepcopy
from typing import Any

import pytest

from imagebuild.image_contents import LEAST_USEFUL, SECTIONS, read_contents, topic_of
from tests.steps.conftest import answer

INVENTORY: dict[str, Any] = {
    "os": {"time_zone": "Korea Standard Time", "ui_languages": ["ko-KR", "en-US"], "revision": None, "release": ""},
    "updates": [
        {"kb": "KB1", "servicing_state": 112, "hotfix": False, "history_result": None},
        {"kb": "KB2", "servicing_state": None, "hotfix": True, "history_result": 2},
        {"kb": "KB3", "servicing_state": 80, "hotfix": False, "history_result": 2},
        {"kb": "KB4", "servicing_state": None, "hotfix": False, "history_result": 4},
    ],
    "driver_packages": [
        {"catalog": "netkvm.cat", "version": "61.77"},
        {"catalog": "netkvm.cat", "version": "100.1"},
        {"catalog": "viostor.cat", "version": "61.77"},
    ],
    "programs": [
        {"name": "Agent ", "version": "7.4", "view": "64"},
        {"name": "Agent", "version": "7.4", "view": "32"},
        {"name": "", "version": "1"},
    ],
    "appx": [{"name": "Calculator", "version": "1.2"}],
    "features": [{"name": "TelnetClient", "state": 1}],
    "services": [{"name": "wuauserv", "start": "Manual", "path": "p", "account": "a"}],
    "accounts": [{"name": "Guest", "sid": "S-1-5-21-1-2-3-501", "disabled": True}],
    "activation": {
        "kms_host": "kms.example",
        "rearms_left": 3,
        "products": [
            {"name": "Windows 7", "channel": "VOLUME_KMSCLIENT", "partial_key": "2YT43", "id": "x", "status": 1}
        ],
    },
    "certificates": [{"store": "Root", "thumbprint": "AA", "subject": "CN=ca"}],
    "desktop": [
        {"name": "power_plan", "holds": True, "lacking": []},
        {"name": "no_hibernation", "holds": False, "lacking": ["HibernateEnabled"]},
        {"name": "no_boot_recovery", "holds": None, "lacking": []},
    ],
    "remote_desktop": {"enabled": True, "nla": False, "members": [{"name": "CORP\\VDI Users"}, {"name": "kim"}]},
    "time_source": {"type": "NTP", "servers": "ntp1.example,0x8 10.0.0.2"},
    "broker_settings": [
        {"service": "Agent", "name": "Broker", "value": "10.0.0.9"},
        {"service": "Agent", "name": "BrokerPort", "value": "8089"},
    ],
    "network": [{"name": "e1000"}],
    "volatile": {"addresses": [{"ip": ["10.0.0.5"]}]},
    "problems": {},
}


def test_each_section_is_names_and_values() -> None:
    assert read_contents(INVENTORY) == {
        "settings": {
            "account Guest": "disabled",
            "broker Agent": "Broker 10.0.0.9, BrokerPort 8089",
            "desktop no_hibernation": "off",
            "desktop power_plan": "on",
            "kms host": "kms.example",
            "license Windows 7": "VOLUME_KMSCLIENT",
            "rearms left": "3",
            "remote desktop": "on",
            "remote desktop members": "CORP\\VDI Users, kim",
            "remote desktop nla": "off",
            "time servers": "ntp1.example, 10.0.0.2",
            "windows time_zone": "Korea Standard Time",
            "windows ui_languages": "ko-KR, en-US",
        },
        "updates": {"KB1": "installed", "KB2": "installed"},
        "drivers": {"netkvm.cat": "100.1, 61.77", "viostor.cat": "61.77"},
        "programs": {"Agent": "7.4"},
        "features": {"TelnetClient": "on"},
        "services": {"wuauserv": "Manual"},
        "appx": {"Calculator": "1.2"},
        "certificates": {"AA": "Root: CN=ca"},
    }


def test_neither_keys_nor_identities_are_in_it() -> None:
    told = json.dumps(read_contents(INVENTORY))
    for secret in ("2YT43", "S-1-5-21", "10.0.0.5"):
        assert secret in json.dumps(INVENTORY)
        assert secret not in told


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("NTP", "a.example, b.example"),
        ("NT5DS", "the domain's"),
        ("AllSync", "the domain's, a.example, b.example"),
        ("NoSync", "none"),
        (None, None),
    ],
)
def test_time_servers_are_those_that_the_clock_is_set_by(kind: str | None, told: str | None) -> None:
    source = {"type": kind, "servers": "a.example,0x9 b.example"}
    assert read_contents({"os": {}, "time_source": source})["settings"].get("time servers") == told


def test_remote_desktop_without_members_says_so_and_of_unread_ones_nothing() -> None:
    remote = {"enabled": False, "nla": True, "members": []}
    settings = {"remote desktop": "off", "remote desktop nla": "on"}
    assert read_contents({"os": {}, "remote_desktop": remote})["settings"] == settings | {
        "remote desktop members": "none"
    }
    assert read_contents({"os": {}, "remote_desktop": remote | {"members": None}})["settings"] == settings


def test_topics_are_those_of_what_our_own_scripts_set() -> None:
    settings = read_contents(INVENTORY)["settings"]
    topics = {name: topic_of("settings", name) for name in settings if topic_of("settings", name)}
    assert topics == {
        "broker Agent": "broker",
        "desktop no_hibernation": "desktop",
        "desktop power_plan": "desktop",
        "remote desktop": "remote desktop",
        "remote desktop members": "remote desktop",
        "remote desktop nla": "remote desktop",
        "time servers": "time servers",
    }
    assert topic_of("programs", "desktop power_plan") == ""


PARTS = ["updates", "driver_packages", "os", "accounts", "activation"]
PARTS += ["desktop", "remote_desktop", "time_source", "broker_settings"]


@pytest.mark.parametrize("section", PARTS)
def test_a_section_that_could_not_be_read_is_unknown_not_empty(section: str) -> None:
    lacking = deepcopy(INVENTORY)
    lacking[section] = None
    found, whole = read_contents(lacking), read_contents(INVENTORY)
    assert found != whole
    assert all(found[name] and found[name].items() <= whole[name].items() for name in found)


def test_an_empty_section_is_there() -> None:
    assert read_contents({"features": []}) == {"features": {}}


@pytest.mark.parametrize("test", ["everything, in order", "sources that fail are named"])
def test_what_a_powershell_really_answered_is_read(test: str) -> None:
    found = read_contents(answer("Get-Inventory", test))
    assert found["programs"]["Mine"] == ""
    assert found["settings"]["windows edition"] == "Enterprise"
    assert list(found) == [name for name in SECTIONS if name in found]


def test_every_section_may_be_left_out_of_a_record_for_its_length() -> None:
    assert set(SECTIONS) <= set(LEAST_USEFUL)
