"""Simulated users of the lab, as a person sees them."""

from pathlib import Path
from typing import Any

import pytest

from imagebuild.errors import LabError
from imagebuild.lab.layout import Layout
from imagebuild.lab.users import as_lines, set_users
from imagebuild.report import SilentReport

CUT = {
    "what": "sessions_cut",
    "user": "lab-user-0001",
    "place": "lab-2",
    "at": "2026-03-02T08:00:09.123+00:00",
    "why": "its machine was begun anew",
}
VERDICT: dict[str, Any] = {"logins": 12, "logouts": 9, "disconnects": 3, "sessions_cut": 1, "logins_refused": 0}


def test_who_is_at_work_and_what_they_had_to_bear() -> None:
    crowd = {"users": 2, "seed": 7}
    assert list(as_lines("lab", crowd, VERDICT | {"incidents": [CUT]})) == [
        "lab: 2 users at work, seed 7",
        "  logins 12   logouts 9   sessions cut 1   logins refused 0",
        "  08:00:09 lab-user-0001: sessions cut at lab-2: its machine was begun anew",
    ]


def test_nobody_at_work_and_only_the_last_incidents() -> None:
    lines = list(as_lines("lab", None, VERDICT | {"incidents": [CUT] * 99}))
    assert lines[0] == "lab: no simulated users"
    assert len(lines) == 12


def test_a_lab_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="does not answer") as caught:
        set_users(Layout(tmp_path), "lab", SilentReport(), count=1, seed=1)
    assert caught.value.hint == "invoke lab.up"
