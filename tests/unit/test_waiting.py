"""Waiting: probes are asked until they give something, never beyond a deadline, and a clock that ticks by itself shows when."""

import time

import pytest

from imagebuild.errors import CloudRefused, CloudUnreachable, DeadlinePassed, GuestUnreachable
from imagebuild.waiting import Deadline, SystemClock, pause, wait_for, wait_for_cloud


class TickingClock:
    """Starts at `now`; each sleep lets that much time pass at once and is written down."""

    def __init__(self, now: float = 1000.0) -> None:
        self._now = now
        self.slept: list[float] = []

    def now(self) -> float:
        """Seconds."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        self.slept.append(seconds)
        self._now += seconds


def test_what_the_probe_finds_is_returned_at_once() -> None:
    clock = TickingClock()
    assert wait_for(lambda: "here", "it", deadline=Deadline.after(10, clock)) == "here"
    assert clock.slept == []


@pytest.mark.parametrize("found", [False, 0, "", ()])
def test_only_none_means_not_yet(found: object) -> None:
    assert wait_for(lambda: found, "it", deadline=Deadline.after(0, TickingClock())) == found


def test_the_probe_is_asked_every_so_often() -> None:
    clock, answers = TickingClock(), iter([None, None, "here"])
    assert wait_for(lambda: next(answers), "it", deadline=Deadline.after(60, clock), every=7) == "here"
    assert clock.slept == [7, 7]


def test_a_growing_pause_stops_growing() -> None:
    clock, answers = TickingClock(), iter([None] * 5 + [1])
    wait_for(lambda: next(answers), "it", deadline=Deadline.after(60, clock), every=1, slowest=3)
    assert clock.slept == [1, 1.5, 2.25, 3, 3]


def test_a_deadline_of_zero_still_asks_once() -> None:
    asked = []
    with pytest.raises(DeadlinePassed, match=r"waited 0 s for it$"):
        wait_for(lambda: asked.append(1), "it", deadline=Deadline.after(0, TickingClock()))
    assert asked == [1]


def test_the_last_sleep_ends_at_the_deadline_and_one_question_follows() -> None:
    clock, asked = TickingClock(), []
    with pytest.raises(DeadlinePassed, match="waited 10 s for the moon"):
        wait_for(lambda: asked.append(clock.now()), "the moon", deadline=Deadline.after(10, clock), every=4)
    assert (clock.slept, asked) == ([4, 4, 2], [1000, 1004, 1008, 1010])


def test_a_passing_error_is_not_yet_and_named_in_the_end() -> None:
    def probe() -> None:
        raise GuestUnreachable("connection refused", hint="is it on?", details=["port 5986"])

    with pytest.raises(DeadlinePassed) as caught:
        wait_for(probe, "WinRM", deadline=Deadline.after(5, TickingClock()), passing=(GuestUnreachable,))
    assert str(caught.value) == "waited 5 s for WinRM; last answer: connection refused"
    assert (caught.value.hint, caught.value.details) == ("is it on?", ("port 5986",))


def test_a_question_that_ran_out_of_time_does_not_hide_the_answer_before_it() -> None:
    clock = TickingClock()
    deadline = Deadline.after(5, clock)

    def probe() -> None:
        if deadline.passed():
            raise DeadlinePassed("no time left to ask")
        raise GuestUnreachable("connection refused")

    with pytest.raises(DeadlinePassed, match=r"^waited 5 s for it; last answer: connection refused$"):
        wait_for(probe, "it", deadline=deadline, passing=(GuestUnreachable, DeadlinePassed))


def test_an_own_hint_goes_before_that_of_the_last_answer() -> None:
    def probe() -> None:
        raise GuestUnreachable("no", hint="theirs")

    with pytest.raises(DeadlinePassed) as caught:
        deadline = Deadline.after(0, TickingClock())
        wait_for(probe, "WinRM", deadline=deadline, passing=(GuestUnreachable,), hint="ours")
    assert caught.value.hint == "ours"


def test_an_answer_that_passed_long_ago_is_not_named_as_the_last() -> None:
    answers = iter([GuestUnreachable("booting"), None, None])

    def probe() -> None:
        answer = next(answers)
        if answer:
            raise answer

    with pytest.raises(DeadlinePassed, match=r"waited 4 s for it$"):
        wait_for(probe, "it", deadline=Deadline.after(4, TickingClock()), passing=(GuestUnreachable,))


def test_every_other_error_ends_the_wait() -> None:
    clock = TickingClock()

    def probe() -> None:
        raise CloudRefused("quota")

    with pytest.raises(CloudRefused, match="quota"):
        wait_for(probe, "it", deadline=Deadline.after(60, clock), passing=(CloudUnreachable,))
    assert clock.slept == []


def test_a_deadline_is_never_negative_and_never_grows_when_handed_down() -> None:
    clock = TickingClock()
    deadline = Deadline.after(10, clock)
    assert deadline.within(3).left() == 3
    assert deadline.within(30).left() == 10
    clock.sleep(11)
    assert deadline.left() == 0
    assert deadline.passed()


def test_a_pause_ends_at_the_deadline_and_does_not_begin_after_it() -> None:
    clock = TickingClock()
    deadline = Deadline.after(10, clock)
    pause(7, deadline=deadline)
    pause(7, deadline=deadline)
    assert clock.slept == [7, 3]
    with pytest.raises(DeadlinePassed):
        pause(7, deadline=deadline)


def test_the_systems_clock_is_monotonic_and_sleeps_for_real(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    before = time.monotonic()
    assert before <= SystemClock().now() <= time.monotonic()
    SystemClock().sleep(2.5)
    assert slept == [2.5]


def test_what_is_never_ready_at_once_is_not_asked_at_once() -> None:
    clock, answers = TickingClock(), iter([None, None, "here"])
    wait_for(lambda: next(answers), "it", deadline=Deadline.after(60, clock), first=5, every=1, slowest=9, growth=2)
    assert clock.slept == [5, 1, 2]


def test_a_deadline_comes_before_the_first_question_of_who_waits_first() -> None:
    clock, asked = TickingClock(), []
    with pytest.raises(DeadlinePassed):
        wait_for(lambda: asked.append(clock.now()), "it", deadline=Deadline.after(3, clock), first=5)
    assert clock.slept == [3]
    assert len(asked) == 1


def test_what_a_cloud_does_is_noticed_soon_after() -> None:
    """However long it takes: late by some tenths of a second, or by a tenth of it."""
    for took in (0.5, 2.0, 8.0, 19.0):
        clock = TickingClock(now=0)
        wait_for_cloud(lambda: (clock.now() >= took) or None, "it", deadline=Deadline.after(60, clock))  # noqa: B023
        assert clock.now() - took <= max(0.35, took / 8)
