"""The front: what a person may type, and what a script sees of it: exit codes, one sentence, one advice, no trace."""

import json
from pathlib import Path
from typing import Any

import pytest
from invoke import Program

import tasks
from imagebuild.adapters import openstack_cloud
from imagebuild.attendant import Wishes
from imagebuild.errors import UNCHANGED, Busy, CloudRefused, ImagebuildError, RecipeError
from imagebuild.jobs import building, sweeping, versions
from imagebuild.jobs.settings import Settings
from imagebuild.jobs.walking import Built
from imagebuild.lab import lifecycle
from imagebuild.report import Report
from imagebuild.secrets import Secret

Outcome = tuple[int, str, str]


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str]) -> Any:
    """`invoke WORDS` in this process: exit code, what is printed, what is complained."""

    def run(*words: str) -> Outcome:
        code = 0
        try:
            Program(namespace=tasks.namespace).run(["invoke", *words])
        except SystemExit as ended:  # a task that went well just comes back
            code = int(ended.code or 0)
        return code, *capsys.readouterr()

    return run


@pytest.fixture(autouse=True)
def no_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever touches a cloud or the lab here has gone too far."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a cloud was touched")

    for place, name in ((Settings, "open_cloud"), (lifecycle, "up"), (openstack_cloud, "connect_cloud")):
        monkeypatch.setattr(place, name, refuse)


def test_the_list_names_every_task_with_a_sentence(invoke: Any) -> None:
    code, out, err = invoke("--list")
    assert (code, err) == (0, "")
    words = {line.split()[0] for line in out.splitlines() if line.startswith("  ") and not line.startswith("   ")}
    assert words >= {"build", "plan", "images.list", "sweep", "test", "lab.up", "lab.down", "lab.status", "lab.reset"}
    assert words >= {"builds.list", "builds.show", "builds.resume", "builds.undo", "builds.unclaim"}


@pytest.mark.parametrize("task", ["build", "plan"])
def test_a_recipe_that_does_not_exist_is_told_with_its_neighbour_before_any_cloud_call(invoke: Any, task: str) -> None:
    code, out, err = invoke(task, "win7-vdo")
    assert (code, out) == (2, "")
    assert err.splitlines()[0].startswith("error: there is no recipe 'win7-vdo'")
    assert err.splitlines()[1] == "  advice: did you mean win7-vdi?"


@pytest.mark.parametrize("task", ["build", "plan"])
def test_every_problem_of_a_wrong_recipe_is_told_with_its_line(invoke: Any, task: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("recipe: wrong\nsauce: {image: base}\nsteps: [boot-bilder]\n")
    code, _, err = invoke(task, str(path))
    assert code == 2
    assert f"  | {path}:2: sauce: is not known here; did you mean 'source'?" in err.splitlines()
    assert (
        f"  | {path}:3: steps[0].boot-bilder: there is no such step; did you mean 'boot-builder'?" in err.splitlines()
    )
    assert "Traceback" not in err


def test_a_wish_for_failures_that_nobody_knows(invoke: Any) -> None:
    code, _, err = invoke("build", "win7-vdi", "--on-error", "explode")
    assert code == 2
    assert "known are undo, keep, ask" in err


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["build", "win7-vdi", "--on-error", "ask"], "ask"),
        (["build", "win7-vdi", "--pause-before", "updates"], "pause-before"),
    ],
)
def test_who_wants_to_be_asked_must_be_at_a_terminal(invoke: Any, words: list[str], option: str) -> None:
    code, _, err = invoke(*words)
    assert code == 2
    assert f"{option} needs somebody at a terminal" in err


def test_a_pause_before_a_step_that_there_is_not(invoke: Any) -> None:
    code, _, err = invoke("build", "win7-vdi", "--pause-before", "update")
    assert code == 2
    assert "did you mean updates?" in err


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["r"], ("r", None, Wishes(), {"if_changed": False, "fresh": False})),
        (
            ["r", "--cloud", "mine", "--on-error", "keep"],
            ("r", "mine", Wishes("keep"), {"if_changed": False, "fresh": False}),
        ),
        (
            ["r", "--pause-before", "x", "--fresh"],
            ("r", None, Wishes(pause_before="x"), {"if_changed": False, "fresh": True}),
        ),
    ],
)
def test_what_is_typed_arrives(
    invoke: Any, monkeypatch: pytest.MonkeyPatch, words: list[str], wanted: tuple[object, ...]
) -> None:
    given: list[tuple[object, ...]] = []

    def build(name: str, settings: Settings, report: Report, *, wishes: Wishes, **switches: bool) -> Built:
        assert settings.recipes.name == "recipes"
        assert settings.recipes.is_dir()
        given.append((name, settings.cloud, wishes, switches))
        return Built("r-v1", "id", changed=True)

    monkeypatch.setattr(building, "build", build)
    assert invoke("build", *words)[0] == 0
    assert given == [wanted]


def test_unchanged_is_an_exit_code_and_no_error(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "build", lambda *_, **__: Built("r-v1", "id", changed=False))
    assert invoke("build", "r", "--if-changed") == (UNCHANGED, "", "")


def test_a_build_that_nobody_knows_is_told_before_any_cloud_call(invoke: Any) -> None:
    for task in ("builds.resume", "builds.undo", "builds.show"):
        code, _, err = invoke(task, "win7-vdi-of-another-machine")
        assert code == 2
        assert "this machine has no build 'win7-vdi-of-another-machine'" in err


def test_sweep_takes_its_switches(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, bool]] = []

    def sweep(settings: Settings, report: Report, **switches: bool) -> int:
        given.append(switches)
        return 0

    monkeypatch.setattr(sweeping, "sweep", sweep)
    invoke("sweep")
    invoke("sweep", "--dry-run", "--kept", "--foreign")
    assert given == [
        dict.fromkeys(("dry_run", "kept", "foreign"), False),
        dict.fromkeys(("dry_run", "kept", "foreign"), True),
    ]


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def images(*_: object) -> None:
        raise error

    monkeypatch.setattr(versions, "images", images)


@pytest.mark.parametrize(
    ("error", "wanted"), [(CloudRefused("x"), 1), (RecipeError("x"), 2), (Busy("x"), 3), (KeyboardInterrupt(), 130)]
)
def test_exit_codes_tell_scripts_what_happened(
    invoke: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException, wanted: int
) -> None:
    fail_with(monkeypatch, error)
    code, _, err = invoke("images")
    assert code == wanted
    assert err.startswith("error: ")
    assert "Traceback" not in err


def test_an_error_is_a_sentence_with_details_an_advice_and_what_stands(
    invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Secret("secret-in-an-error")
    error = ImagebuildError("it broke", hint="mend it", details=[*map(str, range(30)), "x secret-in-an-error"])
    error.after = ("stands: server 1", "next: invoke sweep")
    fail_with(monkeypatch, error)
    _, _, err = invoke("images")
    lines = err.splitlines()
    assert lines[0] == "error: it broke"
    assert lines[1] == "  | 6"  # the last 25: the end of a log says why
    assert lines[25:] == ["  | x ***", "  advice: mend it", "  stands: server 1", "  next: invoke sweep"]


def test_json_is_json_to_its_last_line(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "images", lambda recipe, settings, report: report.say("none", images=[]))
    _, out, _ = invoke("images", "--json")
    assert [json.loads(line)["images"] for line in out.splitlines()] == [[]]


@pytest.mark.parametrize("words", [("prune", "-h"), ("build", "--help")])
def test_help_behind_a_task_that_wants_a_name_is_no_name(
    invoke: Any, words: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["invoke", *words])
    code, _, err = invoke(*words)
    assert code == RecipeError.exit_code
    assert f"invoke --help {words[0]}" in err
