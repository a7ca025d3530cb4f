"""The person beside a build: asked after a failure, waited for before a step. Without one, what the options say is done."""

import difflib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from imagebuild.errors import RecipeError
from imagebuild.plan import PlannedStep
from imagebuild.runner import Failure
from imagebuild.step import Context

OnError = Literal["undo", "keep", "ask"]
PATIENCE_SECONDS = 8 * 3600.0
"""So long is a person waited for; then the build is kept."""


class Terminal(Protocol):
    """A person who can be asked."""

    def ask(self, question: str, *, seconds: float) -> str | None:
        """The answer, one line; None when there is none within that time, or nobody any more."""
        ...


@dataclass(frozen=True)
class Wishes:
    """What a person wants of a run beside the image: what becomes of a builder that failed, and before which step to wait."""

    on_error: str = "undo"
    pause_before: str = ""

    def check(self, steps: Collection[str], terminal: Terminal | None) -> None:
        """Raises RecipeError for a wish that cannot be met: known before anything is made."""
        if self.on_error not in get_args(OnError):
            raise RecipeError(f"--on-error is {self.on_error!r}", hint=f"known are {', '.join(get_args(OnError))}")
        if self.pause_before and self.pause_before not in steps:
            near = difflib.get_close_matches(self.pause_before, steps, n=1)
            hint = f"did you mean {near[0]}?" if near else f"its steps are {', '.join(steps)}"
            raise RecipeError(f"--pause-before: the recipe has no step {self.pause_before!r}", hint=hint)
        if terminal is None and (self.on_error == "ask" or self.pause_before):
            option = "--on-error ask" if self.on_error == "ask" else "--pause-before"
            words = f"{option} needs somebody at a terminal, and there is none"
            raise RecipeError(words, hint="use --on-error keep, and builds.resume afterwards")


class Attendant:
    """Carries the wishes through one run. `keeps` says what is to become of the builder when the run has failed."""

    def __init__(self, wishes: Wishes, context: Context, *, terminal: Terminal | None) -> None:
        self.keeps = wishes.on_error == "keep"
        self.asks = wishes.on_error == "ask"
        self._wishes = wishes
        self._context = context
        self._terminal = terminal

    def waits_before(self, planned: PlannedStep) -> bool:
        """Is this the step that a person wants to look at first?"""
        return planned.step.name == self._wishes.pause_before

    def wait(self, planned: PlannedStep) -> None:
        """Wait for Enter. A terminal that is gone, and a patience that is over, interrupt the build."""
        words = [f"pause before {planned.step.name}", *self._way_in(), "Enter goes on, Ctrl-C ends the build: "]
        if self._ask(words) is None:
            raise KeyboardInterrupt

    def again(self, failure: Failure) -> bool:
        """Whether the step is to be tried once more. Whoever does not answer gets the builder kept."""
        if not self.asks:
            return False
        lines = [
            f"step {failure.step} failed: {failure.error}",
            *(f"  | {line}" for line in failure.error.details[-10:]),
        ]
        lines += [f"  advice: {failure.error.hint}"] if failure.error.hint else []
        words = [*lines, *self._way_in(), "undo, keep, or retry the step? [u/k/r] "]
        self.keeps = True
        try:
            while (answer := self._ask(words)) is not None:
                if choice := _CHOICES.get(answer.lower()[:1]):
                    self.keeps = choice != "undo"
                    return choice == "retry"
                words = ["u, k or r? "]
        except KeyboardInterrupt:
            return False
        return False

    def _ask(self, words: list[str]) -> str | None:
        return self._terminal.ask("\n".join(words), seconds=PATIENCE_SECONDS) if self._terminal else None

    def _way_in(self) -> list[str]:
        """How to look at the builder, once it has an address."""
        address = self._context.facts.get("guest_address")
        user = self._context.header.builder.admin_user
        password = self._context.folder / "password"
        return [f"  log on at {address} as {user}; the password is in {password}"] if address else []


_CHOICES: dict[str, str] = {"u": "undo", "k": "keep", "r": "retry"}
