"""desktop: the items are applied and read back; what does not take ends it."""

import pytest

from imagebuild.errors import SessionLost, StepFailed
from imagebuild.steps.desktop import Desktop
from tests.steps.conftest import World, answer
from tests.unit.examples import header

DONE = answer("Set-Desktop", "a missing power plan is made")


def test_items_are_applied_as_system_and_a_wanted_restart_is_given(windows: World) -> None:
    windows.guest.returns("Set-Desktop", DONE)
    Desktop(items=["power_plan"], time_servers=["ntp.example"]).run(windows.context)
    assert windows.guest.ran == [("Set-Desktop", {"items": ["power_plan"], "time_servers": ["ntp.example"]}, "SYSTEM")]
    assert windows.guest.restarts == ["desktop settings"]
    assert windows.remembered()["desktop"] == ["power_plan"]


def test_no_restart_where_none_is_wanted(windows: World) -> None:
    windows.guest.returns("Set-Desktop", answer("Set-Desktop", "chosen items only"))
    Desktop().run(windows.context)
    assert windows.guest.restarts == []
    assert windows.guest.parameters_of("Set-Desktop")[0]["items"] == ["all"]


def test_items_that_the_script_does_not_have_are_told_before_anything_is_made() -> None:
    every = [item["name"] for item in answer("Set-Desktop", "the list describes i")["items"]]
    assert Desktop(items=["all", *every]).check(header()) == ()
    (problem,) = Desktop(items=["power_plan", "power_plant"]).check(header())
    assert problem.startswith("there is no item 'power_plant'; there are all, power_plan, ")


def test_what_does_not_take_is_named_with_its_words(windows: World) -> None:
    windows.guest.returns("Set-Desktop", answer("Set-Desktop", "what does not stay is told"))
    with pytest.raises(StepFailed, match="settings did not take: power_plan, no_boot_recovery") as caught:
        Desktop().run(windows.context)
    assert [line.split(":")[0] for line in caught.value.details] == ["power_plan", "no_boot_recovery"]
    assert "wanted '8c5e7fda-e8bf-4a96-9a85-a6e23a8c635c'" in caught.value.details[0]
    assert windows.guest.restarts == []


def test_a_second_run_attaches_to_the_first(windows: World) -> None:
    windows.guest.returns("Set-Desktop", DONE)
    windows.guest.faults.lose_answer("run_as_system")
    with pytest.raises(SessionLost):
        Desktop().run(windows.context)
    Desktop().run(windows.context)
    assert len(windows.guest.ran) == 1
