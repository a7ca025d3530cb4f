"""Frees what a killed build left behind: its processes, mounts, loop devices and folders. Touches nothing that is not below ours."""

import ctypes
import fcntl
import os
import shutil
import signal
from pathlib import Path

from imagebuild.errors import LabError

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
    """Processes whose environment says that they work in `folder` (TMP_DIR is handed down to every child of the build)."""
    mark = f"TMP_DIR={folder}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
                found.append(f"ended process {entry.name}")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


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
