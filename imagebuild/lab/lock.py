"""One at a time: whoever changes the lab holds its lock. The kernel gives it up when the holder dies, however it dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagebuild.errors import Busy
from imagebuild.report import Report
from imagebuild.waiting import Deadline, wait_for


@contextmanager
def hold_lock(path: Path, report: Report, *, deadline: Deadline) -> Iterator[None]:
    """Hold the lab's lock. While another process holds it wait for that, said once, until the deadline; then Busy names it."""
    handle = _take(path, report, deadline)
    try:
        os.truncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def _take(path: Path, report: Report, deadline: Deadline) -> int:
    said = False

    def probe() -> int | None:
        nonlocal said
        handle = _try(path)
        if isinstance(handle, int):
            return handle
        if deadline.passed():
            raise Busy(f"process {handle} is changing the lab", hint="wait until it has ended, then run this again")
        if not said:
            report.note(f"waiting for process {handle}, which is changing the lab")
            said = True
        return None

    return wait_for(probe, "the lab's lock", deadline=deadline, every=0.2)


def _try(path: Path) -> int | str:
    """The lock's open file, or who holds it. A file that its holder has removed meanwhile (lab.reset) is no lock: once more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 20, 0).decode(errors="replace") or "(unknown)"
        os.close(handle)
        return holder
    if path.exists() and path.stat().st_ino == os.fstat(handle).st_ino:
        return handle
    os.close(handle)
    return "(just ended)"
