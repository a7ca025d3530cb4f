"""From a base image to a sealed image and its clone, with the scripts that the pipeline uses."""

from __future__ import annotations

from model_fakes import ANSWER_FILE, Bench


def generalize(bench: Bench, **parameters: object) -> dict[str, object]:
    """Start-Generalize as SYSTEM; its outcome. The countdown to the shutdown stays with the caller."""
    bench.value(
        "Start-SystemJob",
        id="seal",
        script="Start-Generalize",
        parameters={"answer_file": ANSWER_FILE, "serial_port": "COM1"} | parameters,
    )
    bench.clock.run("task imagebuild-seal")
    found = bench.value("Get-SystemJob", id="seal")
    assert found["state"] == "finished", found
    outcome: dict[str, object] = found["result"]["value"]
    return outcome


def test_a_clone_is_itself(builder: Bench) -> None:
    assert builder.windows.listeners() == {"https"}
    assert builder.windows.password_of("administrator") == "first-password"
    assert builder.windows.computer_name() == "BUILDER-1"
    first_sid = builder.value("Get-CloneState")["machine_sid"]

    assert builder.value("Initialize-Workplace")["os_version"] == "6.1.7601"
    drivers = builder.job_value("Install-VirtioDrivers")
    assert drivers["complete"]
    assert {one["name"]: one["state"] for one in drivers["drivers"]}["viostor"] == "installed"
    assert builder.value("Get-DriverState")["boot_ready"]

    rounds = 0
    while True:
        rounds += 1
        report = builder.job_value("Install-Updates")
        assert report["failure"] is None
        if report["reboot_required"]:
            builder.restart()
        elif not report["updates"]:
            break
    assert rounds == 5

    installed = builder.job_value(
        "Install-Program",
        path="LeostreamAgentSetup.exe",
        kind="exe",
        media="VDI-MEDIA",
        detect={"service": "Leostream Agent"},
    )
    assert (installed["state"], installed["code"]) == ("installed", "0")
    builder.value("Set-RemoteDesktop")
    builder.guest.services.set_start_mode("cloudbase-init", "Manual")
    builder.value("Set-ImageStamp", stamp={"version": "1", "build": "b"})
    assert builder.job_value("Test-Generalize")["ready"]

    outcome = generalize(builder)
    assert outcome["succeeded"] and outcome["phase"] == "shutdown", outcome
    builder.clock.run("shutdown")
    assert builder.machine.left == "power off"
    ours = [
        line.removeprefix("imagebuild: ")
        for line in builder.machine.lines
        if line.startswith("imagebuild: ") and "winrm" not in line
    ]
    assert ours == ["checking", "answer_file", "sysprep", "clearing", "releasing", "shutdown"]

    builder.become_clone()
    verdict = builder.boot()
    assert verdict == (None, True, None)
    state = builder.value("Get-CloneState")
    assert state["sealed"] and state["machine_sid"] not in (None, first_sid)
    assert builder.windows.password_of("Administrator") == "from-answer-file"
