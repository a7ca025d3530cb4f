"""Recipes: every mistake at once, each with its line and what to do; what is right becomes a frozen value."""

import textwrap
from pathlib import Path

import pytest
from pydantic import ValidationError

import imagebuild.steps  # noqa: F401  registers every step
from imagebuild.errors import RecipeError
from imagebuild.recipe import Recipe, find_recipe, load_recipe, recipe_names
from imagebuild.step import registered_steps

GOOD = """\
recipe: small
windows:
  os: win7
  locale: ko-KR
  time_zone: Korea Standard Time
source: {image: base}
builder:
  flavor: f
  network: n
steps:
  - boot-builder
  - reach-guest: {deadline_minutes: 5}
  - inventory:
  - desktop:
      items: [power_plan]
"""


def write(folder: Path, text: str, name: str = "small.yaml") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def problems(path: Path) -> list[str]:
    """The problems as `LINE: text`."""
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert all(line.startswith(f"{path}:") for line in caught.value.details)
    number = len(caught.value.details)
    assert str(caught.value) == f"{path} has {number} problem{'' if number == 1 else 's'}"
    return [line.removeprefix(f"{path}:") for line in caught.value.details]


def change(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def test_a_right_recipe_becomes_a_value(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, GOOD))
    assert isinstance(recipe, Recipe)
    assert recipe.name == "small"
    assert recipe.header.builder.root_bus is None
    assert [step.name for step in recipe.steps] == ["boot-builder", "reach-guest", "inventory", "desktop"]


def test_a_step_is_a_name_or_a_name_with_parameters_or_with_nothing_after_it(tmp_path: Path) -> None:
    boot, reach, inventory, desktop = load_recipe(write(tmp_path, GOOD)).steps
    assert (boot.deadline_minutes, reach.deadline_minutes, inventory.deadline_minutes) == (15, 5, 30)
    assert desktop.model_dump()["items"] == ["power_plan"]


def test_nothing_of_it_can_be_changed_afterwards(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, GOOD))
    with pytest.raises(ValidationError, match="frozen"):
        recipe.header.builder.flavor = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        recipe.steps[0].deadline_minutes = 1


def test_every_problem_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
        recipe: other
        windows:
          os: win9
          locale: ko-KR
        sauce: {image: base}
        builder:
          flavor: f
          flavour: g
          network: ''
        steps:
          - boot-builder:
              deadline_minutes: -1
          - reach-gest
          - generalize
          - desktop: {items: []}
        """,
    )
    told = problems(path)
    text = "\n".join(told)
    for expected in (
        "1: source: is missing",
        "2: windows.time_zone: is missing",
        "3: windows.os: must be 'win7'",
        "5: sauce: is not known here; did you mean 'source'?",
        "8: builder.flavour: is not known here; did you mean 'flavor'?",
        "9: builder.network: must not be empty",
        "12: steps[0].boot-builder.deadline_minutes: must be more than 0",
        "13: steps[1].reach-gest: there is no such step; did you mean 'reach-guest'?",
        "14: steps[2]: generalize needs 'checks', which no step before it gives; put check-generalize before it",
        "15: steps[3].desktop.items: must not be empty",
    ):
        assert expected in text
    assert [int(line.split(":")[0]) for line in told] == sorted(int(line.split(":")[0]) for line in told)


def test_the_name_must_be_the_files(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, "large.yaml")
    assert problems(path) == ["1: recipe: is 'small', but the file is called large.yaml: make them the same"]


def test_a_recipe_that_changes_its_own_line_has_a_name_of_its_own(tmp_path: Path) -> None:
    text = change(GOOD, "{image: base}", "{recipe: small, version: current}")
    recipe = load_recipe(write(tmp_path, text, "small-change.yaml"))
    assert (recipe.name, recipe.file_name) == ("small", "small-change")
    assert load_recipe(write(tmp_path, text, "small.yaml")).file_name == "small"
    assert problems(write(tmp_path, text, "large.yaml")) == [
        "1: recipe: is 'small': a recipe that changes that line is called small-SOMETHING.yaml, not large.yaml"
    ]


def test_a_copied_recipe_does_not_go_on_with_the_line_that_it_was_copied_from(tmp_path: Path) -> None:
    text = change(GOOD, "{image: base}", "{recipe: other}")
    assert problems(write(tmp_path, text, "small-copy.yaml")) == [
        "1: recipe: is 'small', but the file is called small-copy.yaml: make them the same"
    ]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{}", "source: is either `image: NAME` or `recipe: NAME` with a `version`"),
        ("{image: base, recipe: small}", "source: is either `image: NAME` or `recipe: NAME` with a `version`"),
        ("{image: base, version: 2}", "source.version: belongs to `recipe: NAME`, not to an image"),
    ],
)
def test_a_source_is_an_image_or_a_version(tmp_path: Path, source: str, problem: str) -> None:
    assert problems(write(tmp_path, change(GOOD, "{image: base}", source))) == [f"6: {problem}"]


@pytest.mark.parametrize("version", ["0", "-1", "newest"])
def test_a_version_is_current_or_a_number(tmp_path: Path, version: str) -> None:
    told = problems(write(tmp_path, change(GOOD, "{image: base}", f"{{recipe: small, version: {version}}}")))
    assert all(line.startswith("6: source.version") for line in told) and told


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ("cloudbase-init: {media: m, label: L, path: c.msi, sha256: " + "a" * 64 + "}", "cloudbase-init"),
        ("stop-builder", "stop-builder"),
    ],
)
def test_a_checkpoint_from_which_nothing_could_begin_is_told(tmp_path: Path, before: str, words: str) -> None:
    text = GOOD + f"  - {before}\n  - checkpoint\n"
    (only,) = problems(write(tmp_path, text))
    assert only.endswith(f"checkpoint cannot stand after {words}: put it before")


def test_checkpoints_may_stand_more_than_once(tmp_path: Path) -> None:
    text = change(GOOD, "  - inventory:\n", "  - checkpoint\n  - inventory:\n  - checkpoint: {keep: 3}\n")
    assert [step.name for step in load_recipe(write(tmp_path, text)).steps].count("checkpoint") == 2


def test_a_key_that_stands_twice_is_told_where_it_stands_again(tmp_path: Path) -> None:
    path = write(tmp_path, change(GOOD, "  network: n\n", "  network: n\n  flavor: g\n"))
    assert problems(path) == ["10: builder.flavor: this key stands twice"]


def test_an_unknown_key_without_a_near_one_is_told_all_that_there_are(tmp_path: Path) -> None:
    path = write(tmp_path, change(GOOD, "{image: base}", "{image: base, qqq: 1}"))
    assert problems(path) == ["6: source.qqq: is not known here; known are: image, recipe, version"]


def test_hints_name_keys_as_a_recipe_writes_them(tmp_path: Path) -> None:
    path = write(tmp_path, change(GOOD, "  - inventory:\n", "  - virtio-drivers:\n      medai: cd\n"))
    assert problems(path) == [
        "13: steps[2].virtio-drivers.media: is missing",
        "14: steps[2].virtio-drivers.medai: is not known here; did you mean 'media'?",
    ]


def test_mistakes_within_lists_of_sections_have_their_line_and_a_hint(tmp_path: Path) -> None:
    agent = """\
  - broker-agent:
      installer: {media: m, label: L, path: a.exe, kind: exe, sha256: "%s"}
      service: S
      address: a
      port: 70000
      settings:
        - {path: p, name: n, value: v}
        - path: p
          nam: n
          value: v
""" % ("a" * 64)
    path = write(tmp_path, change(GOOD, "  - inventory:\n", agent))
    assert problems(path) == [
        "17: steps[2].broker-agent.port: must be at most 65535",
        "20: steps[2].broker-agent.settings[1].name: is missing",
        "21: steps[2].broker-agent.settings[1].nam: is not known here; did you mean 'name'?",
    ]


def test_order_is_by_what_steps_need_and_give(tmp_path: Path) -> None:
    path = write(tmp_path, change(GOOD, "  - boot-builder\n  - reach-guest", "  - reach-guest"))
    assert problems(path) == [
        "11: steps[0]: reach-guest needs 'server_id', which no step before it gives; put boot-builder before it"
    ]


def test_every_step_that_would_give_what_is_missing_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, change(GOOD, "  - inventory:\n", "  - snapshot\n"))
    assert problems(path) == [
        "13: steps[2]: snapshot needs 'off', which no step before it gives; put generalize or stop-builder before it"
    ]


def test_a_wrong_parameter_has_no_false_consequences_for_later_steps(tmp_path: Path) -> None:
    path = write(tmp_path, change(GOOD, "{deadline_minutes: 5}", "{deadline_minutes: long}"))
    assert problems(path) == ["12: steps[1].reach-guest.deadline_minutes: must be a number"]


def test_a_step_may_not_stand_twice(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "  - inventory\n")
    assert problems(path) == ["16: steps[4]: inventory stands twice"]


def test_a_step_may_look_at_the_head_and_refuse(tmp_path: Path) -> None:
    text = change(GOOD, "  - inventory:\n", "  - virtio-drivers: {media: cd}\n")
    path = write(tmp_path, change(text, "  network: n\n", "  network: n\n  extra_disk_bus: scsi\n"))
    (only,) = problems(path)
    assert only.startswith("14: steps[2]: builder.extra_disk_bus is scsi, image.disk_bus virtio")


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ("steps: []", "10: steps: is a list of steps"),
        ("steps:", "10: steps: is a list of steps"),
        ("steps: boot-builder", "10: steps: is a list of steps"),
        ("steps: [7]", "10: steps[0]: a step is its name"),
        ("steps: [{boot-builder: {}, inventory: {}}]", "10: steps[0]: a step is its name"),
        ("steps: [{boot-builder: 3}]", "10: steps[0].boot-builder: must be keys with their values"),
        ("steps: [{boot-builder: []}]", "10: steps[0].boot-builder: must be keys with their values"),
    ],
)
def test_steps_that_are_none(tmp_path: Path, steps: str, told: str) -> None:
    head = GOOD[: GOOD.index("steps:")]
    assert problems(write(tmp_path, head + steps + "\n"))[0].startswith(told)


def test_no_steps_at_all_are_told_at_the_beginning(tmp_path: Path) -> None:
    assert problems(write(tmp_path, GOOD[: GOOD.index("steps:")]))[0].startswith("1: steps: is a list of steps")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ":1: a recipe is a mapping of keys"),
        (b"- a\n- b\n", ":1: a recipe is a mapping of keys"),
        (b"recipe: small\nwindows: {os: win7\nsource: x\n", ":3: not YAML"),
        (b"recipe: small\n\tos: win7\n", ":2: not YAML"),
        (b"recipe: small\n---\nrecipe: other\n", ":2: not YAML"),
        (b"recipe: small\nos: *nobody\n", ":2: not YAML"),
        (b"recipe: small\ndescription: a\x07b\n", ":2: not YAML: the character U+0007 is not allowed"),
        (b"recipe: \xff\xfe\n", "cannot be read"),
    ],
)
def test_what_is_no_recipe_file_is_said_in_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "small.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("value", "words"),
    [("10.0.0.300/32", "does not appear to be"), ("10.0.0.1/24", "has host bits set"), ("''", "does not appear")],
)
def test_who_is_let_in_is_an_address_range(tmp_path: Path, value: str, words: str) -> None:
    path = write(tmp_path, change(GOOD, "  network: n\n", f"  network: n\n  allow_from: {value}\n"))
    (only,) = problems(path)
    assert only.startswith("10: builder.allow_from: ")
    assert words in only


@pytest.mark.parametrize("value", ["auto", "10.0.0.0/24", "10.0.0.7", "fd00::/64"])
def test_an_address_range_may_be_any(tmp_path: Path, value: str) -> None:
    path = write(tmp_path, change(GOOD, "  network: n\n", f"  network: n\n  allow_from: {value}\n"))
    assert load_recipe(path).header.builder.allow_from == value


def test_where_nobody_is_let_in_no_step_may_talk_to_the_builder(tmp_path: Path) -> None:
    path = write(tmp_path, change(GOOD, "  network: n\n", "  network: n\n  allow_from: nobody\n"))
    (only,) = problems(path)
    assert "builder.allow_from is nobody: this step could not talk to the builder" in only


def test_values_that_yaml_cannot_make_are_problems_among_others(tmp_path: Path) -> None:
    text = change(GOOD, "{image: base}", "{image: !!python/name:os.system base}")
    path = write(tmp_path, change(text, "flavor: f", "flavor: !!int seven"))
    assert problems(path) == [
        "6: source.image: cannot be read: put it in quotes if it is a text; tags, `!`, mean nothing here",
        "8: builder.flavor: cannot be read as int: put it in quotes if it is a text",
    ]


def test_an_alias_of_what_is_around_it_ends(tmp_path: Path) -> None:
    path = write(tmp_path, change(GOOD, "builder:\n", "builder: &all\n  metadata: *all\n"))
    assert any(line.startswith("8: builder.metadata: this alias stands for") for line in problems(path))


def test_an_alias_elsewhere_is_a_copy(tmp_path: Path) -> None:
    text = change(change(GOOD, "flavor: f", "flavor: &word f"), "network: n", "network: *word")
    assert load_recipe(write(tmp_path, text)).header.builder.network == "f"


def test_recipes_are_found_by_name_and_by_path(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    assert find_recipe("small", folder=tmp_path) == path
    assert find_recipe(str(path), folder=tmp_path / "elsewhere") == path
    assert recipe_names(tmp_path) == ("small",)


def test_an_unknown_recipe_names_the_nearest_or_all(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    with pytest.raises(RecipeError, match="there is no recipe 'smal'") as caught:
        find_recipe("smal", folder=tmp_path)
    assert caught.value.hint == "did you mean small?"
    with pytest.raises(RecipeError) as caught:
        find_recipe("qqq", folder=tmp_path)
    assert caught.value.hint == "there are: small"
    with pytest.raises(RecipeError) as caught:
        find_recipe("qqq.yaml", folder=tmp_path / "empty")
    assert caught.value.hint == "there are: none"


@pytest.mark.parametrize("minutes", ["0", "-1", "1441", ".inf", ".nan"])
@pytest.mark.parametrize("step", ["boot-builder", "inventory"])  # one with a default of its own, one without
def test_every_steps_deadline_is_bounded(tmp_path: Path, step: str, minutes: str) -> None:
    text = GOOD[: GOOD.index("steps:")] + f"steps:\n  - {step}: {{deadline_minutes: {minutes}}}\n"
    assert any(line.startswith(f"11: steps[0].{step}.deadline_minutes: ") for line in problems(write(tmp_path, text)))


@pytest.mark.parametrize("name", sorted(registered_steps()))
def test_every_step_is_described_and_its_parameters_too(name: str) -> None:
    step = registered_steps()[name]
    assert step.title
    assert step.__doc__
    assert step.name == name
    assert step.run.__doc__
