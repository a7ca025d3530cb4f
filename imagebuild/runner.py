"""The runner walks a plan: a journal line before and after each step, every failure written down before anybody acts on it."""

import time
import traceback

from imagebuild.errors import ImagebuildError, Interrupted, StepFailed
from imagebuild.journal import Journal
from imagebuild.plan import Plan, PlannedStep
from imagebuild.step import Context


class Failure(Exception):
    """A run that did not reach its end: in which step, and why."""

    def __init__(self, step: str, error: ImagebuildError) -> None:
        super().__init__(f"{step}: {error}")
        self.step = step
        self.error = error


def run_plan(plan: Plan, context: Context, journal: Journal) -> None:
    """Run every step in order. Raises Failure; what stands in the cloud then is the caller's to keep or to remove."""
    total = len(plan.steps)
    for planned in plan.steps:
        title = f"[{planned.number}/{total}] {planned.step.name}: {planned.step.describe()}"
        journal.write("step_begun", step=planned.step.name, number=planned.number, digest=planned.digest)
        began = time.monotonic()
        try:
            with context.report.step(planned.step.name, title):
                _run(planned, context)
        except ImagebuildError as error:
            journal.write(
                "step_failed",
                step=planned.step.name,
                seconds=round(time.monotonic() - began, 1),
                error=type(error).__name__,
                message=str(error),
                details=error.details,
            )
            raise Failure(planned.step.name, error) from error
        journal.write("step_done", step=planned.step.name, seconds=round(time.monotonic() - began, 1))


def _run(planned: PlannedStep, context: Context) -> None:
    """One step; what is not an error of ours becomes one, with its trace in the journal and not on the screen."""
    step = planned.step
    try:
        step.run(context)
    except ImagebuildError:
        raise
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted", hint="nothing is lost: the journal knows what stands") from error
    except Exception as error:  # noqa: BLE001  the one place: a bug in a step must not lose what the build has made
        context.journal.write("bug", step=step.name, trace=traceback.format_exc())
        words = f"{step.name} broke: {type(error).__name__}: {error}"
        raise StepFailed(words, hint="this is a defect of imagebuild: the trace is in the build's journal") from error
    missing = step.gives - context.facts.keys()
    if missing:
        raise StepFailed(f"{step.name} did not give {', '.join(sorted(missing))}", hint="this is a defect of the step")
