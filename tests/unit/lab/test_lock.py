"""The lab's lock: one holder, who is named, and a dead one does not block."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imagebuild.errors import Busy
from imagebuild.lab.lock import hold_lock
from imagebuild.report import SilentReport
from imagebuild.waiting import Deadline

HOLD = """
import sys
from pathlib import Path
from imagebuild.lab.lock import hold_lock
from imagebuild.report import SilentReport
from imagebuild.waiting import Deadline
with hold_lock(Path(sys.argv[1]), SilentReport(), deadline=Deadline.after(5)):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_it_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with hold_lock(tmp_path / "lab" / "lock", SilentReport(), deadline=Deadline.after(0)):
            assert (tmp_path / "lab" / "lock").read_text(encoding="ascii") == str(os.getpid())


def test_a_lock_that_its_holder_removed_is_made_anew(tmp_path: Path) -> None:
    lock = tmp_path / "lab" / "lock"
    with hold_lock(lock, SilentReport(), deadline=Deadline.after(0)):
        lock.unlink()
        lock.parent.rmdir()
        with hold_lock(lock, SilentReport(), deadline=Deadline.after(0)):
            assert lock.read_text(encoding="ascii") == str(os.getpid())


@pytest.mark.effects
def test_a_holder_is_named_and_a_killed_one_does_not_block(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Busy, match=str(holder.pid)), hold_lock(lock, SilentReport(), deadline=Deadline.after(0.3)):
            pytest.fail("two held the lock")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with hold_lock(lock, SilentReport(), deadline=Deadline.after(5)):
            assert lock.read_text(encoding="ascii") == str(os.getpid())
