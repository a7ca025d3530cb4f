"""Compiles the drivers that Debian's cloud kernel leaves out: e1000, e1000e and AHCI, the hardware of a Windows before virtio.

Compiled from Debian's kernel source against the cloud kernel's headers; nothing is installed on this machine. Kept in the
cache per kernel version, since it takes half a minute.
"""

import hashlib
import os
import shutil
from pathlib import Path

from imagebuild.lab.guest.packages import Selection, fetch_packages
from imagebuild.lab.guest.running import run
from imagebuild.waiting import Deadline

# source folder, further files it needs from elsewhere, its Makefile here. Debian's own Makefiles ask for the kernel's
# configuration, in which these drivers are off; LPM policy 0 is the kernel's default for a machine that is no laptop.
DRIVERS = {
    "ahci": (
        "drivers/ata",
        ("ahci.c", "ahci.h", "libahci.c", "libata.h"),
        "obj-m := ahci.o libahci.o\nccflags-y := -DCONFIG_SATA_MOBILE_LPM_POLICY=0\n",
    ),
    "e1000": (
        "drivers/net/ethernet/intel/e1000",
        (),
        "obj-m := e1000.o\ne1000-y := e1000_main.o e1000_hw.o e1000_ethtool.o e1000_param.o\n",
    ),
    "e1000e": (
        "drivers/net/ethernet/intel/e1000e",
        (),
        "obj-m := e1000e.o\n"
        "e1000e-y := 82571.o ich8lan.o 80003es2lan.o mac.o manage.o nvm.o phy.o param.o ethtool.o netdev.o ptp.o\n",
    ),
}


def name_drivers(selection: Selection) -> str:
    """The name of the cache's folder: the kernel, the version of its source, and how the drivers are compiled."""
    how = hashlib.sha256(repr(DRIVERS).encode()).hexdigest()[:8]
    return f"drivers-{selection.kernel_release}-{selection.source.file.split('_')[1]}-{how}"


def build_drivers(selection: Selection, cache: Path, *, work: Path, log: Path, deadline: Deadline) -> Path:
    """The folder in `cache` with the compiled .ko files for this selection's kernel; made in `work` if it is not there."""
    done = cache / name_drivers(selection)
    if done.exists():
        return done
    packages = cache / "packages"
    fetch_packages((selection.source, *selection.headers), packages, log=log, deadline=deadline)
    tree = work / "kernel"
    for package in selection.headers:
        run(["dpkg-deb", "-x", packages / package.file, tree], log, deadline=deadline)
    headers = _point_headers_at(tree, selection.kernel_release)
    sources = _unpack_sources(packages / selection.source.file, work, log=log, deadline=deadline)
    made = work / "drivers"
    made.mkdir()
    for name, (folder, files, makefile) in DRIVERS.items():
        module = work / f"module-{name}"
        module.mkdir()
        origin = sources / folder
        for file in [origin / name for name in files] or origin.iterdir():
            shutil.copy(file, module)
        (module / "Makefile").write_text(makefile)
        jobs = f"-j{os.cpu_count() or 1}"
        run(
            ["make", jobs, "-C", headers, f"M={module}", "modules", "CONFIG_DEBUG_INFO_BTF_MODULES="],
            log,
            deadline=deadline,
        )
        for file in module.glob("*.ko"):
            file.rename(made / file.name)
    made.rename(done)
    return done


def _point_headers_at(tree: Path, release: str) -> Path:
    """The headers' Makefile names the common headers where the package would have been installed; name where they are."""
    headers = tree / "usr/src" / f"linux-headers-{release}"
    makefile = headers / "Makefile"
    makefile.write_text(makefile.read_text().replace("include /usr/src", f"include {tree}/usr/src"))
    return headers


def _unpack_sources(package: Path, work: Path, *, log: Path, deadline: Deadline) -> Path:
    """Only the drivers' folders: the whole source is 1.3 GB."""
    run(["dpkg-deb", "-x", package, work / "source-package"], log, deadline=deadline)
    archive = next((work / "source-package/usr/src").glob("linux-source-*.tar.xz"))
    into = work / "sources"
    into.mkdir()
    folders = [f"*/{folder}/*" for folder, _, _ in DRIVERS.values()]
    run(
        ["tar", "-xf", archive, "-C", into, "--strip-components=1", "--wildcards", *folders],
        log,
        deadline=deadline,
    )
    return into
