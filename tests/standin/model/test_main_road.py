"""From a base image to a sealed image and its clone: the scripts that the pipeline uses, with the answer files that it renders."""

from __future__ import annotations

from pathlib import Path

from model_fakes import Bench
from test_generalize import generalize, told

from imagebuild.answers import AnswerSettings, render_answer_file, render_cloudbase_configuration
from imagebuild.console_words import first_boot_files, first_boot_lines, read_told
from imagebuild.lab.guest.standin.model.answers import read_answers
from imagebuild.secrets import Secret

TEMPLATES = Path(__file__).parents[3] / "unattend"
WINDOWS_7 = AnswerSettings(os="win7", locale="ko-KR", time_zone="Korea Standard Time")


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
    assert builder.send(first_boot_files("COM1"))["ok"]
    rendered = render_cloudbase_configuration(TEMPLATES, settings=WINDOWS_7)
    builder.guest.files.write_text("C:\\cloudbase.msi", "not needed: it is installed already")
    builder.job_value(
        "Install-CloudbaseInit", installer="C:\\cloudbase.msi", sha256="0" * 64, configuration=rendered.configuration,
        unattend_configuration=rendered.unattend_configuration, enable_administrator=WINDOWS_7.enables_administrator,
        first_boot_commands=first_boot_lines("COM1"),
    )  # fmt: skip
    builder.value("Set-ImageStamp", stamp={"version": "1", "build": "win7-vdi-20260301-7", "recipe": "win7-vdi"})
    assert builder.job_value("Test-Generalize")["ready"]

    answer_file = render_answer_file(TEMPLATES, settings=WINDOWS_7, password=Secret("first & only"))
    outcome = generalize(builder, answer_file=answer_file)
    assert outcome["succeeded"] and outcome["phase"] == "shutdown", outcome
    builder.clock.run("shutdown")
    assert builder.machine.left == "power off"
    assert told(builder) == ["checking", "answer_file", "sysprep", "clearing", "releasing", "shutdown"]

    builder.become_clone()
    assert builder.boot() == (None, True, None)
    said = read_told("\n".join(builder.machine.lines))
    assert said.stamp == {"recipe": "win7-vdi", "build": "win7-vdi-20260301-7"}
    assert said.member == {"name": "CLONE-2", "domain": "-"}
    builder.send_scripts()
    state = builder.value("Get-CloneState", plugins=["SetHostNamePlugin", "SetUserPasswordPlugin"])
    assert state["sealed"] and state["machine_sid"] not in (None, first_sid)
    assert state["cloudbase_init"]["done"], state["cloudbase_init"]
    assert state["computer_name"] == "CLONE-2"
    assert builder.windows.password_of("Administrator") == "password-2"


def test_the_rendered_answer_file_is_heeded() -> None:
    answers = read_answers(render_answer_file(TEMPLATES, settings=WINDOWS_7, password=Secret("first & only")))
    assert answers.administrator_password == "first & only"
    assert answers.time_zone == "Korea Standard Time"
    own = WINDOWS_7.model_copy(update={"admin_user": "vdiadmin"})
    assert read_answers(render_answer_file(TEMPLATES, settings=own, password=Secret("x"))).accounts == (
        ("vdiadmin", "x"),
    )
