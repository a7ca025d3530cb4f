"""Another attempt: the same guest, its jobs under new names."""

from imagebuild.attempt import AnotherAttempt
from imagebuild.waiting import Deadline
from tests.fakes.clock import FakeClock
from tests.fakes.guest import FakeGuest


def test_jobs_are_run_again_and_everything_else_is_the_guests_own() -> None:
    guest = FakeGuest(FakeClock())
    guest.returns("Do-Work", {"number": 1}, {"number": 2})
    guest.returns("Look", {"seen": True})
    deadline = Deadline.after(600, guest.clock)
    again = AnotherAttempt(guest, 1)
    assert guest.run_as_system("Do-Work", job="work", deadline=deadline) == {"number": 1}
    assert guest.run_as_system("Do-Work", job="work", deadline=deadline) == {"number": 1}, "attached"
    assert again.run_as_system("Do-Work", job="work", deadline=deadline) == {"number": 2}
    again.start_as_system("Do-Work", job="detached", deadline=deadline)
    assert sorted(guest.jobs) == ["detached-again-1", "work", "work-again-1"]
    assert again.run("Look", deadline=deadline) == {"seen": True}
    again.send_scripts(deadline=deadline)
    again.send_files({r"C:\a": b"x"}, deadline=deadline)
    assert (guest.scripts_sent, list(guest.files)) == (1, [r"C:\a"])
    assert again.wait_until_ready(deadline=deadline)["version"] == "6.1.7601"
    assert again.restart("test", deadline=deadline).boot_time_after
    again.close()
    assert guest.closed == 1
