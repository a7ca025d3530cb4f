"""Runs a program of the host with a deadline and its output in a log file, so that a failure can say what the program said."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from imagebuild.errors import DeadlinePassed, LabError
from imagebuild.waiting import Deadline

LOG_LINES = 15
"""How many last lines of a failed program's output go into the error."""


def run(
    command: Sequence[str | Path],
    log: Path,
    *,
    deadline: Deadline,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run `command` in `folder` with `environment` added to ours; its output is appended to `log`.

    Raises LabError when it cannot be started or ends with another code than 0 (the last lines of its output are the
    details) and DeadlinePassed when time runs out; then the program and all that it started are killed.
    """
    words = [str(word) for word in command]
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        except OSError as error:
            raise LabError(
                f"{words[0]} cannot be started: {error.strerror}", hint="install the packages that the lab asks for"
            ) from error
    try:
        code = process.wait(timeout=deadline.left())
    except subprocess.TimeoutExpired as error:
        raise DeadlinePassed(f"{words[0]} did not end in time", details=read_tail(log), hint=f"see {log}") from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code != 0:
        raise LabError(f"{words[0]} ended with code {code}", details=read_tail(log), hint=f"see {log}")


def read_output(command: Sequence[str | Path], *, deadline: Deadline) -> str:
    """The standard output of a short `command`, as text. Raises LabError or DeadlinePassed like `run`."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=deadline.left(), check=True)
    except OSError as error:
        raise LabError(f"{words[0]} cannot be started: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise DeadlinePassed(f"{words[0]} did not end in time") from error
    except subprocess.CalledProcessError as error:
        raise LabError(
            f"{words[0]} ended with code {error.returncode}", details=error.stderr.splitlines()[-LOG_LINES:]
        ) from error
    return done.stdout


def read_tail(log: Path) -> list[str]:
    """The last lines of a log file; none when there is no such file."""
    if not log.exists():
        return []
    return log.read_text(errors="replace").splitlines()[-LOG_LINES:]
