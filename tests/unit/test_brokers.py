"""From the `broker:` section to a broker: what may stand in it, and what is made of it."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import requests
import yaml
from pydantic import TypeAdapter, ValidationError

from imagebuild.adapters.brokers import open_broker
from imagebuild.adapters.command_broker import CommandBroker
from imagebuild.adapters.file_broker import FileBroker
from imagebuild.adapters.leostream_broker import LeostreamBroker
from imagebuild.adapters.no_broker import NoBroker
from imagebuild.broker import Cap
from imagebuild.broker_settings import BrokerSettings, Question
from imagebuild.errors import RecipeError
from tests.unit.examples import PROJECT
from tests.unit.leostream_wire import PASSWORD, Leostream

SECTION: TypeAdapter[Any] = TypeAdapter(BrokerSettings)
LEOSTREAM = {
    "kind": "leostream",
    "url": "https://broker.example",
    "user": "env:BROKER_USER",
    "password": "env:BROKER_PASSWORD",
}


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Leostream:
    """What every new session of requests talks to."""
    wire = Leostream()
    monkeypatch.setattr(requests.Session, "get_adapter", lambda self, url: wire)
    monkeypatch.setenv("BROKER_USER", "robot")
    monkeypatch.setenv("BROKER_PASSWORD", PASSWORD)
    return wire


def test_a_leostream_is_logged_in_at_the_first_call_and_out_at_the_end(wire: Leostream, tmp_path: Path) -> None:
    settings = SECTION.validate_python({**LEOSTREAM, "drain": "adhoc", "domain": "corp"})
    with open_broker(settings, folder=tmp_path, clock=wire.clock, now=wire.now) as broker:
        assert isinstance(broker, LeostreamBroker)
        assert Cap.AVAILABILITY in broker.capabilities()
        assert wire.sent == []
        assert len(broker.seats("staff")) == 3
    assert wire.sent[0].body == {"user_login": "robot", "password": PASSWORD, "domain": "corp"}
    assert str(wire.sent[-1]) == "POST /session/logout"


def test_it_is_logged_out_also_when_something_goes_wrong(wire: Leostream, tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        open_broker(SECTION.validate_python(LEOSTREAM), folder=tmp_path, clock=wire.clock) as broker,
    ):
        broker.health()
        raise KeyboardInterrupt
    assert str(wire.sent[-1]) == "POST /session/logout"


def test_a_ca_file_is_looked_for_from_the_project(wire: Leostream, tmp_path: Path) -> None:
    settings = SECTION.validate_python({**LEOSTREAM, "ca_file": "ca.pem"})
    with pytest.raises(RecipeError, match=r"no file .*ca\.pem"), open_broker(settings, folder=tmp_path):
        pass
    (tmp_path / "ca.pem").write_text("")
    with open_broker(settings, folder=tmp_path, clock=wire.clock) as broker:
        broker.health()
    assert wire.sent[0].options["verify"] == str(tmp_path / "ca.pem")


def test_a_password_that_is_not_there_is_said_before_any_call(wire: Leostream, tmp_path: Path) -> None:
    settings = SECTION.validate_python({**LEOSTREAM, "password": "env:NOT_SET_ANYWHERE"})
    with pytest.raises(RecipeError, match="NOT_SET_ANYWHERE"), open_broker(settings, folder=tmp_path):
        pass
    assert wire.sent == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://broker.example"},
        {"url": "https://robot:secret@broker.example"},
        {"url": "https://broker.example/rest/v1"},
        {"password": "plain"},
        {"drain": "force"},
        {"time_zone": "Mars/Olympus"},
        {"verify": False},
        {"kind": "horizon"},
    ],
)
def test_what_no_broker_section_may_say(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SECTION.validate_python({**LEOSTREAM, **wrong})


def test_the_examples_of_the_page_are_sections_and_lists(tmp_path: Path) -> None:
    page = (PROJECT / "docs" / "brokers.md").read_text(encoding="utf-8")
    examples = [yaml.safe_load(text)["broker"] for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    assert [SECTION.validate_python(example).kind for example in examples] == ["leostream", "file", "command", "none"]
    (listed,) = re.findall(r"```\n(name,.*?)```", page, re.DOTALL)
    (tmp_path / "sessions.csv").write_text(listed)
    with open_broker(SECTION.validate_python({"kind": "file", "sessions": "sessions.csv"}), folder=tmp_path) as broker:
        assert [(seat.session, seat.availability, seat.busy) for seat in broker.seats("staff")] == [
            ("none", "available", False),
            ("active", "available", True),
            ("disconnected", "unavailable", True),
        ]
    questions = re.findall(r"^\| `([a-z-]+)`[^|]*\|", page.partition("## command")[2], re.MULTILINE)
    assert sorted(questions) == sorted(get_args(Question))


def test_nothing_that_could_cut_a_user_off_is_on_by_itself() -> None:
    settings = SECTION.validate_python(LEOSTREAM)
    assert (settings.trust_unassigned, settings.drain, settings.max_age_minutes) == (False, "none", 15)
    assert SECTION.validate_python({"kind": "none"}).assume_idle is False
    assert NoBroker().seats("staff", names=["desktop-1"])[0].busy


def test_files_are_looked_for_from_the_project(tmp_path: Path) -> None:
    (tmp_path / "sessions.csv").write_text("name,session\ndesktop-1,none\n")
    settings = SECTION.validate_python({"kind": "file", "sessions": "sessions.csv", "unavailable": "marked.csv"})
    with open_broker(settings, folder=tmp_path) as broker:
        assert isinstance(broker, FileBroker)
        (seat,) = broker.seats("staff")
        assert not seat.busy
        broker.set_available(seat, available=False, reason="roll")
    assert (tmp_path / "marked.csv").is_file()


def test_commands_need_one_that_tells_the_seats() -> None:
    SECTION.validate_python({"kind": "command", "commands": {"seats": ["./seats"]}})
    for commands in (
        {"health": ["./health"]},
        {"seats": []},
        {"seats": "./seats --all"},
        {"seats": ["x"], "delete": ["y"]},
    ):
        with pytest.raises(ValidationError):
            SECTION.validate_python({"kind": "command", "commands": commands})


@pytest.mark.effects
def test_commands_are_run_in_the_project(tmp_path: Path) -> None:
    program = tmp_path / "seats"
    program.write_text('#!/bin/sh\ncat >/dev/null\necho \'[{"name": "desktop-1", "session": "none"}]\'\n')
    program.chmod(0o700)
    settings = SECTION.validate_python({"kind": "command", "commands": {"seats": ["./seats"]}})
    with open_broker(settings, folder=tmp_path) as broker:
        assert isinstance(broker, CommandBroker)
        assert not broker.seats("staff")[0].busy


def test_without_a_broker_everybody_is_there_unless_somebody_promises_otherwise(tmp_path: Path) -> None:
    for promised in (False, True):
        settings = SECTION.validate_python({"kind": "none", "assume_idle": promised})
        with open_broker(settings, folder=tmp_path) as broker:
            assert isinstance(broker, NoBroker)
            seats = broker.seats("staff", names=["desktop-1", "desktop-2"])
            assert [(seat.name, seat.pool, seat.busy) for seat in seats] == [
                ("desktop-1", "staff", not promised),
                ("desktop-2", "staff", not promised),
            ]
            assert broker.seats("staff") == ()
            assert broker.health().ok
            assert broker.capabilities() == frozenset()
