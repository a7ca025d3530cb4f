"""Who holds a claim: in words for a person, and as a process that whoever runs under the same kernel can look for.

A kernel numbers its processes anew at every boot and in every pid namespace, so a pid says something only together with these. Where
one asks from another boot or namespace (another machine, a cloned one, a container) nothing is known, and any doubt counts as that.
"""

import getpass
import hashlib
import os
import platform
from pathlib import Path

_PROC = Path("/proc")
_BOOT = Path("sys/kernel/random/boot_id")
_NAMESPACES = ("pid", "time")
_STATE, _START = 0, 19  # of /proc/PID/stat behind the name: proc_pid_stat(5) counts these as 3 and 22


def describe_holder() -> str:
    """Who works here, for a person: user@host, pid."""
    return f"{getpass.getuser()}@{platform.node()}, pid {os.getpid()}"


def this_process() -> str:
    """This process as others can look for it: a hash of where it runs, its pid, its start in the kernel's ticks. '' where none tells."""
    place, stat = _place(), _stat(os.getpid())
    return f"{place} {os.getpid()} {stat[_START]}" if place and stat else ""


def is_gone(process: str) -> bool:
    """Is that process, as `this_process` named it, certainly no more?

    Another one under its pid has another start. A zombie is no more: it only waits for its parent to hear of its end. A process
    that is there and may not be looked at (/proc mounted with hidepid) may be the one.
    """
    try:
        place, pid, start = process.split()
        number = int(pid)
    except ValueError:
        return False
    if number <= 0 or not place or place != _place():
        return False
    try:
        os.kill(number, 0)  # asks, and sends nothing
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    stat = _stat(number)
    return bool(stat) and (stat[_START] != start or stat[_STATE] in ("Z", "X"))


def _place() -> str:
    """Host name, boot and namespaces as one word; '' where they are not told, or /proc shows another namespace than ours."""
    try:
        if (_PROC / "self").readlink().name != str(os.getpid()):
            return ""
        told = [platform.node(), (_PROC / _BOOT).read_text(encoding="ascii")]
        spaces = [_PROC / "self" / "ns" / name for name in _NAMESPACES]
        told += [
            str(space.readlink()) for space in spaces if space.is_symlink()
        ]  # kernels before 5.6 have one time only
    except OSError:
        return ""
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the process's name, which may hold anything; none when it cannot be read."""
    try:
        fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []
    return [field.decode("ascii") for field in fields] if len(fields) > _START else []
