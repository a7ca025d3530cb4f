"""Sysprep and what comes around it: phases, proof, clearing, release, seal, shutdown, and the clone."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from model_fakes import ANSWER_FILE, Bench

from imagebuild.console_words import first_boot_files, first_boot_lines
from imagebuild.lab.guest.standin.machine import WinRmRefused
from imagebuild.lab.guest.standin.model.clock import Pause
from imagebuild.windows import build_access_traces

PHASES = ["checking", "answer_file", "sysprep", "clearing", "releasing", "shutdown"]
CONFIGURATION = (
    "[DEFAULT]\nusername=Administrator\ninject_user_password=true\n"
    "plugins=cloudbaseinit.plugins.common.sethostname.SetHostNamePlugin,cloudbaseinit.plugins.windows.extendvolumes.ExtendVolumesPlugin,"
    "cloudbaseinit.plugins.common.setuserpassword.SetUserPasswordPlugin,cloudbaseinit.plugins.common.localscripts.LocalScriptsPlugin\n"
)


def prepare(bench: Bench) -> None:
    """What the pipeline does before."""
    bench.job_value("Install-VirtioDrivers")
    path = "C:\\cloudbase.msi"
    bench.guest.files.write(path, b"not needed: it is installed already")
    texts = {"configuration": CONFIGURATION, "unattend_configuration": CONFIGURATION}
    bench.send(first_boot_files("COM1"))
    bench.job_value(
        "Install-CloudbaseInit", installer=path, sha256="0" * 64, enable_administrator=True, first_boot_commands=first_boot_lines("COM1"),
        **texts,
    )  # fmt: skip
    bench.value("Set-ImageStamp", stamp={"version": "2026.1", "build": "b1", "recipe": "win7-vdi"})


def certificate_of(bench: Bench) -> str:
    pair = bench.windows.certificate()
    assert pair is not None
    return bench.machine.certificate_sha256(pair[0])


def generalize(bench: Bench, **parameters: Any) -> dict[str, Any]:
    """As the pipeline does it: detached, so that the workplace can go; the outcome is read from where the script leaves it."""
    traces = {"task_prefix": "imagebuild-"} | build_access_traces(certificate_of(bench))
    given = {
        "answer_file": ANSWER_FILE, "serial_port": "COM1", "shutdown_seconds": 5, "traces": traces, "task": "imagebuild-generalize",
        "remove_after": ["C:\\imagebuild"],
    } | parameters  # fmt: skip
    bench.value("Start-SystemJob", id="generalize", script="Start-Generalize", parameters=given, detached=True)
    bench.clock.run("task imagebuild-generalize")
    outcome: dict[str, Any] = json.loads(bench.guest.files.read_text("C:\\Windows\\Setup\\imagebuild\\outcome.json"))
    return outcome


def told(bench: Bench) -> list[str]:
    return [
        line.removeprefix("imagebuild: ")
        for line in bench.machine.lines
        if line.startswith("imagebuild: ") and "winrm" not in line
    ]


def test_the_whole_act(builder: Bench) -> None:
    prepare(builder)
    sid = builder.guest.identity.sid
    outcome = generalize(builder)
    assert outcome["succeeded"] and outcome["dhcp"] == {"released": [{"index": 7, "code": 0}], "cleared": 11}, outcome
    assert told(builder) == PHASES
    assert builder.machine.released == 1
    assert builder.windows.listeners() == frozenset()
    assert not builder.guest.files.exists("C:\\imagebuild")
    assert builder.guest.registry.get("HKLM:\\SOFTWARE\\imagebuild\\Image", "sealed")
    assert builder.guest.remote.certificates() == {}
    assert builder.guest.remote.firewall_rules() == []
    assert builder.guest.tasks.names() == []
    with pytest.raises(WinRmRefused) as refused:
        builder.windows.open_shell()
    assert refused.value.code == 0x800703FA
    builder.clock.run("shutdown")
    assert builder.machine.left == "power off"

    builder.become_clone()
    assert builder.boot() == (None, True, None)
    assert builder.guest.identity.sid not in (None, sid)
    assert builder.windows.computer_name() == "CLONE-2"
    assert builder.windows.password_of("Administrator") == "password-2"
    builder.send_scripts()
    state = builder.value("Get-CloneState", paths=["C:\\imagebuild"], plugins=["SetHostNamePlugin"])
    assert state["sealed"] and state["stamp"]["version"] == "2026.1"
    assert state["cloudbase_init"]["done"], state["cloudbase_init"]
    assert state["image_state"] == "IMAGE_STATE_COMPLETE"
    assert state["addresses"][0]["ip"] == ["172.16.100.12"]
    assert state["drivers"] == {"problems": 0, "devices": []}
    assert not builder.guest.files.exists("C:\\Windows\\Panther\\unattend.xml"), "SetupComplete.cmd removes it"


def test_two_clones_differ(builder: Bench) -> None:
    prepare(builder)
    generalize(builder)
    kept = builder.disk.with_name("image")
    shutil.copytree(builder.disk, kept)
    sids = []
    for number in (2, 3):
        shutil.rmtree(builder.disk)
        shutil.copytree(kept, builder.disk)
        builder.become_clone(number)
        builder.boot()
        sids.append(builder.guest.identity.sid)
    assert len(set(sids)) == 2


def test_a_wrapped_job_keeps_its_own_folder_in_use(builder: Bench) -> None:
    prepare(builder)
    parameters = {"answer_file": ANSWER_FILE, "remove_after": ["C:\\imagebuild"]}
    builder.value("Start-SystemJob", id="g", script="Start-Generalize", parameters=parameters)
    builder.clock.run("task imagebuild-g")
    builder.send_scripts()
    outcome = builder.value("Get-GeneralizeOutcome")["outcome"]
    assert not outcome["succeeded"]
    assert outcome["reason"]["words"] == "the image would carry C:\\imagebuild: something in it is in use"
    assert builder.guest.registry.get("HKLM:\\SOFTWARE\\imagebuild\\Image", "sealed") is None
    builder.windows.open_shell()
    assert builder.machine.own_address is not None, "the network is back"


def test_the_secret_parameters_are_deleted_first(builder: Bench) -> None:
    prepare(builder)
    builder.value("Start-SystemJob", id="g", script="Start-Generalize", parameters={"answer_file": "no xml"})
    builder.clock.run("task imagebuild-g")
    assert not builder.guest.files.exists("C:\\imagebuild\\runs\\g\\parameters.json")
    outcome = builder.value("Get-GeneralizeOutcome")["outcome"]
    assert outcome["phase"] == "checking" and "is no XML" in outcome["reason"]["words"]
    assert builder.value_of_state() == "IMAGE_STATE_COMPLETE"


@pytest.mark.parametrize("text", ["<other/>", '<?xml version="1.0" encoding="utf-16"?><unattend/>', "<unattend>"])
def test_bad_answer_files_never_reach_sysprep(builder: Bench, text: str) -> None:
    outcome = generalize(builder, answer_file=text)
    assert (outcome["succeeded"], outcome["phase"]) == (False, "checking")
    assert told(builder) == ["checking", "failed checking"]


def test_sysprep_with_a_pending_reboot_says_so(builder: Bench) -> None:
    builder.job_value("Install-Updates")
    builder.job_value("Install-Updates")
    assert not builder.value("Test-Generalize")["ready"]
    outcome = generalize(builder)
    assert (outcome["reason"]["name"], outcome["phase"], outcome["exit_code"]) == ("servicing", "sysprep", 1)
    assert builder.value_of_state() == "IMAGE_STATE_COMPLETE"
    assert told(builder)[-1] == "failed sysprep"


def test_rearms_run_out(builder: Bench) -> None:
    builder.guest.store.section("sysprep")["rearmed"] = 3
    assert builder.value("Test-DomainState")["ready_for_sysprep"] is False
    assert generalize(builder)["reason"]["name"] == "rearm"


def test_a_machine_generalized_by_somebody_else_is_refused(builder: Bench) -> None:
    builder.guest.registry.set(
        "HKLM:\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Setup\\State",
        "ImageState",
        "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE",
    )
    outcome = generalize(builder)
    assert "sysprep starts only from IMAGE_STATE_COMPLETE" in outcome["reason"]["words"]


def test_a_second_run_goes_on_behind_sysprep(builder: Bench) -> None:
    first = generalize(builder, remove_after=["C:\\imagebuild\\runs"], traces={"task_prefix": "imagebuild-"})
    builder.guest.closing = False
    builder.guest.power.abort()
    second = generalize(builder)
    assert (first["resumed"], second["resumed"], second["succeeded"]) == (False, True, True)


def test_an_account_that_is_built_in_is_not_removed(builder: Bench) -> None:
    outcome = generalize(builder, traces={"account": "Administrator"})
    assert "is built in" in outcome["reason"]["words"]


def test_without_cloudbase_init_made_quiet_the_check_blocks(builder: Bench) -> None:
    checks = builder.value("Test-Generalize")["checks"]
    assert [one["name"] for one in checks if not one["ok"] and one["blocking"]] == ["cloudbase_init"]
    prepare(builder)
    assert builder.value("Test-Generalize")["ready"]


def test_a_clients_administrator_ends_disabled_unless_the_clone_enables_it(builder: Bench) -> None:
    prepare(builder)
    texts = {"configuration": CONFIGURATION, "unattend_configuration": CONFIGURATION}
    builder.job_value("Install-CloudbaseInit", installer="C:\\cloudbase.msi", sha256="0" * 64, **texts)
    generalize(builder)
    builder.become_clone()
    builder.boot()
    assert builder.windows.password_of("Administrator") is None


def test_a_clone_of_a_machine_that_only_ran_sysprep_by_hand_keeps_the_lease(builder: Bench) -> None:
    prepare(builder)
    builder.guest.files.write_text("C:\\answer.xml", ANSWER_FILE)
    assert builder.guest.sysprep.generalize("C:\\answer.xml", Pause(builder.clock)) == 0
    address = builder.machine.own_address
    builder.become_clone()
    assert builder.boot().stale_address == address
