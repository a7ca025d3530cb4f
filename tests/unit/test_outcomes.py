"""The end of a rebuild: one table, one exit code that is the worst of all."""

import json
from pathlib import Path

import pytest

from imagebuild.errors import UNCHANGED
from imagebuild.jobs.outcomes import Outcome, Summary, result_of
from imagebuild.jobs.relaying import Relay
from imagebuild.report import JsonReport
from tests.steps.conftest import Told


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([], UNCHANGED),
        (["not due", "unchanged"], UNCHANGED),
        (["not due", "would build"], 0),
        (["unchanged", "built"], 0),
        (["built", "busy"], 3),
        (["busy", "wrong", "built"], 2),
        (["wrong", "failed", "busy", "built"], 1),
    ],
)
def test_the_worst_counts(results: list[str], code: int) -> None:
    assert Summary([Outcome(str(number), result, "") for number, result in enumerate(results)]).exit_code == code


@pytest.mark.parametrize(
    ("code", "result"),
    [(0, "built"), (1, "failed"), (2, "wrong"), (3, "busy"), (4, "unchanged"), (130, "failed"), (-9, "failed")],
)
def test_every_exit_code_of_a_build_has_its_word(code: int, result: str) -> None:
    assert result_of(code) == result


def test_the_table_says_how_each_ended_and_what_comes_next(tmp_path: Path) -> None:
    told = Told()
    log = tmp_path / "w10.log"
    Summary(
        [
            Outcome("win10", "failed", "it would not boot\nmore", seconds=61, log=log),
            Outcome("win7-vdi", "built", "", image="win7-vdi-v2", seconds=240.4, log=log),
            Outcome("win8", "not due", "nothing changed since win8-v3"),
        ]
    ).tell(told)
    assert [text for text, _ in told.results] == [
        "RECIPE    RESULT   IMAGE        TOOK  WHY",
        "win10     failed                1:01  it would not boot",
        "win7-vdi  built    win7-vdi-v2  4:00",
        "win8      not due                     nothing changed since win8-v3",
        f"log of win10: {log}",
        "next: invoke verify win7-vdi-v2",
    ]
    assert told.results[2][1] == {
        "recipe": "win7-vdi",
        "result": "built",
        "image": "win7-vdi-v2",
        "reason": "",
        "log": str(log),
        "took_seconds": 240.4,
    }


def test_what_was_promoted_needs_no_next_command() -> None:
    told = Told()
    Summary([Outcome("a", "built", "", image="a-v1")], promoted=True).tell(told)
    assert not any("next:" in text for text, _ in told.results)


def relayed(*events: dict[str, object] | str) -> tuple[Relay, Told]:
    told = Told()
    relay = Relay("win7", told, width=5)
    for event in events:
        relay.tell(event if isinstance(event, str) else json.dumps(event))
    return relay, told


def test_a_builds_lines_are_told_as_it_would_tell_them_itself() -> None:
    relay, told = relayed(
        {"event": "step_begun", "step": "updates", "title": "[4/14] updates"},
        {"event": "note", "text": "installing 2 of 3"},
        {"event": "warning", "text": "slow"},
        {"event": "step_done", "step": "updates", "took_seconds": 104.1},
        {"event": "step_failed", "step": "x", "took_seconds": 2.0},
        {"event": "result", "text": "built win7-v2", "image": "win7-v2"},
        "a library's complaint",
        "[1, 2]",
        {"event": "of tomorrow"},
    )
    assert [text for text, _ in told.results] == [
        "win7  | [4/14] updates",
        "win7  |   installing 2 of 3",
        "win7  |   warning: slow",
        "win7  |   done in 104.1 s",
        "win7  |   failed after 2.0 s",
        "win7  | built win7-v2",
        "win7  | a library's complaint",
        "win7  | [1, 2]",
    ]
    assert told.results[0][1] == {
        "recipe": "win7",
        "told": {"event": "step_begun", "step": "updates", "title": "[4/14] updates"},
    }
    assert (relay.image, relay.error) == ("win7-v2", "")


def test_an_error_is_told_whole_and_remembered() -> None:
    relay, told = relayed(
        {"event": "error", "message": "no", "details": ["a", "b"], "hint": "mend it", "after": ["next: x"]}
    )
    assert told.results[0][0].splitlines() == [
        "win7  | error: no",
        "win7  |   | a",
        "win7  |   | b",
        "win7  |   advice: mend it",
        "win7  |   next: x",
    ]
    assert relay.error == "no"


def test_for_machines_every_line_is_json_with_its_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    relay = Relay("win7", JsonReport(), width=4)
    relay.tell('{"event": "note", "text": "x"}')
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line).items() >= {"recipe": "win7", "told": {"event": "note", "text": "x"}}.items()
