"""When a Windows counts as ready, and what proves a restart."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from imagebuild.adapters import guest_readiness
from imagebuild.adapters.winrm_errors import WrongCertificate
from imagebuild.errors import (
    DeadlinePassed,
    GuestError,
    GuestRefused,
    GuestUnreachable,
    ScriptBroken,
    ScriptFailed,
    SessionLost,
)
from imagebuild.guest import Restarted, Value
from imagebuild.waiting import Deadline
from tests.fakes.clock import FakeClock

GOOD: dict[str, Any] = {"busy": [], "logon_screen_shown": True, "version": "6.1", "boot_time": "1", "uptime_seconds": 9}
BUSY = {**GOOD, "busy": ["component servicing is finishing a reboot"]}
DARK = {**GOOD, "logon_screen_shown": False}


class Answers:
    """Get-Ready's answers, one a call, the last one for ever."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.clock = FakeClock()
        self.asked_at: list[float] = []
        self.told: list[str] = []
        self._answers = list(answers)

    def ask(self, deadline: Deadline) -> Value:
        self.asked_at.append(self.clock.now())
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    def wait(self, *, seconds: float = 3600) -> Value:
        return guest_readiness.wait_until_ready(
            self.ask, settle_seconds=5, deadline=Deadline.after(seconds, self.clock), on_step=self.told.append
        )


def test_one_good_answer_is_not_enough() -> None:
    answers = Answers(GOOD)
    assert answers.wait() == GOOD
    assert answers.asked_at[-1] - answers.asked_at[0] >= 5


@pytest.mark.parametrize(
    "setback",
    [
        BUSY, GuestUnreachable("away"), GuestRefused("password"), SessionLost("reset"), ScriptBroken("no result"),
        ScriptFailed("WMI is not up", script="Get-Ready"), DeadlinePassed("hung"),
    ],
)  # fmt: skip
def test_a_setback_begins_the_count_anew(setback: dict[str, Any] | Exception) -> None:
    answers = Answers(GOOD, GOOD, setback, GOOD)
    answers.wait()
    assert answers.asked_at[-1] - answers.asked_at[3] >= 5


def test_a_wrong_certificate_is_not_waited_for() -> None:
    answers = Answers(GuestUnreachable("booting"), WrongCertificate("not the pinned one"))
    with pytest.raises(WrongCertificate):
        answers.wait()
    assert len(answers.asked_at) == 2


def test_a_missing_logon_screen_is_accepted_after_two_minutes_with_a_warning() -> None:
    answers = Answers(DARK)
    assert answers.wait() == DARK
    assert 120 <= answers.clock.slept < 130
    assert [text for text in answers.told if text.startswith("warning: no logon screen")]


def test_what_is_waited_for_is_told_once_for_each_change() -> None:
    answers = Answers(BUSY, BUSY, DARK, DARK, GOOD)
    answers.wait()
    assert answers.told == [
        "Windows is busy: component servicing is finishing a reboot",
        "Windows answers; its logon screen is not there yet",
    ]


def test_the_deadline_names_the_last_answer() -> None:
    with pytest.raises(DeadlinePassed, match="Windows to be ready; last answer: no answer at 5986"):
        Answers(GuestUnreachable("no answer at 5986")).wait(seconds=60)


def wmi_time(seconds: float) -> str:
    """The test clock's second as WMI writes it, in Korea."""
    return (datetime(2026, 1, 10) + timedelta(seconds=seconds)).strftime("%Y%m%d%H%M%S.%f+540")


class Machine:
    """A Windows that restarts `after` seconds after Restart-Guest; away for 30 s."""

    def __init__(self, *, after: float = 2.0, uptime: float = 500.0) -> None:
        self.clock = FakeClock()
        self.after = after
        self.booted_at = self.clock.now() - uptime
        self.down: tuple[float, float] | None = None
        self.armed = 0
        self.answers: list[dict[str, Any] | Exception] = []
        self.arrives = True
        self.clock_step = 0
        self.runs_fast = 1.0

    def ask(self, deadline: Deadline) -> Value:
        now = self.clock.now()
        if self.down and now >= self.down[0]:
            if now < self.down[1]:
                raise GuestUnreachable("away")
            self.booted_at = self.down[1]
        return {
            **GOOD,
            "uptime_seconds": int((now - self.booted_at) * self.runs_fast),
            "boot_time": wmi_time(self.booted_at + self.clock_step),
        }

    def arm(self, deadline: Deadline) -> Value:
        self.armed += 1
        answer = self.answers.pop(0) if self.answers else {"armed": True, "words": "armed", "code": 0}
        if self.arrives and not (isinstance(answer, dict) and not answer["armed"]) and self.down is None:
            begin = self.clock.now() + self.after
            self.down = (begin, begin + 30)
        if isinstance(answer, Exception):
            self.arrives = True
            raise answer
        return answer

    def restart(self, *, seconds: float = 600, ready: Callable[[Deadline], Value] | None = None) -> Restarted:
        deadline = Deadline.after(seconds, self.clock)
        return guest_readiness.restart(self.ask, self.arm, ready or self.ask, deadline=deadline, clock=self.clock)


def test_a_restart_is_proven_by_uptime_and_boot_time() -> None:
    machine = Machine()
    restarted = machine.restart()
    assert (restarted.boot_time_before, restarted.boot_time_after) == (wmi_time(500), wmi_time(1032))
    assert restarted.seconds >= 32
    assert machine.armed == 1


def test_a_port_that_answers_is_no_proof() -> None:
    machine = Machine(after=1e9)
    with pytest.raises(DeadlinePassed, match="Windows to restart"):
        machine.restart()


def test_a_clock_step_is_no_proof() -> None:
    machine = Machine(after=1e9)

    def ask_with_step(deadline: Deadline) -> Value:
        answer = machine.ask(deadline)
        machine.clock_step = 32400  # time synchronisation moves LastBootUpTime by nine hours
        return answer

    deadline = Deadline.after(100, machine.clock)
    with pytest.raises(DeadlinePassed):
        guest_readiness.restart(ask_with_step, machine.arm, machine.ask, deadline=deadline, clock=machine.clock)


def test_an_uptime_that_began_anew_by_itself_is_no_proof() -> None:
    machine = Machine(after=1e9, uptime=4_294_960.0)  # milliseconds in 32 bits are over after 49.7 days

    def ask_wrapped(deadline: Deadline) -> Value:
        answer = machine.ask(deadline)
        return {**answer, "uptime_seconds": answer["uptime_seconds"] % 4_294_967}

    deadline = Deadline.after(100, machine.clock)
    with pytest.raises(DeadlinePassed):
        guest_readiness.restart(ask_wrapped, machine.arm, machine.ask, deadline=deadline, clock=machine.clock)


def test_a_clock_that_runs_fast_does_not_hide_a_restart() -> None:
    machine = Machine(after=2.5, uptime=60.0)
    machine.runs_fast = 100.0
    assert machine.restart(seconds=60).boot_time_after == wmi_time(1032.5)


@pytest.mark.parametrize(("away", "step"), [(False, 32400), (True, 3), (True, 0)])
def test_a_slow_counter_alone_is_no_restart(*, away: bool, step: int) -> None:
    """Not even with a blink of the network, or with a correction of its clock."""
    machine = Machine(after=1e9, uptime=60.0)
    asked: list[int] = []

    def ask_unsteady(deadline: Deadline) -> Value:
        asked.append(1)
        if away and len(asked) == 3:
            raise GuestUnreachable("a blink")
        answer = machine.ask(deadline)
        machine.clock_step = step
        return {**answer, "uptime_seconds": answer["uptime_seconds"] - (2 if len(asked) > 1 else 0)}

    deadline = Deadline.after(50, machine.clock)
    with pytest.raises(DeadlinePassed):
        guest_readiness.restart(ask_unsteady, machine.arm, machine.ask, deadline=deadline, clock=machine.clock)


def test_a_blink_of_the_network_and_a_stepped_clock_are_no_restart() -> None:
    machine = Machine(after=1e9, uptime=60.0)
    asked: list[int] = []

    def ask_stepped(deadline: Deadline) -> Value:
        asked.append(1)
        if len(asked) == 3:
            raise GuestUnreachable("a blink")
        answer = machine.ask(deadline)
        machine.clock_step = 32400
        return {**answer, "uptime_seconds": answer["uptime_seconds"] + (1 if len(asked) > 1 else 0)}

    deadline = Deadline.after(50, machine.clock)
    with pytest.raises(DeadlinePassed):
        guest_readiness.restart(ask_stepped, machine.arm, machine.ask, deadline=deadline, clock=machine.clock)


def test_a_young_windows_that_has_not_restarted_yet_is_told_apart() -> None:
    machine = Machine(after=25.0, uptime=3.0)
    restarted = machine.restart()
    assert restarted.boot_time_after == wmi_time(1055)


@pytest.mark.parametrize(
    "lost", [SessionLost("reset"), GuestUnreachable("away"), ScriptBroken("killed"), DeadlinePassed("hung")]
)
@pytest.mark.parametrize("arrives", [True, False])
def test_a_lost_answer_is_asked_for_again_only_while_the_old_windows_answers(lost: Exception, arrives: bool) -> None:
    machine = Machine()
    machine.answers, machine.arrives = [lost], arrives
    machine.restart()
    assert machine.armed == 2  # a second shutdown command while one is scheduled is the script's to handle
    assert machine.down is not None


def test_a_refusal_is_told_with_its_code() -> None:
    machine = Machine()
    machine.answers = [{"armed": False, "words": "access denied", "code": 5}]
    with pytest.raises(GuestError, match=r"refuses to restart: access denied \(code 5\)"):
        machine.restart()


def test_after_the_restart_readiness_is_waited_for() -> None:
    machine = Machine()

    def never(deadline: Deadline) -> Value:
        raise DeadlinePassed("waited 5 s for Windows to be ready")

    with pytest.raises(DeadlinePassed, match="to be ready"):
        machine.restart(ready=never)


def test_no_time_left_hides_nothing_of_what_was_wrong() -> None:
    answers = Answers(GuestRefused("the password is refused"), DeadlinePassed("no time left"))
    with pytest.raises(DeadlinePassed, match="the password is refused"):
        answers.wait(seconds=10)
