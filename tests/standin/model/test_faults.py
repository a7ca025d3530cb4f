"""Every fault breaks what its sentence says, and a test stands for each."""

from __future__ import annotations

from pathlib import Path

import pytest
from model_fakes import Bench
from test_generalize import generalize, prepare, told

from imagebuild.lab.guest.standin.model.faults import FAULTS, Faults


def boot_with(bench: Bench, *words: str) -> Bench:
    bench.fault(*words)
    bench.boot()
    return bench


def test_every_fault_has_a_test_and_a_sentence() -> None:
    text = "".join(Path(__file__).with_name(name).read_text("utf-8") for name in ("test_faults.py", "test_domain.py"))
    assert [word for word in FAULTS if f'"{word}"' not in text] == []
    assert all(len(sentence.split()) > 2 for sentence in FAULTS.values())


def test_unknown_words_are_told_and_break_nothing(bench: Bench) -> None:
    boot_with(bench, "no-such-fault")
    assert bench.machine.lines[0] == "stand-in: no fault is called 'no-such-fault'; nothing is broken by it"
    with pytest.raises(KeyError):
        "no-such-fault" in Faults()  # noqa: B015 - asking is what fails


def test_open_http(bench: Bench) -> None:
    bench.machine.data = None
    boot_with(bench, "open-http")
    assert bench.windows.listeners() == {"http"}
    assert (bench.windows.settings().basic, bench.windows.settings().allow_unencrypted) == (True, True)


def test_winrm_dies(builder: Bench) -> None:
    boot_with(builder, "winrm-dies")
    assert builder.windows.listeners() == {"https"}
    builder.value("Start-SystemJob", id="a", script="Find-Updates")
    assert builder.windows.listeners() == frozenset()


def test_rdp_deaf(builder: Bench) -> None:
    builder.value("Set-RemoteDesktop")
    assert builder.windows.listeners() == {"https", "rdp"}
    boot_with(builder, "rdp-deaf")
    assert builder.value("Get-CloneState")["rdp"]["enabled"]
    assert builder.windows.listeners() == {"https"}


def test_winrm_refuses(bench: Bench) -> None:
    boot_with(bench, "winrm-refuses")
    assert bench.windows.password_of("Administrator") is None


def test_wrong_certificate_on_console(bench: Bench) -> None:
    boot_with(bench, "wrong-certificate-on-console")
    pair = bench.windows.certificate()
    assert pair is not None
    (line,) = [line for line in bench.machine.lines if "sha256=" in line]
    shown = line.rpartition("=")[2]
    assert len(shown) == 64 and shown != bench.machine.certificate_sha256(pair[0])


def test_no_certificate_on_console(bench: Bench) -> None:
    boot_with(bench, "no-certificate-on-console")
    assert bench.machine.lines == ["imagebuild: winrm ready"]


def test_early_winrm_long_configuring(builder: Bench) -> None:
    boot_with(builder, "early-winrm-long-configuring")
    builder.job_value("Install-Updates")
    builder.job_value("Install-Updates")
    before = builder.clock.seconds
    builder.restart()
    assert builder.clock.seconds - before > 120


def test_drivers_only_staged(builder: Bench) -> None:
    boot_with(builder, "drivers-only-staged")
    report = builder.job_value("Install-VirtioDrivers")
    assert {one["state"] for one in report["drivers"]} == {"staged"}
    assert not builder.value("Get-DriverState")["boot_ready"]
    builder.boot()
    builder.become_clone()
    assert builder.boot().stop_code == "0x0000007B"


def test_update_fails_always(builder: Bench) -> None:
    boot_with(builder, "update-fails-always")
    for _ in range(3):
        report = builder.job_value("Install-Updates")
        failed = [one for one in report["updates"] if one["result"] == "failed"]
        assert [(one["kb"], one["action"]) for one in failed] == [(["3138612"], "give_up")]
        if report["reboot_required"]:
            builder.restart()


def test_update_hangs_until_its_time_is_over(builder: Bench) -> None:
    boot_with(builder, "update-hangs")
    found = builder.job("Install-Updates", timeout_seconds=600)
    assert (found["state"], found["timed_out"], found["exit_code"], found["result"]) == ("finished", True, None, None)


def test_reboot_never_returns(builder: Bench) -> None:
    boot_with(builder, "reboot-never-returns")
    builder.value("Restart-Guest", reason="x")
    builder.clock.run("shutdown")
    assert builder.machine.left is None
    assert builder.windows.listeners() == frozenset()


def test_agent_exit_1603(builder: Bench) -> None:
    boot_with(builder, "agent-exit-1603")
    report = builder.job_value("Install-Program", path="LeostreamAgentSetup.exe", kind="exe", media="VDI-MEDIA")
    assert (report["state"], report["code"]) == ("failed", "1603")


def test_agent_busy_1618(builder: Bench) -> None:
    boot_with(builder, "agent-busy-1618")
    report = builder.job_value("Install-Program", path="LeostreamAgentSetup.exe", kind="exe", media="VDI-MEDIA")
    assert (report["state"], report["attempts"]) == ("installed", 2)


def test_agent_needs_reboot_3010(builder: Bench) -> None:
    boot_with(builder, "agent-needs-reboot-3010")
    report = builder.job_value("Install-Program", path="LeostreamAgentSetup.exe", kind="exe", media="VDI-MEDIA")
    assert (report["code"], report["reboot_needed"]) == ("3010", True)
    assert builder.value("Get-PendingReboot")["reboot_needed"]
    builder.restart()
    assert not builder.value("Get-PendingReboot")["reboot_needed"]


def test_service_dies(builder: Bench) -> None:
    boot_with(builder, "service-dies")
    builder.job_value("Install-Program", path="LeostreamAgentSetup.exe", kind="exe", media="VDI-MEDIA")
    setting = {"path": "HKLM:\\SOFTWARE\\x", "name": "y", "value": "{address}"}
    answer = builder.script(
        "Set-BrokerAgent", service="Leostream Agent", address="10.0.0.1", port=80, settings=[setting]
    )
    assert (
        answer["error"]["message"] == "the service 'Leostream Agent' is Stopped, not Running: see the agent's own log"
    )


def test_sysprep_fails(builder: Bench) -> None:
    boot_with(builder, "sysprep-fails")
    outcome = generalize(builder)
    assert (outcome["reason"]["name"], outcome["image_state"]) == ("appx", "IMAGE_STATE_COMPLETE")
    assert outcome["reason"]["packages"] == ["Microsoft.StandIn_1.0.0.0_x64__8wekyb3d8bbwe"]
    answer = builder.value("Get-GeneralizeOutcome")
    assert len(answer["log_lines"]) == 3 and answer["phase"] == "failed sysprep"
    assert builder.machine.released == 0
    builder.windows.open_shell()


def test_sysprep_hangs(builder: Bench) -> None:
    boot_with(builder, "sysprep-hangs")
    outcome = generalize(builder, deadline_seconds=600)
    assert (outcome["reason"]["name"], outcome["image_state"]) == ("never_ended", "IMAGE_STATE_UNDEPLOYABLE")
    assert told(builder)[-1] == "failed sysprep"


def test_sid_kept(builder: Bench) -> None:
    boot_with(builder, "sid-kept")
    prepare(builder)
    sid = builder.guest.identity.sid
    assert generalize(builder)["succeeded"]
    builder.become_clone()
    builder.boot()
    assert builder.guest.identity.sid == sid


def test_no_dhcp_release(builder: Bench) -> None:
    boot_with(builder, "no-dhcp-release")
    prepare(builder)
    address = builder.machine.own_address
    outcome = generalize(builder)
    assert outcome["succeeded"] and outcome["dhcp"]["released"] == [{"index": 7, "code": 0}]
    assert builder.machine.released == 0
    builder.become_clone()
    assert builder.boot().stale_address == address


def test_never_shuts_down(builder: Bench) -> None:
    boot_with(builder, "never-shuts-down")
    prepare(builder)
    assert generalize(builder)["succeeded"]
    builder.clock.run("shutdown")
    assert builder.machine.left is None
    assert told(builder)[-1] == "shutdown"


def test_shutdown_without_seal(builder: Bench) -> None:
    boot_with(builder, "shutdown-without-seal")
    prepare(builder)
    with pytest.raises(FileNotFoundError):
        generalize(builder)
    assert builder.machine.left == "power off"
    assert told(builder)[-1] == "sysprep"
    assert builder.guest.registry.get("HKLM:\\SOFTWARE\\imagebuild\\Image", "sealed") is None
