"""Finds and ends the lab's processes, also those whose supervisor was killed and those of a lab that another version made."""

import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path

from imagebuild.lab.layout import Layout
from imagebuild.waiting import Deadline

PROC = Path("/proc")
MARK_VARIABLE = "IMAGEBUILD_LAB_MARK"


@dataclass(frozen=True)
class Process:
    """A process of the lab."""

    pid: int
    command: str
    is_guest: bool


def find_processes(place: Layout) -> list[Process]:
    """Everything that carries the lab's mark in its environment (services, dnsmasq, libvirtd), and the lab's guests."""
    mark = f"{MARK_VARIABLE}={place.mark}".encode()
    found = []
    for folder in PROC.iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        environment, command = _read(folder / "environ"), _read(folder / "cmdline")
        guest = _is_guest(command, place)
        if guest or mark in environment.split(b"\0"):
            text = command.replace(b"\0", b" ").decode(errors="replace").strip()
            found.append(Process(int(folder.name), text, guest))
    return found


def _is_guest(command: bytes, place: Layout) -> bool:
    """A QEMU whose disks are the lab's. libvirt gives it an environment of its own, without our mark."""
    program = command.partition(b"\0")[0].rpartition(b"/")[2]
    return program.startswith(b"qemu-system") and f"{place.state}/".encode() in command


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended while we looked
        return b""


def end_processes(processes: list[Process], *, polite_seconds: float = 2.0) -> None:
    """SIGTERM, and SIGKILL for what is left after that time. Returns when all are gone."""
    for number, seconds in ((signal.SIGTERM, polite_seconds), (signal.SIGKILL, 5.0)):
        if not processes:
            return
        for process in processes:
            _send(process.pid, number)
        deadline = Deadline.after(seconds)
        processes = [process for process in processes if not await_end(process.pid, deadline=deadline)]


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def await_end(pid: int, *, deadline: Deadline) -> bool:
    """Wait until a process is gone; False when it is still there at the deadline."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ready, _, _ = select.select([handle], [], [], deadline.left())
        return bool(ready)
    finally:
        os.close(handle)


def measure_memory(pid: int) -> float:
    """Megabytes of a process, shared pages divided by their users (PSS); 0 when it is gone."""
    for line in _read(PROC / str(pid) / "smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def is_alive(pid: int) -> bool:
    """Whether a process exists (a zombie does not count)."""
    stat = _read(PROC / str(pid) / "stat")
    return bool(stat) and stat.rpartition(b")")[2].split()[0] != b"Z"
