"""The session: one shell reused and always closed, every call bounded, a drop mended, failures named."""

from collections.abc import Iterable

import pytest
import requests
from winrm.exceptions import WinRMOperationTimeoutError, WinRMTransportError

from imagebuild.adapters.winrm_session import CommandLine, Ended, WinRmSession
from imagebuild.errors import DeadlinePassed, GuestError, GuestRefused, GuestUnreachable, SessionLost
from imagebuild.waiting import Deadline
from tests.unit.winrm_wire import WRONG_PASSWORD, Guest, Received, fault

LINE = CommandLine("ver")
DONE: Received = (b"", b"", 0, True)
DROPPED = requests.exceptions.ConnectionError("Remote end closed connection without response")


def session_to(guest: Guest) -> WinRmSession:
    return WinRmSession("10.0.0.5", guest.make, clock=guest.clock)


def execute(
    session: WinRmSession,
    guest: Guest,
    *,
    seconds: float = 600,
    stdin: Iterable[bytes] = (b"in",),
    out: list[bytes] | None = None,
) -> Ended:
    seen = out if out is not None else []
    deadline = Deadline.after(seconds, guest.clock)
    return session.execute(LINE, stdin=stdin, deadline=deadline, on_stdout=seen.append)


def test_a_command_from_begin_to_end() -> None:
    guest = Guest((b"one", b"", -1, False), (b"two", b"err", 3, True))
    out: list[bytes] = []
    ended = execute(session_to(guest), guest, out=out)
    assert (ended.exit_code, ended.stderr, out) == (3, b"err", [b"one", b"two"])
    assert guest.said == ["open", "run ver", "send", "receive", "receive", "terminate"]
    assert guest.stdin == [(b"in", True)]


def test_only_the_last_piece_of_input_ends_it() -> None:
    guest = Guest(DONE)
    execute(session_to(guest), guest, stdin=[b"a", b"b", b"c"])
    assert guest.stdin == [(b"a", False), (b"b", False), (b"c", True)]


def test_no_input_is_an_end_all_the_same() -> None:
    guest = Guest(DONE)
    execute(session_to(guest), guest, stdin=[])
    assert guest.stdin == [(b"", True)]


def test_one_shell_serves_many_commands_and_is_closed() -> None:
    guest = Guest(DONE, DONE)
    session = session_to(guest)
    execute(session, guest)
    execute(session, guest)
    assert guest.said.count("open") == 1
    session.close()
    session.close()
    assert not guest.open_shells
    assert guest.protocols[0].transport.closed == 1


@pytest.mark.parametrize(("code", "read"), [(-1073741801, 0xC0000017), (3010, 3010), (-196608, 0xFFFD0000)])
def test_exit_codes_are_unsigned(code: int, read: int) -> None:
    guest = Guest((b"", b"", code, True))
    assert execute(session_to(guest), guest).exit_code == read


def test_of_endless_complaints_the_end_is_kept() -> None:
    guest = Guest(*[(b"", b"x" * 50_000, -1, False)] * 10, (b"", b"the last words", 1, True))
    stderr = execute(session_to(guest), guest).stderr
    assert stderr.endswith(b"the last words") and len(stderr) < 20_000


def test_a_silent_command_is_waited_for_until_the_deadline_and_then_ended() -> None:
    guest = Guest()  # every Receive says "nothing yet"
    guest.takes_seconds = 20
    with pytest.raises(DeadlinePassed, match="10.0.0.5"):
        execute(session_to(guest), guest, seconds=100)
    assert guest.said.count("receive") == 5
    assert guest.said[-1] == "terminate"


def test_no_call_may_take_longer_than_what_is_left() -> None:
    guest = Guest((b"x", b"", -1, False), DONE)
    guest.takes_seconds = 7
    execute(session_to(guest), guest, seconds=10)
    assert guest.timeouts[0] == (10, (5.0, 20))
    assert guest.timeouts[4] == (3, (3.0, 13))  # the second Receive


def test_a_long_deadline_leaves_the_usual_limits() -> None:
    guest = Guest(DONE)
    execute(session_to(guest), guest, seconds=9000)
    assert set(guest.timeouts[:-1]) == {(20, (5.0, 30))}


def test_a_deadline_that_has_passed_asks_nothing() -> None:
    guest = Guest()
    with pytest.raises(DeadlinePassed):
        execute(session_to(guest), guest, seconds=0)
    assert guest.said == []


def test_a_shell_that_rested_too_long_is_opened_anew() -> None:
    guest = Guest(DONE, DONE)
    session = session_to(guest)
    execute(session, guest)
    guest.clock.sleep(61)
    execute(session, guest)
    assert guest.said.count("open") == 2 and len(guest.open_shells) == 1


def test_a_shell_that_windows_has_closed_is_opened_anew_as_nothing_had_begun() -> None:
    guest = Guest(DONE, DONE)
    session = session_to(guest)
    execute(session, guest)
    guest.open_shells.clear()
    execute(session, guest)
    assert guest.said.count("open") == 2
    assert len(guest.protocols) == 2


def test_a_new_shell_that_is_lost_at_once_is_not_tried_for_ever() -> None:
    guest = Guest()
    guest.fail("run", fault(0x8033805B), fault(0x8033805B))
    with pytest.raises(SessionLost):
        execute(session_to(guest), guest)
    assert guest.said.count("open") == 1


def test_after_a_drop_everything_is_new_and_the_old_shell_is_swept() -> None:
    guest = Guest(DROPPED, DONE)
    session = session_to(guest)
    with pytest.raises(GuestUnreachable, match="read a command's output on 10.0.0.5"):
        execute(session, guest)
    assert guest.protocols[0].transport.closed == 1
    left = set(guest.open_shells)
    execute(session, guest)
    assert len(guest.protocols) == 2
    assert len(guest.open_shells) == 1 and not left & guest.open_shells


def test_a_logon_that_expired_in_the_middle_is_made_anew_and_not_taken_for_a_wrong_password() -> None:
    guest = Guest(DONE, DONE)
    session = session_to(guest)
    execute(session, guest)
    guest.fail("run", WRONG_PASSWORD())
    assert execute(session, guest).exit_code == 0
    assert guest.said.count("open") == 2 and len(guest.open_shells) == 1


def test_a_logon_that_expired_under_a_command_is_a_lost_session() -> None:
    guest = Guest(WRONG_PASSWORD())
    with pytest.raises(SessionLost, match="password is refused in the middle of a session"):
        execute(session_to(guest), guest)


def test_a_password_that_is_wrong_by_now_is_refused_at_the_next_logon() -> None:
    guest = Guest(DONE)
    session = session_to(guest)
    execute(session, guest)
    guest.fail("run", WRONG_PASSWORD())
    guest.fail("open", WRONG_PASSWORD())
    with pytest.raises(GuestRefused, match="password is refused"):
        execute(session, guest)


def test_a_sweep_that_fails_does_not_matter() -> None:
    guest = Guest(DROPPED, DONE)
    session = session_to(guest)
    with pytest.raises(GuestUnreachable):
        execute(session, guest)
    guest.fail("close", fault(0x8033805B))
    assert execute(session, guest).exit_code == 0


def test_nothing_is_terminated_in_a_lost_shell() -> None:
    guest = Guest(fault(0x8033805B))
    with pytest.raises(SessionLost):
        execute(session_to(guest), guest)
    assert "terminate" not in guest.said


def test_a_terminate_that_fails_keeps_the_result_and_ends_the_session() -> None:
    guest = Guest((b"", b"", 7, True))
    guest.fail("terminate", DROPPED)
    assert execute(session_to(guest), guest).exit_code == 7
    assert guest.protocols[0].transport.closed == 1


def test_closing_never_raises() -> None:
    guest = Guest(DONE)
    session = session_to(guest)
    execute(session, guest)
    guest.fail("close", DROPPED)
    session.close()
    assert guest.protocols[0].transport.closed == 1


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (requests.exceptions.ConnectTimeout("slow"), GuestUnreachable),
        (requests.exceptions.ReadTimeout("slow"), GuestUnreachable),
        (requests.exceptions.ConnectionError("refused"), GuestUnreachable),
        (requests.exceptions.SSLError("EOF occurred"), GuestUnreachable),
        (requests.exceptions.SSLError('Fingerprints did not match. Expected "a", got "b"'), GuestRefused),
        (WRONG_PASSWORD(), GuestRefused),
        (PermissionError("no challenge"), GuestRefused),
        (WinRMTransportError("http", 503, ""), GuestUnreachable),
        (WinRMOperationTimeoutError(), GuestUnreachable),
        (StopIteration(), GuestUnreachable),
        (AssertionError(), GuestUnreachable),
        (fault(0x8033805B), SessionLost),
        (fault(995), SessionLost),
        (fault(1115), SessionLost),
        (fault(0x800703FA), SessionLost),
        (fault(0x800703FA - 2**32), SessionLost),
        (fault(5), GuestRefused),
        (fault(0x80070005), GuestRefused),
        (fault(0x803381A5), GuestUnreachable),
        (fault(0x80338012), GuestError),
    ],
)
def test_failures_are_named(raised: Exception, kind: type[GuestError]) -> None:
    guest = Guest()
    guest.fail("open", raised)
    with pytest.raises(GuestError) as caught:
        execute(session_to(guest), guest)
    assert type(caught.value) is kind or (kind is GuestRefused and isinstance(caught.value, GuestRefused))
    assert "10.0.0.5" in str(caught.value) and caught.value.hint
