"""A storm's own rules: where kills fall, what may follow, and what it calls a lie. The builds are played, their journals are real."""

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from imagebuild.cloud import OWNER_KEY
from imagebuild.errors import LabError
from imagebuild.journal import Journal
from imagebuild.lab.storm import Stage, Storm
from imagebuild.lab.storm_project import Project
from imagebuild.lab.storm_watch import Watch
from imagebuild.properties import BUILD, RECIPE, SELF, STATE
from imagebuild.report import SilentReport

STAGES = [Stage("start", 1), Stage("boot-builder", 2), Stage("end", 1)]


@dataclass
class PlayedProject(Project):
    """Builds begin; `builds` says what becomes of each, `codes` how other commands end."""

    builds: list[str] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def invoke(
        self, *arguments: str, kill_after: float | None = None, since: Callable[[], bool] = lambda: True
    ) -> tuple[int, list[str]]:
        self.said.append(arguments[0])
        if arguments[0] != "build":
            if arguments[0] == "builds.resume" and not self.codes.get("builds.resume"):
                self._write(arguments[1], "build_done")
            return self.codes.get(arguments[0], 0), []
        self.runs += 1
        name = f"line-20260101-0000{self.runs:02d}-abcd"
        end = self.builds.pop(0) if kill_after is not None and self.builds else "done"
        self._write(name, "build_begun", recipe="line", cloud="lab")
        if end != "unplanned":
            self._write(name, "planned", digest="d" * 64, image="line-v1")
            self._write(name, "step_begun", step="boot-builder", number=1, digest="")
        if end == "done":
            self._write(name, "build_done")
            return 0, []
        return -signal.SIGKILL, []

    def _write(self, name: str, event: str, **facts: Any) -> None:
        with Journal(self.folder / ".imagebuild" / "builds" / name / "journal.jsonl") as journal:
            journal.write(event, **facts)


class PlayedWatch(Watch):
    """Tells what a test wants it to see."""

    def __init__(self) -> None:
        super().__init__(None, "line")
        self.lies: list[str] = []
        self.left: list[str] = []
        self.judged: list[tuple[int, int]] = []

    def find_lies(self) -> list[str]:
        return self.lies

    def find_miscounts(self, *, built: set[str], others: set[str]) -> list[str]:
        self.judged.append((len(built), len(others)))
        return []

    def find_leftovers(self, builds: set[str]) -> list[str]:
        return self.left

    def prune(self, keep: int = 2) -> None:
        pass


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Storm]:
    def storm(*builds: str, seed: int = 1, act: str = "", **codes: int) -> Storm:
        folder = tmp_path / f"project-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        named = {name.replace("_", "."): code for name, code in codes.items()}
        project = PlayedProject(folder, "line", builds=list(builds), codes=named)
        made = Storm(project, PlayedWatch(), random.Random(seed), SilentReport(), stages=list(STAGES))
        if act:
            made.lots.choice = lambda things: act if act in things else things[0]  # type: ignore[method-assign]
            made.lots.random = lambda: 1.0  # type: ignore[method-assign]
        return made

    return storm


def said(storm: Storm) -> list[str]:
    assert isinstance(storm.project, PlayedProject)
    return storm.project.said


def test_stages_follow_from_an_undisturbed_build(make: Callable[..., Storm]) -> None:
    storm = make("done")
    storm.stages.clear()
    storm.learn()
    assert [stage.name for stage in storm.stages] == ["start", "plan and claim", "boot-builder", "end"]
    assert all(0 <= stage.seconds < 5 for stage in storm.stages)


@pytest.mark.parametrize(
    ("act", "follows"),
    [
        ("resume", ["builds.resume"]),
        ("undo", ["builds.undo"]),
        ("sweep", ["sweep"]),
        ("build", ["build", "sweep"]),
    ],
)
def test_after_a_kill_the_lot_is_done(make: Callable[..., Storm], act: str, follows: list[str]) -> None:
    storm = make("killed", "done", act=act)
    storm.blow(1)
    assert said(storm) == ["build", *follows]
    assert storm.counts["killed, cut off in step boot-builder"] == 1


def test_what_had_no_plan_is_undone_and_not_resumed(make: Callable[..., Storm]) -> None:
    storm = make("unplanned", act="resume")
    storm.blow(1)
    assert said(storm) == ["build", "builds.undo"]


def test_a_build_that_ended_before_the_kill_counts_as_built(make: Callable[..., Storm]) -> None:
    storm = make("done", act="undo")
    storm.blow(1)
    assert said(storm) == ["build"]
    assert isinstance(storm.watch, PlayedWatch) and storm.watch.judged == [(1, 0)]


@pytest.mark.parametrize(("act", "command"), [("resume", "builds_resume"), ("undo", "builds_undo"), ("sweep", "sweep")])
def test_a_command_that_may_not_fail_ends_the_storm(make: Callable[..., Storm], act: str, command: str) -> None:
    storm = make("killed", act=act, **{command: 1})
    with pytest.raises(LabError, match="ended with code 1"):
        storm.blow(1)


def test_a_lie_or_a_leftover_ends_the_storm(make: Callable[..., Storm]) -> None:
    storm = make("killed", act="sweep")
    assert isinstance(storm.watch, PlayedWatch)
    storm.watch.lies = ["2 images are called line-v1"]
    with pytest.raises(LabError) as caught:
        storm.blow(1)
    assert list(caught.value.details) == ["2 images are called line-v1"]
    storm.watch.lies, storm.watch.left = [], ["server line-1 (id)"]
    with pytest.raises(LabError, match="may not be"):
        storm.finish()


def test_the_same_seed_draws_the_same_lots(make: Callable[..., Storm]) -> None:
    one, two, other = (make(*["killed"] * 30, seed=seed) for seed in (5, 5, 6))
    for storm in (one, two, other):
        for number in range(12):
            storm.blow(number)
    assert said(one) == said(two) != said(other)


def image(image_id: str, **more: Any) -> SimpleNamespace:
    """A registered image of the line as openstacksdk shows one."""
    properties = {RECIPE: "line", SELF: image_id, STATE: "candidate", BUILD: f"build-{image_id}"}
    told = {"name": f"line-v{image_id}", "status": "active", "properties": properties | more.pop("properties", {})}
    return SimpleNamespace(id=image_id, **(told | more))


def watch_of(*images: SimpleNamespace) -> Watch:
    listed = SimpleNamespace(images=lambda is_hidden=False, **_: [] if is_hidden else list(images))
    return Watch(SimpleNamespace(image=listed, current_project_id="p"), "line")


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([image("1"), image("2", name="line-v1")], "2 images are called line-v1"),
        ([image("1", status="queued")], "it is queued"),
        ([image("1", properties={SELF: "2"})], "names another image as itself"),
        ([image("1", properties={STATE: ""})], "no state"),
        ([image("1", properties={OWNER_KEY: "build-1"})], "belongs to a build still"),
    ],
)
def test_what_is_a_lie(images: list[SimpleNamespace], words: str) -> None:
    (lie,) = watch_of(*images).find_lies()
    assert words in lie
    assert watch_of(image("1"), image("2"), image("3", properties={RECIPE: "other"}, name="line-v1")).find_lies() == []


def test_an_image_without_any_property_is_not_looked_into() -> None:
    bare = SimpleNamespace(id="4", name="anybody's", status="queued", properties=None)  # as the SDK tells it
    assert watch_of(image("1"), bare).find_lies() == []


def test_a_build_has_one_image_when_it_says_that_it_is_done_and_one_at_most_otherwise() -> None:
    watch = watch_of(image("1"), image("2"), image("3", properties={BUILD: "build-2"}))
    assert watch.find_miscounts(built={"build-1"}, others={"build-9"}) == []
    assert watch.find_miscounts(built={"build-2", "build-9"}, others=set()) == [
        "build-2 is built and has 2 images",
        "build-9 is built and has 0 images",
    ]
    assert watch.find_miscounts(built=set(), others={"build-2"}) == ["build-2 has 2 images"]
