"""A broker that programs answer for: what they are told, what their answers and exit codes mean, and that none runs for ever."""

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from imagebuild.adapters.command_broker import CommandBroker
from imagebuild.adapters.hook_programs import Programs
from imagebuild.broker import Cap, PoolSettings, Registration, Seat
from imagebuild.broker_settings import Question
from imagebuild.errors import BrokerError, BrokerRefused, BrokerUnreachable, CapabilityMissing
from imagebuild.secrets import Secret
from imagebuild.waiting import Deadline, wait_for

pytestmark = pytest.mark.effects
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEAT = Seat(name="desktop-1", pool="staff", broker_id="7", session="none", duplicates=("8",))
HEARD = "heard.json"


def broker_of(folder: Path, *, seconds: float = 30, **programs: str) -> CommandBroker:
    """A program of a few lines of Python a question; `told` is what it got."""
    commands: dict[Question, list[str]] = {}
    for name, body in programs.items():
        path = folder / f"{name}.py"
        path.write_text(
            f"import json, sys\ntext = sys.stdin.read()\nopen({HEARD!r}, 'w').write(text)\ntold = json.loads(text)\n{body}\n"
        )
        commands[name.replace("_", "-")] = [sys.executable, "-S", "-E", f"{name}.py"]  # type: ignore[index]
    return CommandBroker(Programs(commands, folder=folder, seconds=seconds), now=lambda: NOW)


def heard(folder: Path) -> Any:
    return json.loads((folder / HEARD).read_text())


def say(value: object) -> str:
    return f"print(json.dumps({value!r}))"


def test_seats_are_rows_and_the_program_is_told_which_desktops_there_are(tmp_path: Path) -> None:
    rows = [
        {"name": "desktop-1", "user": None, "session": "none", "availability": "available", "agent": "up", "id": 7},
        {"name": "desktop-2", "user": "ann", "session": "active"},
        {"name": "desktop-3", "session": "none", "observed_at": "2026-03-01T11:00:00Z"},
    ]
    broker = broker_of(tmp_path, seats=say(rows))
    seats = broker.seats("staff", names=["desktop-1"])
    assert [(s.name, s.busy, s.observed_at) for s in seats] == [
        ("desktop-1", False, NOW),
        ("desktop-2", True, NOW),
        ("desktop-3", True, NOW - timedelta(hours=1)),
    ]
    assert heard(tmp_path) == {"question": "seats", "pool": "staff", "names": ["desktop-1"]}


def test_what_it_is_able_to_do_follows_from_its_programs(tmp_path: Path) -> None:
    broker = broker_of(tmp_path, seats=say([]), notify="", health=say({}))
    assert broker.capabilities() == {Cap.SESSIONS, Cap.MESSAGE}
    for call in (
        lambda: broker.set_available(SEAT, available=True, reason=""),
        lambda: broker.set_provisioning("staff", on=False),
        lambda: broker.set_pool_image("staff", "v2"),
        lambda: broker.release(SEAT),
        lambda: broker.forget(SEAT, "8"),
        broker.refresh,
        broker.registrations,
    ):
        with pytest.raises(CapabilityMissing):
            call()
    assert broker.settings("staff") == PoolSettings(pool="staff")


def test_what_it_is_told_to_do_goes_to_its_program(tmp_path: Path) -> None:
    broker = broker_of(tmp_path, set_available="", notify="", release="", forget="", refresh="")
    desktop = {"name": "desktop-1", "pool": "staff", "id": "7", "user": None}
    broker.set_available(SEAT, available=False, reason="roll 7")
    assert heard(tmp_path) == {"question": "set-available", "desktop": desktop, "available": False, "reason": "roll 7"}
    broker.notify(SEAT, "Save; and `log off`\n$HOME", minutes=10)
    assert heard(tmp_path) == {
        "question": "notify",
        "desktop": desktop,
        "text": "Save; and `log off`\n$HOME",
        "minutes": 10,
    }
    broker.release(SEAT)
    assert heard(tmp_path)["question"] == "release"
    broker.forget(SEAT, "8")
    assert heard(tmp_path) == {"question": "forget", "desktop": desktop, "id": "8"}
    broker.refresh(wait=False)
    assert heard(tmp_path) == {"question": "refresh", "wait": False}


def test_who_is_on_a_desktop_is_not_released_nor_its_only_record_forgotten(tmp_path: Path) -> None:
    broker = broker_of(tmp_path, release="", forget="")
    with pytest.raises(BrokerRefused, match="has a session"):
        broker.release(Seat(name="desktop-1", pool="staff"))
    with pytest.raises(BrokerRefused, match="no duplicate"):
        broker.forget(Seat(name="desktop-1", pool="staff", broker_id="7"), "7")
    with pytest.raises(BrokerRefused, match="no duplicate"):
        broker.forget(SEAT, "9")
    assert not (tmp_path / HEARD).exists()


def test_settings_and_the_switch_of_provisioning(tmp_path: Path) -> None:
    told = {"image_name": "v1", "threshold": 2, "provisioning": True, "unknown": 1}
    broker = broker_of(tmp_path, settings=say(told), set_provisioning=say({"before": True}))
    assert broker.settings("staff") == PoolSettings(pool="staff", image_name="v1", threshold=2, provisioning=True)
    assert broker.set_provisioning("staff", on=False) is True
    assert heard(tmp_path) == {"question": "set-provisioning", "pool": "staff", "on": False}


@pytest.mark.parametrize("answer", [{}, {"before": 1}, {"before": None}])
def test_a_switch_that_does_not_tell_how_it_was_is_an_error(tmp_path: Path, answer: object) -> None:
    with pytest.raises(BrokerError, match="how it was before"):
        broker_of(tmp_path, set_provisioning=say(answer)).set_provisioning("staff", on=False)


def test_settings_of_other_kinds_are_an_error_that_names_them(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="no setting") as caught:
        broker_of(tmp_path, settings=say({"threshold": "2", "provisioning": 1})).settings("staff")
    assert sorted(line.partition(":")[0] for line in caught.value.details) == ["provisioning", "threshold"]


def test_an_image_that_was_not_stored_is_found_out(tmp_path: Path) -> None:
    broker = broker_of(tmp_path, set_pool_image="", settings=say({"image_name": "v1"}))
    broker.set_pool_image("staff", "v1")
    with pytest.raises(BrokerRefused, match="still makes staff from v1"):
        broker.set_pool_image("staff", "v2")
    broker_of(tmp_path, set_pool_image="").set_pool_image("staff", "v2")


def test_registrations_and_health(tmp_path: Path) -> None:
    rows = [{"name": "A", "address": "10.0.0.1", "identity": "x"}, {"name": "B", "address": "10.0.0.2"}, {"name": "C"}]
    broker = broker_of(tmp_path, registrations=say(rows), health=say({"ok": False, "problems": ["the database"]}))
    assert broker.registrations() == (Registration("A", "10.0.0.1", "x"), Registration("B", "10.0.0.2"))
    assert broker.health().problems == ("the database",)
    assert not broker.health().ok
    assert not broker_of(tmp_path, health=say({"ok": "yes"})).health().ok
    assert broker_of(tmp_path).health().ok


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("sys.exit('first\\nno such pool')", BrokerRefused, "ended with 1: no such pool"),
        ("sys.exit(75)", BrokerUnreachable, "ended with 75"),
        ("sys.exit(69)", BrokerUnreachable, "ended with 69"),
        ("import os; os.kill(os.getpid(), 9)", BrokerRefused, "ended with -9"),
        ("print('hello')", BrokerError, "no JSON"),
        ("print('{}')", BrokerError, "no JSON list of objects"),
        ("print('[1]')", BrokerError, "no JSON list of objects"),
        ("", BrokerError, "no JSON list of objects"),
    ],
)
def test_a_program_that_does_not_answer_is_an_error(
    tmp_path: Path, body: str, kind: type[BrokerError], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        broker_of(tmp_path, seats=body).seats("staff")
    assert type(caught.value) is kind
    assert caught.value.hint


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    programs = Programs({"seats": ["./away"]}, folder=tmp_path, seconds=5)
    with pytest.raises(BrokerRefused, match="cannot be started") as caught:
        CommandBroker(programs).seats("staff")
    assert "commands.seats" in caught.value.hint


def test_a_program_that_does_not_end_is_killed_with_what_it_has_started(tmp_path: Path) -> None:
    body = (
        "import subprocess, time\nchild = subprocess.Popen(['sleep', '600'])\nopen('child', 'w').write(str(child.pid))\n"
        + ("time.sleep(600)")
    )
    begun = time.monotonic()
    with pytest.raises(BrokerUnreachable, match=r"did not end in 3 s"):
        broker_of(tmp_path, seconds=3, seats=body).seats("staff")
    assert time.monotonic() - begun < 20
    status = Path("/proc") / (tmp_path / "child").read_text() / "status"

    def is_over() -> bool | None:  # a kill takes its moment, and who reaps an orphan may leave a zombie
        return True if not status.exists() or "zombie" in status.read_text() else None

    assert wait_for(is_over, "the child's end", deadline=Deadline.after(10), every=0.05)


def test_no_secret_of_ours_comes_back_in_an_error(tmp_path: Path) -> None:
    Secret("Known-to-the-tool-1")
    with pytest.raises(BrokerRefused) as caught:
        broker_of(tmp_path, seats="sys.exit('login with Known-to-the-tool-1 failed')").seats("staff")
    assert "Known-to-the-tool-1" not in f"{caught.value} {caught.value.details}"
    assert "login with *** failed" in str(caught.value)
