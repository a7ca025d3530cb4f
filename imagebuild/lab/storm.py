"""A storm: builds of this project are killed with -9 at random moments, again and again, and after each round the cloud must tell no lie.

What follows a kill is drawn by lot, too: the build is resumed (and perhaps killed once more), undone, swept away, or simply another
one is begun. The seed gives the same lots again; when a kill strikes is a matter of milliseconds, and never quite the same.
"""

import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from imagebuild.build_folder import BuildFolder
from imagebuild.build_state import read_state
from imagebuild.errors import ImagebuildError, LabError, RecipeError
from imagebuild.journal import Entry
from imagebuild.lab import catalogue
from imagebuild.lab.layout import find_layout
from imagebuild.lab.lifecycle import up
from imagebuild.lab.storm_project import Project
from imagebuild.lab.storm_watch import Watch
from imagebuild.recipe import find_recipe, load_recipe
from imagebuild.report import Report

ACTS = ("resume", "undo", "sweep", "build")
_SECOND_KILL = 0.4  # how often a resume is killed as well
_SMALLEST_FLAVOR = "1cpu_256MB_4GB"


@dataclass(frozen=True)
class Stage:
    """A stretch of a build's life: what begins it, and how long it took when nothing disturbed it."""

    name: str
    seconds: float


@dataclass
class Storm:
    """All rounds of one storm."""

    project: Project
    watch: Watch
    lots: random.Random
    report: Report
    stages: list[Stage] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def learn(self) -> None:
        """An undisturbed build: how long each stage of its life takes."""
        with self.report.step("learn", "an undisturbed build"):
            began = time.time()
            self._done("build", self.project.line)
            ended = time.time()
            (folder,) = self.project.folders().values()
            marks = [("start", began), *_marks(folder)]
            for (name, at), (_, until) in zip(marks, [*marks[1:], ("", ended)], strict=True):
                self.stages.append(Stage(name, max(0.0, until - at)))  # the journal counts whole milliseconds
            self.report.note(", ".join(f"{one.name} {one.seconds:.1f} s" for one in self.stages))

    def blow(self, number: int) -> None:
        """One round. Raises LabError when a command fails that may not fail, or the cloud then holds what may not be."""
        stage = self.lots.choice(self.stages)
        moment, act = self.lots.uniform(0, stage.seconds), self.lots.choice(ACTS)
        with self.report.step("round", f"round {number}: kill {moment:.1f} s into {stage.name}, then {act}"):
            known = set(self.project.folders())
            self._begin_and_kill(stage, moment)
            for name in self._new(known):
                self._mend(name, act, stage)
            built = {name for name in self._new(known) if self._word(name) == "built"}
            self._judge(
                self.watch.find_lies() + self.watch.find_miscounts(built=built, others=self._new(known) - built)
            )
            self.watch.prune()

    def _begin_and_kill(self, stage: Stage, moment: float) -> None:
        """Kill that many seconds into the stage as it comes this time: a machine at work is not always as fast."""
        known = set(self.project.folders())

        def has_come() -> bool:
            marks = {name for one in self._new(known) for name, _ in _marks(self.project.folders()[one])}
            return stage.name in {"start", *marks}

        code, told = self.project.invoke("build", self.project.line, kill_after=moment, since=has_come)
        if code not in (0, -signal.SIGKILL):
            raise LabError(f"a build failed with code {code}", details=told)
        new = self._new(known)
        if code == 0 or not new:
            self._count("it had ended before" if code == 0 else "it had not begun")
        for name in new if code else ():
            state = read_state(self.project.folders()[name])
            self._count(f"killed, {state.place}" if state.word == "dead" else f"killed when {state.word}")

    def _mend(self, name: str, act: str, stage: Stage) -> None:
        """What the lot says, to a build that was killed; nothing to one that was done."""
        state = read_state(self.project.folders()[name])
        if state.is_over:
            return
        if act == "resume" and state.why_not_resumed:
            self.report.note(f"not to be resumed: {state.why_not_resumed}")
            act = "undo"
        if act == "resume":
            self._resume(name, stage)
        elif act == "undo":
            self._done("builds.undo", name)
        elif act == "build":
            self._done("build", self.project.line)  # beside what the dead one has left
        if act in ("sweep", "build"):
            self._done("sweep")
        self._count({"resume": "resumed", "undo": "undone", "sweep": "swept", "build": "built anew, then swept"}[act])

    def _resume(self, name: str, stage: Stage) -> None:
        if self.lots.random() < _SECOND_KILL:
            left = self.stages[0].seconds + sum(one.seconds for one in self.stages[self.stages.index(stage) :])
            moment = self.lots.uniform(0, left)
            code, told = self.project.invoke("builds.resume", name, kill_after=moment)
            if code not in (0, -signal.SIGKILL):
                raise LabError(f"builds.resume failed with code {code}", details=told)
            self._count("killed again while resumed" if code else "it had ended before the second kill")
        if self._word(name) != "built":
            self._done("builds.resume", name)

    def finish(self) -> None:
        """The last sweep, and the look at what is left. Raises LabError when anything is."""
        with self.report.step("finish", "the last sweep, then look for what is left"):
            self._done("sweep")
            self._judge(self.watch.find_lies() + self.watch.find_leftovers(set(self.project.folders())))

    def _done(self, *arguments: str) -> None:
        """A command that must end well."""
        code, told = self.project.invoke(*arguments)
        if code != 0:
            raise LabError(f"invoke {' '.join(arguments)} ended with code {code}", details=told)

    def _judge(self, problems: Sequence[str]) -> None:
        if problems:
            raise LabError("the cloud holds what may not be", details=problems)

    def _new(self, known: set[str]) -> set[str]:
        return set(self.project.folders()) - known

    def _word(self, name: str) -> str:
        return read_state(self.project.folders()[name]).word

    def _count(self, what: str) -> None:
        self.counts[what] += 1
        self.report.note(what)


def storm(project: Path, recipe: str, report: Report, *, count: int, seed: int) -> None:
    """`count` rounds with builds of a copy of that recipe, in the lab. Raises LabError with what went wrong; then the logs are kept."""
    place = find_recipe(recipe, folder=project / "recipes")
    header = load_recipe(place).header
    if header.source.image is None:
        words = f"{recipe} starts from a version of {header.source.recipe}, not from an image"
        raise RecipeError(words, hint="a storm is blown with --recipe empty, or another that names its source.image")
    lab = up(report)
    began = time.monotonic()
    line = f"storm-{seed}-{os.getpid()}"
    folder = Path(tempfile.mkdtemp(prefix=f"{line}-"))
    watch = Watch(catalogue.connect(find_layout(), lab.name), line)
    try:
        with report.step("prepare", "a source of its own, and foreign things with names like ours"):
            source = watch.make_source(header.source.image)
            watch.make_look_alikes(flavor=_SMALLEST_FLAVOR, network=header.builder.network)
        copy = Project.copy(project, folder, recipe=place, line=line, source=source)
        made = Storm(copy, watch, random.Random(seed), report)
        made.learn()
        for number in range(1, count + 1):
            made.blow(number)
        made.finish()
    except (ImagebuildError, KeyboardInterrupt):
        report.warn(f"every command's log is in {folder}; what stands is deleted by: cd {folder} && invoke sweep")
        raise
    finally:
        watch.remove()
    shutil.rmtree(folder)
    _tell(made, report, rounds=count, seed=seed, seconds=time.monotonic() - began)


def _marks(folder: BuildFolder) -> list[tuple[str, float]]:
    """What a build's journal says to have begun, and when (Unix time): itself, its steps, and its end."""
    entries = [entry for entry in folder.entries() if entry.event in ("build_begun", "step_begun", "build_done")]
    return [(_named(entry), datetime.fromisoformat(entry.at).timestamp()) for entry in entries]


def _named(entry: Entry) -> str:
    return str(entry.facts.get("step", "plan and claim" if entry.event == "build_begun" else "end"))


def _tell(made: Storm, report: Report, *, rounds: int, seed: int, seconds: float) -> None:
    for what, number in sorted(made.counts.items()):
        report.say(f"{number:4d}  {what}")
    report.say(
        f"{rounds} rounds with seed {seed} in {int(seconds) // 60}:{int(seconds) % 60:02d}: at most one image of a version at all "
        "times, nothing left, nothing foreign touched",
        rounds=rounds,
        seed=seed,
        counts=dict(made.counts),
        commands=made.project.runs,
        took_seconds=round(seconds, 1),
    )
