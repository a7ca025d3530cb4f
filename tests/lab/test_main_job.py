"""The main job on real parts: a build as a person runs it, what its clones become, and which defect each of its acts prevents."""

import json
import re
import signal
import subprocess

import pytest

from imagebuild.adapters.openstack_cloud import OpenStackCloud
from imagebuild.cleaning import leftovers
from imagebuild.errors import CloudRefused
from imagebuild.guest import Guest
from imagebuild.lab import lifecycle
from imagebuild.properties import RECIPE
from imagebuild.waiting import Deadline
from tests.lab.conftest import Machines
from tests.lab.project import LINE, QUICK, Project

pytestmark = pytest.mark.lab


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
    wanted = {"hw_disk_bus": "virtio", "hw_vif_model": "virtio", "os_type": "windows", "imagebuild_recipe": LINE}
    assert wanted.items() <= properties.items()
    assert re.fullmatch(r"[0-9a-f]{64}", properties["imagebuild_digest"])
    assert properties["imagebuild_base"] == "win7-sp1-x64"
    assert (shown["min_disk"], shown["name"]) == (40, f"{LINE}-v{properties['imagebuild_version']}")
    with pytest.raises(CloudRefused):
        cloud.delete("image", built, deadline=Deadline.after(30))


def test_nothing_of_the_build_is_left(built: str, cloud: OpenStackCloud) -> None:
    assert [thing for thing in leftovers(cloud) if thing.owner.startswith(f"{LINE}-2")] == []


def clone_state(guest: Guest) -> dict[str, object]:
    """What the clone became."""
    return guest.run_as_system(
        "Get-CloneState", {"paths": [r"C:\imagebuild\runs\generalize"]}, job="state", deadline=Deadline.after(120)
    )


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
    name = project.recipe("refused", without=QUICK, faults="winrm-refuses", reach_minutes=0.6)
    code, output = project.run("build", name)
    assert code == 1
    assert "refuse" in output.lower() and "next: " in output
    assert [thing for thing in leftovers(cloud) if thing.owner.startswith("refused-2")] == []


@pytest.mark.parametrize(
    ("number", "after"),
    [(signal.SIGKILL, "boot-builder"), (signal.SIGINT, "reach-guest")],
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
    assert "would not boot on virtio" in output and "next: look at it, then invoke builds.resume kept-2" in output
    assert any(thing.kind == "server" and thing.owner.startswith("kept-2") for thing in leftovers(cloud))
    assert project.run("sweep")[0] == 0
    assert any(thing.owner.startswith("kept-2") for thing in leftovers(cloud)), "what was asked to be kept is kept"
    assert project.run("sweep", "--kept")[0] == 0
    assert not any(thing.owner.startswith("kept-2") for thing in leftovers(cloud))


def test_plan_touches_nothing(project: Project, cloud: OpenStackCloud) -> None:
    def things() -> set[str]:
        """Of this recipe: other tests are at work beside this one."""
        images = {one.id for one in cloud.images() if LINE in (one.name, one.properties.get(RECIPE))}
        return images | {thing.id for thing in leftovers(cloud) if thing.owner.startswith(f"{LINE}-2")}

    before = things()
    code, output = project.run("plan", LINE)
    assert code == 0
    assert "nothing was touched" in output and "boot-builder" in output
    assert things() == before


def test_sysprep_that_fails_says_why_and_leaves_evidence(project: Project) -> None:
    name = project.recipe("sysprep-fails", without=QUICK, faults="sysprep-fails")
    code, output = project.run("build", name)
    assert code == 1
    assert "SYSPRP" in output or "package" in output.lower()
    assert re.search(r"saved: console\.log, screen\.png, guest-logs/ \(\d+\)", output), output
    (folder,) = (project.folder / ".imagebuild" / "builds").glob("sysprep-fails-2*")
    assert "imagebuild: " in (folder / "console.log").read_text()
    assert (folder / "screen.png").read_bytes().startswith(b"\x89PNG")
    assert "SYSPRP" in (folder / "guest-logs" / "sysprep-errors.txt").read_text()
