"""What became of a build, in a word, a place and a command."""

from pathlib import Path
from typing import Any

import pytest

from imagebuild.build_folder import BuildFolder
from imagebuild.build_state import BuildState, read_state
from imagebuild.journal import Journal

ID = "small-20260101-000000-abcd"
BEGUN = ("build_begun", {"recipe": "small", "cloud": "lab"})
PLANNED = ("planned", {"digest": "d1", "image": "small-v1"})
STEP = ("step_begun", {"step": "updates", "number": 3})
FAILED = ("step_failed", {"step": "updates", "seconds": 1, "message": "it broke"})
RESUME_OR_UNDO = f"invoke builds.resume {ID}, or invoke builds.undo {ID}"
UNDO = f"invoke builds.undo {ID}"


def written(folder: Path, *events: tuple[str, dict[str, Any]]) -> BuildFolder:
    made = BuildFolder(folder / ID)
    with Journal(made.journal) as journal:
        for event, facts in events:
            journal.write(event, **facts)
    return made


@pytest.mark.parametrize(
    ("events", "word", "place", "why_not", "command"),
    [
        ([BEGUN, PLANNED, STEP], "dead", "cut off in step updates", "", RESUME_OR_UNDO),
        ([BEGUN, PLANNED], "dead", "cut off between two steps", "", RESUME_OR_UNDO),
        ([BEGUN], "dead", "cut off between two steps", "it was cut off before it had a plan", UNDO),
        ([], "dead", "its journal cannot be read", "it was cut off before it had a plan", UNDO),
        (
            [("undone", {"deleted": []})],
            "undone",
            "its journal cannot be read",
            "it was undone: nothing of it stands any more",
            "",
        ),
        ([BEGUN, PLANNED, STEP, FAILED], "failed", "in step updates: it broke", "", RESUME_OR_UNDO),
        (
            [BEGUN, PLANNED, STEP, FAILED, ("undo_begun", {})],
            "failed",
            "in step updates: it broke",
            "its undo has begun: some of its things are gone",
            UNDO,
        ),
        ([BEGUN, PLANNED, STEP, FAILED, ("kept", {})], "kept", "in step updates: it broke", "", RESUME_OR_UNDO),
        (
            [BEGUN, PLANNED, STEP, FAILED, ("undone", {})],
            "undone",
            "in step updates: it broke",
            "it was undone: nothing of it stands any more",
            "",
        ),
        (
            [BEGUN, PLANNED, ("facts", {"facts": {"image_name": "small-v1"}}), ("build_done", {})],
            "built",
            "small-v1",
            "it is done: small-v1 was built",
            "invoke images",
        ),
        (
            [BEGUN, ("verdict", {"words": "small-v1 passed"}), ("undone", {})],
            "verified",
            "small-v1 passed",
            "it is done: its clones are gone",
            "",
        ),
        (
            [BEGUN, ("verdict", {"words": "small-v1 passed"}), ("kept", {})],
            "kept",
            "small-v1 passed",
            "it was cut off before it had a plan",
            UNDO,
        ),
    ],
)
def test_each_end(
    tmp_path: Path, events: list[tuple[str, dict[str, Any]]], word: str, place: str, why_not: str, command: str
) -> None:
    state = read_state(written(tmp_path, *events))
    assert (state.word, state.place, state.why_not_resumed, state.next_command) == (word, place, why_not, command)


def test_a_living_one_is_running_but_for_the_process_that_lives(tmp_path: Path) -> None:
    folder = written(tmp_path, BEGUN, PLANNED, STEP)
    with Journal(folder.journal):
        state = read_state(folder)
        assert (state.word, state.place, state.next_command) == ("running", "in step updates", "")
        assert read_state(folder, ours=True).word == "dead"
    assert isinstance(state, BuildState)
