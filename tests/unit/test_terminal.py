"""The terminal: a line is an answer, its end and silence are none."""

import os
import sys
from collections.abc import Iterator

import pytest

from imagebuild.adapters.terminal import StandardTerminal, find_terminal


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """What is written here is typed on a real (pseudo) terminal."""
    keyboard, screen = os.openpty()
    with os.fdopen(screen, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield keyboard
    os.close(keyboard)


def test_a_line_is_the_answer(typed: int, capsys: pytest.CaptureFixture[str]) -> None:
    os.write(typed, b" r \n")
    assert StandardTerminal().ask("retry? ", seconds=10) == "r"
    assert capsys.readouterr() == ("", "retry? ")


def test_nobody_answers_in_time(typed: int) -> None:
    assert StandardTerminal().ask("retry? ", seconds=0.01) is None


def test_the_end_of_input_is_no_answer(typed: int) -> None:
    os.write(typed, b"\x04")
    assert StandardTerminal().ask("retry? ", seconds=10) is None


def test_there_is_one_only_when_both_ends_are(typed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_terminal() is None, "standard error is no terminal here"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert isinstance(find_terminal(), StandardTerminal)
