"""cloudbase-init: rendered, installed, and proven to run on this Windows before a clone has to."""

from pathlib import Path
from typing import Any

import pytest

from imagebuild.console_words import first_boot_files, first_boot_lines
from imagebuild.errors import RecipeError, ScriptFailed, SessionLost, StepFailed
from imagebuild.recipe_header import Header
from imagebuild.steps.cloudbase_init import CloudbaseInit
from tests.steps.conftest import World, answer
from tests.unit.examples import TEMPLATES

DONE = answer("Install-CloudbaseInit", "installed, quiet, configured")


def step(**values: Any) -> CloudbaseInit:
    given = {"media": "programs-cd", "label": "VDI-MEDIA", "path": "c.msi", "sha256": "ab" * 32}
    return CloudbaseInit.model_validate(given | values)


def test_the_msi_and_both_files_are_sent_as_system(windows: World) -> None:
    windows.guest.returns("Install-CloudbaseInit", DONE)
    step(first_boot_commands=["echo hello"]).run(windows.context)
    ((script, sent, who),) = windows.guest.ran
    assert (script, who) == ("Install-CloudbaseInit", "SYSTEM")
    assert (sent["installer"], sent["media"], sent["sha256"]) == ("c.msi", "VDI-MEDIA", "ab" * 32)
    assert sent["configuration"].splitlines()[0] == "[DEFAULT]"
    assert "SetUserPasswordPlugin" in sent["configuration"]
    assert "SetUserPasswordPlugin" not in sent["unattend_configuration"]
    assert sent["properties"] == {"LOGGINGSERIALPORTNAME": "COM1", "RUN_SERVICE_AS_LOCAL_SYSTEM": "1"}
    assert windows.remembered()["cloudbase_init"]["version"] == "1.1.6.0"
    assert sent["first_boot_commands"] == [*first_boot_lines("COM1"), "echo hello"]
    assert windows.guest.files == first_boot_files("COM1")


@pytest.mark.parametrize(
    ("user", "wish", "enabled"),
    [("Administrator", False, True), ("vdi-admin", False, False), ("vdi-admin", True, True)],
)
def test_a_client_whose_built_in_account_is_the_one_to_use_gets_it_enabled(
    windows: World, user: str, wish: bool, enabled: bool
) -> None:
    content = windows.context.header.model_dump()
    content["windows"]["admin_user"] = user
    windows.context.header = Header.model_validate(content)
    windows.guest.returns("Install-CloudbaseInit", DONE)
    step(enable_administrator=wish).run(windows.context)
    assert windows.guest.parameters_of("Install-CloudbaseInit")[0]["enable_administrator"] is enabled


def test_a_python_that_does_not_run_on_this_windows_ends_it(windows: World) -> None:
    windows.guest.returns("Install-CloudbaseInit", DONE | {"python_works": False})
    with pytest.raises(StepFailed, match=r"Cloudbase-Init 1\.1\.6\.0 does not run on this Windows") as caught:
        step().run(windows.context)
    assert "1.1.2" in caught.value.hint
    assert "cloudbase_init" not in windows.facts


def test_a_service_that_stays_up_on_the_builder_is_the_scripts_failure(windows: World) -> None:
    windows.guest.breaks("Install-CloudbaseInit", "service cloudbase-init is Running")
    with pytest.raises(ScriptFailed, match="is Running"):
        step().run(windows.context)


def test_a_missing_template_is_told_before_anything_is_sent(windows: World, tmp_path: Path) -> None:
    windows.context.templates = tmp_path
    with pytest.raises(RecipeError, match=r"cloudbase-init\.conf\.j2 is not in"):
        step().run(windows.context)
    assert windows.guest.ran == []


def test_a_second_run_attaches_to_the_first(windows: World) -> None:
    windows.guest.returns("Install-CloudbaseInit", DONE)
    windows.guest.faults.lose_answer("run_as_system")
    with pytest.raises(SessionLost):
        step().run(windows.context)
    step().run(windows.context)
    assert len(windows.guest.ran) == 1


def test_its_cd_and_its_templates_are_part_of_the_plan() -> None:
    assert step().media() == {"programs-cd"}
    inputs = {"cloudbase-init.conf.j2", "cloudbase-init-unattend.conf.j2", "Write-Membership"}
    assert set(step().inputs(TEMPLATES)) == inputs
