"""What every Guest keeps, the fake and WinRM alike: over TLS and NTLM to the stand-in on loopback, and in a virtual machine."""

from collections.abc import Iterator

import pytest

from imagebuild.errors import DeadlinePassed, GuestError, ScriptBroken, ScriptFailed, SessionLost
from imagebuild.secrets import Secret
from imagebuild.waiting import wait_for
from tests.contract.benches import GuestBench, fake_guest_bench, lab_guest_bench, standin_guest_bench


@pytest.fixture(scope="module", params=["fake", "stand-in", pytest.param("lab", marks=pytest.mark.lab)])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuestBench]:
    """One guest for all tests of this file: jobs take names of their own."""
    if request.param == "fake":
        yield fake_guest_bench()
        return
    in_lab = request.param == "lab"
    with lab_guest_bench() if in_lab else standin_guest_bench(tmp_path_factory.mktemp("standin")) as bench:
        yield bench


class TestGuest:
    def test_a_script_gives_its_value(self, bench: GuestBench) -> None:
        value = bench.guest.run("Get-PendingReboot", deadline=bench.soon())
        assert value["reboot_needed"] is False

    def test_a_script_that_fails_says_so(self, bench: GuestBench) -> None:
        with pytest.raises(ScriptFailed) as caught:
            bench.guest.run("Get-SystemJob", {"id": Secret("geheim 55")}, deadline=bench.soon())
        assert caught.value.script == "Get-SystemJob"
        assert "geheim" not in f"{caught.value} {caught.value.details}"

    def test_a_script_that_is_not_there_is_broken(self, bench: GuestBench) -> None:
        with pytest.raises(ScriptBroken):
            bench.guest.run("Get-Nothing", deadline=bench.soon())

    def test_a_script_that_is_not_there_is_no_job(self, bench: GuestBench) -> None:
        with pytest.raises(ScriptFailed):
            bench.guest.run_as_system("Get-Nothing", job="nothing", deadline=bench.soon())

    def test_no_time_means_no_try(self, bench: GuestBench) -> None:
        with pytest.raises(DeadlinePassed):
            bench.guest.run("Get-Ready", deadline=bench.soon(0))

    def test_files_are_taken_and_bad_paths_are_not(self, bench: GuestBench) -> None:
        bench.guest.send_files({r"C:\imagebuild\한글 answer.xml": b"<x/>" * 50_000}, deadline=bench.soon())
        with pytest.raises(ScriptFailed):
            bench.guest.send_files({r"imagebuild\relative.txt": b"x"}, deadline=bench.soon())

    def test_a_job_runs_once_however_often_it_is_asked_for(self, bench: GuestBench) -> None:
        guest = bench.guest
        first = guest.run_as_system("Get-Ready", job="once", deadline=bench.soon())
        wait_for(lambda: _later(bench, first["uptime_seconds"]), "a second of uptime", deadline=bench.soon(), every=0.2)
        again = guest.run_as_system("Get-Ready", job="once", deadline=bench.soon())
        assert again == first
        other = guest.run_as_system("Get-Ready", job="twice", deadline=bench.soon())
        assert other["uptime_seconds"] > first["uptime_seconds"]

    def test_a_job_is_not_taken_for_another(self, bench: GuestBench) -> None:
        bench.guest.run_as_system("Get-Ready", job="mine", deadline=bench.soon())
        with pytest.raises(GuestError, match="is not this"):
            bench.guest.run_as_system("Get-PendingReboot", job="mine", deadline=bench.soon())

    def test_a_failed_job_runs_anew(self, bench: GuestBench) -> None:
        for _ in range(2):
            with pytest.raises(ScriptFailed) as caught:
                bench.guest.run_as_system("Get-SystemJob", {}, job="fails", deadline=bench.soon())
            assert caught.value.script == "Get-SystemJob"

    def test_a_job_that_never_ends_is_ended_at_the_deadline(self, bench: GuestBench) -> None:
        for _ in range(2):  # and can be started again
            with pytest.raises(DeadlinePassed):
                bench.guest.run_as_system("Install-Updates", job="hangs", deadline=bench.soon(2))

    def test_a_closed_guest_opens_again(self, bench: GuestBench) -> None:
        bench.guest.close()
        bench.guest.close()
        assert bench.guest.run("Get-PendingReboot", deadline=bench.soon())

    def test_readiness_is_told_by_windows(self, bench: GuestBench) -> None:
        ready = bench.guest.wait_until_ready(deadline=bench.soon())
        assert ready["busy"] == [] and ready["logon_screen_shown"] is True and ready["version"].startswith("6.1")

    def test_a_restart_is_proven(self, bench: GuestBench) -> None:
        restarted = bench.guest.restart("contract", deadline=bench.soon(120))
        after = bench.guest.run("Get-Ready", deadline=bench.soon())
        assert restarted.boot_time_before[:14] < restarted.boot_time_after[:14]
        assert after["uptime_seconds"] <= restarted.seconds

    def test_a_job_outlives_its_controller(self, bench: GuestBench) -> None:
        with pytest.raises(ControllerDied):
            bench.guest.run_as_system("Install-Updates", job="orphan", deadline=bench.soon(), on_step=_die)
        with pytest.raises(GuestError, match="is not this"):  # it is still there under its id
            bench.guest.run_as_system("Get-Ready", job="orphan", deadline=bench.soon())
        with pytest.raises(DeadlinePassed):
            bench.guest.run_as_system("Install-Updates", job="orphan", deadline=bench.soon(2))

    def test_a_job_that_a_restart_cut_off_is_told_and_runs_anew(self, bench: GuestBench) -> None:
        with pytest.raises(ControllerDied):
            bench.guest.run_as_system("Install-Updates", job="cut", deadline=bench.soon(), on_step=_die)
        bench.guest.restart("contract", deadline=bench.soon(120))
        with pytest.raises(SessionLost, match="interrupted by a reboot"):
            bench.guest.run_as_system("Install-Updates", job="cut", deadline=bench.soon())
        with pytest.raises(ControllerDied):
            bench.guest.run_as_system("Install-Updates", job="cut", deadline=bench.soon(), on_step=_die)

    def test_the_last_act_is_started_and_not_waited_for(self, bench: GuestBench) -> None:
        begun = bench.clock.now()
        bench.guest.start_as_system("Install-Updates", job="last", deadline=bench.soon())
        assert bench.clock.now() - begun < 10


class ControllerDied(Exception):
    """What a test raises where a controller would be killed."""


def _die(text: str) -> None:
    raise ControllerDied(text)


def _later(bench: GuestBench, uptime: int) -> bool | None:
    now = bench.guest.run("Get-Ready", deadline=bench.soon())
    return True if now["uptime_seconds"] > uptime else None
