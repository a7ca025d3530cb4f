"""Who may be in the lab beside whom."""

from pathlib import Path

import pytest

from imagebuild.errors import DeadlinePassed
from tests import lanes
from tests.lanes import ALONE, BESIDE, Turns, lane_of

PROJECT = Path(__file__).resolve().parents[2]
SHARED = "tests/lab/test_verify.py::test"


@pytest.mark.parametrize("path", [*ALONE, *BESIDE])
def test_what_is_named_is_there(path: str) -> None:
    assert (PROJECT / path).exists()


def test_a_new_file_of_the_lab_is_in_the_first_lane_and_one_without_lab_in_none() -> None:
    assert lane_of("tests/lab/test_new.py::test") == "lab"
    assert lane_of("tests/faults/test_new.py::test") == "beside"
    assert lane_of("tests/unit/test_new.py::test") is None


def test_every_file_that_needs_the_lab_is_in_a_lane() -> None:
    files = [path for path in (PROJECT / "tests").rglob("test_*.py") if path != Path(__file__)]
    need = [path.relative_to(PROJECT).as_posix() for path in files if "pytest.mark.lab" in path.read_text("utf-8")]
    assert len(need) > 10
    assert [path for path in need if lane_of(path) is None] == []


def test_both_lanes_at_once_and_one_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "TURN_SECONDS", 0.3)
    file = tmp_path / "turns"
    file.touch()
    first, second, alone = (Turns(file) for _ in range(3))
    first.take(SHARED)
    second.take(SHARED)
    second.take(SHARED)
    first.give_back()
    with pytest.raises(DeadlinePassed):
        alone.take(f"{ALONE[0]}::test")
    second.give_back()
    alone.take(f"{ALONE[0]}::test")
    with pytest.raises(DeadlinePassed):
        first.take(SHARED)
    alone.give_back()
    first.take(SHARED)
