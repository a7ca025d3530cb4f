"""What a build costs beside its steps: `invoke build empty` and Packer's openstack builder without provisioners, by turns in the lab.

`python -m tests.benchmarks.empty_build --rounds 3` needs root (the lab) and Debian's packer. Both boot the same image with a config
drive, stop the server, take the image and clean up; ours takes a claim, registers a version and writes a record besides. The wall time
of the whole command counts. Both find the lab as any cloud, by a clouds.yaml that calls it otherwise: whether a lab is up is no
question of a build. The images stay until the end, as the versions of a line do: the ids of a claim that was given back are never
used again, so a version that is built over and over would have more of them to pass every time. A guest that has only begun to boot
hears no ACPI, so an orderly stop takes all of Nova's shutdown_timeout whoever asks: by default the source says os_shutdown_timeout=0
and Nova pulls the plug at once; `--orderly` leaves that.
"""

import argparse
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from imagebuild.adapters.openstack_cloud import OpenStackCloud, connect_cloud
from imagebuild.lab import catalogue, layout, lifecycle
from imagebuild.lab.source_copy import copy_source
from imagebuild.report import ConsoleReport
from imagebuild.waiting import Deadline

PROJECT = Path(__file__).resolve().parents[2]
INVOKE = Path(sys.executable).parent / "invoke"
NAME = f"benchmark-{secrets.token_hex(3)}"
CLOUD = "benchmark"
BASE = "win7-sp1-x64"
FLAVOR, NETWORK = "2cpu_2GB_40GB", "vdi-network"
COMMAND_SECONDS = 300
GOAL = 0.7


@dataclass
class Bench:
    """The lab, a copy of the project with the recipe, and Packer's template for the same."""

    cloud: OpenStackCloud
    lab: lifecycle.LabCloud
    folder: Path
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"packer": [], "imagebuild": []})

    def write_files(self) -> None:
        """Our recipe is the shipped one with another source; Packer's template asks for the same server."""
        shutil.copy(PROJECT / "tasks.py", self.folder)
        shutil.copytree(PROJECT / "unattend", self.folder / "unattend")
        recipe = yaml.safe_load((PROJECT / "recipes" / "empty.yaml").read_text(encoding="utf-8"))
        recipe |= {"recipe": NAME, "source": {"image": NAME}}
        (self.folder / "recipes").mkdir()
        (self.folder / "recipes" / f"{NAME}.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
        network = self.cloud.find_network(NETWORK)
        assert network is not None
        builder = {
            "type": "openstack",
            "cloud": CLOUD,
            "image_name": f"{NAME}-by-packer",
            "source_image_name": NAME,
            "flavor": FLAVOR,
            "networks": [network.id],
            "config_drive": True,
            "communicator": "none",
        }
        lab = yaml.safe_load(self.lab.clouds_yaml.read_text(encoding="utf-8"))["clouds"][self.lab.name]
        with os.fdopen(os.open(self.folder / "clouds.yaml", os.O_WRONLY | os.O_CREAT, 0o600), "w") as stream:
            yaml.safe_dump({"clouds": {CLOUD: lab}}, stream)
        (self.folder / "packer.json").write_text(json.dumps({"builders": [builder]}), encoding="utf-8")

    def run_packer(self) -> None:
        """One build by Packer."""
        self._time("packer", "packer", "build", "-color=false", "packer.json")

    def run_ours(self) -> None:
        """One build by us."""
        self._time("imagebuild", str(INVOKE), "build", NAME, "--cloud", CLOUD)

    def delete_images(self) -> None:
        """What both have made."""
        for image in self.cloud.images():
            if image.name.startswith(f"{NAME}-"):
                self.cloud.update_image(image.id, protected=False)
                self.cloud.delete("image", image.id, deadline=Deadline.after(60))

    def _time(self, tool: str, *command: str) -> None:
        settings = {"OS_CLIENT_CONFIG_FILE": str(self.folder / "clouds.yaml"), "PYTHONPATH": str(PROJECT)}
        environment = {**os.environ, **settings}
        began = time.monotonic()
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS
        )
        took = time.monotonic() - began
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        self.seconds[tool].append(took)
        print(f"{tool:12s} {took:6.2f} s", flush=True)

    def table(self) -> list[str]:
        """All times, the medians and their ratio."""
        medians = {tool: statistics.median(times) for tool, times in self.seconds.items()}
        lines = [
            f"{tool:12s} median {medians[tool]:6.2f} s   of {', '.join(f'{one:.2f}' for one in times)}"
            for tool, times in self.seconds.items()
        ]
        ratio = medians["imagebuild"] / medians["packer"]
        return [*lines, f"ratio        {ratio:.2f} (goal: at most {GOAL})"]


@contextmanager
def source_image(*, orderly: bool) -> Iterator[None]:
    """The lab's base image once more, as a private image that a stop does not wait for."""
    sdk: Any = catalogue.connect(layout.find_layout(), layout.CLOUD)
    made = copy_source(sdk, BASE, NAME, orderly=orderly)
    try:
        yield
    finally:
        sdk.image.delete_image(made.id)


def main() -> None:
    """Run the rounds, the first of each pair by turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--orderly", action="store_true", help="let Nova wait for the guest's own shutdown")
    wanted = parser.parse_args()
    if shutil.which("packer") is None:
        sys.exit("packer is not here: apt-get install packer")
    lab = lifecycle.up(ConsoleReport())
    cloud = connect_cloud(lab.name, config_files=[lab.clouds_yaml])
    with tempfile.TemporaryDirectory() as folder, source_image(orderly=wanted.orderly):
        bench = Bench(cloud, lab, Path(folder))
        bench.write_files()
        both: list[Callable[[], None]] = [bench.run_packer, bench.run_ours]
        try:
            for number in range(wanted.rounds):
                for run in both if number % 2 == 0 else reversed(both):
                    run()
        finally:
            bench.delete_images()
    print("\n".join(bench.table()))


if __name__ == "__main__":
    main()
