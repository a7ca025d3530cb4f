"""What decides at boot: drivers by the devices that are really there, leases, identity, user data."""

from __future__ import annotations

import pytest
from model_fakes import BUILDER_MAC, CLONE_MAC, VIRTIO_DISK, VIRTIO_NIC, Bench

from imagebuild.lab.guest.standin.machine import Device

STOPPED = ("0x0000007B", False, None)


def test_a_base_image_on_virtio_stops(bench: Bench) -> None:
    bench.machine.bus = "virtio"
    assert bench.boot() == STOPPED


def test_a_virtio_disk_beside_makes_the_driver_boot_ready(builder: Bench) -> None:
    builder.job_value("Install-VirtioDrivers")
    builder.become_clone()
    builder.machine.card_mac = BUILDER_MAC
    assert builder.boot() == (None, True, None)


def test_drivers_without_the_device_are_only_staged(builder: Bench) -> None:
    builder.machine.devices_present = ()
    report = builder.job_value("Install-VirtioDrivers")
    assert report["complete"]
    assert {one["name"]: (one["state"], one["code"]) for one in report["drivers"]}["viostor"] == ("staged", "259")
    gate = builder.value("Get-DriverState")
    assert not gate["boot_ready"]
    assert any("no device for viostor is present" in reason for reason in gate["reasons"])
    builder.become_clone()
    assert builder.boot() == STOPPED


def test_a_staged_driver_is_bound_when_the_device_comes(builder: Bench) -> None:
    builder.machine.devices_present = ()
    builder.job_value("Install-VirtioDrivers")
    builder.machine.devices_present = (VIRTIO_DISK,)
    builder.boot()
    assert builder.value("Get-DriverState")["boot_ready"]


@pytest.mark.parametrize("gone", ["file", "start", "database"])
def test_the_loader_needs_file_start_and_database(builder: Bench, gone: str) -> None:
    builder.job_value("Install-VirtioDrivers")
    if gone == "file":
        builder.guest.files.remove("C:\\Windows\\System32\\drivers\\viostor.sys")
    elif gone == "start":
        builder.guest.registry.set("HKLM:\\SYSTEM\\CurrentControlSet\\Services\\viostor", "Start", 3)
    else:
        builder.guest.registry.remove_key("HKLM:\\SYSTEM\\CurrentControlSet\\Control\\CriticalDeviceDatabase")
    assert len(builder.value("Get-DriverState")["reasons"]) == 1
    builder.become_clone()
    assert builder.boot() == STOPPED


def test_modern_and_legacy_devices_are_both_served(builder: Bench) -> None:
    builder.machine.devices_present = (Device(0x1AF4, 0x1042),)
    builder.job_value("Install-VirtioDrivers")
    assert builder.value("Get-DriverState")["boot_ready"]


def test_a_virtio_card_without_its_driver_has_no_network(bench: Bench) -> None:
    bench.machine.card = "virtio"
    verdict = bench.boot()
    assert verdict == (None, False, None)
    assert bench.machine.own_address is None


def test_a_staged_network_driver_is_enough(builder: Bench) -> None:
    builder.job_value("Install-VirtioDrivers", drivers=["NetKVM"])
    builder.machine.card = "virtio"
    builder.machine.devices_present = (VIRTIO_NIC,)
    assert builder.boot().network


def test_files_missing_on_the_cd_fail_as_pnputil_does(builder: Bench) -> None:
    folder = builder.machine.discs["virtio-win-0.1.173"] / "Balloon" / "w7" / "amd64"
    for name, code in (("balloon.sys", "2"), ("balloon.cat", "0xE000022F")):
        kept = (folder / name).read_bytes()
        (folder / name).unlink()
        report = builder.job_value("Install-VirtioDrivers")
        (folder / name).write_bytes(kept)
        (failed,) = [one for one in report["drivers"] if one["state"] == "failed"]
        assert (failed["name"], failed["code"], report["complete"]) == ("Balloon", code, False)


def test_a_second_run_finds_drivers_in_the_store(builder: Bench) -> None:
    builder.job_value("Install-VirtioDrivers")
    report = builder.job_value("Install-VirtioDrivers")
    assert {(one["state"], one["already_staged"]) for one in report["drivers"]} == {("staged", True)}
    assert len(builder.guest.files.children("C:\\Windows\\INF")) == 4


def test_the_same_machine_asks_anew_a_clone_believes_the_old_lease(bench: Bench) -> None:
    assert bench.boot().stale_address is None
    first = bench.machine.own_address
    assert bench.boot().stale_address is None
    bench.machine.card_mac = CLONE_MAC
    assert bench.boot().stale_address == first
    assert bench.boot().stale_address == first, "it goes on believing"


def test_a_clone_that_was_not_generalized_shares_the_sid(bench: Bench) -> None:
    bench.boot()
    sid = bench.guest.identity.sid
    bench.become_clone()
    bench.machine.bus = "ide"
    bench.boot()
    assert sid is not None and bench.guest.identity.sid == sid


def test_cloudbase_init_runs_once_an_instance(bench: Bench) -> None:
    bench.boot()
    assert (bench.windows.computer_name(), bench.windows.password_of("Administrator")) == (
        "BUILDER-1",
        "first-password",
    )
    bench.machine.meta_data["meta"]["admin_pass"] = "another"
    bench.boot()
    assert bench.windows.password_of("Administrator") == "first-password"
    bench.machine.meta_data["uuid"] = "builder-2"
    bench.boot()
    assert bench.windows.password_of("Administrator") == "another"


def test_the_password_of_the_metadata_itself_counts_too(bench: Bench) -> None:
    bench.machine.meta_data = {"uuid": "x", "hostname": "x-very-long-name-of-a-server", "admin_pass": "top"}
    bench.boot()
    assert bench.windows.password_of("Administrator") == "top"
    assert bench.windows.computer_name() == "X-VERY-LONG-NAM"


def test_a_name_that_no_computer_can_have_stops_only_its_plugin(bench: Bench) -> None:
    bench.machine.meta_data["hostname"] = "under_score"
    bench.boot()
    assert "'under_score' cannot be a computer name" in bench.machine.lines[0]
    assert bench.windows.password_of("Administrator") == "first-password"
    bench.machine.meta_data["hostname"] = "better"
    bench.boot()
    assert bench.windows.computer_name() == "BETTER"


def test_without_a_config_drive_nobody_can_log_on(bench: Bench) -> None:
    bench.machine.meta_data, bench.machine.data = {}, None
    bench.boot()
    assert bench.windows.password_of("Administrator") is None
    assert any("finds no metadata" in line for line in bench.machine.lines)
    assert bench.windows.listeners() == frozenset()


def test_user_data_opens_https_and_tells_the_certificate(bench: Bench) -> None:
    bench.boot(finish=False)
    assert bench.windows.listeners() == frozenset()
    bench.clock.run()
    assert bench.windows.listeners() == {"https"}
    pair = bench.windows.certificate()
    assert pair is not None
    sha256 = bench.machine.certificate_sha256(pair[0])
    assert bench.machine.lines == [f"imagebuild: winrm certificate sha256={sha256}", "imagebuild: winrm ready"]
    assert bench.windows.settings() == (False, False, 150, 30)
    bench.boot()
    assert bench.machine.certificates_made == 1


def test_user_data_runs_again_for_another_instance_with_the_same_certificate(bench: Bench) -> None:
    bench.boot()
    bench.machine.meta_data["uuid"] = "builder-2"
    bench.boot()
    assert bench.machine.certificates_made == 1
    assert len({line for line in bench.machine.lines if "sha256" in line}) == 1
    assert len([line for line in bench.machine.lines if "sha256" in line]) == 2


@pytest.mark.parametrize("data", [b"#!/bin/sh\necho no\n", b"#ps1_sysnative\n# imagebuild script: Other\n"])
def test_other_user_data_is_said_aloud_and_does_nothing(bench: Bench, data: bytes) -> None:
    bench.machine.data = data
    bench.boot()
    assert bench.machine.lines == ["stand-in: user data is not a script that this stand-in knows"]
    assert bench.windows.listeners() == frozenset()


def test_the_metadata_may_ask_for_listeners(bench: Bench) -> None:
    bench.machine.data = None
    bench.machine.meta_data["meta"]["standin-listeners"] = "http, https"
    bench.boot()
    assert bench.windows.listeners() == {"http", "https"}
    assert bench.windows.settings() == (True, True, 500, 30)


def test_the_state_survives_a_cut_in_the_middle_of_the_first_boot(bench: Bench) -> None:
    bench.boot(finish=False)
    bench.guest.registry.set(
        "HKLM:\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Setup\\State",
        "ImageState",
        "IMAGE_STATE_SPECIALIZE_RESEAL_TO_OOBE",
    )
    bench.boot()
    assert bench.value_of_state() == "IMAGE_STATE_COMPLETE"
