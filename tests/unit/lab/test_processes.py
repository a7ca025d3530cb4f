"""The lab's processes are known by their mark, and they end, politely or not."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagebuild.lab.layout import Layout
from imagebuild.lab.processes import MARK_VARIABLE, end_processes, find_processes, is_alive, measure_memory

pytestmark = pytest.mark.effects

STUBBORN = (
    "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); sys.stdin.read()"
)


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def stubborn(place: Layout) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, MARK_VARIABLE: place.mark}
    command = [sys.executable, "-c", STUBBORN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process
        process.kill()


def test_only_what_carries_this_labs_mark_is_found(place: Layout, stubborn: subprocess.Popen[bytes]) -> None:
    (found,) = find_processes(place)
    assert (found.pid, found.is_guest) == (stubborn.pid, False)
    assert find_processes(Layout(place.root / "elsewhere")) == []
    assert measure_memory(stubborn.pid) > 1


def test_who_does_not_go_is_made_to(place: Layout, stubborn: subprocess.Popen[bytes]) -> None:
    begun = time.monotonic()
    end_processes(find_processes(place), polite_seconds=0.3)
    assert 0.3 <= time.monotonic() - begun < 5
    assert not is_alive(stubborn.pid)
    assert find_processes(place) == []
    assert measure_memory(stubborn.pid) == 0


def test_a_qemu_on_our_disks_is_a_guest_also_without_the_mark(place: Layout) -> None:
    disk = place.state / "nova" / "instances" / "1" / "disk"
    command = ["qemu-system-x86_64", "-c", "import sys; sys.stdin.read()", "-drive", f"file={disk}"]
    with subprocess.Popen(command, executable=sys.executable, stdin=subprocess.PIPE) as process:
        (found,) = find_processes(place)
        assert (found.pid, found.is_guest) == (process.pid, True)
        end_processes([found])
        assert not is_alive(process.pid)
