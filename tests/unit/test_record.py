"""The record: what the journal says, folded into one value, however far the build came."""

import json
from typing import Any

import pytest

from imagebuild.journal import Entry
from imagebuild.record import fold

BEGUN = ("build_begun", {"recipe": "small", "cloud": "lab", "host": "h"})
PLANNED = ("planned", {"digest": "d1", "image": "small-v1"})


def entries(*events: tuple[str, dict[str, Any]]) -> list[Entry]:
    return [Entry(event, f"2026-01-01T00:00:{number:02d}+00:00", facts) for number, (event, facts) in enumerate(events)]


def done(step: str, seconds: float) -> tuple[str, dict[str, Any]]:
    return "step_done", {"step": step, "seconds": seconds}


def facts(**values: Any) -> tuple[str, dict[str, Any]]:
    return "facts", {"facts": values}


def test_a_build_that_came_to_its_end() -> None:
    record = fold(
        entries(
            BEGUN,
            PLANNED,
            facts(server_id="s"),
            done("boot-builder", 3.5),
            facts(image_id="i", image_name="small-v1"),
            done("register", 1),
            ("build_done", {}),
        )
    )
    assert record is not None
    assert (record.recipe, record.cloud, record.digest, record.state) == ("small", "lab", "d1", "built")
    assert (record.image_id, record.image_name, record.failed_step, record.failure) == ("i", "small-v1", None, None)
    assert record.seconds == {"boot-builder": 3.5, "register": 1}
    assert record.facts == {"server_id": "s", "image_id": "i", "image_name": "small-v1"}
    assert record.begun_at == "2026-01-01T00:00:00+00:00"
    assert json.loads(json.dumps(record.as_json()))["state"] == "built"


FAILED = ("step_failed", {"step": "updates", "seconds": 9, "message": "no"})


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], "running"),
        ([FAILED], "failed"),
        ([FAILED, ("undone", {})], "undone"),
        ([FAILED, ("kept", {})], "kept"),
        ([FAILED, ("kept", {}), ("undone", {})], "undone"),
        ([("build_failed", {"message": "no"})], "failed"),
        ([("build_failed", {"message": "no"}), ("undone", {})], "undone"),
        ([("an event of a later version", {"x": 1})], "running"),
    ],
)
def test_the_state_is_what_happened_last(events: list[tuple[str, dict[str, Any]]], state: str) -> None:
    record = fold(entries(BEGUN, *events))
    assert record is not None
    assert record.state == state


def test_a_failure_says_where_and_why() -> None:
    record = fold(entries(BEGUN, FAILED))
    assert record is not None
    assert (record.failed_step, record.failure, record.seconds) == ("updates", "no", {"updates": 9})


def test_a_build_that_failed_before_its_first_step_says_why() -> None:
    record = fold(entries(BEGUN, ("build_failed", {"message": "no such flavor"}), ("undone", {"deleted": []})))
    assert record is not None
    assert (record.failed_step, record.failure) == (None, "no such flavor")


@pytest.mark.parametrize("events", [[], [done("boot-builder", 1)], [("undone", {})]])
def test_a_journal_without_a_beginning_has_no_record(events: list[tuple[str, dict[str, Any]]]) -> None:
    assert fold(entries(*events)) is None


def test_how_far_it_came_is_what_a_resumed_build_goes_on_from() -> None:
    planned = {"digest": "d1", "image": "small-v3", "version": 3, "moment": "2026-01-01T00:00:00+00:00"}
    events = [
        ("build_begun", {"recipe": "small", "cloud": "lab", "project": "p1", "file": "/r/small.yaml"}),
        ("planned", planned),
        ("skipped", {"numbers": [3, 4]}),
        ("step_begun", {"step": "boot-builder", "number": 1}),
        ("step_done", {"step": "boot-builder", "number": 1, "seconds": 3}),
        ("step_begun", {"step": "reach-guest", "number": 2}),
    ]
    record = fold(entries(*events))
    assert record is not None
    assert (record.file, record.project, record.version, record.planned_name) == ("/r/small.yaml", "p1", 3, "small-v3")
    assert (record.at, record.done, record.step) == ("2026-01-01T00:00:00+00:00", (3, 4, 1), "reach-guest")


@pytest.mark.parametrize("event", ["resumed", "step_begun"])
def test_what_failed_before_a_resumption_or_another_try_is_over(event: str) -> None:
    record = fold(entries(BEGUN, FAILED, ("kept", {}), (event, {"step": "updates"})))
    assert record is not None
    assert (record.state, record.failed_step, record.failure) == ("running", None, None)


def test_an_undo_that_began_is_known() -> None:
    record = fold(entries(BEGUN, FAILED, ("undo_begun", {})))
    assert record is not None
    assert (record.state, record.undoing) == ("failed", True)
