"""How the supervisor makes a process: a fork that goes on in a Python function, or one that becomes another program."""

import ctypes
import importlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labservices import link

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
_libc = ctypes.CDLL(None, use_errno=True)


def start(spec: dict[str, Any], output: Path, let_go: Callable[[], None]) -> tuple[int, socket.socket | None]:
    """Start the service of a plan's `spec`; its output goes to that file. `let_go` runs in the child first.

    Gives the pid, and for a Python service the supervisor's end of the line to it.
    """
    ours, theirs = socket.socketpair() if "function" in spec else (None, None)
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        if theirs:
            theirs.close()
        return pid, ours
    code = 70  # EX_SOFTWARE
    try:
        let_go()
        if ours:
            ours.close()
        _settle(spec, output)
        if theirs:
            link.hold(theirs)
            _call(spec)
            code = 0
        else:
            os.execvpe(spec["command"][0], spec["command"], os.environ)  # noqa: S606
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001  the last frame of a forked child: nothing above it may run
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _settle(spec: dict[str, Any], output: Path) -> None:
    """Own output, own signals, own environment; and an end as soon as the supervisor is gone."""
    parent = os.getppid()
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if parent == 1 or os.getppid() != parent:
        os._exit(0)
    _libc.prctl(PR_SET_NAME, f"lab-{spec['name']}".encode()[:15], 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    os.environ.update(spec["environment"])


def _call(spec: dict[str, Any]) -> None:
    module, _, function = spec["function"].partition(":")
    sys.argv = [spec["name"]]
    getattr(importlib.import_module(module), function)(*spec["arguments"])


def answers(path: str) -> bool:
    """Whether somebody listens on that Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(path)
        except OSError:
            return False
    return True
