"""What has become of a build of this machine: its journal's word, and whether a process still works on it."""

from dataclasses import dataclass
from typing import Literal

from imagebuild.build_folder import BuildFolder
from imagebuild.record import Record, fold

Word = Literal["running", "built", "verified", "failed", "kept", "dead", "undone"]


@dataclass(frozen=True)
class BuildState:
    """A build and its state in one word. `dead`: its process is gone, in the middle; `failed`: it failed, and its undo did not end."""

    folder: BuildFolder
    record: Record | None
    word: Word

    @property
    def is_over(self) -> bool:
        """True when nothing of it can be left but its image."""
        return self.word in ("built", "verified", "undone")

    @property
    def place(self) -> str:
        """How far it came, for a person."""
        record = self.record
        if record is None:
            return "its journal cannot be read"
        if record.failed_step:
            return f"in step {record.failed_step}: {record.failure}"
        if self.word == "dead":
            return f"cut off in step {record.step}" if record.step else "cut off between two steps"
        if self.word == "running":
            return f"in step {record.step}" if record.step else ""
        return record.image_name or record.verdict or record.failure or ""

    @property
    def why_not_resumed(self) -> str:
        """Why nothing of it can be gone on with; '' when it can be tried."""
        record = self.record
        if self.word == "built":
            return f"it is done: {record.image_name if record else 'its image'} was built"
        if self.word == "verified":
            return "it is done: its clones are gone"
        if self.word == "undone":
            return "it was undone: nothing of it stands any more"
        if record is None or not record.digest:
            return "it was cut off before it had a plan"
        return "its undo has begun: some of its things are gone" if record.undoing else ""

    @property
    def next_command(self) -> str:
        """What a person does about it; '' when there is nothing to do."""
        if self.word == "built":
            return "invoke images"
        if self.is_over or self.word == "running":
            return ""
        undo = f"invoke builds.undo {self.folder.id}"
        return undo if self.why_not_resumed else f"invoke builds.resume {self.folder.id}, or {undo}"


def read_state(folder: BuildFolder, *, ours: bool = False) -> BuildState:
    """The build's state now. `ours`: its journal is held by this very process, and nobody else works on it."""
    alive = (
        not ours and folder.is_alive()
    )  # before the journal is read: one that ends in between has ended in the journal
    entries = folder.entries()
    record = fold(entries)
    if alive:
        return BuildState(folder, record, "running")
    if record is None:
        return BuildState(folder, record, "undone" if any(entry.event == "undone" for entry in entries) else "dead")
    return BuildState(folder, record, "dead" if record.state == "running" else record.state)
