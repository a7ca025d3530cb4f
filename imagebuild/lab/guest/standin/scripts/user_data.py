"""User data as Cloudbase-Init runs it: one script is known, which opens the builder to the controller over HTTPS."""

from __future__ import annotations

import re

from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.model.registry import CURRENT, SERVICES
from imagebuild.lab.guest.standin.model.services import STARTS

NAME = "imagebuild-winrm"
PORT = 5986
SCRIPT_LINE = re.compile(r"# imagebuild script: (\S+)\s*\Z")
TOKEN_POLICY = CURRENT + "\\Policies\\System"
UNKNOWN = "user data is not a script that this stand-in knows"


def run_user_data(guest: Guest, content: bytes) -> None:
    """Play what the user data would do; anything but our own script is said aloud and does nothing."""
    head = content.decode("utf-8-sig", "replace").splitlines()[:3]
    names = [found[1] for line in head if (found := SCRIPT_LINE.match(line)) is not None]
    if names == ["Enable-BuildAccess"]:
        enable_build_access(guest)
    else:
        guest.complain(UNKNOWN)


def enable_build_access(guest: Guest) -> None:
    """A certificate (the same when run again), an HTTPS listener without Basic, a firewall rule, and the words on the console."""
    with guest.store.change():
        guest.registry.set(f"{SERVICES}\\WinRM", "Start", STARTS["Auto"])
        guest.remote.allow(basic=False, unencrypted=False)
        guest.remote.set_quota("MaxShellsPerUser", 30)
        guest.registry.set(TOKEN_POLICY, "LocalAccountTokenFilterPolicy", 1)
        guest.remote.open_firewall(NAME, PORT)
    known = [name for name, subject in guest.remote.certificates().items() if subject == f"CN={NAME}"]
    thumbprint = known[0] if known else guest.remote.make_certificate(NAME)
    guest.remote.add_listener("https", thumbprint)
    pair = guest.remote.certificate()
    if pair is None:
        raise RuntimeError("the certificate that was just made is not there: is the disk full?")
    sha256 = guest.machine.certificate_sha256(pair[0])
    if "wrong-certificate-on-console" in guest.faults:
        sha256 = sha256[1:] + sha256[0] if len(set(sha256)) > 1 else "0" * 64
    if "no-certificate-on-console" not in guest.faults:
        guest.machine.console(f"imagebuild: winrm certificate sha256={sha256}")
    guest.machine.console("imagebuild: winrm ready")
