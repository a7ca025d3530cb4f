"""Every check fails alone: one thing is wrong with a clone that is well otherwise, and only that check says so, in words."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from imagebuild.broker import Registration
from imagebuild.clone_checks import ALL, Check, judge
from imagebuild.sighting import Sighting, Wanted

WANTED = Wanted(
    recipe="win7-vdi",
    build="win7-vdi-20260101-000000-abcd",
    disk_bus="virtio",
    desktop=True,
    agent="Leostream Agent",
    registers=True,
    builder_sid="S-1-5-21-9-9-9",
)
STATE: dict[str, Any] = {
    "computer_name": "VFY-1",
    "machine_sid": "S-1-5-21-1-2-3",
    "image_state": "IMAGE_STATE_COMPLETE",
    "cloudbase_init": {"service": {"state": "Stopped", "start_mode": "Auto"}, "instances": [], "done": True},
    "addresses": [{"mac": "FA:16:3E:00:00:01", "ip": ["10.0.0.11"], "dhcp": True, "server": "10.0.0.1"}],
    "rdp": {"enabled": True, "port": 3389, "listening": True},
    "stamp": {"recipe": WANTED.recipe, "build": WANTED.build, "sealed": "2026-01-01T00:00:00Z"},
    "sealed": True,
}
DEVICES = [
    {"id": r"PCI\VEN_1AF4&DEV_1001&SUBSYS_1", "service": "viostor", "problem": 0},
    {"id": r"PCI\VEN_1AF4&DEV_1000&SUBSYS_1", "service": "netkvm", "problem": 0},
]
DRIVERS: dict[str, Any] = {"boot_ready": True, "reasons": [], "devices": DEVICES}
PENDING: dict[str, Any] = {"reboot_needed": False, "reasons": []}
AGENT: dict[str, Any] = {"installed": True, "state": "Running", "start_mode": "Auto"}
TRACES: dict[str, Any] = {
    "items": [{"name": "autologon", "weight": "secret", "found": [], "words": None}],
    "clean": True,
}
GOOD = Sighting(
    name="vfy-1",
    addresses=("10.0.0.11",),
    active_seconds=3.0,
    certificate="ab" * 32,
    ready_seconds=14.2,
    desktop_seconds=15.6,
    registered_seconds=16.0,
    registration=Registration("VFY-1", "10.0.0.11", "agent-1"),
    state=STATE,
    drivers=DRIVERS,
    pending=PENDING,
    agent=AGENT,
    traces=TRACES,
)


def twin(number: int = 2, **changes: Any) -> Sighting:
    """Another good clone."""
    address = f"10.0.0.1{number}"
    state = STATE | {
        "computer_name": f"VFY-{number}",
        "machine_sid": f"S-1-5-21-1-2-{number}00",
        "addresses": [STATE["addresses"][0] | {"ip": [address]}],
    }
    made = replace(GOOD, name=f"vfy-{number}", addresses=(address,), certificate=f"{number}" * 64, state=state)
    return replace(made, registration=Registration(f"VFY-{number}", address, f"agent-{number}"), **changes)


def changed_state(**changes: Any) -> Sighting:
    return replace(GOOD, state=deepcopy(STATE) | changes)


def failed(checks: tuple[Check, ...]) -> dict[str, str]:
    return {check.name: check.words for check in checks if check.outcome == "failed"}


def test_good_clones_pass_in_everything() -> None:
    checks = judge(WANTED, [GOOD, twin()])
    assert {check.outcome for check in checks} == {"passed"}
    assert [check.clone for check in checks if check.name == "sid"] == ["vfy-1", "vfy-2"]
    assert {check.seconds for check in checks if check.name == "usable"} == {15.6}


@pytest.mark.parametrize(
    ("check", "seen", "words"),
    [
        ("address", changed_state(addresses=[]), "no address by DHCP, and Neutron gave 10.0.0.11"),
        ("address", changed_state(addresses=[STATE["addresses"][0] | {"ip": ["10.0.0.99"]}]), "10.0.0.99"),
        ("address", changed_state(addresses=[STATE["addresses"][0] | {"dhcp": False}]), "no address by DHCP"),
        ("sid", changed_state(machine_sid="S-1-5-21-9-9-9"), "the builder's"),
        ("sid", changed_state(machine_sid=None), "does not tell"),
        ("name", changed_state(computer_name="WIN-STANDIN"), "called WIN-STANDIN, the server vfy-1"),
        ("stamp", changed_state(stamp=None, sealed=False), "its stamp says nothing"),
        ("stamp", changed_state(stamp=STATE["stamp"] | {"build": "another"}), "win7-vdi another"),
        ("stamp", changed_state(sealed=False), "before it was sealed"),
        ("setup", changed_state(image_state="IMAGE_STATE_UNDEPLOYABLE"), "IMAGE_STATE_UNDEPLOYABLE"),
        ("setup", changed_state(cloudbase_init=STATE["cloudbase_init"] | {"done": False}), "Cloudbase-Init has not"),
        ("desktop", changed_state(rdp=STATE["rdp"] | {"enabled": False}), "off in Windows"),
        ("desktop", replace(GOOD, desktop_seconds=None), "nobody answers on port 3389"),
        (
            "drivers",
            replace(GOOD, drivers=DRIVERS | {"boot_ready": False, "reasons": ["Start is '3'"]}),
            "Start is '3'",
        ),
        (
            "pending-reboot",
            replace(GOOD, pending={"reboot_needed": True, "reasons": [{"text": "servicing wants one"}]}),
            "servicing wants one",
        ),
        ("agent", replace(GOOD, agent={"installed": False}), "no service Leostream Agent"),
        ("agent", replace(GOOD, agent=AGENT | {"state": "Stopped"}), "is Stopped"),
        ("agent", replace(GOOD, agent=AGENT | {"start_mode": "Manual"}), "start Manual"),
        ("registration", replace(GOOD, registration=None), "has not registered"),
        ("registration", replace(GOOD, registration=Registration("VFY-1", "10.0.0.77")), "registered at 10.0.0.77"),
        (
            "traces",
            replace(GOOD, traces={"items": [{"name": "tasks", "weight": "identity", "found": ["x"], "words": None}]}),
            "tasks (identity): x",
        ),
        (
            "traces",
            replace(GOOD, traces={"items": [{"name": "tasks", "weight": "identity", "found": [], "words": "denied"}]}),
            "tasks (identity): denied",
        ),
    ],
)
def test_each_check_fails_alone(check: str, seen: Sighting, words: str) -> None:
    found = failed(judge(WANTED, [seen, twin()]))
    assert list(found) == [check]
    assert words in found[check]


@pytest.mark.parametrize(
    ("shared", "words"),
    [
        ({"certificate": GOOD.certificate}, "certificate abab"),
        ({"registration": Registration("VFY-2", "10.0.0.12", "agent-1")}, "agent identity agent-1"),
        ({"state": {**STATE, "computer_name": "VFY-2"}}, "address 10.0.0.11; machine SID S-1-5-21-1-2-3"),
    ],
)
def test_what_twins_share_is_told(shared: Mapping[str, Any], words: str) -> None:
    found = failed(judge(WANTED, [GOOD, replace(twin(), **shared)]))
    assert words in found["no-twins"]


def test_one_clone_alone_has_no_twin() -> None:
    (twins,) = [check for check in judge(WANTED, [GOOD]) if check.clone == ALL]
    assert (twins.outcome, twins.words) == ("not checked", "1 of the clones could be compared")


def test_a_clone_that_the_cloud_cannot_run_blames_the_cloud() -> None:
    checks = judge(WANTED, [Sighting("vfy-1", fault="No valid host was found")])
    assert failed(checks) == {"active": "No valid host was found"}
    assert all(check.outside for check in checks if check.outcome == "failed")
    assert {check.outcome for check in checks if check.name != "active"} == {"not checked"}


def test_a_broker_that_is_away_blames_the_broker() -> None:
    seen = replace(GOOD, registration=None, broker_trouble="no connection")
    (found,) = [check for check in judge(WANTED, [seen, twin()]) if check.outcome == "failed"]
    assert (found.name, found.words, found.outside) == ("registration", "no connection", True)


def test_a_clone_that_is_never_ready_fails_in_that_and_in_nothing_else() -> None:
    silent = Sighting("vfy-1", addresses=("10.0.0.11",), active_seconds=3.0, trouble="Windows stopped while booting")
    assert failed(judge(WANTED, [silent])) == {
        "certificate": "none was told on the serial console: Windows stopped while booting"
    }
    deaf = replace(silent, certificate="ab" * 32, trouble="no answer from the guest")
    assert failed(judge(WANTED, [deaf])) == {"ready": "Windows was never ready over WinRM: no answer from the guest"}


def test_a_clone_that_falls_silent_while_it_is_looked_at_is_not_good() -> None:
    seen = replace(GOOD, agent=None, traces=None, pending=None, trouble="the connection broke")
    found = failed(judge(WANTED, [seen, twin()]))
    assert sorted(found) == ["agent", "pending-reboot", "traces"]
    assert set(found.values()) == {"it could not be asked: the connection broke"}


def test_what_the_recipe_does_not_promise_is_not_checked() -> None:
    bare = replace(WANTED, disk_bus="sata", desktop=False, agent=None, registers=False, builder_sid=None)
    seen = replace(GOOD, drivers=None, agent=None, registration=None, desktop_seconds=None)
    checks = judge(bare, [seen])
    assert failed(checks) == {}
    unchecked = {check.name: check.words for check in checks if check.outcome == "not checked"}
    assert sorted(unchecked) == ["agent", "desktop", "drivers", "no-twins", "registration"]
    assert [check.seconds for check in checks if check.name == "usable"] == [14.2]


def test_a_device_without_a_driver_is_told_and_no_failure() -> None:
    graphics = {"id": r"PCI\VEN_1AF4&DEV_1050&SUBSYS_1", "service": "", "problem": 28}
    seen = replace(GOOD, drivers=DRIVERS | {"devices": [*DEVICES, graphics]})
    (check,) = [one for one in judge(WANTED, [seen]) if one.name == "drivers"]
    assert check.outcome == "passed"
    assert check.words == r"bound: netkvm, viostor; without a driver: PCI\VEN_1AF4&DEV_1050"
