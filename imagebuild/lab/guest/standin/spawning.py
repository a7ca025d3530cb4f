"""Starts the few programs of the guest. posix_spawn, since importing subprocess costs the guest a quarter of a second."""

from __future__ import annotations

import os
from collections.abc import Sequence

BUSYBOX = "/bin/busybox"


def spawn(command: Sequence[str], *, output: int | None = None) -> int:
    """Start it with no input; its output goes to `output`, else nowhere. Gives the process id."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0) if output is None else (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    return os.posix_spawn(command[0], list(command), os.environ, file_actions=actions)


def call(command: Sequence[str]) -> int:
    """Run it to its end; gives its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(spawn(command), 0)[1])
