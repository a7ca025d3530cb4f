"""Which tests run beside which: two lanes of the lab's tests at once, each one after the other; every other file with whoever is free.

A virtual machine that boots, settles or shuts down leaves most of two processors idle: the other lane uses them. Where a file belongs is
said here and not in it, by its path: names of tests are all that a worker tells of them.
"""

import fcntl
import os
import time
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from imagebuild.waiting import Deadline, wait_for

ALONE = ("tests/contract/test_cloud_contract.py", "tests/lab/test_lab.py")
"""No other test of the lab is at work meanwhile: what these count is the whole project's, and they stop services. They come last."""
BESIDE = (
    "tests/contract/test_desktop_contract.py",
    "tests/contract/test_guest_contract.py",
    "tests/faults/",
    "tests/lab/test_durable.py",
    "tests/lab/test_operations.py",
    "tests/lab/test_storm.py",
    "tests/lab/test_versions.py",
    "tests/standin/boot/",
    "tests/standin/wire/test_other_clients.py",
)
HOME = "tests/lab/"
"""All others here are the first lane: the long builds, and what is done with their images, which are made once for all of them."""
LANES = ("lab", "beside")
TURN_SECONDS = 1200
TOLD_SECONDS = 15


def lane_of(nodeid: str) -> str | None:
    """The lane of a test's file, None when any worker may have it."""
    if nodeid.startswith(ALONE):
        return LANES[0]
    if nodeid.startswith(BESIDE):
        return LANES[1]
    return LANES[0] if nodeid.startswith(HOME) else None


def arrange(items: list[pytest.Item]) -> None:
    """Lanes first, what is alone at the end of its lane; within that the order in which tests were found."""

    def rank(item: pytest.Item) -> tuple[int, bool]:
        lane = lane_of(item.nodeid)
        return LANES.index(lane) if lane else len(LANES), item.nodeid.startswith(ALONE)

    items.sort(key=rank)


def needs_lab(item: pytest.Item) -> bool:
    """Whether it says so."""
    return item.get_closest_marker("lab") is not None


class Lanes(LoadScopeScheduling):
    """A lane to a worker, then file after file to whoever is free, in the order of arrange()."""

    def _split_scope(self, nodeid: str) -> str:
        return lane_of(nodeid) or nodeid.partition("::")[0]


class Turns:
    """Who may be in the lab: the tests of a file hold it together with those of the other lane, one that is alone by itself.

    By a lock on a file that all workers see: it ends with the process that holds it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._held: int | None = None

    def take(self, nodeid: str) -> None:
        """Wait for this test's turn. Nothing happens to who has it already."""
        if self._held is not None:
            return
        file = os.open(self._file, os.O_RDONLY)
        kind = fcntl.LOCK_EX if nodeid.startswith(ALONE) else fcntl.LOCK_SH

        def probe() -> bool | None:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            return True

        wait_for(probe, "the other lane to leave the lab", deadline=Deadline.after(TURN_SECONDS), every=0.2)
        self._held = file

    def give_back(self) -> None:
        """The next one's turn."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


class Progress:
    """Says to a person which file each lane has come to, what took long, and what a test has told by `record_property("told", ...)`."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal
        self._begun = time.monotonic()
        self._files: dict[str, str] = {}
        self._dotted = False

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A lane's next file."""
        lane, file = lane_of(nodeid), nodeid.partition("::")[0]
        if lane and self._files.get(lane) != file:
            self._files[lane] = file
            self._say(f"{lane}: {file}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """What has taken long, at once: --durations says it at the end."""
        self._dotted = True
        if report.duration >= TOLD_SECONDS:
            self._say(f"{report.duration:6.0f} s {report.when} {report.nodeid.partition('::')[2]}")
        for name, value in report.user_properties if report.when == "call" else ():
            if name == "told":
                self._say(f"       {value}")

    def _say(self, text: str) -> None:
        minutes, seconds = divmod(round(time.monotonic() - self._begun), 60)
        self._terminal.write("\n" * self._dotted + f"{minutes:3}:{seconds:02} {text}\n", flush=True)
        self._dotted = False
