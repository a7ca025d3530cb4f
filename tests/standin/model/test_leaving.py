"""Stop-Builder: a machine that ends so that its disk can be another machine, not generalized, with an address of its own."""

from __future__ import annotations

import pytest
from model_fakes import Bench

NAME = "checkpoint-0123456789ab"


def stop(bench: Bench, **parameters: object) -> None:
    """As the pipeline does it: detached, nobody waits for an answer."""
    given = {"name": NAME, "serial_port": "COM1", "shutdown_seconds": 5} | parameters
    bench.value("Start-SystemJob", id="stop", script="Stop-Builder", parameters=given, detached=True)
    bench.clock.run("task imagebuild-stop")


def told(bench: Bench) -> list[str]:
    return [line for line in bench.machine.lines if NAME in line]


def boot_elsewhere(bench: Bench) -> None:
    """The same disk and kind of machine, another instance."""
    bench.machine.card_mac = "fa:16:3e:00:00:07"
    bench.machine.meta_data = {"uuid": "builder-7", "hostname": "builder-7", "meta": {"admin_pass": "password-7"}}
    bench.machine.own_address = "172.16.100.17"


def test_it_releases_the_lease_and_shuts_down_and_says_so(builder: Bench) -> None:
    stop(builder)
    assert told(builder) == [f"imagebuild: {NAME} releasing", f"imagebuild: {NAME} shutdown"]
    assert (builder.machine.released, builder.machine.left) == (1, None)
    builder.clock.run("shutdown")
    assert builder.machine.left == "power off"


def test_the_same_machine_comes_back_with_what_it_had(builder: Bench) -> None:
    sid, listeners = builder.guest.identity.sid, builder.windows.listeners()
    stop(builder)
    builder.clock.run("shutdown")
    assert builder.boot().stale_address is None
    assert (builder.guest.identity.sid, builder.windows.listeners()) == (sid, listeners)
    assert builder.windows.password_of("Administrator") == "first-password"


def test_another_machine_from_its_disk_has_password_certificate_and_address(builder: Bench) -> None:
    """Not generalized: the SID is the builder's. Cloudbase-Init runs again, because the instance is another one."""
    sid = builder.guest.identity.sid
    stop(builder)
    builder.clock.run("shutdown")
    before = len(builder.machine.lines)
    boot_elsewhere(builder)
    assert builder.boot() == (None, True, None)
    assert builder.guest.identity.sid == sid
    assert builder.windows.password_of("Administrator") == "password-7"
    assert any("winrm certificate sha256=" in line for line in builder.machine.lines[before:])


def test_without_the_release_another_machine_takes_itself_for_the_first(builder: Bench) -> None:
    builder.fault("no-dhcp-release")
    builder.boot()
    address = builder.machine.own_address
    stop(builder)
    builder.clock.run("shutdown")
    boot_elsewhere(builder)
    assert builder.boot().stale_address == address


def test_twice_is_once(builder: Bench) -> None:
    stop(builder)
    again = builder.value("Start-SystemJob", id="stop", script="Stop-Builder", parameters={}, detached=True)
    assert again["attached"]
    assert len(told(builder)) == 2


@pytest.mark.parametrize("wrong", [{"name": "a b"}, {"name": ""}, {"serial_port": "LPT1"}])
def test_wrong_parameters_do_nothing(builder: Bench, wrong: dict[str, str]) -> None:
    stop(builder, **wrong)
    assert (builder.machine.released, told(builder)) == (0, [])
    builder.clock.run("shutdown")
    assert builder.machine.left is None
