"""The main job on real parts: a build as a person runs it, what its clones become, and which defect each of its acts prevents."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from imagebuild.adapters.openstack_cloud import OpenStackCloud
from imagebuild.cleaning import leftovers
from imagebuild.errors import CloudRefused
from imagebuild.guest import Guest
from imagebuild.lab import lifecycle
from imagebuild.waiting import Deadline
from tests.lab.conftest import PROJECT, Broker, Machines

pytestmark = pytest.mark.lab
INVOKE = [str(Path(sys.executable).parent / "invoke")]
BUILD_SECONDS = 900


class Project:
    """A copy of the project's front in a folder of its own, so that tests have their own recipes and journals."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("tasks.py", "unattend", "recipes"):
            source = PROJECT / name
            shutil.copytree(source, folder / name) if source.is_dir() else shutil.copy(source, folder / name)

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
            [*INVOKE, *arguments],
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

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


QUICK = ("updates", "broker-agent", "remote-desktop", "desktop", "inventory")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, lab: lifecycle.LabCloud) -> Project:
    """One copy for the whole session."""
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def built(project: Project, cloud: OpenStackCloud) -> Iterator[str]:
    """The image of a whole build of the recipe that we ship; removed again at the end."""
    code, output = project.run("build", "win7-vdi")
    assert code == 0, output
    last = output.strip().splitlines()[-1]
    found = re.match(r"built (win7-vdi-v\d+) \(([0-9a-f-]{36})\) in \d+:\d\d", last)
    assert found, f"the last line names the image: {last!r}"
    yield found[2]
    cloud.update_image(found[2], protected=False)
    cloud.delete("image", found[2], deadline=Deadline.after(60))


def test_image_is_registered_as_promised(built: str, cloud: OpenStackCloud, lab: lifecycle.LabCloud) -> None:
    command = [
        str(lab.root / "venv" / "bin" / "openstack"),
        "--os-cloud",
        lab.name,
        "image",
        "show",
        built,
        "-f",
        "json",
    ]
    environment = {"OS_CLIENT_CONFIG_FILE": str(lab.clouds_yaml), "PATH": "/usr/bin:/bin"}
    shown = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)
    assert (shown["status"], shown["protected"], shown["visibility"], shown["disk_format"]) == (
        "active",
        True,
        "private",
        "qcow2",
    )
    properties = shown["properties"]
    wanted = {"hw_disk_bus": "virtio", "hw_vif_model": "virtio", "os_type": "windows", "imagebuild_recipe": "win7-vdi"}
    assert wanted.items() <= properties.items()
    assert re.fullmatch(r"[0-9a-f]{64}", properties["imagebuild_digest"])
    assert properties["imagebuild_base"] == "win7-sp1-x64"
    assert (shown["min_disk"], shown["name"]) == (40, f"win7-vdi-v{properties['imagebuild_version']}")
    with pytest.raises(CloudRefused):
        cloud.delete("image", built, deadline=Deadline.after(30))


def test_nothing_of_the_build_is_left(built: str, cloud: OpenStackCloud) -> None:
    assert [thing for thing in leftovers(cloud) if thing.owner.startswith("win7-vdi-2")] == []


def clone_state(guest: Guest) -> dict[str, object]:
    """What the clone became."""
    return guest.run_as_system(
        "Get-CloneState", {"paths": [r"C:\imagebuild\runs\generalize"]}, job="state", deadline=Deadline.after(120)
    )


def test_two_clones_are_themselves_and_at_work(built: str, machines: Machines, broker: Broker) -> None:
    first, second = (machines.boot(built, name=name) for name in ("desktop-1", "desktop-2"))
    states = []
    for machine in (first, second):
        with machine.guest() as guest:
            states.append(clone_state(guest))
            agent = guest.run("Get-BrokerAgent", {"service": "Leostream Agent"}, deadline=Deadline.after(60))
            drivers = guest.run("Get-DriverState", {}, deadline=Deadline.after(60))
        assert (agent["installed"], agent["state"]) == (True, "Running")
        assert drivers["boot_ready"] and any(device["service"] == "netkvm" for device in drivers["devices"])
    for machine, state in zip((first, second), states, strict=True):
        assert state["sealed"] and state["image_state"] == "IMAGE_STATE_COMPLETE"
        assert [a["ip"][0] for a in state["addresses"]] == [machine.address]  # type: ignore[index,attr-defined]
        assert state["computer_name"] == machine.server.name.upper()
        assert state["stamp"]["recipe"] == "win7-vdi"  # type: ignore[index]
        assert state["rdp"]["enabled"]  # type: ignore[index]
    assert states[0]["machine_sid"] != states[1]["machine_sid"]
    registered = {said["name"]: said["address"] for said in broker.registrations()}
    assert {"DESKTOP-1": first.address, "DESKTOP-2": second.address}.items() <= registered.items()
    assert first.address != second.address


def test_without_drivers_a_clone_stops_with_0x7b(machines: Machines) -> None:
    clone = machines.boot("win7-sp1-x64", name="no-drivers", root_bus="virtio")
    console = clone.wait_for_console("0x0000007B")
    assert "STOP" in console
    assert not clone.answers(seconds=15)


def test_without_sysprep_clones_share_the_sid_and_the_lease(machines: Machines) -> None:
    """A snapshot of a machine that was only switched off: the by-hand way of the seed talk."""
    master = machines.boot("win7-sp1-x64", name="by-hand")
    with master.guest() as guest:
        sid = clone_state(guest)["machine_sid"]
    machines.cloud.stop_server(master.server.id)
    master.wait_for_status("SHUTOFF")
    image = machines.snapshot(master, {})
    clone = machines.boot(image, name="by-hand-clone")
    clone.wait_for_console(f"machine SID {sid}")
    assert clone.address != master.address
    clone.wait_for_console(f"has {master.address} by the stale lease")
    assert not clone.answers(seconds=15)


def test_without_dhcp_release_a_clone_has_a_stale_address(project: Project, machines: Machines) -> None:
    name = project.recipe("no-release", without=QUICK, faults="no-dhcp-release")
    code, output = project.run("build", name)
    assert code == 0, output
    image = output.strip().splitlines()[-1].split("(")[1].split(")")[0]
    try:
        clone = machines.boot(image, name="stale")
        console = clone.wait_for_console("by the stale lease")
        assert f"has {clone.address}" not in console
        assert not clone.answers(seconds=15)
    finally:
        machines.cloud.update_image(image, protected=False)
        machines.cloud.delete("image", image, deadline=Deadline.after(60))


def test_refused_password_fails_and_leaves_nothing(project: Project, cloud: OpenStackCloud) -> None:
    name = project.recipe("refused", without=QUICK, faults="winrm-refuses", reach_minutes=0.8)
    code, output = project.run("build", name)
    assert code == 1
    assert "refuse" in output.lower() and "next: " in output
    assert [thing for thing in leftovers(cloud) if thing.owner.startswith("refused-2")] == []


@pytest.mark.parametrize(
    ("number", "after"),
    [(signal.SIGKILL, "boot-builder"), (signal.SIGKILL, "reach-guest"), (signal.SIGINT, "reach-guest")],
)
def test_a_build_that_is_cut_off_is_cleaned_up(
    project: Project, cloud: OpenStackCloud, number: signal.Signals, after: str
) -> None:
    """kill -9 leaves things; the next sweep finds them. Ctrl-C undoes by itself."""
    name = project.recipe("cut-off", without=QUICK)
    process = project.start("build", name)
    assert process.stdout
    seen = ""
    for line in process.stdout:
        seen += line
        if f"] {after}:" in line:
            process.send_signal(number)
            break
    rest, _ = process.communicate(timeout=120)
    print(seen + rest)
    if number == signal.SIGKILL:
        code, output = project.run("sweep")
        assert code == 0, output
    else:
        assert process.returncode == 130
        assert "nothing of it stands any more" in rest
    assert [thing for thing in leftovers(cloud) if thing.owner.startswith("cut-off-2")] == []


def test_a_kept_builder_stands_until_it_is_swept(project: Project, cloud: OpenStackCloud) -> None:
    name = project.recipe("kept", without=QUICK, faults="drivers-only-staged")
    code, output = project.run("build", name, "--on-error", "keep")
    assert code == 1
    assert "would not boot on virtio" in output and "sweep --kept" in output
    assert any(thing.kind == "server" and thing.owner.startswith("kept-2") for thing in leftovers(cloud))
    assert project.run("sweep")[0] == 0
    assert any(thing.owner.startswith("kept-2") for thing in leftovers(cloud)), "what was asked to be kept is kept"
    assert project.run("sweep", "--kept")[0] == 0
    assert not any(thing.owner.startswith("kept-2") for thing in leftovers(cloud))


def test_plan_touches_nothing(project: Project, cloud: OpenStackCloud) -> None:
    before = {image.id for image in cloud.images()}
    code, output = project.run("plan", "win7-vdi")
    assert code == 0
    assert "nothing was touched" in output and "boot-builder" in output
    assert {image.id for image in cloud.images()} == before


def test_sysprep_that_fails_says_why(project: Project) -> None:
    name = project.recipe("sysprep-fails", without=QUICK, faults="sysprep-fails")
    code, output = project.run("build", name)
    assert code == 1
    assert "SYSPRP" in output or "package" in output.lower()
