"""A person's side of the tests: a copy of the project in a folder of its own, and `invoke` in it."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from imagebuild.lab.layout import CLOUD, find_layout

PROJECT = Path(__file__).resolve().parents[2]
INVOKE = [str(Path(sys.executable).parent / "invoke")]
BUILD_SECONDS = 900
LINE = f"win7-{secrets.token_hex(2)}"
"""win7-vdi's recipes under a name of the tests' own: what somebody has made by win7-vdi in this lab is not to be promoted, counted or
deleted here."""
QUICK = ("updates", "checkpoint", "broker-agent", "remote-desktop", "desktop", "inventory")
"""The steps that a build can do without when it is to be quick."""


class Project:
    """A copy of the project's front in a folder of its own, so that tests have their own recipes and journals."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shell: list[str] = []
        self.environment: dict[str, str] = {}
        for name in ("tasks.py", "unattend", "recipes"):
            source = PROJECT / name
            shutil.copytree(source, folder / name) if source.is_dir() else shutil.copy(source, folder / name)
        for shipped in ("win7-vdi", "win7-vdi-change"):
            text = (folder / "recipes" / f"{shipped}.yaml").read_text()
            ours = folder / "recipes" / f"{shipped.replace('win7-vdi', LINE)}.yaml"
            ours.write_text(text.replace("recipe: win7-vdi", f"recipe: {LINE}"))

    def recipe(self, name: str, *, without: tuple[str, ...] = (), faults: str = "", reach_minutes: float = 5) -> str:
        """A recipe like win7-vdi's without these steps, its builder broken in this way."""
        content = yaml.safe_load((self.folder / "recipes" / "win7-vdi.yaml").read_text())
        content["recipe"] = name
        content["builder"]["metadata"] = {"standin-faults": faults} if faults else {}
        steps = [step if isinstance(step, dict) else {step: {}} for step in content["steps"]]
        content["steps"] = [step for step in steps if next(iter(step)) not in without]
        for step in content["steps"]:
            if "reach-guest" in step:
                step["reach-guest"] = {"deadline_minutes": reach_minutes}
        (self.folder / "recipes" / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return name

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`invoke ...` as a person's shell would start it: with Ctrl-C on, which a shell's background job would inherit as off."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return subprocess.Popen(
            [*self.shell, *INVOKE, *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @contextmanager
    def limited(self, size: int) -> Iterator[None]:
        """While this is open, no file that is written here gets larger than so many bytes: as on a disk that is full."""
        self.shell.extend(("prlimit", f"--fsize={size}"))
        try:
            yield
        finally:
            del self.shell[-2:]

    def run(self, *arguments: str, seconds: float = BUILD_SECONDS) -> tuple[int, str]:
        """The same to its end: exit code and everything it printed."""
        process = self.start(*arguments)
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            pytest.fail(f"invoke {' '.join(arguments)} did not end in {seconds:.0f} s:\n{output}")
        print(output)
        return process.returncode, output


class AnotherMachine(Project):
    """The project on another machine, as far as anybody there can tell: host name, boot, processes and home are others.

    There is no lab on it, and must not be looked for: its cloud is one named `site`, as its clouds.yaml says.
    """

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder)
        home, boot = folder / "home", folder / "boot_id"
        clouds = home / ".config" / "openstack" / "clouds.yaml"
        clouds.parent.mkdir(parents=True)
        entry = yaml.safe_load(find_layout().clouds_yaml.read_text())["clouds"][CLOUD]
        clouds.touch(mode=0o600)
        clouds.write_text(yaml.safe_dump({"clouds": {"site": entry}}))
        boot.write_text(f"{uuid4()}\n")
        begin = 'echo "$0" >/proc/sys/kernel/hostname && mount --bind "$1" /proc/sys/kernel/random/boot_id && shift && exec "$@"'
        rights = [] if os.geteuid() == 0 else ["--map-root-user"]
        spaces = ["--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self.shell = ["unshare", *rights, *spaces, "sh", "-c", begin, name, str(boot)]
        self.environment = {"HOME": str(home)}
