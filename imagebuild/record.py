"""The build record: the journal folded into what a person or a program wants to know of a build afterwards."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from imagebuild.journal import Entry

State = Literal["running", "built", "failed", "undone", "kept"]
_ENDS: dict[str, State] = {"build_done": "built", "build_failed": "failed", "undone": "undone", "kept": "kept"}


@dataclass(frozen=True)
class Record:
    """One build: what it was of, how far it came, how long each step took (seconds), what is in the image."""

    recipe: str
    begun_at: str
    state: State = "running"
    cloud: str = ""
    digest: str = ""
    image_id: str | None = None
    image_name: str | None = None
    failed_step: str | None = None
    failure: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def fold(entries: Sequence[Entry]) -> Record | None:
    """The record of a journal; None when it does not even say that a build began."""
    record: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    for entry in entries:
        if entry.event == "build_begun":
            record = {"recipe": entry.facts["recipe"], "begun_at": entry.at, "cloud": entry.facts["cloud"]}
        elif entry.event == "planned":
            record["digest"] = entry.facts["digest"]
        elif entry.event == "facts":
            facts |= entry.facts["facts"]
        elif entry.event in ("step_done", "step_failed"):
            seconds[entry.facts["step"]] = entry.facts["seconds"]
        if entry.event == "step_failed":
            record |= {"failed_step": entry.facts["step"], "failure": entry.facts["message"], "state": "failed"}
        elif entry.event == "build_failed":
            record["failure"] = entry.facts["message"]
        record |= {"state": _ENDS[entry.event]} if entry.event in _ENDS else {}
    if "recipe" not in record:
        return None
    named: dict[str, Any] = {key: facts.get(key) for key in ("image_id", "image_name")}
    return Record(**record, **named, seconds=seconds, facts=facts)
