"""A lost answer: asked for again where once more does no harm and the guest has answered before, told everywhere else."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

from imagebuild.adapters.winrm_guest import PATIENCE_SECONDS, WinRmGuest
from imagebuild.adapters.winrm_session import WinRmSession
from imagebuild.errors import GuestUnreachable, ScriptFailed
from imagebuild.waiting import Deadline
from tests.unit.winrm_wire import Guest, Received

DROPPED = requests.exceptions.ConnectionError("Remote end closed connection without response")


def told(**result: Any) -> Received:
    """A script that ends with this result."""
    text = base64.b64encode(json.dumps(result).encode()).decode()
    return (f"@@RESULT {text} @@\r\n".encode(), b"", 0, True)


GOOD = told(ok=True, value={"answer": 1})


def connect(wire: Guest) -> WinRmGuest:
    return WinRmGuest(WinRmSession("10.0.0.5", wire.make, clock=wire.clock), clock=wire.clock)


def met(wire: Guest) -> WinRmGuest:
    """A guest that has answered once."""
    guest = connect(wire)
    wire.receives.insert(0, GOOD)
    guest.run("Get-Ready", deadline=soon(wire))
    wire.said.clear()
    return guest


def soon(wire: Guest, seconds: float = 600) -> Deadline:
    return Deadline.after(seconds, wire.clock)


@pytest.mark.parametrize("script", ["Get-Ready", "Set-UpdateSource", "Test-DomainState", "Initialize-Workplace"])
def test_a_lost_answer_is_asked_for_again(script: str) -> None:
    wire = Guest(DROPPED, DROPPED, GOOD)
    guest = met(wire)
    assert guest.run(script, deadline=soon(wire)) == {"answer": 1}
    assert sum(line.startswith("run ") for line in wire.said) == 3
    assert len(wire.open_shells) == 1, "what still ran in the lost shells was ended first"


@pytest.mark.parametrize("script", ["Restart-Guest", "Install-Program", "Clear-Traces", "Start-Generalize"])
def test_what_may_not_be_done_twice_is_told_at_once(script: str) -> None:
    wire = Guest(DROPPED, GOOD)
    guest = met(wire)
    with pytest.raises(GuestUnreachable, match="read a command's output"):
        guest.run(script, deadline=soon(wire))
    assert sum(line.startswith("run ") for line in wire.said) == 1


def test_a_guest_that_never_answered_is_not_waited_for() -> None:
    wire = Guest(DROPPED, GOOD)
    with pytest.raises(GuestUnreachable):
        connect(wire).run("Get-Ready", deadline=soon(wire))
    assert wire.clock.slept == 0


@pytest.mark.parametrize(("seconds", "least", "most"), [(3600, PATIENCE_SECONDS, PATIENCE_SECONDS + 10), (20, 20, 21)])
def test_patience_has_an_end_and_the_last_reason_is_told(seconds: float, least: float, most: float) -> None:
    wire = Guest(*[DROPPED] * 200)
    guest = met(wire)
    with pytest.raises(GuestUnreachable, match="Remote end closed connection"):
        guest.run("Get-Ready", deadline=soon(wire, seconds))
    assert least <= wire.clock.slept <= most


def test_a_script_that_took_long_before_its_answer_was_lost_is_asked_again_all_the_same() -> None:
    wire = Guest(DROPPED, GOOD)
    guest = met(wire)
    wire.takes_seconds = 2 * PATIENCE_SECONDS
    assert guest.run("Get-Inventory", deadline=soon(wire, 3600)) == {"answer": 1}


def test_a_failure_of_the_script_is_no_lost_answer() -> None:
    wire = Guest(told(ok=False, error={"message": "no such thing"}), GOOD)
    guest = met(wire)
    with pytest.raises(ScriptFailed, match="no such thing"):
        guest.run("Get-Ready", deadline=soon(wire))


@pytest.mark.parametrize(
    "lost", [lambda wire: wire.receives.insert(0, DROPPED), lambda wire: wire.fail("send", DROPPED)]
)
def test_files_are_sent_again_from_their_beginning(lost: Callable[[Guest], None]) -> None:
    received = {
        "path": "C:\\a.txt",
        "size": 2,
        "sha256": "fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603",
    }
    wire = Guest(told(ok=True, value={"files": [received]}))
    guest = met(wire)
    lost(wire)
    wire.stdin.clear()
    guest.send_files({"C:\\a.txt": b"ab"}, deadline=soon(wire))
    whole = [piece for piece, _ in wire.stdin]
    assert len(set(whole)) == 1 and whole, "each try sends all of it"
