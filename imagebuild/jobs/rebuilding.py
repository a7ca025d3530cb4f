"""`invoke rebuild`: the recipes that are due, several at once as far as the quota allows, each build a process of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from imagebuild.adapters.child_builds import ChildBuild
from imagebuild.cloud import Cloud, Headroom
from imagebuild.errors import CloudError, ImagebuildError, Interrupted
from imagebuild.interruption import signals_as_interrupt
from imagebuild.jobs.child_runs import UNDO_SECONDS, ChildRuns, StartChild
from imagebuild.jobs.due import Verdict, find_earlier, fits, judge, load_recipes
from imagebuild.jobs.outcomes import Outcome, Summary
from imagebuild.jobs.settings import Settings
from imagebuild.recipe import Recipe
from imagebuild.report import Report
from imagebuild.waiting import Deadline, wait_for

_SPARE_SECONDS = 60.0


@dataclass(frozen=True)
class Wish:
    """What is asked. `names`: only these recipes. `due`: only those with a reason. `minutes`: for one build, then it is ended."""

    names: Sequence[str] = ()
    due: bool = False
    parallel: int = 2
    promote: bool = False
    dry_run: bool = False
    minutes: float = 12 * 60


@dataclass
class _Candidate:
    """A recipe that may be built: `after` are the ones that make what it starts from."""

    recipe: Recipe
    verdict: Verdict
    after: frozenset[str]

    @property
    def name(self) -> str:
        return self.recipe.file_name


def rebuild(wish: Wish, settings: Settings, report: Report, *, start: StartChild = ChildBuild) -> Summary:
    """Build what is to be built and say how each recipe ended; one that fails does not stop the others.

    Raises Interrupted when it is asked to end: then every build under way has undone what it made, or is named.
    """
    with signals_as_interrupt():
        recipes, wrong = load_recipes(wish.names, settings.recipes)
        run = _Run(wish, settings, report, settings.open_cloud(report))
        for name, error in wrong.items():
            run.end(name, "wrong", "; ".join([str(error), *error.details]))
        run.judge_all(recipes)
        return run.foresee() if wish.dry_run else run.walk(start)


class _Run:
    """One rebuild: recipes wait, run, and end."""

    def __init__(self, wish: Wish, settings: Settings, report: Report, cloud: Cloud) -> None:
        self._wish = wish
        self._settings = settings
        self._report = report
        self._cloud = cloud
        self._candidates: dict[str, _Candidate] = {}
        self._waiting: list[_Candidate] = []
        self._ended: dict[str, Outcome] = {}
        self._room: Headroom | None = None

    def judge_all(self, recipes: Sequence[Recipe]) -> None:
        """Find out who is due. Who starts from what another one makes is asked again when that one is done."""
        judged = [_Candidate(one, self._judge(one), find_earlier(one, recipes)) for one in recipes]
        self._candidates = {one.name: one for one in judged}
        due = {one.name for one in judged if one.verdict.due}
        while more := {one.name for one in judged if one.after & due} - due:
            due |= more
        for one in judged:
            if one.name not in due:
                self._end_idle(one)
                continue
            self._waiting.append(one)
            if one.verdict.due:
                self._report.note(f"{one.name} is due: {one.verdict.reason}")

    def foresee(self) -> Summary:
        """What a run would do."""
        for one in self._waiting:
            reason = one.verdict.reason if one.verdict.due else f"starts from what {', '.join(sorted(one.after))} makes"
            self.end(one.name, "would build", reason)
        return self._summary()

    def walk(self, start: StartChild) -> Summary:
        """Build them all."""
        each = self._wish.minutes * 60 + UNDO_SECONDS + _SPARE_SECONDS
        width = max((len(one.name) for one in self._waiting), default=0)
        runs = ChildRuns(self._settings.project, self._report, start, minutes=self._wish.minutes, width=width)
        deadline = Deadline.after(each * max(len(self._waiting), 1))
        try:
            wait_for(lambda: self._turn(runs), "the builds", deadline=deadline, every=0.3)
        except KeyboardInterrupt as error:
            raise _interrupted(runs.end_all()) from error
        finally:
            runs.close()
        return self._summary()

    def end(self, name: str, result: str, reason: str) -> None:
        """Note how a recipe ended that no process ran for."""
        self._ended[name] = Outcome(name, result, reason)

    def _turn(self, runs: ChildRuns) -> bool | None:
        """Hear what the builds say, see which have ended, start what can be."""
        self._ended |= {outcome.recipe: outcome for outcome in runs.listen()}
        going_on = True
        while going_on:  # who has just ended without a process may have been what another one waited for
            going_on = False
            for one in list(self._waiting):
                if one.after & (runs.names | {other.name for other in self._waiting}):
                    continue
                if not self._is_settled(one):
                    if not self._has_place(one, runs):
                        continue
                    self._begin(one, runs)
                self._waiting.remove(one)
                going_on = True
        if runs.names:
            return None
        for stuck in self._waiting:  # nothing runs, so nothing will change for them
            self.end(stuck.name, "failed", "the quota has no room for it, or recipes start from each other")
        return True

    def _is_settled(self, one: _Candidate) -> bool:
        """Whether nothing is to be built, now that all it starts from is there or will not be; then its end is noted."""
        made = [self._ended[name] for name in one.after if name in self._ended]
        if bad := sorted(other.recipe for other in made if other.result in ("failed", "wrong", "busy")):
            self.end(one.name, "failed", f"it starts from what {', '.join(bad)} makes, and that did not work")
            return True
        if any(other.result == "built" for other in made):
            try:
                one.verdict = self._judge(one.recipe)
            except CloudError as error:  # the others go on
                self.end(one.name, "failed", str(error))
                return True
        if not one.verdict.due:
            self._end_idle(one)
        return not one.verdict.due

    def _has_place(self, one: _Candidate, runs: ChildRuns) -> bool:
        """Whether it may start beside those that run: their number, one at a time of a line of versions, the quota."""
        beside = [self._candidates[name] for name in runs.names]
        if len(beside) >= self._wish.parallel or any(other.recipe.name == one.recipe.name for other in beside):
            return False
        if not beside or self._room is None:  # while ours run, what is left does not tell what they still will take
            self._room = self._cloud.headroom()
        return fits([*(other.verdict.need for other in beside), one.verdict.need], self._room)

    def _begin(self, one: _Candidate, runs: ChildRuns) -> None:
        arguments = ["build", one.name, "--json"]
        arguments += [] if one.verdict.forced else ["--if-changed"]
        arguments += ["--promote"] if self._wish.promote else []
        arguments += ["--cloud", self._settings.cloud] if self._settings.cloud else []
        try:
            runs.begin(one.name, arguments)
        except ImagebuildError as error:
            self.end(one.name, "failed", str(error))

    def _judge(self, recipe: Recipe) -> Verdict:
        wish, templates = self._wish, self._settings.templates
        return judge(recipe, self._cloud, templates=templates, only_due=wish.due, promote=wish.promote)

    def _end_idle(self, one: _Candidate) -> None:
        self.end(one.name, one.verdict.otherwise, one.verdict.reason)

    def _summary(self) -> Summary:
        ordered = sorted(self._ended.values(), key=lambda outcome: outcome.recipe)
        return Summary(tuple(ordered), promoted=self._wish.promote)


def _interrupted(killed: Sequence[str]) -> Interrupted:
    error = Interrupted("interrupted", hint="what was due stays due: run it again")
    error.after = (f"killed while undoing: {', '.join(killed)}", "next: invoke sweep") if killed else ()
    return error
