"""check-generalize: nothing goes into sysprep that would come out broken."""

from typing import Any

import pytest

from imagebuild.errors import DeadlinePassed, SessionLost, StepFailed
from imagebuild.recipe_header import Header
from imagebuild.steps.check_generalize import CheckGeneralize
from tests.steps.conftest import World, answer
from tests.unit.examples import header

READY = answer("Test-Generalize", "a machine at rest is ready")
STRAY_APPS = answer("Test-Generalize", "appx blocks")
NO_REASON = answer("Get-PendingReboot", "nothing, and Windows Update may not be asked")
ONLY_RENAMES = answer("Get-PendingReboot", "only renames is no hard reason")
EVERY_REASON = answer("Get-PendingReboot", "every reason")
HARD = EVERY_REASON | {"wait": False, "reboot_needed": True}


@pytest.fixture
def ready(windows: World) -> World:
    """A Windows at rest that may be generalized."""
    windows.guest.returns("Get-PendingReboot", NO_REASON)
    windows.guest.returns("Test-Generalize", READY)
    windows.guest.returns("Set-ImageStamp", answer("Set-ImageStamp", "written, read back"))
    windows.guest.returns("Repair-Appx", answer("Repair-Appx", "named and removed"))
    return windows


def failing(name: str, *, blocking: bool) -> dict[str, Any]:
    """The checks with one of them failed."""
    change = {"ok": False, "blocking": blocking, "words": f"{name} is bad", "fix": "mend it"}
    checks = [check | change if check["name"] == name else check for check in READY["checks"]]
    return READY | {"checks": checks, "ready": not blocking}


def scripts(world: World) -> list[str]:
    return [script for script, _, _ in world.guest.ran]


def test_a_windows_at_rest_gets_its_stamp(ready: World) -> None:
    CheckGeneralize().run(ready.context)
    assert scripts(ready) == ["Get-PendingReboot", "Test-Generalize", "Set-ImageStamp"]
    build = ready.context.build
    stamp = {"recipe": "small", "version": "1", "build": build.id, "digest": build.digest}
    assert ready.guest.parameters_of("Set-ImageStamp") == [{"stamp": stamp}]
    assert ready.remembered()["checks"] == {"passed": len(READY["checks"]), "accepted": []}
    assert ready.guest.restarts == []


def test_a_pending_restart_is_given_before_anything_is_checked(ready: World) -> None:
    ready.guest.returns("Get-PendingReboot", HARD, NO_REASON)
    CheckGeneralize().run(ready.context)
    assert len(ready.guest.restarts) == 1
    assert scripts(ready)[:3] == ["Get-PendingReboot", "Get-PendingReboot", "Test-Generalize"]
    assert any("Windows Update asks for a restart" in note for note in ready.told.notes)


def test_renames_that_come_back_for_ever_get_one_restart_only(ready: World) -> None:
    ready.guest.returns("Get-PendingReboot", ONLY_RENAMES)
    CheckGeneralize().run(ready.context)
    assert len(ready.guest.restarts) == 1
    assert "checks" in ready.facts


def test_a_windows_that_wants_a_restart_again_and_again_is_given_up(ready: World) -> None:
    ready.guest.returns("Get-PendingReboot", HARD)
    with pytest.raises(StepFailed, match="wants a restart again and again: Windows Update asks"):
        CheckGeneralize().run(ready.context)
    assert len(ready.guest.restarts) == 3
    assert ready.guest.parameters_of("Test-Generalize") == []


def test_servicing_that_finishes_is_waited_for_and_not_restarted_into(ready: World) -> None:
    ready.guest.returns("Get-PendingReboot", EVERY_REASON | {"wait": True}, EVERY_REASON | {"wait": True}, NO_REASON)
    CheckGeneralize().run(ready.context)
    assert ready.guest.restarts == []
    assert ready.clock.slept >= 30


def test_servicing_that_never_finishes_ends_with_the_deadline(ready: World) -> None:
    ready.guest.returns("Get-PendingReboot", EVERY_REASON | {"wait": True})
    with pytest.raises(DeadlinePassed):
        CheckGeneralize(deadline_minutes=2).run(ready.context)
    assert ready.guest.restarts == []


def test_a_blocking_check_ends_it_with_words_and_a_way_out(ready: World) -> None:
    ready.guest.returns("Test-Generalize", failing("domain", blocking=True))
    with pytest.raises(StepFailed, match="may not be generalized") as caught:
        CheckGeneralize().run(ready.context)
    assert caught.value.details == ("domain: domain is bad; mend it",)
    assert "accept" in caught.value.hint
    assert ready.guest.parameters_of("Set-ImageStamp") == []
    assert "checks" not in ready.facts


def test_a_check_that_does_not_block_is_told(ready: World) -> None:
    ready.guest.returns("Test-Generalize", failing("hibernation", blocking=False))
    CheckGeneralize().run(ready.context)
    assert ready.told.warnings == ["hibernation: hibernation is bad; mend it"]
    assert "checks" in ready.facts


def test_what_the_recipe_accepts_is_sent_and_remembered(ready: World) -> None:
    CheckGeneralize(accept=["rearm", "domain"]).run(ready.context)
    assert ready.guest.parameters_of("Test-Generalize") == [{"accept": ["rearm", "domain"]}]
    assert ready.facts["checks"]["accepted"] == ["domain", "rearm"]


def test_checks_that_the_script_does_not_have_are_told_before_anything_is_made() -> None:
    assert CheckGeneralize(accept=[check["name"] for check in READY["checks"]]).check(header()) == ()
    (problem,) = CheckGeneralize(accept=["rearms"]).check(header())
    known = ", ".join(check["name"] for check in READY["checks"])
    assert problem == f"there is no check 'rearms'; there are {known}"


def test_a_sysprep_that_skips_the_rearm_needs_none(ready: World) -> None:
    content = ready.context.header.model_dump()
    content["windows"]["skip_rearm"] = True
    ready.context.header = Header.model_validate(content)
    CheckGeneralize().run(ready.context)
    assert ready.guest.parameters_of("Test-Generalize") == [{"accept": [], "rearms_needed": 0}]


def test_stray_store_packages_are_removed_once_and_looked_at_again(ready: World) -> None:
    ready.guest.returns("Test-Generalize", STRAY_APPS, READY)
    CheckGeneralize().run(ready.context)
    assert scripts(ready)[1:] == ["Test-Generalize", "Repair-Appx", "Test-Generalize", "Set-ImageStamp"]
    assert any("NotepadPlusPlus" in note for note in ready.told.notes)


def test_store_packages_that_do_not_go_end_it(ready: World) -> None:
    ready.guest.returns("Test-Generalize", STRAY_APPS)
    with pytest.raises(StepFailed, match="may not be generalized") as caught:
        CheckGeneralize().run(ready.context)
    assert scripts(ready).count("Repair-Appx") == 1
    assert any(line.startswith("appx: ") for line in caught.value.details)


def test_a_second_run_goes_on_where_the_first_was_cut_off(ready: World) -> None:
    ready.guest.returns("Test-Generalize", STRAY_APPS, READY)
    ready.guest.faults.lose_answer("run_as_system")
    with pytest.raises(SessionLost):
        CheckGeneralize().run(ready.context)
    CheckGeneralize().run(ready.context)
    assert scripts(ready).count("Repair-Appx") == 1
    assert scripts(ready).count("Set-ImageStamp") == 1
    assert "checks" in ready.facts
