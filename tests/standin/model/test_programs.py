"""Installers with their exit codes, and the broker agent that registers for real."""

from __future__ import annotations

import json
import socket
import threading

import pytest
from model_fakes import Bench, make_installer

AGENT = {"path": "LeostreamAgentSetup.exe", "kind": "exe", "media": "VDI-MEDIA"}
SERVICE = "Leostream Agent"
SETTING = {"path": "HKLM:\\SOFTWARE\\Leostream\\Agent", "name": "Broker", "value": "{address}"}


def install_agent(bench: Bench) -> None:
    assert bench.job_value("Install-Program", **AGENT)["installed"]


def put(bench: Bench, **keys: object) -> str:
    bench.guest.files.write("C:\\setup.msi", make_installer(kind="msi", **keys))
    return "C:\\setup.msi"


def test_an_installer_leaves_program_service_and_files(builder: Bench) -> None:
    report = builder.job_value("Install-Program", **AGENT, detect={"service": SERVICE})
    assert (report["state"], report["code"], report["attempts"]) == ("installed", "0", 1)
    again = builder.job_value("Install-Program", **AGENT, detect={"service": SERVICE})
    assert (again["state"], again["attempts"]) == ("already", 0)
    programs = builder.value("Get-Inventory", sections=["programs"])["programs"]
    assert [(one["name"], one["version"]) for one in programs] == [("Leostream Agent (stand-in)", "8.2.1")]
    agent = builder.value("Get-BrokerAgent", service=SERVICE)
    assert (agent["installed"], agent["state"], agent["start_mode"], agent["version"]) == (
        True,
        "Running",
        "Auto",
        "8.2.1.0",
    )


@pytest.mark.parametrize(
    ("code", "state", "reboot"),
    [
        ("0", "installed", False),
        ("3010", "installed", True),
        ("1641", "installed", True),
        ("1603", "failed", False),
        ("1620", "failed", False),
    ],
)
def test_exit_codes_are_judged(builder: Bench, code: str, state: str, reboot: bool) -> None:
    path = put(builder, exit_code=code)
    report = builder.job_value("Install-Program", path=path, kind="msi")
    assert (report["state"], report["code"], report["reboot_needed"]) == (state, code, reboot)
    if state == "failed":
        assert report["log_failure"][-1].endswith("value 3.")


def test_own_codes_count_as_success(builder: Bench) -> None:
    builder.guest.files.write("C:\\setup.exe", make_installer(kind="exe", exit_code=-1073741819))
    report = builder.job_value("Install-Program", path="C:\\setup.exe", kind="exe", success_codes=[0, 3221225477])
    assert (report["state"], report["code"]) == ("installed", "0xC0000005")


def test_success_without_evidence_is_not_success(builder: Bench) -> None:
    report = builder.job_value("Install-Program", **AGENT, detect={"service": "Other"}, settle_seconds=3)
    assert (report["state"], report["installed"]) == ("not_detected", False)
    assert "service Other" in report["words"]


def test_a_file_that_is_no_package_fails_as_in_windows(builder: Bench) -> None:
    report = builder.job_value("Install-Program", path="other.msi", kind="msi", media="VDI-MEDIA")
    assert (report["state"], report["code"]) == ("failed", "1620")
    found = builder.job("Install-Program", path="other.exe", kind="exe", media="VDI-MEDIA")
    assert found["result"]["error"]["hresult"] == "0x800700C1"
    assert "not a valid Win32 application" in found["result"]["error"]["message"]


def test_a_wrong_checksum_runs_nothing(builder: Bench) -> None:
    found = builder.job("Install-Program", **AGENT, sha256="0" * 64)
    assert found["result"]["ok"] is False and "not run" in found["result"]["error"]["message"]
    assert builder.guest.services.find(SERVICE) is None


def test_a_missing_cd_is_said(builder: Bench) -> None:
    builder.machine.discs = {}
    found = builder.job("Install-Program", **AGENT)
    assert "found 0 (volumes: )" in found["result"]["error"]["message"]


class Broker:
    """Listens once on loopback and keeps the body of the request."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(10)
        self.port = self._listening.getsockname()[1]
        self.bodies: list[dict[str, object]] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        link, _ = self._listening.accept()
        with link:
            received = b""
            while b"}" not in received:
                received += link.recv(4096)
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.bodies.append(json.loads(received.partition(b"\r\n\r\n")[2]))

    def close(self) -> None:
        self._thread.join(10)
        self._listening.close()


def test_the_agent_registers_with_the_broker_that_it_was_given(builder: Bench) -> None:
    install_agent(builder)
    broker = Broker()
    report = builder.value(
        "Set-BrokerAgent", service=SERVICE, address="127.0.0.1", port=broker.port, settings=[SETTING], listen_port=8080
    )
    assert report["changed"][-1] == f"service {SERVICE} : restarted"
    assert (report["state"], report["listening"]) == ("Running", True)
    builder.clock.run(f"agent {SERVICE}")
    broker.close()
    (body,) = broker.bodies
    assert body["message"] == "agent registration" and body["stand_in"] is True
    assert (body["name"], body["address"]) == ("BUILDER-1", builder.machine.own_address)
    assert isinstance(body["sid_sha256"], str) and len(body["sid_sha256"]) == 64
    log = builder.guest.files.read_text(builder.guest.agents.log_path(SERVICE))
    assert "registered" in log and "200 OK" in log


def test_it_registers_again_at_every_boot(builder: Bench) -> None:
    install_agent(builder)
    broker = Broker()
    builder.value("Set-BrokerAgent", service=SERVICE, address="127.0.0.1", port=broker.port, settings=[SETTING])
    builder.boot()
    broker.close()
    assert len(broker.bodies) == 1


def test_a_broker_out_of_reach_blocks_nothing(builder: Bench) -> None:
    install_agent(builder)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    builder.value("Set-BrokerAgent", service=SERVICE, address="127.0.0.1", port=port, settings=[SETTING])
    builder.clock.run()
    assert "not reached" in builder.guest.files.read_text(builder.guest.agents.log_path(SERVICE))
    assert builder.value("Get-BrokerAgent", service=SERVICE)["state"] == "Running"


def test_an_agent_whose_configuration_names_no_broker_knows_none(builder: Bench) -> None:
    install_agent(builder)
    builder.value(
        "Set-BrokerAgent", service=SERVICE, address="10.0.0.1", port=80, settings=[SETTING | {"value": "elsewhere"}]
    )
    assert builder.guest.agents.broker_of(SERVICE) is None


def test_a_second_configuration_changes_nothing(builder: Bench) -> None:
    install_agent(builder)
    given = {
        "service": SERVICE,
        "address": "10.0.0.1",
        "port": 80,
        "settings": [SETTING, {"path": SETTING["path"], "name": "Port", "kind": "DWord", "value": "{port}"}],
    }
    assert len(builder.value("Set-BrokerAgent", **given)["changed"]) == 3
    assert builder.value("Set-BrokerAgent", **given)["changed"] == []


def test_sealed_stops_the_agent_and_removes_its_records(builder: Bench) -> None:
    install_agent(builder)
    builder.guest.registry.set("HKLM:\\SOFTWARE\\Leostream\\Agent", "Id", "x")
    record = {"path": "HKLM:\\SOFTWARE\\Leostream\\Agent", "name": "Id"}
    given = {"service": SERVICE, "address": "10.0.0.1", "port": 80, "goal": "sealed", "records": [record]}
    report = builder.value("Set-BrokerAgent", **given)
    assert report["removed"] == ["HKLM:\\SOFTWARE\\Leostream\\Agent : Id"]
    assert (report["state"], report["start_mode"]) == ("Stopped", "Auto")
    assert builder.value("Set-BrokerAgent", **given)["absent"] == ["HKLM:\\SOFTWARE\\Leostream\\Agent : Id"]


@pytest.mark.parametrize(
    "record",
    [
        {"file": "C:\\Windows\\System32\\x"},
        {"file": "C:\\x"},
        {"path": "HKLM:\\SOFTWARE\\Microsoft\\Windows"},
        {"path": "HKLM:\\SYSTEM\\x"},
    ],
)
def test_a_slip_in_a_recipe_does_not_empty_windows(builder: Bench, record: dict[str, str]) -> None:
    install_agent(builder)
    answer = builder.script(
        "Set-BrokerAgent", service=SERVICE, address="10.0.0.1", port=80, goal="sealed", records=[record]
    )
    assert answer["ok"] is False and "is not removed" in answer["error"]["message"]


@pytest.mark.parametrize(
    "wrong", [{"address": "a b"}, {"port": 70000}, {"port": "x"}, {"goal": "somehow"}, {"service": "Nobody"}]
)
def test_bad_parameters_are_refused(builder: Bench, wrong: dict[str, object]) -> None:
    install_agent(builder)
    given = {"service": SERVICE, "address": "10.0.0.1", "port": 80} | wrong
    assert builder.script("Set-BrokerAgent", **given)["ok"] is False
