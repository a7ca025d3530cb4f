"""The runner walks a plan: a journal line before and after each step, every failure written down before anybody acts on it."""

import time
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress

from imagebuild.errors import ImagebuildError, Interrupted, StepFailed
from imagebuild.journal import Journal
from imagebuild.plan import Plan, PlannedStep
from imagebuild.step import Context, Step


class Failure(Exception):
    """A run that did not reach its end: in which step, and why."""

    def __init__(self, step: str, error: ImagebuildError) -> None:
        super().__init__(f"{step}: {error}")
        self.step = step
        self.error = error


def run_plan(
    plan: Plan,
    context: Context,
    journal: Journal,
    *,
    skip: Collection[int] = (),
    before: Callable[[PlannedStep], None] = lambda planned: None,
    again: Callable[[Failure], bool] = lambda failure: False,
) -> None:
    """Run every step in order but those whose numbers are in `skip`. Raises Failure; what stands then is the caller's to keep or remove.

    `before` is called before each step, and what it raises is a failure of that step; `again` is asked after a failure
    whether the step is to be tried once more.
    """
    for planned in plan.steps:
        if planned.number in skip:
            continue
        while failure := _try(planned, context, journal, before=before, of=len(plan.steps)):
            if not again(failure):
                raise failure from failure.error


def _try(
    planned: PlannedStep, context: Context, journal: Journal, *, before: Callable[[PlannedStep], None], of: int
) -> Failure | None:
    """One try of a step; what it failed with, already written down."""
    name = planned.step.name
    try:
        with _failure_noted(name, journal):
            context.begin(planned.digest, attempt=_verdicts(name, journal))
            before(planned)
        _walk(planned, context, journal, of=of)
    except ImagebuildError as error:
        return Failure(name, error)
    except KeyboardInterrupt:  # between two steps
        return Failure(name, _interrupted())
    return None


def _walk(planned: PlannedStep, context: Context, journal: Journal, *, of: int) -> None:
    """One step between its two lines in the journal. A journal that cannot be written ends the build like any failure."""
    step = planned.step
    title = f"[{planned.number}/{of}] {step.name}: {step.describe()}"
    journal.write("step_begun", step=step.name, number=planned.number, digest=planned.digest)
    began = time.monotonic()
    with _failure_noted(step.name, journal), context.report.step(step.name, title):
        _run(step, context)
    journal.write("step_done", step=step.name, number=planned.number, seconds=round(time.monotonic() - began, 1))


@contextmanager
def _failure_noted(step: str, journal: Journal) -> Iterator[None]:
    """A failure in here is written down as the step's, with its seconds, and goes on its way."""
    began = time.monotonic()
    try:
        yield
    except ImagebuildError as error:
        took, kind = round(time.monotonic() - began, 1), type(error).__name__
        with suppress(ImagebuildError):  # why the step failed says more than that the disk is full as well
            journal.write("step_failed", step=step, seconds=took, error=kind, message=str(error), details=error.details)
        raise


def _verdicts(step: str, journal: Journal) -> int:
    """How often the step has found its result bad in this build so far. One that was cut off by a lost network has found nothing."""
    failed = [entry.facts for entry in journal.entries() if entry.event == "step_failed"]
    return sum(facts["step"] == step and facts["error"] == StepFailed.__name__ for facts in failed)


def _run(step: Step, context: Context) -> None:
    """The step's own work; what is not an error of ours becomes one, with its trace in the journal and not on the screen."""
    try:
        step.run(context)
    except ImagebuildError:
        raise
    except KeyboardInterrupt as error:
        raise _interrupted() from error
    except Exception as error:  # noqa: BLE001  the one place: a bug in a step must not lose what the build has made
        context.journal.write("bug", step=step.name, trace=traceback.format_exc())
        words = f"{step.name} broke: {type(error).__name__}: {error}"
        raise StepFailed(words, hint="this is a defect of imagebuild: the trace is in the build's journal") from error
    missing = step.gives - context.facts.keys()
    if missing:
        raise StepFailed(f"{step.name} did not give {', '.join(sorted(missing))}", hint="this is a defect of the step")


def _interrupted() -> Interrupted:
    return Interrupted("interrupted", hint="nothing is lost: the journal knows what stands")
