"""What a run says while it works: a line a step with its time for people, JSON lines for machines, nothing for tests."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Protocol, TextIO

from imagebuild.errors import ImagebuildError
from imagebuild.secrets import hide


class Report(Protocol):
    """Where progress goes. Every text passes the secret filter; an implementation must not raise."""

    def step(self, name: str, title: str) -> AbstractContextManager[None]:
        """A stretch of work: announced when it begins, closed with its seconds, or with the failure that ended it."""
        ...

    def note(self, text: str) -> None:
        """A fact worth a line of its own, within the step that is under way."""
        ...

    def warn(self, text: str) -> None:
        """Something that does not stop the run and should not be missed."""
        ...

    def say(self, text: str, **facts: object) -> None:
        """A line of the result, outside of any step. `facts` are the machine's form of it."""
        ...

    def fail(self, error: ImagebuildError) -> None:
        """The end, for a machine: what failed and what comes next. People read it on standard error, from the front."""
        ...


class Screen(Protocol):
    """A picture that is drawn again and again while something works; what a report prints meanwhile does not run into it."""

    @property
    def rows(self) -> int:
        """So many lines fit."""
        ...

    def draw(self, lines: Sequence[str]) -> None:
        """Show this in place of the last picture."""
        ...

    def leave(self) -> None:
        """The last picture stays as it is."""
        ...


class Paper(Protocol):
    """What a report prints on: a text file, or a screen that has a picture below the lines."""

    @property
    def encoding(self) -> str:
        """Which letters it knows."""
        ...

    def write(self, text: str, /) -> int:
        """A piece of text."""
        ...

    def flush(self) -> None:
        """Let it be seen."""
        ...


def _tell(text: str, out: Paper) -> None:
    """Print a line. A reader who went away (`| head`) or a terminal without Korean letters must not end an hour's work."""
    encoding = out.encoding or "utf-8"
    with suppress(OSError):
        print(text.encode(encoding, "backslashreplace").decode(encoding), file=out, flush=True)


class ConsoleReport:
    """For people: plain lines, no cursor tricks, so that a CI log and a terminal show the same."""

    def __init__(self, out: Paper | None = None) -> None:
        self._out: Paper = out or sys.stdout
        self._begun = time.monotonic()
        self._depth = 0

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[None]:
        """Prints the title, then `name done in N s` (or `failed after N s`)."""
        del name
        begun = time.monotonic()
        self._line(f"{self._clock()} {'  ' * self._depth}{title}")
        self._depth += 1
        word = "failed after"
        try:
            yield
            word = "done in"
        finally:
            self._depth -= 1
            self._line(f"       {'  ' * self._depth}  {word} {time.monotonic() - begun:.1f} s")

    def note(self, text: str) -> None:
        """An indented line."""
        self._line(f"       {'  ' * self._depth}{text}")

    def warn(self, text: str) -> None:
        """An indented line that begins with `warning:`."""
        self._line(f"       {'  ' * self._depth}warning: {text}")

    def say(self, text: str, **facts: object) -> None:
        """The text as it is."""
        del facts
        self._line(text)

    def fail(self, error: ImagebuildError) -> None:
        """Nothing: the front prints it."""

    def _clock(self) -> str:
        seconds = int(time.monotonic() - self._begun)
        return f"{seconds // 60:3d}:{seconds % 60:02d}"

    def _line(self, text: str) -> None:
        _tell(hide(text), self._out)


class JsonReport:
    """For machines: one JSON object a line with `event`, `seconds` since the start and the facts."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._begun = time.monotonic()

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[None]:
        """`step_begun`, then `step_done` or `step_failed` with `took_seconds`."""
        begun = time.monotonic()
        self._event("step_begun", step=name, title=title)
        event = "step_failed"
        try:
            yield
            event = "step_done"
        finally:
            self._event(event, step=name, took_seconds=round(time.monotonic() - begun, 1))

    def note(self, text: str) -> None:
        """`note` with `text`."""
        self._event("note", text=text)

    def warn(self, text: str) -> None:
        """`warning` with `text`."""
        self._event("warning", text=text)

    def say(self, text: str, **facts: object) -> None:
        """`result` with `text` and the facts."""
        self._event("result", text=text, **facts)

    def fail(self, error: ImagebuildError) -> None:
        """`error` with the message, its kind, details, hint, what stands, and the exit code."""
        kind = type(error).__name__
        told = {"details": error.details, "hint": error.hint, "after": error.after, "exit_code": error.exit_code}
        self._event("error", message=error.message, kind=kind, **told)

    def _event(self, event: str, **facts: object) -> None:
        line = {"event": event, "seconds": round(time.monotonic() - self._begun, 1), **facts}
        _tell(hide(json.dumps(line, ensure_ascii=True, default=str)), self._out)


class SilentReport:
    """Says nothing: for calls whose result is their return value, and for tests."""

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[None]:
        """Nothing."""
        del name, title
        yield

    def note(self, text: str) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        """Nothing."""

    def say(self, text: str, **facts: object) -> None:
        """Nothing."""

    def fail(self, error: ImagebuildError) -> None:
        """Nothing."""
