"""What a timer, a CI server or monitoring types, and what it sees: rebuild, check, and JUnit files beside any exit code."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import parse

import pytest
from invoke import Program

import tasks
from imagebuild.errors import UNCHANGED, Busy, StepFailed
from imagebuild.health import Finding, Health, Level, Limits
from imagebuild.jobs import building, checking, rebuilding
from imagebuild.jobs.outcomes import Outcome, Summary
from imagebuild.jobs.rebuilding import Wish
from imagebuild.jobs.settings import Settings
from imagebuild.report import Report

Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str]) -> Invoke:
    """`invoke WORDS` in this process: exit code, what is printed, what is complained."""

    def run(*words: str) -> tuple[int, str, str]:
        code = 0
        try:
            Program(namespace=tasks.namespace).run(["invoke", *words])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *capsys.readouterr()

    return run


class Rebuilding:
    """Stands in for the job: notes what it is asked, says a line, and ends as the test wants."""

    def __init__(self) -> None:
        self.asked: list[tuple[Wish, str | None]] = []
        self.summary = Summary([Outcome("a", "built", "", image="a-v1")])

    def __call__(self, wish: Wish, settings: Settings, report: Report) -> Summary:
        self.asked.append((wish, settings.cloud))
        report.note("a is due")
        return self.summary


@pytest.fixture
def rebuild(monkeypatch: pytest.MonkeyPatch) -> Rebuilding:
    made = Rebuilding()
    monkeypatch.setattr(rebuilding, "rebuild", made)
    return made


def test_what_is_typed_arrives(invoke: Invoke, rebuild: Rebuilding) -> None:
    assert invoke("rebuild")[0] == 0
    switches = ("--due", "--promote", "--dry-run", "--parallel", "3", "--minutes", "90", "--cloud", "vdi")
    invoke("rebuild", "--recipe", "a", "--recipe", "b", *switches)
    assert rebuild.asked == [
        (Wish([]), None),
        (Wish(["a", "b"], due=True, parallel=3, promote=True, dry_run=True, minutes=90.0), "vdi"),
    ]


@pytest.mark.parametrize(("result", "code"), [("built", 0), ("not due", UNCHANGED), ("failed", 1), ("busy", 3)])
def test_a_rebuilds_exit_code_is_its_worst(invoke: Invoke, rebuild: Rebuilding, result: str, code: int) -> None:
    rebuild.summary = Summary([Outcome("a", result, "why")])
    ended, out, err = invoke("rebuild", "--due")
    assert (ended, err) == (code, "")
    assert out.splitlines()[-1].split() == ["a", *result.split(), "why"]


def test_quiet_says_nothing_at_all_when_there_was_nothing_to_do(invoke: Invoke, rebuild: Rebuilding) -> None:
    rebuild.summary = Summary([Outcome("a", "not due", "nothing changed")])
    assert invoke("rebuild", "--due", "--quiet") == (UNCHANGED, "", "")


def test_quiet_says_how_it_ended_when_something_was_done(invoke: Invoke, rebuild: Rebuilding) -> None:
    code, out, _ = invoke("rebuild", "--due", "--quiet")
    assert code == 0
    assert "a is due" not in out
    assert out.splitlines()[-1] == "next: invoke verify a-v1"


def test_a_rebuild_for_machines_is_json_to_its_last_line(invoke: Invoke, rebuild: Rebuilding) -> None:
    _, out, _ = invoke("rebuild", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert events[2].items() >= {"recipe": "a", "result": "built", "image": "a-v1"}.items()


@pytest.mark.parametrize("level", list(Level))
def test_the_check_prints_its_lines_and_ends_with_its_level(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, level: Level
) -> None:
    asked: list[Any] = []

    def check(settings: Settings, recipes: Sequence[str], *, limits: Limits, seconds: float) -> Health:
        asked.append((settings.cloud, list(recipes), limits, seconds))
        return Health([Finding(level, "what was found")])

    monkeypatch.setattr(checking, "check", check)
    code, out, err = invoke("check", "--recipe", "a", "--warning-days", "7", "--timeout-seconds", "9", "--cloud", "vdi")
    assert (code, err) == (level, "")
    assert out.splitlines()[0].startswith(f"IMAGEBUILD {level.name} - ")
    assert asked == [("vdi", ["a"], Limits(7.0, 45.0, 7.0), 9.0)]


@pytest.mark.parametrize(("error", "code"), [(StepFailed("it broke"), 1), (Busy("kim builds it"), 3)])
def test_a_junit_file_never_hides_how_a_build_ended(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, code: int
) -> None:
    def build(name: str, settings: Settings, report: Report, **_: object) -> None:
        with report.step("boot-builder", "[1/2] boot-builder"):
            pass
        with report.step("updates", "[2/2] updates"):
            raise error

    monkeypatch.setattr(building, "build", build)
    ended, _, err = invoke("build", "win7-vdi", "--junit", str(tmp_path / "build.xml"))
    assert ended == code
    assert err.splitlines()[0] == f"error: {error}"
    cases = {case.get("name"): case for case in parse(tmp_path / "build.xml").iter("testcase")}  # noqa: S314  ours
    assert [case.get("classname") for case in cases.values()] == ["build win7-vdi"] * 2
    assert cases["updates"].find("failure") is not None
    assert cases["boot-builder"].find("failure") is None


def test_a_junit_file_that_cannot_be_written_is_a_wrong_setting(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = invoke("build", "win7-vdi", "--junit", str(tmp_path / "file" / "x.xml"))
    assert code == 2
    assert "cannot be written" in err and "give --junit a file" in err
