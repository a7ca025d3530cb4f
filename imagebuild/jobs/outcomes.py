"""How a rebuild of several recipes ended: a table for people, lines with facts for machines, one exit code for all."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imagebuild.errors import UNCHANGED, Busy, ImagebuildError, RecipeError
from imagebuild.report import Report

_RESULTS = {0: "built", UNCHANGED: "unchanged", Busy.exit_code: "busy", RecipeError.exit_code: "wrong"}
_CODES = {
    "failed": ImagebuildError.exit_code,
    "wrong": RecipeError.exit_code,
    "busy": Busy.exit_code,
    "built": 0,
    "would build": 0,
}
"""The worst first. A result that is not here was nothing to do."""


@dataclass(frozen=True)
class Outcome:
    """How one recipe ended: built, unchanged, not due, would build, busy, wrong or failed, and why."""

    recipe: str
    result: str
    reason: str
    image: str = ""
    seconds: float = 0.0
    log: Path | None = None


@dataclass(frozen=True)
class Summary:
    """How all ended. `promoted`: what was built has been verified and promoted as well."""

    outcomes: Sequence[Outcome]
    promoted: bool = False

    @property
    def exit_code(self) -> int:
        """The worst of all: failed 1, a wrong recipe 2, busy 3, built 0; 4 when there was nothing to do."""
        results = {one.result for one in self.outcomes}
        return next((code for result, code in _CODES.items() if result in results), UNCHANGED)

    def tell(self, report: Report) -> None:
        """A line each, then what comes next."""
        rows = [("RECIPE", "RESULT", "IMAGE", "TOOK", "WHY"), *map(_row, self.outcomes)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        heading, *lines = ["  ".join(f"{c:{w}s}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        report.say(heading)
        for line, one in zip(lines, self.outcomes, strict=True):
            told = {"reason": one.reason, "log": str(one.log or ""), "took_seconds": round(one.seconds, 1)}
            report.say(line, recipe=one.recipe, result=one.result, image=one.image, **told)
        for one in self.outcomes:
            if one.log and one.result not in ("built", "unchanged"):
                report.say(f"log of {one.recipe}: {one.log}")
            if one.image and one.result == "built" and not self.promoted:
                report.say(f"next: invoke verify {one.image}")
        if not self.outcomes:
            report.say("there are no recipes to rebuild")


def result_of(code: int) -> str:
    """What a build's exit code says."""
    return _RESULTS.get(code, "failed")


def _row(one: Outcome) -> tuple[str, ...]:
    minutes, seconds = divmod(int(one.seconds), 60)
    took = f"{minutes}:{seconds:02d}" if one.seconds else ""
    reason = one.reason.splitlines()[0] if one.reason else ""
    return one.recipe, one.result, one.image, took, reason[:160]
