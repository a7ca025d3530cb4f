"""The plan's digest: the same for the same image, another for everything that would make another image."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imagebuild import windows
from imagebuild.errors import RecipeError
from imagebuild.plan import describe_plan, make_plan
from imagebuild.step import canonical, chain
from tests.unit.examples import RECIPE, TEMPLATES, resolution, write_recipe


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    """A copy that a test may change."""
    folder = tmp_path / "unattend"
    folder.mkdir()
    for path in TEMPLATES.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def digest(folder: Path, text: str = RECIPE, *, templates: Path = TEMPLATES, checksum: str = "c0ffee") -> str:
    return make_plan(write_recipe(folder, text), resolution(checksum=checksum), templates=templates).digest


def changed(old: str, new: str) -> str:
    assert old in RECIPE
    return RECIPE.replace(old, new, 1)


def test_steps_are_numbered_and_each_digest_stands_for_all_before_it(tmp_path: Path) -> None:
    plan = make_plan(write_recipe(tmp_path), resolution(), templates=TEMPLATES)
    assert [planned.number for planned in plan.steps] == [1, 2, 3, 4]
    assert len({planned.digest for planned in plan.steps}) == 4
    assert plan.digest == plan.steps[-1].digest
    assert plan.image_name == "small-v1"


def test_the_same_recipe_gives_the_same_digest_from_any_folder(tmp_path: Path) -> None:
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("description: for tests", "description: other words"),
        ("  - boot-builder\n", "  - boot-builder: {deadline_minutes: 99}\n"),
        ("recipe: small\n", "recipe: small  # a comment\n"),
    ],
)
def test_what_makes_no_other_image_leaves_the_digest(tmp_path: Path, old: str, new: str) -> None:
    assert digest(tmp_path / "a", changed(old, new)) == digest(tmp_path / "b")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("time_zone: Korea Standard Time", "time_zone: UTC"),
        ("{flavor: f, network: n}", "{flavor: f, network: n, extra_disk_bus: virtio, root_bus: sata}"),
        ("{media: drivers-cd}", "{media: drivers-cd, skip: [balloon]}"),
        ("a" * 64, "b" * 64),
        ("  - virtio-drivers: {media: drivers-cd}\n", ""),
        ("  - reach-guest\n", "  - reach-guest\n  - inventory\n"),
    ],
)
def test_what_makes_another_image_changes_the_digest(tmp_path: Path, old: str, new: str) -> None:
    assert digest(tmp_path / "a", changed(old, new)) != digest(tmp_path / "b")


def test_a_changed_step_leaves_the_digests_before_it(tmp_path: Path) -> None:
    text = changed("{media: drivers-cd}", "{media: drivers-cd, skip: [balloon]}")
    before = make_plan(write_recipe(tmp_path / "a"), resolution(), templates=TEMPLATES).steps
    after = make_plan(write_recipe(tmp_path / "b", text), resolution(), templates=TEMPLATES).steps
    assert [x.digest == y.digest for x, y in zip(before, after, strict=True)] == [True, True, False, False]


def test_another_source_image_of_the_same_name_changes_it(tmp_path: Path) -> None:
    assert digest(tmp_path, checksum="beef") != digest(tmp_path)


def test_the_next_version_of_the_same_image_does_not_change_it(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    first, second = (make_plan(recipe, resolution(version), templates=TEMPLATES) for version in (1, 2))
    assert first.digest == second.digest
    assert second.image_name == "small-v2"


def test_a_changed_template_changes_it(tmp_path: Path, templates: Path) -> None:
    before = digest(tmp_path, templates=templates)
    with (templates / "cloudbase-init.conf.j2").open("a") as file:
        file.write("# more\n")
    assert digest(tmp_path, templates=templates) != before


def test_changed_guest_scripts_change_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(tmp_path)
    monkeypatch.setattr(windows, "digest", lambda: "other scripts")
    after = digest(tmp_path)
    monkeypatch.setattr(windows, "user_data", lambda: "other user data")
    assert len({before, after, digest(tmp_path)}) == 3


UPDATES = changed("  - reach-guest\n", "  - reach-guest\n  - updates: {refresh: REFRESH}\n")
TUESDAY = datetime(2026, 11, 10, 22, tzinfo=UTC)


def days_of(folder: Path, refresh: str, *hours: float) -> list[str]:
    """The plan's digests so many hours after noon of a Patch Tuesday."""
    recipe = write_recipe(folder, UPDATES.replace("REFRESH", refresh))
    moments = [TUESDAY + timedelta(hours=each) for each in hours]
    return [make_plan(recipe, resolution(), templates=TEMPLATES, at=at).digest for at in moments]


def test_new_updates_make_another_plan(tmp_path: Path) -> None:
    before, after, weeks_later = days_of(tmp_path, "patch-tuesday", 1, 3, 24 * 20)
    assert before != after == weeks_later


def test_updates_on_request_make_another_plan_when_the_recipe_changes_only(tmp_path: Path) -> None:
    assert len(set(days_of(tmp_path, "never", 0, 24, 24 * 400))) == 1


def test_updates_by_days_make_another_plan_after_so_many(tmp_path: Path) -> None:
    assert len(set(days_of(tmp_path, "days-7", *(24 * day for day in range(70))))) in (10, 11)


def test_what_comes_of_refresh_counts_and_not_its_word(tmp_path: Path) -> None:
    text = changed("  - reach-guest\n", "  - reach-guest\n  - updates\n")
    recipe = write_recipe(tmp_path / "default", text)
    default = make_plan(recipe, resolution(), templates=TEMPLATES, at=TUESDAY).digest
    assert days_of(tmp_path, "patch-tuesday", 0) == [default]


def test_the_same_plan_is_made_again_with_its_moment(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, UPDATES.replace("REFRESH", "days-1"))
    plan = make_plan(recipe, resolution(), templates=TEMPLATES)
    assert make_plan(recipe, resolution(), templates=TEMPLATES, at=plan.at) == plan
    assert make_plan(recipe, resolution(), templates=TEMPLATES, at=plan.at + timedelta(days=1)).digest != plan.digest


def test_content_is_the_plan_without_its_source(tmp_path: Path) -> None:
    def content(text: str = RECIPE, checksum: str = "c0ffee") -> str:
        recipe = write_recipe(tmp_path, text)
        return make_plan(recipe, resolution(checksum=checksum), templates=TEMPLATES).content

    assert content() == content(checksum="beef") == content(changed("{image: base}", "{recipe: small, version: 3}"))
    assert content() != content(changed("{media: drivers-cd}", "{media: drivers-cd, skip: [balloon]}"))
    assert content() != content(changed("time_zone: Korea Standard Time", "time_zone: UTC"))
    assert content() != make_plan(write_recipe(tmp_path), resolution(), templates=TEMPLATES).digest


def test_how_long_checkpoints_are_kept_makes_no_other_image(tmp_path: Path) -> None:
    plain = changed("  - reach-guest\n", "  - reach-guest\n  - checkpoint\n")
    kept = changed(
        "  - reach-guest\n", "  - reach-guest\n  - checkpoint: {keep: 5, max_age_days: 7, shutdown_seconds: 30}\n"
    )
    assert digest(tmp_path / "a", plain) == digest(tmp_path / "b", kept) != digest(tmp_path / "c")


def test_another_bus_of_the_source_makes_another_plan(tmp_path: Path) -> None:
    other = replace(resolution(), root_bus="virtio")
    assert make_plan(write_recipe(tmp_path), other, templates=TEMPLATES).digest != digest(tmp_path)


def test_a_missing_template_is_an_error_of_the_recipes_kind(tmp_path: Path, templates: Path) -> None:
    (templates / "cloudbase-init.conf.j2").unlink()
    with pytest.raises(RecipeError, match="cloudbase-init needs a template that cannot be read") as caught:
        digest(tmp_path, templates=templates)
    assert str(templates) in caught.value.hint


def test_the_plan_for_a_person_names_everything(tmp_path: Path) -> None:
    plan = make_plan(write_recipe(tmp_path), resolution(7), templates=TEMPLATES)
    lines = describe_plan(plan)
    text = "\n".join(lines)
    for word in ("small-v7", plan.digest[:12], "base", "image-1", "f on n", "drivers-cd, programs-cd"):
        assert word in text
    assert [line.split()[1] for line in lines[4:]] == [
        "boot-builder",
        "reach-guest",
        "virtio-drivers",
        "cloudbase-init",
    ]


def test_canonical_json_does_not_depend_on_order_or_alphabet() -> None:
    assert canonical({"b": 1, "a": [Path("x"), "한"]}) == '{"a":["x","\\ud55c"],"b":1}'
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})


def test_a_chain_depends_on_what_was_before() -> None:
    assert chain("a", "x") != chain("b", "x")
    assert chain("a", "x", "y") != chain("a", "xy")
    assert len(chain("", 1)) == 64
