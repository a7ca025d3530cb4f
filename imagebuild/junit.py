"""What a run did as JUnit XML, which CI servers show: a testcase a step or check, with seconds, what it said, and why it failed."""

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from imagebuild.errors import ImagebuildError, Interrupted, RecipeError
from imagebuild.report import Report
from imagebuild.secrets import hide

# What XML 1.0 has no way to say, not even escaped: https://www.w3.org/TR/xml/#charsets
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass
class Case:
    """One step or check. `failure` says why it failed, `broken` why it could not be tried to its end, `skipped` why it was not tried."""

    name: str
    seconds: float = 0.0
    failure: str = ""
    broken: str = ""
    skipped: str = ""
    output: list[str] = field(default_factory=list)
    group: str = ""
    """The classname, by which CI servers put cases together; the suite's name when it is empty."""


def write_junit(path: Path, suite: str, cases: Iterable[Case]) -> None:
    """Write the cases, whole or not at all, without secrets. Raises OSError."""
    made = TestSuite(_clean(suite))
    made.add_testcases([_testcase(case, suite) for case in cases])
    root = JUnitXml("imagebuild")
    root.add_testsuite(made)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    root.write(str(part))
    part.replace(path)


@contextmanager
def junit_written(report: Report, path: Path, *, suite: str) -> Iterator[Report]:
    """A report that goes on to `report` and is in the file after every step: also when the run fails, is interrupted, or is killed.

    Raises RecipeError when the file cannot be written at all, before anything is done; later that is a warning, and never hides
    how the run ended.
    """
    heard = _Hearing(report, path, suite)
    try:
        heard.write()
    except OSError as error:
        words = f"the JUnit file {path} cannot be written: {error.strerror}"
        raise RecipeError(words, hint="give --junit a file in a folder that is yours") from error
    try:
        yield heard
    except BaseException as error:
        heard.ended_by(error)
        raise
    finally:
        heard.save()


class _Hearing:
    """A Report that passes everything on and remembers the outermost steps as cases."""

    def __init__(self, inner: Report, path: Path, suite: str) -> None:
        self._inner = inner
        self._path = path
        self._suite = suite
        self._begun = time.monotonic()
        self._cases: dict[str, Case] = {}
        self._failed: dict[str, BaseException] = {}
        self._open: Case | None = None

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[None]:
        """A case, unless it is within another one. A step that is tried again is the case that it was."""
        if self._open:
            self._open.output.append(title)
            with self._inner.step(name, title):
                yield
            return
        begun = time.monotonic()
        self._open = self._cases[name] = Case(name, output=[title])
        self._failed.pop(name, None)
        try:
            with self._inner.step(name, title):
                yield
        except BaseException as error:
            self._failed[name] = error
            raise
        finally:
            self._open.seconds = time.monotonic() - begun
            self._open = None
            self.save()

    def note(self, text: str) -> None:
        """Output of the case."""
        self._heard(text)
        self._inner.note(text)

    def warn(self, text: str) -> None:
        """Output of the case."""
        self._heard(f"warning: {text}")
        self._inner.warn(text)

    def say(self, text: str, **facts: object) -> None:
        """Output of the case; a line with the facts `check` and `outcome` is a case of its own."""
        if "check" in facts and "outcome" in facts:
            self._add_check(text, facts)
        else:
            self._heard(text)
        self._inner.say(text, **facts)

    def fail(self, error: ImagebuildError) -> None:
        """Passed on: the error that ends the run is heard anyway."""
        self._inner.fail(error)

    def ended_by(self, error: BaseException) -> None:
        """The run ends with it. In no step and with no failed check, it is a case named as the run."""
        failed_checks = any(case.failure for case in self._cases.values())
        if error not in self._failed.values() and not failed_checks:
            self._cases[self._suite] = Case(self._suite, time.monotonic() - self._begun)
            self._failed[self._suite] = error

    def save(self) -> None:
        """Write the file as things stand; a warning when that fails."""
        try:
            self.write()
        except OSError as error:
            self._inner.warn(f"{self._path} could not be written: {error.strerror}")

    def write(self) -> None:
        """The same; raises OSError. Failures are told last: what still stands is known only when the run is over."""
        for name, error in self._failed.items():
            case, words = self._cases[name], _words(error)
            interrupted = isinstance(error, Interrupted) or not isinstance(error, ImagebuildError)
            case.failure, case.broken = ("", words) if interrupted else (words, "")
        write_junit(self._path, self._suite, self._cases.values())

    def _heard(self, text: str) -> None:
        if self._open:
            self._open.output.append(text)

    def _add_check(self, text: str, facts: dict[str, object]) -> None:
        name, group = str(facts["check"]), str(facts.get("clone", ""))
        seconds = facts.get("took_seconds", 0.0)
        case = Case(name, float(seconds) if isinstance(seconds, int | float) else 0.0, group=group)
        if facts["outcome"] == "failed":
            case.failure = text
        elif facts["outcome"] != "passed":
            case.skipped = text
        else:
            case.output.append(text)
        self._cases[f"{group} {name}"] = case


def _words(error: BaseException) -> str:
    """Why, in lines: the first one is what CI servers show in a list."""
    if not isinstance(error, ImagebuildError):
        return "interrupted" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"
    advice = [f"advice: {error.hint}"] if error.hint else []
    return "\n".join([str(error), *error.details, *advice, *error.after])


def _testcase(case: Case, suite: str) -> TestCase:
    made = TestCase(_clean(case.name), _clean(case.group or suite), round(case.seconds, 1))
    for kind, words in ((Failure, case.failure), (Error, case.broken), (Skipped, case.skipped)):
        if words:
            told = kind(_clean(words.splitlines()[0]), "imagebuild")
            told.text = _clean(words)
            made.result = [*made.result, told]
    if case.output:
        made.system_out = _clean("\n".join(case.output))
    return made


def _clean(text: str) -> str:
    """Without secrets, and without what a console shows and XML cannot hold."""
    return _NO_XML.sub("?", hide(text))
