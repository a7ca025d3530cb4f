"""What differs between the plan of a build and the plan of today, in words that lead to the line to be changed back."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from imagebuild.plan import make_plan
from imagebuild.plan_outline import differences, outline
from imagebuild.resolution import Resolution
from tests.unit.examples import RECIPE, TEMPLATES, resolution, write_recipe

AT = datetime(2026, 5, 20, tzinfo=UTC)


def outlined(folder: Path, text: str = RECIPE, found: Resolution | None = None, at: datetime = AT) -> dict[str, Any]:
    """As it comes back from its file."""
    plan = make_plan(write_recipe(folder, text), found or resolution(), templates=TEMPLATES, at=at)
    made: dict[str, Any] = json.loads(json.dumps(outline(plan, templates=TEMPLATES)))
    assert made["digest"] == plan.digest
    return made


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("locale: ko-KR", "locale: en-US"), "recipe: windows.locale was ko-KR, is en-US"),
        (("flavor: f", "flavor: g"), "recipe: builder.flavor was f, is g"),
        (("media: drivers-cd", "media: drivers-cd, skip: [qxl]"), "step virtio-drivers: skip was [], is ['qxl']"),
        (
            ("- virtio-drivers", "- remote-desktop\n  - virtio-drivers"),
            "step remote-desktop is new",
        ),
        (("  - virtio-drivers: {media: drivers-cd}\n", ""), "step virtio-drivers is gone"),
    ],
)
def test_what_changed_in_the_recipe(tmp_path: Path, change: tuple[str, str], line: str) -> None:
    assert change[0] in RECIPE
    assert differences(outlined(tmp_path), outlined(tmp_path, RECIPE.replace(*change))) == (line,)


def test_what_changed_in_the_cloud(tmp_path: Path) -> None:
    now = replace(resolution(checksum="beef"), flavor=replace(resolution().flavor, ram_mib=4096))
    assert differences(outlined(tmp_path), outlined(tmp_path, found=now)) == (
        "source base: checksum was c0ffee, is beef",
        "flavor was [2, 2048, 40], is [2, 4096, 40]",
    )


def test_what_changed_in_the_world(tmp_path: Path) -> None:
    text = RECIPE + "  - updates\n"
    was, now = outlined(tmp_path, text), outlined(tmp_path, text, at=datetime(2026, 6, 20, tzinfo=UTC))
    assert differences(was, now) == ("step updates: outside was updates of 2026-05-12, is updates of 2026-06-09",)


def test_a_script_or_a_template_that_changed_is_named(tmp_path: Path) -> None:
    was = outlined(tmp_path)
    was["steps"][0]["inputs"]["user_data"] = "another"
    assert differences(was, outlined(tmp_path)) == ("step boot-builder: its user_data changed",)


def test_an_order_that_changed(tmp_path: Path) -> None:
    was = outlined(tmp_path)
    was["steps"] = [*was["steps"][1:], was["steps"][0]]
    (line,) = differences(was, outlined(tmp_path))
    assert line.startswith("the steps' order was reach-guest, ")


def test_steps_that_stand_twice_are_compared_one_by_one(tmp_path: Path) -> None:
    step = {"name": "checkpoint", "digest": "d", "parameters": {"x": 1}, "inputs": {}, "outside": ""}
    was, now = outlined(tmp_path), outlined(tmp_path)
    was["steps"] += [step, step]
    now["steps"] += [step, {**step, "parameters": {"x": 2}}]
    assert differences(was, now) == ("step checkpoint (2): x was 1, is 2",)


def test_another_version_of_imagebuild_is_said_when_nothing_else_differs(tmp_path: Path) -> None:
    (line,) = differences(outlined(tmp_path), outlined(tmp_path))
    assert "this imagebuild makes another plan" in line


def test_long_values_are_cut(tmp_path: Path) -> None:
    was = outlined(tmp_path)
    was["recipe"]["windows"]["locale"] = "x" * 500
    (line,) = differences(was, outlined(tmp_path))
    assert len(line) < 250
