"""The Debian packages that the stand-in guest is made of: which they are now, and their files in the cache.

They come from where this machine's own apt gets its packages. Nothing is installed.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from imagebuild.errors import LabError
from imagebuild.lab.guest.running import read_output, run
from imagebuild.waiting import Deadline

SYSTEM = (
    "busybox-static",
    "libbz2-1.0",
    "libc6",
    "libexpat1",
    "libffi8",
    "liblzma5",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libssl3",
    "libuuid1",
    "openssl",
    "python3.11-minimal",
    "zlib1g",
)
"""What is unpacked in the guest beside the kernel. Debian 12."""

CLOUD_KERNEL = "linux-image-cloud-amd64"
"""LZ4-compressed with ext4 built in: 3.5 s faster under TCG than the full kernel."""


@dataclass(frozen=True)
class Package:
    """A package file that apt would fetch now."""

    name: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Selection:
    """What goes into the guest, and what its extra drivers are compiled from."""

    kernel_release: str
    """As `uname -r` gives it, e.g. 6.1.0-56-cloud-amd64."""
    guest: tuple[Package, ...]
    source: Package
    headers: tuple[Package, ...]


def select_packages(*, deadline: Deadline) -> Selection:
    """The packages as apt's lists name them now. Does not touch the network. Raises LabError when apt does not know one."""
    depends = read_output(["apt-cache", "depends", "--important", CLOUD_KERNEL], deadline=deadline)
    found = re.search(r"Depends: linux-image-((\d+\.\d+)\S*-cloud-amd64)\b", depends)
    if found is None:
        raise LabError(
            f"apt does not say which kernel {CLOUD_KERNEL} is", hint="apt-get update; the lab needs Debian 12"
        )
    release, series = found.groups()
    guest = _ask_apt((*SYSTEM, f"linux-image-{release}"), deadline=deadline)
    common = re.sub(r"-cloud-amd64$", "-common", release)
    source, *headers = _ask_apt(
        (f"linux-source-{series}", f"linux-headers-{release}", f"linux-headers-{common}", f"linux-kbuild-{series}"),
        deadline=deadline,
    )
    return Selection(release, guest=guest, source=source, headers=tuple(headers))


def fetch_packages(packages: tuple[Package, ...], into: Path, *, log: Path, deadline: Deadline) -> None:
    """Put each package's file in `into`; those that are there already are not fetched again. apt checks what it fetches."""
    arriving = into / "arriving"  # a name of its own until it is whole
    shutil.rmtree(arriving, ignore_errors=True)
    arriving.mkdir(parents=True)
    missing = [package.name for package in packages if not (into / package.file).exists()]
    if missing:
        fetch = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *missing]
        run(fetch, log, deadline=deadline, folder=arriving)
        for file in sorted(arriving.iterdir()):
            file.rename(into / file.name)
    arriving.rmdir()
    absent = [package.file for package in packages if not (into / package.file).exists()]
    if absent:
        raise LabError(f"apt-get download did not bring {', '.join(absent)}", hint="apt-get update, then again")


def _ask_apt(names: tuple[str, ...], *, deadline: Deadline) -> tuple[Package, ...]:
    printed = read_output(["apt-get", "download", "--print-uris", *names], deadline=deadline)
    found = {
        file.split("_", 1)[0]: Package(name=file.split("_", 1)[0], file=file, sha256=digest)
        for file, digest in re.findall(r"^'[^']+' (\S+) \d+ SHA256:([0-9a-f]{64})\s*$", printed, re.MULTILINE)
    }
    unknown = [name for name in names if name not in found]
    if unknown:
        raise LabError(f"apt has no {', '.join(unknown)}", hint="apt-get update; the lab needs Debian 12")
    return tuple(found[name] for name in names)  # in our order: apt prints them in its own
