"""Frees what a killed build left behind: its processes, mounts, loop devices and folders. Touches nothing that is not below ours."""

import ctypes
import fcntl
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from imagebuild.errors import LabError
from imagebuild.waiting import Deadline, wait_for

MNT_DETACH = 2
LOOP_CLR_FD = 0x4C01


def clear_leftovers(folder: Path) -> list[str]:
    """Undo whatever still holds `folder` (absolute), then remove it. Gives a line for each thing that was found.

    The caller holds the lock that a living build would hold, so all that is found is left from a dead one.
    Raises LabError when a mount or loop device cannot be freed: then the folder is left as it is.
    """
    if not folder.exists():
        return []
    found = _end_processes(folder)
    for mount in _mounts_below(folder):
        _unmount(mount)
        found.append(f"unmounted {mount}")
    for device in _loops_below(folder):
        _detach_loop(device)
        found.append(f"freed {device}")
    still = _mounts_below(folder)
    if still:
        raise LabError(f"cannot unmount {still[0]}", hint=f"umount -R {still[0]}, then again")
    shutil.rmtree(folder)
    return found


def _end_processes(folder: Path) -> list[str]:
    """Kill what still works in `folder`, pass by pass until a pass finds nothing.

    One pass is not enough: a killed child makes its shell clean up, with children of its own, and a killed process may hold
    its files for a moment more.
    """
    found: dict[int, str] = {}

    def none_left() -> bool | None:
        working = [pid for pid in _processes() if _works_in(folder, pid)]
        for pid in working:
            found[pid] = f"ended process {pid}"
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return None if working else True

    wait_for(none_left, f"the end of the processes in {folder}", deadline=Deadline.after(30), every=0.05)
    return list(found.values())


def _processes() -> list[int]:
    own = os.getpid()
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and int(entry.name) != own]


def _works_in(folder: Path, pid: int) -> bool:
    """By its environment (TMP_DIR is handed down to every child of the build), or by its current or root folder (sudo gives
    its children an environment of their own). A zombie has none of these: it is gone already."""
    entry = Path("/proc") / str(pid)
    try:
        if f"TMP_DIR={folder}".encode() in (entry / "environ").read_bytes().split(b"\0"):
            return True
        places = [(entry / name).readlink() for name in ("cwd", "root")]
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return any(place == folder or folder in place.parents for place in places)


def _mounts_below(folder: Path) -> list[Path]:
    """Deepest first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [Path(line.split(" ")[4].encode().decode("unicode_escape")) for line in lines]
    return [point for point in reversed(points) if folder in point.parents]


def _unmount(point: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(point), 0) and libc.umount2(os.fsencode(point), MNT_DETACH):
        raise LabError(f"cannot unmount {point}: {os.strerror(ctypes.get_errno())}", hint="are you root?")


def _loops_below(folder: Path) -> list[Path]:
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            file = backing.read_text().strip().removesuffix(" (deleted)")
        except OSError:
            continue  # freed between the listing and the reading
        if folder in Path(file).parents:
            found.append(Path("/dev") / backing.parent.parent.name)
    return found


def _detach_loop(device: Path) -> None:
    handle = os.open(device, os.O_RDONLY)
    try:
        fcntl.ioctl(handle, LOOP_CLR_FD)
    except OSError as error:
        raise LabError(f"cannot free {device}: {error.strerror}", hint=f"losetup -d {device}") from error
    finally:
        os.close(handle)
