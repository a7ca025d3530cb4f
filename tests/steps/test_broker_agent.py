"""broker-agent: installed, pointed at its broker, seen to run; and nothing of this builder stays registered."""

from typing import Any

import pytest

from imagebuild.errors import ScriptFailed, SessionLost, StepFailed
from imagebuild.steps.broker_agent import BrokerAgent
from tests.steps.conftest import World, answer

INSTALLED = answer("Install-Program", "a slow bootstrap is waited for")
RUNNING = answer("Set-BrokerAgent", "configured, running, read back")
PARAMETERS: dict[str, Any] = {
    "installer": {
        "media": "programs-cd",
        "label": "VDI-MEDIA",
        "path": "Agent.exe",
        "kind": "exe",
        "sha256": "ab" * 32,
        "arguments": ["/quiet"],
    },
    "service": "Leostream Agent",
    "address": "172.16.100.1",
    "port": 8089,
    "settings": [{"path": r"HKLM:\SOFTWARE\Agent", "name": "Broker", "value": "{address}"}],
    "records": [{"path": r"HKLM:\SOFTWARE\Agent", "name": "AgentId"}],
}


def step(**values: Any) -> BrokerAgent:
    return BrokerAgent.model_validate(PARAMETERS | values)


@pytest.fixture
def ready(windows: World) -> World:
    windows.guest.returns("Install-Program", INSTALLED)
    windows.guest.returns("Set-BrokerAgent", RUNNING)
    return windows


def test_it_is_installed_as_system_from_the_cd_and_proved_by_its_service(ready: World) -> None:
    step().run(ready.context)
    (sent,) = ready.guest.parameters_of("Install-Program")
    assert sent["path"] == "Agent.exe"
    assert sent["media"] == "VDI-MEDIA"
    assert sent["sha256"] == "ab" * 32
    assert sent["arguments"] == ["/quiet"]
    assert sent["detect"] == {"service": "Leostream Agent"}
    assert "label" not in sent
    assert [who for script, _, who in ready.guest.ran if script == "Install-Program"] == ["SYSTEM"]


def test_it_is_pointed_at_the_broker_and_running(ready: World) -> None:
    step().run(ready.context)
    (sent,) = ready.guest.parameters_of("Set-BrokerAgent")
    assert (sent["goal"], sent["address"], sent["port"]) == ("running", "172.16.100.1", 8089)
    assert sent["settings"] == [
        {"path": r"HKLM:\SOFTWARE\Agent", "name": "Broker", "value": "{address}", "kind": "String"}
    ]
    known = ready.remembered()["broker_agent"]
    assert (known["address"], known["port"], known["sha256"]) == ("172.16.100.1", 8089, "ab" * 32)


def test_generalize_is_asked_to_take_its_registration_out(ready: World) -> None:
    step().run(ready.context)
    (call,) = ready.remembered()["before_generalize"]
    assert call["script"] == "Set-BrokerAgent"
    assert call["parameters"]["goal"] == "sealed"
    assert call["parameters"]["records"] == PARAMETERS["records"]


@pytest.mark.parametrize("asked", ["reboot_needed", "reboot_begun"])
def test_3010_gets_its_restart_before_the_agent_is_configured(ready: World, asked: str) -> None:
    ready.guest.returns("Install-Program", INSTALLED | {"code": "3010", asked: True})
    ready.guest.plays("Set-BrokerAgent", lambda parameters, say: RUNNING | {"restarts": len(ready.guest.restarts)})
    step().run(ready.context)
    assert ready.guest.restarts == ["broker agent"]
    assert [script for script, _, _ in ready.guest.ran] == ["Install-Program", "Set-BrokerAgent"]


def test_1603_ends_it_with_the_installers_own_log(ready: World) -> None:
    failed = answer("Install-Program", "1603 brings back the log")
    ready.guest.returns("Install-Program", failed)
    with pytest.raises(StepFailed, match="Agent.exe ended with 1603: fatal error") as caught:
        step().run(ready.context)
    assert caught.value.details == (*failed["log_failure"], *failed["log_tail"])
    assert ready.guest.parameters_of("Set-BrokerAgent") == []
    assert "broker_agent" not in ready.facts


def test_success_without_the_service_is_none(ready: World) -> None:
    missing = INSTALLED | {
        "installed": False,
        "state": "not_detected",
        "code": "0",
        "words": "exit code 0, but missing: service Leostream Agent",
    }
    ready.guest.returns("Install-Program", missing)
    with pytest.raises(StepFailed, match="ended with 0: exit code 0, but missing: service Leostream Agent"):
        step().run(ready.context)


def test_an_agent_that_does_not_stay_up_ends_it(ready: World) -> None:
    ready.guest.breaks("Set-BrokerAgent", "the service stopped again")
    with pytest.raises(ScriptFailed, match="the service stopped again"):
        step().run(ready.context)
    assert "before_generalize" not in ready.facts


def test_a_second_run_does_not_install_it_again(ready: World) -> None:
    ready.guest.faults.lose_answer("run")
    with pytest.raises(SessionLost):
        step().run(ready.context)
    step().run(ready.context)
    assert len(ready.guest.parameters_of("Install-Program")) == 1
    assert len(ready.facts["before_generalize"]) == 1


def test_its_cd_must_be_attached() -> None:
    assert step().media() == {"programs-cd"}
