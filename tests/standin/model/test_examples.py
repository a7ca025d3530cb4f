"""Every real invocation of a guest script against its play: the same shape of answer, the same refusals."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from example_arrangements import ARRANGE, FREE, OTHER_WORDS, UNPLAYABLE
from model_fakes import Bench
from shapes import Shape

EXAMPLES = Path(__file__).parents[1] / "examples.jsonl"
AS_SYSTEM = (
    "Install-VirtioDrivers",
    "Install-Program",
    "Install-Updates",
    "Find-Updates",
    "Install-CloudbaseInit",
    "Start-Generalize",
)


@cache
def examples() -> tuple[dict[str, Any], ...]:
    return tuple(json.loads(line) for line in EXAMPLES.read_text("utf-8").splitlines())


@cache
def shape_of(script: str) -> Shape:
    shape = Shape()
    for example in examples():
        if example["script"] == script and example["result"]["ok"]:
            shape.learn(example["result"]["value"])
    return shape


def play(bench: Bench, script: str, parameters: dict[str, Any]) -> dict[str, Any]:
    if script not in AS_SYSTEM:
        return bench.script(script, **parameters)
    found = bench.job(script, **parameters)
    assert found["state"] == "finished" and found["result"] is not None, found
    result: dict[str, Any] = found["result"]
    return result


@pytest.mark.parametrize("line", [number for number in range(1, len(examples()) + 1) if number not in UNPLAYABLE])
def test_the_play_answers_as_the_script_did(line: int, builder: Bench) -> None:
    example = examples()[line - 1]
    script, expected = example["script"], example["result"]
    parameters = ARRANGE.get(line, lambda bench, given: given)(builder, example["parameters"])
    answer = play(builder, script, parameters)
    assert answer["ok"] == expected["ok"], (answer, expected)
    if not expected["ok"]:
        assert answer["error"].keys() == expected["error"].keys()
        if line not in OTHER_WORDS:
            assert answer["error"]["message"] == expected["error"]["message"]
        return
    assert shape_of(script).complaints(answer["value"], script, FREE) == []


def test_every_example_that_is_left_out_exists_and_says_why() -> None:
    for line, (test, why) in UNPLAYABLE.items():
        assert examples()[line - 1]["test"] == test
        assert len(why) > 10
    assert not UNPLAYABLE.keys() & ARRANGE.keys()


def test_a_shape_notices_what_is_missing_unknown_or_of_another_type() -> None:
    shape = Shape()
    shape.learn({"a": 1, "b": [{"c": "x"}], "d": None})
    shape.learn({"a": 2, "b": []})
    assert shape.complaints({"a": 3, "b": [{"c": "y"}]}, "x", ()) == []
    assert shape.complaints({"b": []}, "x", ()) == ["x: without a"]
    assert shape.complaints({"a": 1, "b": [], "e": 1}, "x", ()) == ["x: with e"]
    assert shape.complaints({"a": "1", "b": [{"c": None}]}, "x", ()) == [
        "x.a: string instead of int",
        "x.b[].c: null instead of string",
    ]
