"""The stand-in broker as it runs: HTTPS on the loopback, a file of settings, kills, and the tool and its users at the other end."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from broker_wire import ACCOUNTS, POOL, pool_object

import imagebuild
from imagebuild.adapters.brokers import open_broker
from imagebuild.broker import Broker
from imagebuild.broker_settings import LeostreamSettings
from imagebuild.errors import BrokerRefused
from imagebuild.lab.broker import server as serving_over_tls
from imagebuild.lab.broker.certificates import find_or_make
from imagebuild.lab.broker.population import Habits, Population
from imagebuild.lab.broker.portal_client import PortalClient, PortalRefused
from imagebuild.lab.broker.service import Service, ServiceSettings, read_settings, serving
from imagebuild.waiting import Deadline, wait_for

NAMES = ("desktop-1", "desktop-2")
SECONDS = 20.0


def write_settings(folder: Path, **more: Any) -> Path:
    pool = pool_object(0) | {"image": "v1"}
    told = {
        "folder": "broker",
        "accounts": [{"login": one.login, "password": one.password, "api": one.api} for one in ACCOUNTS],
        "registrations": "registrations.jsonl",
        "pools": [pool],
        "desktops": NAMES,
        "images": ["v1"],
        "count_seconds": 0,
        "turn_seconds": 0.05,
        **more,
    }
    path = folder / "settings.json"
    path.write_text(json.dumps(told))
    said = [{"name": name, "at": "2026-03-01T08:00:00+00:00"} for name in NAMES]
    (folder / "registrations.jsonl").write_text("".join(json.dumps(one) + "\n" for one in said))
    return path


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    return read_settings(write_settings(tmp_path))


@pytest.fixture
def url(settings: ServiceSettings) -> Iterator[str]:
    with serving(settings) as (server, _):
        yield f"https://127.0.0.1:{server.port}"


@contextmanager
def tool(
    url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, password: str = ACCOUNTS[0].password
) -> Iterator[Broker]:
    """The tool's broker, from the section of a pool file."""
    monkeypatch.setenv("BROKER_USER", ACCOUNTS[0].login)
    monkeypatch.setenv("BROKER_PASSWORD", password)
    section = {"kind": "leostream", "url": url, "user": "env:BROKER_USER", "password": "env:BROKER_PASSWORD"}
    read = LeostreamSettings.model_validate({**section, "ca_file": "broker/tls/ca.pem", "deadline_seconds": SECONDS})
    with open_broker(read, folder=folder) as broker:
        yield broker


def users(url: str, folder: Path) -> PortalClient:
    return PortalClient(url, ca_file=folder / "broker" / "tls" / "ca.pem")


def wait_until_offered(portal: PortalClient) -> None:
    def offered() -> bool | None:
        return all(one["agent"] for one in portal.desktops()) or None

    wait_for(offered, "the agents' registrations", deadline=Deadline.after(SECONDS), every=0.05)


def test_the_tool_and_the_users_see_the_same_desktops(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal = users(url, tmp_path)
    wait_until_offered(portal)
    with tool(url, tmp_path, monkeypatch) as broker:
        assert portal.log_in("ada", POOL) == "desktop-1"
        assert portal.disconnect("ada")

        def seen() -> bool | None:
            busy = {seat.key: seat.busy for seat in broker.seats(POOL)}
            return True if busy == {"desktop-1": True, "desktop-2": False} else None

        wait_for(seen, "the next counting", deadline=Deadline.after(SECONDS), every=0.05)
        assert broker.set_provisioning(POOL, on=False) is False
        assert broker.settings(POOL).image_name == "v1"
        assert broker.health().ok
        assert portal.log_in("bob", POOL) == "desktop-2"
        assert portal.log_in("eve", POOL) is None
        assert portal.log_out("bob")
        assert not portal.log_out("bob")
    assert {name: portal.verdict()[name] for name in ("logins", "logins_refused", "sessions_cut")} == {
        "logins": 2,
        "logins_refused": 1,
        "sessions_cut": 0,
    }


def test_troubles_over_the_wire(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    portal = users(url, tmp_path)
    with tool(url, tmp_path, monkeypatch) as broker:
        broker.seats(POOL)
        portal.trouble(forget_logins=1)
        assert len(broker.seats(POOL)) == 2
        portal.trouble(lose_answers=1)
        assert broker.set_provisioning(POOL, on=True) is False
        assert broker.settings(POOL).provisioning is True
        portal.trouble(unwell=True)
        assert not broker.health().ok
        portal.sit_down("rogue", "desktop-1")
        portal.set_available("desktop-2", available=False)
        assert [one["out_of_service"] for one in portal.desktops()] == [False, True]
    with pytest.raises(PortalRefused, match="nonsense"):
        portal.trouble(nonsense=True)


def test_a_population_in_real_time(url: str, tmp_path: Path) -> None:
    portal = users(url, tmp_path)
    wait_until_offered(portal)
    population = Population(POOL, 4, seed=3, habits=Habits(away=0.1, work=0.05, apart=0.05, retry=0.05))
    over = threading.Event()
    clock = Deadline.after(SECONDS)

    def rest(seconds: float) -> bool:
        diary = population.diary
        return over.wait(seconds) or clock.passed() or (diary.logouts >= 10 and diary.refused >= 1)

    population.live(portal, now=lambda: -clock.left(), rest=rest)
    verdict = portal.verdict()
    assert population.diary.logouts == verdict["logouts"] >= 10
    assert population.diary.refused == verdict["logins_refused"] >= 1
    assert (population.diary.lost, population.diary.no_answer, verdict["sessions_cut"]) == (0, 0, 0)


def test_a_login_that_is_wrong_is_refused_over_the_wire(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        tool(url, tmp_path, monkeypatch, password="wrong-one") as broker,
        pytest.raises(BrokerRefused, match="INVALID_CREDENTIALS"),
    ):
        broker.health()


@contextmanager
def process(settings: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The broker as a process that has nothing but Python and this package's own folder."""
    command = [sys.executable, "-S", "-m", "imagebuild.lab.broker", str(settings)]
    environment = {"PYTHONPATH": str(Path(imagebuild.__file__).parents[1]), "PATH": os.environ["PATH"]}
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        word, _, url = child.stdout.readline().strip().partition(" ")
        assert word == "ready"
        yield child, url
    finally:
        child.kill()
        child.wait(SECONDS)


def test_what_users_and_tool_did_survives_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_settings(tmp_path)
    with process(path) as (child, url):
        portal = users(url, tmp_path)
        wait_until_offered(portal)
        portal.log_in("ada", POOL)
        portal.disconnect("ada")
        with tool(url, tmp_path, monkeypatch) as broker:
            broker.set_provisioning(POOL, on=True)
            child.kill()
            child.wait(SECONDS)
    certificate = (tmp_path / "broker" / "tls" / "ca.pem").read_bytes()
    with process(path) as (child, url):
        portal = users(url, tmp_path)
        assert [one["session"] for one in portal.desktops()] == ["disconnected", "none"]
        with tool(url, tmp_path, monkeypatch) as broker:
            assert broker.settings(POOL).provisioning is True
        child.send_signal(signal.SIGTERM)
        assert child.wait(SECONDS) == 0
    assert (tmp_path / "broker" / "tls" / "ca.pem").read_bytes() == certificate
    assert (tmp_path / "broker" / "state.json").stat().st_mode & 0o077 == 0
    assert (tmp_path / "broker" / "tls" / "broker.key").stat().st_mode & 0o077 == 0


def test_what_was_answered_is_on_the_disk(tmp_path: Path) -> None:
    path = write_settings(tmp_path, turn_seconds=3600)
    with process(path) as (_, url):
        users(url, tmp_path).set_available("desktop-1", available=False)
    with process(path) as (_, url):
        assert [one["out_of_service"] for one in users(url, tmp_path).desktops()] == [True, False]


def test_who_says_nothing_holds_up_nobody(url: str, tmp_path: Path) -> None:
    port = int(url.rpartition(":")[2])
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(serving_over_tls.THREADS // 2)]
    assert users(url, tmp_path).verdict()["logins"] == 0
    for one in silent:
        one.close()


@pytest.mark.parametrize(("length", "status"), [("9" * 12, 413), ("no-number", 413)])
def test_a_body_that_is_no_body_is_refused(url: str, tmp_path: Path, length: str, status: int) -> None:
    tls = ssl.create_default_context(cafile=str(tmp_path / "broker" / "tls" / "ca.pem"))
    connection = http.client.HTTPSConnection("127.0.0.1", int(url.rpartition(":")[2]), context=tls, timeout=SECONDS)
    connection.putrequest("POST", "/rest/v1/session/login")
    connection.putheader("Content-Length", length)
    connection.endheaders()
    assert connection.getresponse().status == status
    connection.close()


def test_a_certificate_is_made_anew_for_other_names_only(tmp_path: Path) -> None:
    first = find_or_make(tmp_path, "IP:127.0.0.1").ca.read_bytes()
    assert find_or_make(tmp_path, "IP:127.0.0.1").ca.read_bytes() == first
    made = find_or_make(tmp_path, "IP:127.0.0.1", "DNS:broker.example")
    assert made.ca.read_bytes() != first
    command = [
        "openssl",
        "verify",
        "-CAfile",
        str(made.ca),
        "-verify_hostname",
        "broker.example",
        str(made.certificate),
    ]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    with pytest.raises(OSError, match="openssl"):
        find_or_make(tmp_path, "nonsense")
    assert made.ca.read_bytes() != first


def test_the_settings_that_the_page_shows_are_settings(tmp_path: Path) -> None:
    page = Path(imagebuild.__file__).parents[1] / "docs" / "stand-in-broker.md"
    (tmp_path / "settings.json").write_text(page.read_text().split("```json\n")[1].split("```")[0])
    settings = read_settings(tmp_path / "settings.json")
    assert settings.cloud is not None
    broker = Service(replace(settings, folder=tmp_path)).broker
    number = next(number for number, pool in broker.state.pools.items() if pool["name"] == "staff")
    assert broker.pools.problems(broker.state.pools[number], number) == []
