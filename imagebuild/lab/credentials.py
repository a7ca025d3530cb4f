"""What lets people in: the lab's clouds.yaml, its clouds in the machine-wide one beside whatever was there, and the broker's files."""

import os
from pathlib import Path
from typing import Any

import yaml

from imagebuild.errors import LabError
from imagebuild.lab import layout
from imagebuild.lab.broker_settings import describe_access
from imagebuild.lab.databases import Accounts
from imagebuild.lab.layout import ADMIN_CLOUD, CLOUD, REGION, Layout, url_of
from imagebuild.secrets import Secret

MACHINE_WIDE = Path("/etc/openstack/clouds.yaml")
COMMAND = Path("/usr/local/bin/openstack")


def describe_clouds(accounts: Accounts) -> dict[str, Any]:
    """The two entries. They hold passwords."""
    return {
        CLOUD: _describe(layout.USER, layout.PROJECT, accounts.user),
        ADMIN_CLOUD: _describe("admin", "admin", accounts.admin),
    }


def broker_access(place: Layout) -> Path:
    """The folder with `user`, `password` and `ca.pem` of the lab's broker: what a pool file names."""
    return place.root / "broker"


def _describe(user: str, project: str, password: Secret) -> dict[str, Any]:
    return {
        "region_name": REGION,
        "identity_api_version": 3,
        "auth": {
            "auth_url": url_of("keystone", "/v3"),
            "username": user,
            "password": password.reveal(),
            "project_name": project,
            "user_domain_id": "default",
            "project_domain_id": "default",
        },
    }


def write_credentials(place: Layout, accounts: Accounts) -> None:
    """Write the lab's clouds.yaml and the broker's files, and merge the clouds into the machine-wide clouds.yaml.

    Files that we make belong to the user who asked.
    """
    clouds = describe_clouds(accounts)
    ours = {place.clouds_yaml: yaml.safe_dump({"clouds": clouds}, sort_keys=False)}
    for name, text in describe_access(place, accounts).items():
        ours[broker_access(place) / name] = text
    for path, text in ours.items():
        _write(path, text)
        if "SUDO_UID" in os.environ:  # also when another user asked before
            _give_to_asker(path)
    merge(MACHINE_WIDE, clouds)


def merge(path: Path, clouds: dict[str, Any]) -> None:
    """Put the entries into a clouds.yaml; what others have written there stays."""
    kept = _read(path)
    merged = kept | {"clouds": {**(kept.get("clouds") or {}), **clouds}}
    if merged != kept:
        _write(path, yaml.safe_dump(merged, sort_keys=False))


def withdraw(path: Path) -> None:
    """Take the lab's entries out again; a file in which nothing else is left goes, too."""
    kept = _read(path)
    others = {name: cloud for name, cloud in (kept.get("clouds") or {}).items() if name not in (CLOUD, ADMIN_CLOUD)}
    if others == (kept.get("clouds") or {}):
        return
    left = {key: value for key, value in kept.items() if key != "clouds"} | ({"clouds": others} if others else {})
    if left:
        _write(path, yaml.safe_dump(left, sort_keys=False))
    else:
        path.unlink()


def link_command(place: Layout) -> None:
    """Make the openstack client callable, unless the machine has one."""
    found = [Path(folder, "openstack") for folder in os.get_exec_path() if Path(folder, "openstack").exists()]
    if not found and not COMMAND.is_symlink():
        COMMAND.symlink_to(place.venv / "bin" / "openstack")


def unlink_command(place: Layout) -> None:
    """Take our link away, and only ours."""
    if COMMAND.is_symlink() and COMMAND.readlink() == place.venv / "bin" / "openstack":
        COMMAND.unlink()


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except yaml.YAMLError as error:
        raise LabError(f"{path} cannot be read: {error}", hint="mend or remove that file") from error
    if content is not None and not isinstance(content, dict):
        raise LabError(f"{path} is not a clouds.yaml", hint="mend or remove that file")
    return content or {}


def _write(path: Path, text: str) -> None:
    """Replace a file's content at once. An existing file keeps its mode and owner; a new one is the asking user's, and only his."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".new")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    part.write_text(text, encoding="utf-8")
    if path.exists():
        known = path.stat()
        os.chown(part, known.st_uid, known.st_gid)
        part.chmod(known.st_mode & 0o777)
    else:
        _give_to_asker(part)
    part.replace(path)


def _give_to_asker(path: Path) -> None:
    """To who called sudo, or to ourselves."""
    os.chown(path, int(os.environ.get("SUDO_UID", os.getuid())), int(os.environ.get("SUDO_GID", os.getgid())))
