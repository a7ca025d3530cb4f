"""Becomes the lab's own libvirtd. It lives in a mount namespace where libvirt's folders are the lab's, so that a libvirt of the
machine itself, its settings, sockets and guests are never touched."""

import os
import subprocess
import sys
from pathlib import Path

FOLDERS = {
    "etc": "/etc/libvirt",
    "run": "/run/libvirt",
    "lib": "/var/lib/libvirt",
    "log": "/var/log/libvirt",
    "cache": "/var/cache/libvirt",
}
ACCOUNT = "libvirt-qemu"  # libvirt looks this account up when it starts, whatever its settings say
ACCOUNT_ID = 64055  # Debian's number for it


def main(folder: Path) -> None:
    """Runs inside `unshare --mount`; `folder` holds one folder a key of FOLDERS."""
    for name, place in FOLDERS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        Path(place).mkdir(parents=True, exist_ok=True)
        _mount(folder / name, place)
    _add_account(folder, "/etc/passwd", f"{ACCOUNT}:x:{ACCOUNT_ID}:{ACCOUNT_ID}::/nonexistent:/usr/sbin/nologin")
    _add_account(folder, "/etc/group", f"{ACCOUNT}:x:{ACCOUNT_ID}:")
    command = ["libvirtd", "--config", "/etc/libvirt/libvirtd.conf", "--pid-file", "/run/libvirt/libvirtd.pid"]
    os.execv("/usr/sbin/libvirtd", command)  # noqa: S606


def _add_account(folder: Path, place: str, line: str) -> None:
    """Add the account for this namespace only: the machine's own files stay as they are."""
    text = Path(place).read_text(encoding="utf-8")
    if any(known.startswith(f"{ACCOUNT}:") for known in text.splitlines()):
        return
    copy = folder / Path(place).name
    copy.write_text(text.rstrip("\n") + f"\n{line}\n", encoding="utf-8")
    copy.chmod(0o644)
    _mount(copy, place)


def _mount(source: Path, place: str) -> None:
    subprocess.run(["mount", "--bind", str(source), place], check=True, timeout=20)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
