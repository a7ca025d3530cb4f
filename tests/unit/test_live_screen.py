"""The picture at the bottom of a terminal, read from a terminal that obeys the two codes which it uses."""

import io
import re
import sys

import pytest

from imagebuild.adapters.live_screen import LiveScreen, cut, find_live_screen
from imagebuild.report import ConsoleReport
from imagebuild.secrets import Secret


class Terminal(io.StringIO):
    """Lines as a person sees them."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def isatty(self) -> bool:
        return True

    def seen(self) -> list[str]:
        lines, row = [""], 0
        for piece in re.split(r"(\x1b\[\d*[A-Z]|\n)", self.getvalue()):
            if piece == "\n":
                row += 1
                if row == len(lines):
                    lines.append("")
            elif up := re.fullmatch(r"\x1b\[(\d+)A", piece):
                row -= int(up[1])
                assert row >= 0
            elif piece == "\x1b[J":
                del lines[row + 1 :]
                lines[row] = ""
            else:
                lines[row] += piece
        return lines[:-1] if lines[-1] == "" else lines


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


def test_a_picture_takes_the_place_of_the_one_before(terminal: Terminal) -> None:
    screen = LiveScreen(terminal)
    screen.draw(["one", "two", "three"])
    screen.draw(["ONE", "TWO"])
    assert terminal.seen() == ["ONE", "TWO"]


def test_lines_of_a_report_scroll_by_above_it(terminal: Terminal) -> None:
    screen = LiveScreen(terminal)
    report = ConsoleReport(screen)
    with report.step("roll", "staff to v4"):
        screen.draw(["the picture"])
        report.note("desktop-3 is done")
        screen.draw(["another picture"])
        report.warn("the broker is silent")
        screen.leave()
    report.say("the end")
    seen = [line.strip() for line in terminal.seen()]
    assert seen[0].endswith("staff to v4")
    assert seen[1:4] == ["desktop-3 is done", "warning: the broker is silent", "another picture"]
    assert seen[4].startswith("done in") and seen[5:] == ["the end"]


def test_what_is_left_stays(terminal: Terminal) -> None:
    screen = LiveScreen(terminal)
    screen.draw(["before"])
    screen.leave()
    screen.draw(["after"])
    assert terminal.seen() == ["before", "after"]


def test_a_piece_of_a_line_is_never_drawn_over(terminal: Terminal) -> None:
    screen = LiveScreen(terminal)
    screen.draw(["picture"])
    print("sure? ", end="", file=screen, flush=True)
    assert terminal.seen() == ["picture", "sure? "]


def test_it_fits_and_nothing_in_it_is_obeyed(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("LINES", "10")
    screen = LiveScreen(terminal)
    assert screen.rows == 9
    screen.draw(["waits for \x1b[2Jkim\r\n", "x" * 50])
    assert terminal.seen() == ["waits for ?[2Jkim??", "x" * 19]


@pytest.mark.parametrize(
    ("line", "shown"),
    [("김철수", "김철"), ("e\u0301e\u0301e\u0301e\u0301e\u0301", "e\u0301e\u0301e\u0301e\u0301"), ("abcd", "abcd")],
)
def test_wide_letters_take_two_columns(line: str, shown: str) -> None:
    assert cut(line, 4) == shown


def test_a_secret_is_hidden_in_it_too(terminal: Terminal) -> None:
    Secret("hunter2-of-the-broker")
    LiveScreen(terminal).draw(["password hunter2-of-the-broker"])
    assert "hunter2" not in terminal.getvalue()


def test_a_terminal_that_is_closed_ends_nothing() -> None:
    class Closed(Terminal):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    LiveScreen(Closed()).draw(["anything"])


@pytest.mark.parametrize(("term", "found"), [("xterm-256color", True), ("dumb", False), (None, False)])
def test_only_a_terminal_that_can_is_drawn_on(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, term: str | None, found: bool
) -> None:
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.delenv("TERM", raising=False)
    if term:
        monkeypatch.setenv("TERM", term)
    assert (find_live_screen() is not None) is found


def test_a_pipe_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setenv("TERM", "xterm")
    assert find_live_screen() is None
