"""The contents of an image: an inventory as lines that can be compared, without what only looks different and what is secret."""

import json
from copy import deepcopy
from typing import Any

import pytest

from imagebuild.image_contents import LEAST_USEFUL, SECTIONS, read_contents
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
    "network": [{"name": "e1000"}],
    "volatile": {"addresses": [{"ip": ["10.0.0.5"]}]},
    "problems": {},
}


def test_each_section_is_names_and_values() -> None:
    assert read_contents(INVENTORY) == {
        "settings": {
            "account Guest": "disabled",
            "kms host": "kms.example",
            "license Windows 7": "VOLUME_KMSCLIENT",
            "rearms left": "3",
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


@pytest.mark.parametrize("section", ["updates", "driver_packages", "os", "accounts", "activation"])
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
