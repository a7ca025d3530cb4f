"""The image's cache: what makes another image, and that a killed build leaves nothing that the next one would stumble over."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from imagebuild.errors import DeadlinePassed, LabError
from imagebuild.lab.guest import image as image_module
from imagebuild.lab.guest.image import build_image, digest_inputs, host_packages
from imagebuild.lab.guest.leftovers import clear_leftovers
from imagebuild.lab.guest.packages import Package, Selection
from imagebuild.lab.guest.running import run
from imagebuild.report import SilentReport
from imagebuild.waiting import Deadline, wait_for

SELECTION = Selection(
    "6.1.0-1-cloud-amd64",
    guest=(Package("libc6", "libc6_1_amd64.deb", "a" * 64),),
    source=Package("linux-source-6.1", "linux-source-6.1_1_all.deb", "b" * 64),
    headers=(Package("linux-kbuild-6.1", "linux-kbuild-6.1_1_amd64.deb", "c" * 64),),
)


@pytest.fixture
def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of one file in place of the stand-in's."""
    folder = tmp_path / "standin"
    folder.mkdir()
    (folder / "program.py").write_text("one")
    monkeypatch.setattr(image_module, "HERE", tmp_path)
    monkeypatch.setattr(image_module, "STANDIN", folder)
    monkeypatch.setattr(image_module, "ELEMENT", tmp_path / "element")
    return folder


def test_the_same_inputs_make_the_same_digest_and_compiled_files_do_not_count(standin: Path) -> None:
    first = digest_inputs(SELECTION)
    (standin / "__pycache__").mkdir()
    (standin / "__pycache__" / "program.pyc").write_bytes(b"x")
    assert digest_inputs(SELECTION) == first


def test_each_input_makes_another_digest(standin: Path) -> None:
    seen = {digest_inputs(SELECTION)}
    seen.add(digest_inputs(replace(SELECTION, guest=(Package("libc6", "libc6_2_amd64.deb", "a" * 64),))))
    seen.add(digest_inputs(replace(SELECTION, source=replace(SELECTION.source, sha256="d" * 64))))
    (standin / "program.py").write_text("two")
    seen.add(digest_inputs(SELECTION))
    (standin / "program.py").chmod(0o755)
    seen.add(digest_inputs(SELECTION))
    (standin / "program.py").rename(standin / "other.py")
    seen.add(digest_inputs(SELECTION))
    assert len(seen) == 6


def test_a_failed_program_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="ended with code 3") as error:
        run(["sh", "-c", "echo first; echo last >&2; exit 3"], tmp_path / "log", deadline=Deadline.after(10))
    assert error.value.details == ("first", "last")
    with pytest.raises(LabError, match="cannot be started") as error:
        run([tmp_path / "nothing"], tmp_path / "log", deadline=Deadline.after(10))
    assert error.value.hint


def test_a_program_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(DeadlinePassed):
        run(["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/child; wait"], tmp_path / "log", deadline=Deadline.after(1))
    child = int((tmp_path / "child").read_text())

    def is_gone() -> bool | None:
        status = Path(f"/proc/{child}/status")
        return not status.exists() or "State:\tZ" in status.read_text() or None

    assert wait_for(is_gone, "the child's end", deadline=Deadline.after(5), every=0.05)


def test_packages_are_named_once() -> None:
    assert sorted(set(host_packages())) == list(host_packages())


@pytest.mark.lab
def test_leftovers_of_a_killed_build_are_freed_and_nothing_else(tmp_path: Path) -> None:
    """Root, a loop device, a mount within a mount and a process, left as kill -9 leaves them; and a bystander of each."""
    work, other = tmp_path / "work", tmp_path / "other"
    processes = []
    for folder in (work, other):
        (folder / "mnt").mkdir(parents=True)
        run(["truncate", "-s", "8M", folder / "disk"], tmp_path / "log", deadline=Deadline.after(10))
        run(["mkfs.ext4", "-q", folder / "disk"], tmp_path / "log", deadline=Deadline.after(10))
        run(["mount", "-o", "loop", folder / "disk", folder / "mnt"], tmp_path / "log", deadline=Deadline.after(10))
        (folder / "mnt" / "proc").mkdir()
        run(["mount", "-t", "proc", "proc", folder / "mnt" / "proc"], tmp_path / "log", deadline=Deadline.after(10))
        processes.append(
            subprocess.Popen(["sleep", "60"], env={**os.environ, "TMP_DIR": str(folder)}, cwd=folder / "mnt")
        )
    try:
        found = clear_leftovers(work)
        assert not work.exists()
        assert processes[0].wait(timeout=5) == -signal.SIGKILL
        assert any(line.startswith("unmounted") for line in found)
        assert processes[1].poll() is None
        assert (other / "mnt" / "proc" / "self").exists()
        assert clear_leftovers(work) == []
    finally:
        clear_leftovers(other)
        for process in processes:
            process.wait(timeout=5)


@pytest.mark.lab
def test_a_build_that_was_killed_is_begun_anew(image: Path, tmp_path: Path) -> None:
    """kill -9 of the building process alone: its children live on until the next build ends them."""
    cache = tmp_path / "cache"
    for made in (*image.parent.glob("drivers-*"), image.parent / "packages"):
        shutil.copytree(made, cache / made.name)
    code = (
        "import sys; from pathlib import Path; from imagebuild.lab.guest.image import build_image; "
        "from imagebuild.report import SilentReport; from imagebuild.waiting import Deadline; "
        "build_image(cache=Path(sys.argv[1]), report=SilentReport(), deadline=Deadline.after(300))"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(cache)]) as building:
        mounted = f"{cache}/work/"
        wait_for(
            lambda: mounted in Path("/proc/self/mountinfo").read_text() or building.poll(),
            "the build's first mount",
            deadline=Deadline.after(300),
            every=0.1,
        )
        assert building.poll() is None, "the build ended before it could be killed"
        building.kill()
    assert not list(cache.glob("*.qcow2"))
    anew = build_image(cache=cache, report=SilentReport(), deadline=Deadline.after(300))
    assert anew.exists()
    assert not (cache / "work").exists()
    assert mounted not in Path("/proc/self/mountinfo").read_text()
    made_at = anew.stat().st_mtime_ns
    assert build_image(cache=cache, report=SilentReport(), deadline=Deadline.after(10)) == anew
    assert anew.stat().st_mtime_ns == made_at


@pytest.mark.lab
def test_processes_of_a_killed_build_are_ended_to_the_last(tmp_path: Path) -> None:
    """A shell whose child is killed cleans up with new children; one of ours has no mark but works in the folder."""
    work = tmp_path / "work"
    work.mkdir()
    marked = {**os.environ, "TMP_DIR": str(work)}
    stubborn = "trap : TERM; for i in $(seq 50); do sleep 60; mkdir -p left/$i; done"
    with (
        subprocess.Popen(["bash", "-c", stubborn], cwd=work, env=marked) as shell,
        subprocess.Popen(["sleep", "60"], cwd=work) as unmarked,
        subprocess.Popen(["sleep", "60"], cwd=tmp_path) as foreign,
    ):
        lines = clear_leftovers(work)
        assert not work.exists()
        assert {f"ended process {shell.pid}", f"ended process {unmarked.pid}"} <= set(lines)
        assert foreign.poll() is None
        foreign.kill()
