"""The lab's broker without its port: what it takes, keeps over a restart, and tells."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from imagebuild.lab.layout import SERVICES

SAID = {"message": "agent registration", "name": "DESKTOP-1", "address": "172.16.100.20"}


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as the services import it."""
    monkeypatch.syspath_prepend(str(SERVICES))
    try:
        return importlib.import_module("labservices.broker")
    finally:
        for name in [name for name in sys.modules if name.startswith("labservices")]:
            del sys.modules[name]


def told(broker: ModuleType, registrations: Any) -> list[Any]:
    code, said = broker.respond(registrations, "GET", "/registrations", b"")
    assert code == 200
    return [{key: value for key, value in one.items() if key != "at"} for one in said]


def test_registrations_survive_a_restart(broker: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "registrations.jsonl"
    first = broker.Registrations(file)
    assert broker.respond(first, "POST", "/", json.dumps(SAID).encode())[0] == 200
    assert told(broker, first) == [SAID]
    assert broker.respond(first, "GET", "/registrations", b"")[1][0]["at"].endswith("+00:00")
    file.write_bytes(file.read_bytes() + b'{"name": "HALF')
    assert told(broker, broker.Registrations(file)) == [SAID]
    assert file.stat().st_mode & 0o077 == 0


def test_delete_forgets_them(broker: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "registrations.jsonl"
    first = broker.Registrations(file)
    first.add(SAID)
    assert broker.respond(first, "DELETE", "/registrations", b"") == (200, [])
    assert told(broker, first) == told(broker, broker.Registrations(file)) == []


def test_only_the_last_ones_are_kept_over_a_restart(broker: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "registrations.jsonl"
    file.write_text("".join(json.dumps({"name": str(number)}) + "\n" for number in range(broker.KEPT + 5)))
    kept = told(broker, broker.Registrations(file))
    assert len(kept) == broker.KEPT
    assert kept[-1] == {"name": str(broker.KEPT + 4)}


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [("POST", "/", b"no json", 400), ("POST", "/", b"[1]", 400), ("GET", "/", b"", 404), ("DELETE", "/", b"", 404)],
)
def test_what_is_no_registration_is_refused(
    broker: ModuleType, tmp_path: Path, method: str, path: str, body: bytes, code: int
) -> None:
    registrations = broker.Registrations(tmp_path / "registrations.jsonl")
    assert broker.respond(registrations, method, path, body)[0] == code
    assert told(broker, registrations) == []
