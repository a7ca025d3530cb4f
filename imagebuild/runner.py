"""The runner walks a plan: a journal line before and after each step, every failure written down before anybody acts on it."""

import time
import traceback
from contextlib import suppress

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


def run_plan(plan: Plan, context: Context, journal: Journal) -> None:
    """Run every step in order. Raises Failure; what stands in the cloud then is the caller's to keep or to remove."""
    for planned in plan.steps:
        try:
            _walk(planned, context, journal, of=len(plan.steps))
        except ImagebuildError as error:
            raise Failure(planned.step.name, error) from error
        except KeyboardInterrupt as error:  # between two steps
            raise Failure(planned.step.name, _interrupted()) from error


def _walk(planned: PlannedStep, context: Context, journal: Journal, *, of: int) -> None:
    """One step between its two lines in the journal. A journal that cannot be written ends the build like any failure."""
    step = planned.step
    title = f"[{planned.number}/{of}] {step.name}: {step.describe()}"
    context.step_digest = planned.digest
    journal.write("step_begun", step=step.name, number=planned.number, digest=planned.digest)
    began = time.monotonic()
    try:
        with context.report.step(step.name, title):
            _run(step, context)
    except ImagebuildError as error:
        took, kind = round(time.monotonic() - began, 1), type(error).__name__
        with suppress(ImagebuildError):  # why the step failed says more than that the disk is full as well
            journal.write(
                "step_failed", step=step.name, seconds=took, error=kind, message=str(error), details=error.details
            )
        raise
    journal.write("step_done", step=step.name, seconds=round(time.monotonic() - began, 1))


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
