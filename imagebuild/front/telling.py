"""What all tasks share: where the project is, a report to speak through, and how an error is printed and becomes an exit code."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from invoke import Context, Exit

from imagebuild.adapters.live_screen import LiveScreen, find_live_screen
from imagebuild.errors import ImagebuildError, RecipeError
from imagebuild.jobs.settings import Settings
from imagebuild.report import ConsoleReport, JsonReport, Report
from imagebuild.secrets import hide

CLOUD_HELP = "a name in clouds.yaml (default: OS_CLOUD, the only one configured, or the lab)"
JSON_HELP = "JSON lines instead of text"
JUNIT_HELP = "also write what was done to this file as JUnit XML, for CI servers"


def settings_of(c: Context, cloud: str = "", **more: Any) -> Settings:
    """The settings of this run; tasks.py has put the project's folder into Invoke's configuration."""
    return Settings(Path(c.project), cloud=cloud or None, **more)


def screen_for(*, json: bool) -> LiveScreen | None:
    """Where a person watches, and a picture can be drawn again and again; None for pipes, logs and JSON."""
    return None if json else find_live_screen()


@contextmanager
def told(*, json: bool, junit: str = "", suite: str = "", screen: LiveScreen | None = None) -> Iterator[Report]:
    """A report for the task; an error of ours becomes a sentence, an advice and an exit code, never a trace.

    `junit`: a file for what was done as JUnit XML, under the name `suite`; `screen`: print there, as a picture is shown on it.
    """
    report: Report = JsonReport() if json else ConsoleReport(screen)
    try:
        _refuse_help_as_name(sys.argv)
        with ExitStack() as stack:
            yield stack.enter_context(_junit_written(report, junit, suite)) if junit else report
    except ImagebuildError as error:
        if json:
            report.fail(error)
        raise Exit(None if json else hide("\n".join(_lines(error))), code=error.exit_code) from error
    except KeyboardInterrupt as error:
        raise Exit("error: interrupted", code=130) from error


def _refuse_help_as_name(arguments: Sequence[str]) -> None:
    """Invoke gives a task that wants a name whatever comes next, `--help` too, which would be looked for as a recipe."""
    for task, given in pairwise(arguments):
        if given in ("--help", "-h"):
            raise RecipeError(f"{given} was taken for a name", hint=f"about this task: invoke --help {task}")


def _junit_written(report: Report, path: str, suite: str) -> AbstractContextManager[Report]:
    from imagebuild.junit import junit_written  # the XML's modules are loaded for those who want it

    return junit_written(report, Path(path), suite=suite)


def who_is_asked(*, json: bool) -> Callable[[str], bool]:
    """Puts a deed to the person at the terminal; where nobody can answer, the answer is no."""
    return _never if json or not sys.stdin.isatty() else _ask


def _ask(deed: str) -> bool:
    """Anything but a whole `yes` is no."""
    try:
        return input(f"{deed}? (yes/no) ").strip() == "yes"
    except EOFError:
        return False


def _never(deed: str) -> bool:
    del deed
    return False


def _lines(error: ImagebuildError) -> list[str]:
    """The error for a person: what failed, the last lines of details, what to do, what stands."""
    advice = [f"  advice: {error.hint}"] if error.hint else []
    details = [f"  | {line}" for line in error.details[-25:]]
    return [f"error: {error}", *details, *advice, *(f"  {line}" for line in error.after)]
