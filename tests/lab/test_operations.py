"""What runs by itself, on real parts: the docs' cron file in a real cron, the check under Debian's `negate`, a rebuild of two recipes."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from imagebuild.adapters.openstack_cloud import OpenStackCloud
from imagebuild.cleaning import leftovers
from imagebuild.health import Level
from imagebuild.images import list_versions
from imagebuild.lab import catalogue, lifecycle
from imagebuild.lab.layout import ADMIN_CLOUD, find_layout
from imagebuild.lab.layout import PROJECT as LAB_PROJECT
from imagebuild.properties import PROMOTED_AT, STATE, VERIFIED
from imagebuild.secrets import make_password
from imagebuild.waiting import Deadline, wait_for
from tests.lab.project import PROJECT, Project
from tests.unit.test_health import FIRST_LINE

pytestmark = pytest.mark.lab
RECIPES = ("operations-a", "operations-b")
CRON = """\
set -eu
mount -t tmpfs tmpfs /etc/cron.d
mount -t tmpfs tmpfs /var/spool
mount -t tmpfs tmpfs /run
mkdir -p /var/spool/cron/crontabs
install -m 644 "$1" /etc/cron.d/imagebuild
exec "$2" -f
"""
"""A cron that sees our file and no other job of this machine, in mounts of its own that end with it."""


@dataclass
class Operator:
    """A machine as docs/ sets it up, with the two recipes of this test; in its clouds.yaml `vdi` is the lab for a reader."""

    project: Project
    clouds_yaml: Path

    def adapt(self, text: str) -> str:
        """A text of docs/ with this machine's places in it."""
        text = re.sub(r"/etc/imagebuild/clouds[a-z-]*\.yaml", str(self.clouds_yaml), text)
        return text.replace("/srv/imagebuild", str(self.project.folder))

    def check(self, *arguments: str, before: tuple[str, ...] = (), seconds: int = 50) -> tuple[int, str]:
        """The command of docs/nagios.cfg, as Nagios runs it: a short environment, standard output and the exit code."""
        line = next(
            line for line in (PROJECT / "docs" / "nagios.cfg").read_text().splitlines() if "command_line" in line
        )
        for number, value in enumerate(arguments, start=1):
            line = line.replace(f"$ARG{number}$", value)
        line = line.replace("--timeout-seconds 50", f"--timeout-seconds {seconds}")
        command = [*before, *shlex.split(self.adapt(line.split(None, 1)[1]))]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd="/", env={})
        assert done.stderr == ""
        return done.returncode, done.stdout


@contextmanager
def a_reader(lab: lifecycle.LabCloud) -> Iterator[dict[str, Any]]:
    """The lab's entry in a clouds.yaml for a user who may read in the builders' project, and nothing else."""
    admin = catalogue.connect(find_layout(), ADMIN_CLOUD).identity
    name, password = f"operations-{uuid4().hex[:8]}", make_password().reveal()
    user = admin.create_user(name=name, password=password, domain_id="default")
    try:
        admin.assign_project_role_to_user(admin.find_project(LAB_PROJECT), user, admin.find_role("reader"))
        entry = yaml.safe_load(lab.clouds_yaml.read_text())["clouds"][lab.name]
        yield {**entry, "auth": {**entry["auth"], "username": name, "password": password}}
    finally:
        admin.delete_user(user)


@pytest.fixture(scope="module")
def operator(
    tmp_path_factory: pytest.TempPathFactory, lab: lifecycle.LabCloud, cloud: OpenStackCloud
) -> Iterator[Operator]:
    folder = tmp_path_factory.mktemp("operations")
    project = Project(folder)
    (folder / ".venv").symlink_to(Path(sys.executable).parent.parent)
    frame = yaml.safe_load((folder / "recipes" / "empty.yaml").read_text())
    shutil.rmtree(folder / "recipes")
    (folder / "recipes").mkdir()
    for name in RECIPES:
        frame |= {"recipe": name, "policy": {"max_age_days": 30}}
        frame["builder"]["flavor"] = "1cpu_1GB_20GB"
        (folder / "recipes" / f"{name}.yaml").write_text(yaml.safe_dump(frame, sort_keys=False))
    with a_reader(lab) as reader:
        gone = {**reader, "auth": {**reader["auth"], "auth_url": "http://127.0.0.1:9/v3"}}
        clouds_yaml = folder / "etc" / "clouds.yaml"  # not where `invoke` runs: there every client would find it
        clouds_yaml.parent.mkdir()
        clouds_yaml.write_text(yaml.safe_dump({"clouds": {"vdi": reader, "gone": gone}}))
        yield Operator(project, clouds_yaml)
    for one in cloud.images():
        if one.properties.get("imagebuild_recipe") in RECIPES:
            cloud.update_image(one.id, protected=False)
            cloud.delete("image", one.id, deadline=Deadline.after(30))


def unpack(package: str, folder: Path) -> Path:
    """A Debian package's files, unpacked and not installed: an installed cron would begin to run this machine's jobs."""
    folder.mkdir(exist_ok=True)
    quiet: dict[str, Any] = {"cwd": folder, "capture_output": True, "text": True, "timeout": 120}
    download = ["apt-get", "download", "-q", package]
    if subprocess.run(download, check=False, **quiet).returncode:
        subprocess.run(["apt-get", "update", "-q"], check=True, **quiet)
        subprocess.run(download, check=True, **quiet)
    (file,) = folder.glob(f"{package}_*.deb")
    subprocess.run(["dpkg-deb", "--extract", file, folder / "root"], check=True, **quiet)
    return folder / "root"


@pytest.fixture(scope="module", autouse=True)
def cron(operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The docs' cron file, every minute and as root, in a real cron; the file that its first job writes. The minute passes meanwhile."""
    folder = tmp_path_factory.mktemp("cron")
    program = unpack("cron", folder / "package") / "usr" / "sbin" / "cron"
    said = folder / "said"
    text = operator.adapt((PROJECT / "docs" / "imagebuild.cron").read_text())
    nightly = re.compile(r"^17  2 \*   \*   \*   imagebuild  (.*--quiet)$", re.MULTILINE)
    assert nightly.search(text), "the job that this test runs more often"
    text = nightly.sub(
        rf"* * * * * root \1 --dry-run > {said}.part 2>\&1; echo $? >> {said}.part; mv {said}.part {said}", text
    )
    (folder / "imagebuild").write_text(re.sub(r"^47 .*\n", "", text, flags=re.MULTILINE))
    (folder / "run").write_text(CRON)
    command = ["unshare", "--mount", "--propagation", "private", "sh", folder / "run", folder / "imagebuild", program]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    yield said
    still_running = process.poll() is None
    process.kill()
    _, complaints = process.communicate()
    assert still_running, complaints


def test_the_check_knows_when_nothing_was_built_and_when_nobody_answers(operator: Operator) -> None:
    code, out = operator.check("vdi", RECIPES[0], "30", "45")
    assert (code, out.splitlines()[0].split(" |")[0]) == (1, "IMAGEBUILD WARNING - operations-a: nothing was built yet")
    code, out = operator.check("vdi", "operations-z", "30", "45")
    assert (code, out.split(" - ")[0]) == (3, "IMAGEBUILD UNKNOWN")
    code, out = operator.check("gone", RECIPES[0], "30", "45", seconds=4)
    assert (code, out.split(" - ")[0]) == (3, "IMAGEBUILD UNKNOWN")


def test_a_rebuild_that_is_asked_to_end_has_its_builds_undo_all(operator: Operator, cloud: OpenStackCloud) -> None:
    process = operator.project.start("rebuild", "--due", "--parallel", "2")
    assert process.stdout
    servers = set()
    for line in process.stdout:
        if found := re.match(r"(operations-.) +\|   server ", line):
            servers.add(found[1])
        if servers == set(RECIPES):
            break
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert rest.count("nothing of it stands any more") == 2, rest
    assert [thing for thing in leftovers(cloud) if thing.owner.startswith("operations-")] == []


def test_what_is_due_is_built_side_by_side_and_then_there_is_nothing_to_do(
    operator: Operator, cloud: OpenStackCloud
) -> None:
    code, out = operator.project.run("rebuild", "--due", "--json", seconds=120)
    assert code == 0, out
    events = [json.loads(line) for line in out.splitlines()]
    ended = {event["recipe"]: event for event in events if "result" in event}
    assert {name: event["result"] for name, event in ended.items()} == dict.fromkeys(RECIPES, "built")
    assert all(Path(event["log"]).stat().st_size for event in ended.values())
    began = [event["recipe"] for event in events if event.get("told", {}).get("event") == "step_begun"]
    assert began != sorted(began), "the two were at work at once"
    assert {one.name for one in list_versions(cloud) if one.recipe in RECIPES} == {f"{name}-v1" for name in RECIPES}
    code, out = operator.project.run("rebuild", "--due", "--quiet", seconds=60)
    assert (code, out) == (4, "")


def test_a_plugin_of_debian_takes_the_check_for_one_of_its_own(
    operator: Operator, cloud: OpenStackCloud, tmp_path: Path
) -> None:
    (image,) = [one.image for one in list_versions(cloud, RECIPES[0])]
    marks = {STATE: "current", VERIFIED: "passed", PROMOTED_AT: "2026-01-01T00:00:00+00:00"}
    cloud.update_image(image.id, properties=marks, hidden=False)
    code, out = operator.check("vdi", RECIPES[0], "30", "45")
    assert (code, out.splitlines()[1]) == (Level.OK, f"OK: {RECIPES[0]}-v1 is current, 0.0 days old")
    assert FIRST_LINE.fullmatch(out.splitlines()[0])
    plugins = unpack("monitoring-plugins-common", tmp_path / "package") / "usr" / "lib" / "nagios" / "plugins"
    negate = (str(plugins / "negate"), "--substitute")
    code, out = operator.check("vdi", RECIPES[0], "30", "45", before=(*negate, "--ok=CRITICAL"))
    assert (code, out.split(" - ")[0]) == (Level.CRITICAL, "IMAGEBUILD CRITICAL")
    code, out = operator.check("vdi", RECIPES[0], "0", "45", before=(*negate, "--warning=OK"))
    assert (code, out.split(" - ")[0]) == (Level.OK, "IMAGEBUILD OK")
    code, out = operator.check("vdi", RECIPES[0], "0", "0", before=(*negate, "--critical=WARNING"))
    assert (code, out.split(" - ")[0]) == (Level.WARNING, "IMAGEBUILD WARNING")


def test_the_cron_file_of_the_docs_runs_in_a_real_cron(cron: Path, operator: Operator) -> None:
    said = wait_for(
        lambda: cron.read_text() if cron.exists() else None, "cron's job", deadline=Deadline.after(75), every=0.5
    )
    *lines, code = said.splitlines()
    assert code in ("0", "4"), said
    if code == "0":  # its minute came before both images were current: a candidate is due for its last act
        assert lines[0].split() == ["RECIPE", "RESULT", "IMAGE", "TOOK", "WHY"]
        results = [tuple(line.split()[1:3]) for line in lines[1:]]
        assert ("would", "build") in results
        assert set(results) <= {("would", "build"), ("not", "due")}
    else:
        assert lines == [], "cron mails nothing when there was nothing to do"
