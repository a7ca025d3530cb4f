"""Makes the CDs that the lab offers instead of real ones: drivers with the layout of virtio-win, and a site's installers.

Nothing on them is a driver, a program or anybody's property: each file is a short text that says what it stands in for.
`python -m imagebuild.lab.guest.media` prints the SHA-256 of each installer, as recipes name them.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from imagebuild.lab.guest.running import run
from imagebuild.waiting import Deadline

VIRTIO_LABEL = "virtio-win-0.1.173"
PROGRAMS_LABEL = "VDI-MEDIA"
ISO_SECONDS = 60.0
MOMENT = 1563148800
"""The time of every file: 2019-07-15."""
# ISO 9660: the primary volume descriptor is sector 16, its application identifier 128 bytes at 574
APPLICATION_AT, APPLICATION_LENGTH = 16 * 2048 + 574, 128

INSTALLER_HEADER = "#!imagebuild stand-in installer"
PROGRAMS: Mapping[str, Mapping[str, str]] = {
    "LeostreamAgentSetup.exe": {
        "product": "Leostream Agent (stand-in)",
        "version": "7.4.6",
        "kind": "exe",
        "exit_code": "0",
        "service": "Leostream Agent",
        "service_display": "Leostream Agent (stand-in)",
        "files": "LeostreamAgent.exe;settings.txt",
    },
    "CloudbaseInitSetup_1_1_2_x64.msi": {
        "product": "Cloudbase-Init 1.1.2 (stand-in)",
        "version": "1.1.2",
        "kind": "msi",
        "exit_code": "0",
        "service": "cloudbase-init",
        "service_display": "Cloud Initialization Service (stand-in)",
        "files": "Python\\Scripts\\cloudbase-init.exe",
    },
}

EVERYWHERE = ("w7", "w10", "w11", "2k12R2", "2k16", "2k19", "2k22", "2k25")
ONLY_64_BIT = ("w11", "2k12R2", "2k16", "2k19", "2k22", "2k25")
# folder: (name of its .inf/.cat/.sys, setup class, hardware ids, the systems that it has a driver for)
DRIVERS = {
    "viostor": ("viostor", "SCSIAdapter", ("VEN_1AF4&DEV_1001", "VEN_1AF4&DEV_1042"), EVERYWHERE),
    "vioscsi": ("vioscsi", "SCSIAdapter", ("VEN_1AF4&DEV_1004", "VEN_1AF4&DEV_1048"), EVERYWHERE),
    "NetKVM": ("netkvm", "Net", ("VEN_1AF4&DEV_1000", "VEN_1AF4&DEV_1041"), EVERYWHERE),
    "Balloon": ("balloon", "System", ("VEN_1AF4&DEV_1002", "VEN_1AF4&DEV_1045"), EVERYWHERE),
    "vioserial": ("vioser", "System", ("VEN_1AF4&DEV_1003", "VEN_1AF4&DEV_1043"), EVERYWHERE),
    "viorng": ("viorng", "System", ("VEN_1AF4&DEV_1005", "VEN_1AF4&DEV_1044"), EVERYWHERE),
    "qxl": ("qxl", "Display", ("VEN_1B36&DEV_0100",), ("w7",)),
    "qxldod": ("qxldod", "Display", ("VEN_1B36&DEV_0100",), EVERYWHERE[1:]),
    "pvpanic": ("pvpanic", "System", ("VEN_1B36&DEV_0011",), EVERYWHERE),
}
# the first number of a driver's version tells the Windows that it was built for
VERSION_OF = {"w7": "61", "2k12R2": "63", "w10": "100", "2k16": "100", "2k19": "100", "2k22": "100"}


def make_virtio_iso(target: Path) -> Path:
    """Write the drivers' CD to `target` and give its path. Its label is virtio-win-0.1.173."""
    files = {
        "virtio-win_license.txt": "imagebuild stand-in: there is nothing here that a license would be needed for.\r\n"
    }
    for folder, (name, setup_class, ids, systems) in DRIVERS.items():
        for system in systems:
            for architecture in ("amd64",) if system in ONLY_64_BIT else ("x86", "amd64"):
                place = f"{folder}/{system}/{architecture}/{name}"
                what = f"imagebuild stand-in for the driver {name} ({system}, {architecture})"
                version = f"{VERSION_OF.get(system, '100')}.77.104.17300"
                files[f"{place}.inf"] = write_inf(name, what=what, setup_class=setup_class, ids=ids, version=version)
                files[f"{place}.cat"] = f"{what}: a catalogue that nobody signed\r\n"
                files[f"{place}.sys"] = f"{what}: not a driver\r\n"
    for agent in ("qemu-ga-x86_64.msi", "qemu-ga-i386.msi"):
        files[f"guest-agent/{agent}"] = write_installer(
            {"product": "QEMU guest agent (stand-in)", "version": "100.0.0", "kind": "msi", "service": "QEMU-GA"}
        )
    files["cert/Virtio_Win_Red_Hat_CA.cer"] = "imagebuild stand-in: not a certificate\r\n"
    return _make_iso(files, target, label=VIRTIO_LABEL)


def make_programs_iso(target: Path) -> Path:
    """Write the CD with a site's installers to `target` and give its path. Its label is VDI-MEDIA."""
    return _make_iso({name: write_installer(keys) for name, keys in PROGRAMS.items()}, target, label=PROGRAMS_LABEL)


def write_installer(keys: Mapping[str, str]) -> str:
    """The text of a stand-in installer: the model of Windows reads it when it is told to install it."""
    return "\n".join([INSTALLER_HEADER, *(f"{key}={value}" for key, value in keys.items()), ""])


def write_inf(name: str, *, what: str, setup_class: str, ids: tuple[str, ...], version: str) -> str:
    """The text of an INF with the lines that our scripts and the model of Windows read."""
    lines = [
        f"; {what}: not a driver",
        "[Version]",
        'Signature="$Windows NT$"',
        f"Class={setup_class}",
        "Provider=%Maker%",
        f"CatalogFile={name}.cat",
        f"DriverVer=07/15/2019,{version}",
        "[Manufacturer]",
        "%Maker%=Devices",
        "[Devices]",
        *(f"%Device%=Install,PCI\\{hardware_id}" for hardware_id in ids),
        "[Strings]",
        'Maker="imagebuild stand-in"',
        f'Device="{what}"',
        "",
    ]
    return "\r\n".join(lines)


def _make_iso(files: Mapping[str, str], target: Path, *, label: str) -> Path:
    """An ISO 9660 CD with Joliet and Rock Ridge names; it gets its name when it is whole. One with this content is left alone.

    genisoimage writes the time of making into it, so two CDs of the same content differ in a few bytes; which content
    it is stands in the application identifier.
    """
    digest = hashlib.sha256(repr((label, sorted(files.items()))).encode()).hexdigest()
    application = f"imagebuild stand-in {digest}"
    if _read_application(target) == application:
        return target
    made = target.parent / f".making-{target.name}"
    shutil.rmtree(made, ignore_errors=True)  # left by a killed run
    root, iso = made / "root", made / "cd.iso"
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    for path in (*root.rglob("*"), root):
        os.utime(path, (MOMENT, MOMENT))
    options = ["-quiet", "-J", "-joliet-long", "-r", "-V", label, "-A", application]
    run(["genisoimage", *options, "-o", iso, root], made / "log", deadline=Deadline.after(ISO_SECONDS))
    iso.replace(target)
    shutil.rmtree(made)
    return target


def _read_application(iso: Path) -> str | None:
    """The application identifier of a CD's primary volume descriptor; None when there is no such file."""
    if not iso.exists():
        return None
    with iso.open("rb") as disc:
        disc.seek(APPLICATION_AT)
        return disc.read(APPLICATION_LENGTH).decode("ascii", "replace").rstrip()


if __name__ == "__main__":
    for program, content in PROGRAMS.items():
        print(hashlib.sha256(write_installer(content).encode()).hexdigest(), program)
