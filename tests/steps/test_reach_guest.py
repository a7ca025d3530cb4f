"""reach-guest: the certificate comes from the console and nowhere else, and whatever keeps Windows away is told at once."""

from collections.abc import Callable

import pytest

from imagebuild import windows
from imagebuild.errors import CloudUnreachable, DeadlinePassed, GuestRefused, StepFailed
from imagebuild.recipe_header import Header
from imagebuild.steps.boot_builder import BootBuilder
from imagebuild.steps.reach_guest import ReachGuest
from tests.steps.conftest import CERTIFICATE, World, answer
from tests.unit.examples import TEMPLATES

WORKPLACE = answer("Initialize-Workplace", "made, closed, described")
CERTIFICATE_LINE = f"imagebuild: winrm certificate sha256={CERTIFICATE}"


@pytest.fixture
def booted(world: World) -> World:
    """A builder that runs, with nothing on its console yet."""
    BootBuilder().run(world.context)
    world.guest.returns("Initialize-Workplace", WORKPLACE)
    return world


def say(world: World, text: str) -> None:
    world.cloud.say(world.builder(), text)


def trust_anybody(world: World) -> None:
    content = world.context.header.model_dump()
    content["builder"]["trust_any_certificate"] = True
    world.context.header = Header.model_validate(content)


def later(world: World, seconds: float, event: Callable[[], None]) -> None:
    """Let something happen while the step waits."""
    world.cloud._after(seconds, event)


def test_windows_is_reached_with_the_certificate_that_the_console_told(booted: World) -> None:
    later(booted, 90, lambda: say(booted, CERTIFICATE_LINE))
    ReachGuest().run(booted.context)
    (address,) = booted.cloud.owned()[booted.context.build.id].servers[0].addresses
    assert booted.connections == [(address, booted.context.password, CERTIFICATE)]
    assert booted.guest.scripts_sent == 1
    assert [script for script, _, _ in booted.guest.ran] == ["Initialize-Workplace"]
    assert booted.facts["windows"]["os_version"] == "6.1.7601"
    known = booted.remembered()
    assert (known["guest_address"], known["guest_certificate"]) == (address, CERTIFICATE)


def test_a_second_run_connects_no_second_time_and_gives_the_same(booted: World) -> None:
    say(booted, CERTIFICATE_LINE)
    ReachGuest().run(booted.context)
    before = dict(booted.facts)
    ReachGuest().run(booted.context)
    assert booted.facts == before
    assert len(booted.connections) == 1


def test_the_certificate_of_the_last_boot_counts(booted: World) -> None:
    say(booted, f"imagebuild: winrm certificate sha256={'cd' * 32}")
    say(booted, CERTIFICATE_LINE)
    ReachGuest().run(booted.context)
    assert booted.facts["guest_certificate"] == CERTIFICATE


def test_half_a_line_on_the_console_is_no_certificate(booted: World) -> None:
    say(booted, f"imagebuild: winrm certificate sha256={'ab' * 20}")
    with pytest.raises(DeadlinePassed):
        ReachGuest(deadline_minutes=2).run(booted.context)
    assert booted.connections == []


def test_a_console_that_never_tells_ends_with_the_deadline_and_a_way_out(booted: World) -> None:
    with pytest.raises(DeadlinePassed, match="the WinRM certificate on the serial console") as caught:
        ReachGuest(deadline_minutes=3).run(booted.context)
    assert "trust_any_certificate" in caught.value.hint
    assert booted.clock.slept <= 200
    assert booted.connections == []


def test_a_recipe_may_trust_anybody_and_that_is_said_aloud(booted: World) -> None:
    trust_anybody(booted)
    ReachGuest().run(booted.context)
    assert booted.connections[0][2] is None
    assert any("trusts any WinRM certificate" in warning for warning in booted.told.warnings)


def test_a_stop_screen_ends_it_at_once(booted: World) -> None:
    say(booted, "*** STOP: 0x0000007B (0xFFFFF880009A9928)")
    with pytest.raises(StepFailed, match="Windows stopped while booting") as caught:
        ReachGuest().run(booted.context)
    assert any("0x0000007B" in line for line in caught.value.details)
    assert booted.clock.slept < 10


def test_a_bootstrap_that_failed_ends_it_at_once_with_its_words(booted: World) -> None:
    say(booted, "imagebuild: winrm failed: no certificate could be made")
    with pytest.raises(StepFailed, match="winrm failed: no certificate could be made"):
        ReachGuest().run(booted.context)
    assert booted.clock.slept < 10


@pytest.mark.parametrize("event", ["power_off", "deleted"])
def test_a_builder_that_goes_away_is_not_waited_for(booted: World, event: str) -> None:
    server = booted.builder()
    say(booted, "Starting Windows")
    if event == "power_off":
        later(booted, 5, lambda: booted.cloud.power_off(server))
    else:
        later(booted, 5, lambda: booted.cloud._machines.pop(server))
    with pytest.raises(StepFailed, match="SHUTOFF" if event == "power_off" else "gone") as caught:
        ReachGuest().run(booted.context)
    assert booted.clock.slept < 30
    if event == "power_off":
        assert "Starting Windows" in caught.value.details[-1]


def test_a_console_that_cannot_be_had_does_not_hide_why(booted: World) -> None:
    booted.cloud.power_off(booted.builder())
    booted.clock.sleep(10)
    booted.cloud.faults.fail("console_log", CloudUnreachable("503"))
    with pytest.raises(StepFailed, match="SHUTOFF"):
        ReachGuest().run(booted.context)


def test_a_refusal_that_stays_ends_with_the_deadline(booted: World) -> None:
    say(booted, CERTIFICATE_LINE)
    booted.guest.refuses = GuestRefused("wrong password")
    with pytest.raises(DeadlinePassed):
        ReachGuest(deadline_minutes=5).run(booted.context)
    assert booted.clock.slept <= 310
    assert booted.guest.scripts_sent == 0


def test_a_wrong_certificate_ends_it_with_that(booted: World) -> None:
    say(booted, CERTIFICATE_LINE)
    booted.guest.faults.fail("wait_until_ready", GuestRefused("the certificate is another one"))
    with pytest.raises(GuestRefused, match="another one"):
        ReachGuest().run(booted.context)
    assert booted.guest.scripts_sent == 0


def test_an_administrator_without_rights_is_told_what_to_set(booted: World) -> None:
    say(booted, CERTIFICATE_LINE)
    session = {"elevated": False, "network_logon": True, "user_sid": "S-1-5-21-1-2-3-500"}
    booted.guest.returns("Initialize-Workplace", {**WORKPLACE, "session": session})
    with pytest.raises(StepFailed, match="Administrator has no administrator's rights") as caught:
        ReachGuest().run(booted.context)
    assert "LocalAccountTokenFilterPolicy" in caught.value.hint


def test_rights_that_nobody_can_tell_are_not_missing_ones(booted: World) -> None:
    say(booted, CERTIFICATE_LINE)
    booted.guest.returns("Initialize-Workplace", answer("Initialize-Workplace", "whoami fails"))
    ReachGuest().run(booted.context)
    assert "windows" in booted.facts


def test_the_scripts_are_part_of_the_digest() -> None:
    assert ReachGuest().inputs(TEMPLATES) == {"scripts": windows.digest()}
