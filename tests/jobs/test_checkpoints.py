"""Whole builds on fakes that begin at a checkpoint, that are not done because nothing has changed, or that begin at the current version."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imagebuild import plan as plan_module
from imagebuild.build_folder import build_folders
from imagebuild.build_state import read_state
from imagebuild.checkpoints import list_checkpoints
from imagebuild.errors import RecipeError, StepFailed
from imagebuild.jobs import building
from imagebuild.properties import BASE_ID, CHECKPOINT, PROMOTED_AT, STATE
from imagebuild.report import ConsoleReport
from tests.jobs.conftest import RECIPE, Killed, Site


def scripts(site: Site) -> list[str]:
    """What ran as SYSTEM in the newest builder."""
    return [script for script, _, whom in list(site.guests.values())[-1].ran if whom == "SYSTEM"]


def test_the_second_build_begins_at_the_checkpoint(site: Site) -> None:
    site.build()
    (checkpoint,) = list_checkpoints(site.cloud)
    assert "Install-Updates" in scripts(site)
    assert site.build().image == "win7-vdi-v2"
    assert not {"Install-VirtioDrivers", "Install-Updates", "Stop-Builder"} & set(scripts(site))
    assert f"from checkpoint {checkpoint.name}" in site.said()
    assert list_checkpoints(site.cloud) == [checkpoint]
    assert CHECKPOINT not in site.image("win7-vdi-v2").properties
    assert site.image("win7-vdi-v2").properties[BASE_ID] == site.image("win7-vdi-v1").properties[BASE_ID]


def test_a_build_that_failed_behind_it_has_left_it(site: Site) -> None:
    site.fail_in("Set-RemoteDesktop", RuntimeError("a defect"))
    with pytest.raises(StepFailed):
        site.build()
    assert site.things() == []
    site.build()
    assert "Install-Updates" not in scripts(site)


def test_what_skipped_steps_have_found_out_is_used(site: Site) -> None:
    """The broker's agent has to lose its identity before the machine is sealed, whoever has installed it."""

    def later(content: dict[str, Any]) -> None:
        content["steps"].remove("checkpoint")
        content["steps"].insert(content["steps"].index("inventory"), "checkpoint")

    site.recipe(RECIPE, later)
    site.build()
    site.build()
    guest = list(site.guests.values())[-1]
    assert "Install-Program" not in scripts(site)
    assert [asked["goal"] for asked in guest.parameters_of("Set-BrokerAgent")] == ["sealed"]


def test_fresh_begins_at_the_source_and_leaves_a_new_one(site: Site) -> None:
    site.build()
    (old,) = list_checkpoints(site.cloud)
    site.build(fresh=True)
    assert "Install-Updates" in scripts(site)
    (new,) = list_checkpoints(site.cloud)
    assert new.id != old.id


def test_new_updates_in_the_world_are_installed_from_the_source_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.build()
    next_month = datetime.now(UTC) + timedelta(days=35)

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Later":
            return cls.fromtimestamp(next_month.timestamp(), tz)

    monkeypatch.setattr(plan_module, "datetime", Later)
    assert site.build(if_changed=True).changed
    assert "Install-Updates" in scripts(site)


def test_a_plan_shows_where_a_build_would_begin(site: Site) -> None:
    site.build()
    building.plan(RECIPE, site.settings, ConsoleReport(site.out))
    assert "(saves steps 3-5)" in site.said()


def test_a_build_from_a_checkpoint_that_was_cut_off_is_resumed(site: Site) -> None:
    site.build()
    site.die_in("Set-RemoteDesktop")
    with pytest.raises(Killed):
        site.build()
    (cut_off,) = [folder for folder in build_folders(site.settings.builds) if read_state(folder).word == "dead"]
    assert site.resume(cut_off.id).image == "win7-vdi-v2"
    assert "Install-Updates" not in scripts(site)


# ------------------------------------------------------------------------------------------------------ master change


def promote(site: Site, name: str) -> str:
    """As `invoke promote` leaves it; the image's id."""
    image = site.image(name)
    for version in site.images():
        if version.state == "current":
            site.cloud.update_image(version.image.id, properties={STATE: "superseded"})
    now = f"2026-01-01T00:00:{int(site.clock.now()) % 60:02d}"
    site.cloud.update_image(image.id, hidden=False, properties={STATE: "current", PROMOTED_AT: now})
    return image.id


@pytest.fixture
def line(site: Site) -> Site:
    """A line whose first version is current."""
    site.build()
    promote(site, "win7-vdi-v1")
    return site


def test_a_change_is_the_next_version_on_top_of_the_current_one(line: Site) -> None:
    assert line.build("win7-vdi-change").image == "win7-vdi-v2"
    assert line.image("win7-vdi-v2").properties[BASE_ID] == line.image("win7-vdi-v1").id
    assert "Install-VirtioDrivers" not in scripts(line)


def test_a_change_needs_a_current_version(site: Site) -> None:
    with pytest.raises(RecipeError) as caught:
        site.build("win7-vdi-change")
    assert caught.value.details == ("source.recipe: win7-vdi has no current version; there are: none",)


def test_neither_the_change_nor_what_it_stands_on_is_built_again(line: Site) -> None:
    line.build("win7-vdi-change")
    for current in ("win7-vdi-v1", "win7-vdi-v2"):
        promote(line, current)
        assert line.build("win7-vdi-change", if_changed=True).image == "win7-vdi-v2"
        assert line.build(if_changed=True).image == "win7-vdi-v1"


def test_a_change_is_made_again_on_top_of_a_version_without_it(line: Site) -> None:
    line.build("win7-vdi-change")
    line.build(fresh=True)
    promote(line, "win7-vdi-v3")
    assert line.build("win7-vdi-change", if_changed=True).image == "win7-vdi-v4"


def test_a_rejected_one_is_not_built_again_and_that_is_said(line: Site) -> None:
    line.cloud.update_image(
        line.image("win7-vdi-v1").id, properties={STATE: "rejected", "imagebuild_reason": "clones share a SID"}
    )
    assert not line.build(if_changed=True).changed
    assert "it was rejected (clones share a SID), so change something" in line.said()
