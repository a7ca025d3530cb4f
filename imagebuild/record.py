"""The build record: the journal folded into what a person or a program wants to know of a build afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from imagebuild.journal import Entry

State = Literal["running", "built", "verified", "failed", "undone", "kept"]
_ENDS: dict[str, State] = {"build_done": "built", "build_failed": "failed", "undone": "undone", "kept": "kept"}


@dataclass(frozen=True)
class Record:
    """One build: what it was of, how far it came, how long each step took (seconds), what is in the image.

    A journal does not know whether its process lives: `running` without one is a build that was cut off in `step`. `done` holds
    the numbers of the steps that need not be done again, `file` is the recipe's, `at` the moment its plan was made for,
    `undoing` says that its things have begun to be deleted. `verdict`: of a verification, what came of it.
    """

    recipe: str
    begun_at: str
    state: State = "running"
    cloud: str = ""
    project: str = ""
    file: str = ""
    digest: str = ""
    version: int | None = None
    planned_name: str = ""
    at: str = ""
    image_id: str | None = None
    image_name: str | None = None
    step: str | None = None
    done: tuple[int, ...] = ()
    failed_step: str | None = None
    failure: str | None = None
    undoing: bool = False
    verdict: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def fold(entries: Sequence[Entry]) -> Record | None:
    """The record of a journal; None when it does not even say that a build began."""
    record: Record | None = None
    for entry in entries:
        if entry.event == "build_begun":
            record = Record(
                recipe=entry.facts["recipe"],
                begun_at=entry.at,
                cloud=entry.facts["cloud"],
                project=entry.facts.get("project", ""),
                file=entry.facts.get("file", ""),
            )
        elif record is not None:
            record = _add(record, entry.event, entry.facts)
    return record


def _add(record: Record, event: str, facts: Mapping[str, Any]) -> Record:
    """The record with one more event."""
    if event == "planned":
        told = {"version": facts.get("version"), "planned_name": facts.get("image", ""), "at": facts.get("moment", "")}
        return replace(record, digest=facts["digest"], **told)
    if event == "facts":
        every = record.facts | facts["facts"]
        return replace(record, facts=every, image_id=every.get("image_id"), image_name=every.get("image_name"))
    if event == "skipped":
        return replace(record, done=(*record.done, *facts["numbers"]))
    if event == "step_begun":
        return replace(record, step=facts["step"], state="running", failed_step=None, failure=None)
    if event == "step_done":
        done = (*record.done, facts["number"]) if "number" in facts else record.done
        return replace(record, step=None, done=done, seconds=record.seconds | {facts["step"]: facts["seconds"]})
    if event == "step_failed":
        seconds = record.seconds | {facts["step"]: facts["seconds"]}
        told = {"failed_step": facts["step"], "failure": facts["message"]}
        return replace(record, step=None, state="failed", seconds=seconds, **told)
    if event == "resumed":
        return replace(record, state="running", failed_step=None, failure=None)
    if event == "verdict":
        return replace(record, verdict=facts["words"])
    if event == "undone" and record.verdict:  # its clones are gone, as they are to be
        return replace(record, state="verified")
    if event == "undo_begun":
        return replace(record, undoing=True)
    if event == "build_failed":
        record = replace(record, failure=facts["message"])
    return replace(record, state=_ENDS[event]) if event in _ENDS else record
