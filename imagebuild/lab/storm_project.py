"""A storm's copy of the project: every `invoke` in it is a process of its own with a deadline, and may be killed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from imagebuild.build_folder import BuildFolder, build_folders
from imagebuild.errors import DeadlinePassed, LabError
from imagebuild.lab.layout import CLOUD
from imagebuild.waiting import Deadline, wait_for

COMMAND_SECONDS = 240
_OUTPUT_LINES = 25


@dataclass
class Project:
    """The copy. `line` is its one recipe, `runs` counts the commands that were run."""

    folder: Path
    line: str
    runs: int = 0

    @classmethod
    def copy(cls, project: Path, folder: Path, *, recipe: Path, line: str, source: str) -> "Project":
        """The front, the answer files, and the recipe under another name with another source."""
        shutil.copy(project / "tasks.py", folder)
        shutil.copytree(project / "unattend", folder / "unattend")
        content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
        content |= {"recipe": line, "source": {"image": source}}
        (folder / "recipes").mkdir()
        (folder / "recipes" / f"{line}.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return cls(folder, line)

    def folders(self) -> dict[str, BuildFolder]:
        """All builds, oldest first, by id."""
        return {one.id: one for one in build_folders(self.folder / ".imagebuild" / "builds")}

    def invoke(
        self, *arguments: str, kill_after: float | None = None, since: Callable[[], bool] = lambda: True
    ) -> tuple[int, list[str]]:
        """Run a task; its exit code, -9 when it was killed, and what it printed. Raises LabError when it does not end.

        It is killed that many seconds after `since` has come true.
        """
        self.runs += 1
        log = self.folder / f"run-{self.runs:03d}-{arguments[0]}.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "invoke", *arguments, "--cloud", CLOUD],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            deadline = Deadline.after(COMMAND_SECONDS)
            try:
                if kill_after is not None:
                    _await(lambda: child.poll() is not None or since(), deadline)
                    deadline = Deadline.after(kill_after)
                _await(lambda: child.poll() is not None, deadline)
            except DeadlinePassed:
                if kill_after is None:
                    words = f"invoke {' '.join(arguments)} did not end in {COMMAND_SECONDS} s"
                    raise LabError(words, hint=f"see {log}", details=_tail(log)) from None
            finally:
                _kill(child)
        return child.returncode, _tail(log)


def _kill(child: "subprocess.Popen[bytes]") -> None:
    """-9, to it and all that it started; nothing to one that has ended."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _await(has_come: Callable[[], bool], deadline: Deadline) -> None:
    wait_for(lambda: has_come() or None, "a moment of a build", deadline=deadline, every=0.05)


def _tail(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-_OUTPUT_LINES:]
