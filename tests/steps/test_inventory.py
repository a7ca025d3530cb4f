"""inventory: written beside the build, with a digest of what lasts."""

import json
from typing import Any

import pytest

from imagebuild.errors import SessionLost
from imagebuild.steps.inventory import Inventory
from tests.steps.conftest import World, answer

EVERYTHING = answer("Get-Inventory", "everything, in order")


def taken(world: World, found: dict[str, Any]) -> dict[str, Any]:
    world.guest.jobs.clear()
    world.guest.returns("Get-Inventory", found)
    Inventory().run(world.context)
    known: dict[str, Any] = world.remembered()["inventory"]
    return known


def test_it_is_taken_as_system_saved_and_counted(windows: World) -> None:
    known = taken(windows, EVERYTHING)
    assert windows.guest.ran == [("Get-Inventory", {}, "SYSTEM")]
    saved = json.loads((windows.context.folder / known["file"]).read_text(encoding="utf-8"))
    assert saved == EVERYTHING
    assert known["counts"]["accounts"] == len(EVERYTHING["accounts"])
    assert windows.told.warnings == []


def test_the_digest_is_of_what_lasts(windows: World) -> None:
    first = taken(windows, EVERYTHING)["digest"]
    assert taken(windows, EVERYTHING | {"volatile": {"uptime": 7}, "problems": {}})["digest"] == first
    assert taken(windows, EVERYTHING | {"programs": []})["digest"] != first
    assert len(first) == 64


def test_sections_that_could_not_be_read_are_told_and_not_counted_as_empty(windows: World) -> None:
    found = answer("Get-Inventory", "a bare machine") | {
        "drivers": None,
        "problems": {"drivers": {"message": "denied"}},
    }
    known = taken(windows, found)
    assert any("drivers" in warning and "denied" in warning for warning in windows.told.warnings)
    assert "drivers" not in known["counts"]


def test_a_second_run_gives_the_same(windows: World) -> None:
    windows.guest.returns("Get-Inventory", EVERYTHING)
    windows.guest.faults.lose_answer("run_as_system")
    with pytest.raises(SessionLost):
        Inventory().run(windows.context)
    assert "inventory" not in windows.facts
    Inventory().run(windows.context)
    assert len(windows.guest.ran) == 1
