"""Builds the disk image of the stand-in guest with diskimage-builder and our own element, and keeps it in a cache.

The image's name holds a digest of all that goes in, so an image that is there is the right one. A build is done under a lock
in a folder of its own, and its result gets its name at the very end: a killed build leaves nothing that the next would use.
"""

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagebuild.errors import Busy, LabError
from imagebuild.lab.guest.apt_memory import recall_packages
from imagebuild.lab.guest.drivers import DRIVERS, build_drivers, name_drivers
from imagebuild.lab.guest.leftovers import clear_leftovers
from imagebuild.lab.guest.packages import Selection, fetch_packages
from imagebuild.lab.guest.running import run
from imagebuild.report import Report
from imagebuild.waiting import Deadline, wait_for

HERE = Path(__file__).parent
ELEMENT = HERE / "elements" / "standin-windows"
STANDIN = HERE / "standin"
ROOT_LABEL = "standin"
"""By which the guest finds its root disk among others (element: guest/first-init)."""
KEPT_IMAGES = 3
"""How many images the cache keeps; older ones go when a new one is built."""


def host_packages() -> tuple[str, ...]:
    """The Debian packages that building needs on this machine (`genisoimage` is for media.py)."""
    return (
        "binutils", "cpio", "dpkg", "e2fsprogs", "extlinux", "gcc", "gcc-12", "genisoimage", "kmod", "make",
        "mount", "qemu-utils", "sudo", "xz-utils",
    )  # fmt: skip


def build_image(*, cache: Path, report: Report, deadline: Deadline) -> Path:
    """The path of the stand-in's compressed qcow2 below `cache`, built if it is not there yet. Needs root.

    Raises LabError when a program fails (its last lines are the details), DeadlinePassed, and Busy when another build in
    the same cache does not end before the deadline.
    """
    if os.geteuid() != 0:
        raise LabError("building the stand-in's image needs root (loop devices, mounts)", hint="run it with sudo")
    cache = cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    selection = recall_packages(cache / "selection.json", deadline=deadline)
    image = cache / f"standin-{digest_inputs(selection)[:16]}.qcow2"
    if image.exists():
        return image
    with report.step("standin-image", "stand-in guest: disk image"), _hold(cache / "lock", deadline=deadline):
        work = cache / "work"
        for line in clear_leftovers(work):
            report.note(f"left by a killed build: {line}")
        if image.exists():
            return image
        work.mkdir()
        try:
            _build(selection, image, cache=cache, work=work, report=report, deadline=deadline)
        finally:
            clear_leftovers(work)
        _prune(cache, selection, keep=image)
    return image


def digest_inputs(selection: Selection) -> str:
    """SHA-256 over packages, element, stand-in program and how drivers are compiled: what makes one image differ from another."""
    digest = hashlib.sha256()
    for package in (*selection.guest, selection.source, *selection.headers):
        digest.update(f"{package.file} {package.sha256}\n".encode())
    digest.update(repr(DRIVERS).encode())
    for folder in (ELEMENT, STANDIN):
        for file in sorted(folder.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                name = file.relative_to(HERE).as_posix()
                digest.update(f"{name} {file.stat().st_mode & 0o111:o} {file.stat().st_size}\n".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def _build(selection: Selection, image: Path, *, cache: Path, work: Path, report: Report, deadline: Deadline) -> None:
    log = cache / "build.log"
    log.write_bytes(b"")
    with report.step("standin-packages", "packages of the guest"):
        fetch_packages(selection.guest, cache / "packages", log=log, deadline=deadline)
    with report.step("standin-drivers", "drivers for e1000, e1000e and AHCI"):
        drivers = build_drivers(selection, cache, work=work, log=log, deadline=deadline)
    packages = work / "packages"
    packages.mkdir()
    for package in selection.guest:
        os.link(cache / "packages" / package.file, packages / package.file)
    environment = {
        "ELEMENTS_PATH": str(ELEMENT.parent),
        "DIB_IMAGE_CACHE": str(work / "dib"),
        "TMPDIR": str(work),
        "TMP_DIR": str(work),
        "STANDIN_PACKAGES": str(packages),
        "STANDIN_MODULES": str(drivers),
        "STANDIN_SOURCE": str(STANDIN),
        "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin",
    }
    options = ["-n", "-t", "qcow2", "--no-tmpfs", "--image-size", "1", "--root-label", ROOT_LABEL]
    command: list[str | Path] = [_find_builder(), *options, "-o", work / "image", ELEMENT.name]
    with report.step("standin-disk", "disk image by diskimage-builder"):
        run(command, log, deadline=deadline, environment=environment, folder=work)
    (work / "image.qcow2").rename(image)


def _find_builder() -> str:
    """disk-image-create of the tool's own environment; else the one in PATH."""
    own = Path(sys.prefix) / "bin" / "disk-image-create"
    found = str(own) if own.exists() else shutil.which("disk-image-create")
    if found is None:
        raise LabError(
            "disk-image-create is not there", hint="pip install diskimage-builder into the tool's environment"
        )
    return found


@contextmanager
def _hold(lock: Path, *, deadline: Deadline) -> Iterator[None]:
    """Hold the lock file; it is released by the kernel when we die."""
    with lock.open("a") as handle:

        def try_it() -> bool | None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Busy("another build of the stand-in's image is under way", hint="wait for it to end") from error
            return True

        wait_for(try_it, "the other build of the stand-in's image", deadline=deadline, every=0.5, passing=(Busy,))
        yield


def _prune(cache: Path, selection: Selection, *, keep: Path) -> None:
    """Remove what no build of today would use: older images, packages of other versions, drivers for other kernels."""
    images = sorted(cache.glob("standin-*.qcow2"), key=lambda file: file.stat().st_mtime, reverse=True)
    for old in images[KEPT_IMAGES:]:
        if old != keep:
            old.unlink()
    wanted = {package.file for package in (*selection.guest, selection.source, *selection.headers)}
    for file in (cache / "packages").iterdir():
        if file.name not in wanted:
            file.unlink()
    for folder in cache.glob("drivers-*"):
        if folder.name != name_drivers(selection):
            shutil.rmtree(folder)
