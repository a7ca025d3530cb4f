"""What a roll shows while it works: one picture on a terminal, lines elsewhere."""

import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from imagebuild.jobs import pools
from tests.jobs.test_pools import Office, at_work
from tests.unit.pool.rolling import POOL


class Wall:
    """imagebuild.report.Screen that keeps what was shown; None where a picture was left as it was."""

    def __init__(self, rows: int = 12) -> None:
        self.rows = rows
        self.shown: list[tuple[str, ...] | None] = []

    def draw(self, lines: Sequence[str]) -> None:
        self.shown.append(tuple(lines))

    def leave(self) -> None:
        self.shown.append(None)


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    return at_work(Office(tmp_path, 4, auto_continue=True), monkeypatch)


def roll(office: Office, wall: Wall | None) -> int:
    return pools.roll(POOL, office.settings, office.say, yes=True, ask=lambda words: False, screen=wall)


def test_on_a_terminal_one_picture_is_drawn_every_turn(office: Office) -> None:
    wall = Wall()
    assert roll(office, wall) == 0
    *pictures, end = wall.shown
    assert end is None, "the last one stays readable"
    assert len(pictures) > 20 and None not in pictures
    assert all(picture and len(picture) <= wall.rows for picture in pictures)
    assert pictures[-1] and pictures[-1][0] == "staff goes to small-v2: completed"
    said = office.said()
    assert "1 acting" not in said, "the numbers are in the picture"
    assert "desktop-1 is done" in said and "is being rebuilt" not in said, "what ends scrolls by"


def test_elsewhere_a_line_tells_whenever_the_numbers_change(office: Office) -> None:
    assert roll(office, None) == 0
    lines = [line.split("; ")[0].split(": ")[1] for line in office.said().splitlines() if "(floor" in line]
    assert "1 acting, 3 pending" in lines
    assert lines[-1] == "4 done"


def test_what_ctrl_c_prints_is_not_drawn_over(office: Office) -> None:
    wall = Wall()
    office.clock.at(70, lambda: signal.raise_signal(signal.SIGINT))
    assert roll(office, wall) == 6
    first = wall.shown.index(None)
    assert wall.shown[first - 1] is not None and wall.shown.count(None) == 2
    after = wall.shown[first + 1]
    assert after is not None and after[0].startswith("staff goes to small-v2: paused: somebody asked for it")
