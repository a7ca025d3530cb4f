"""The lab needs root for bridges, DHCP and libvirt. Somebody else's command runs itself through sudo, once, for all of it."""

import os
import shutil
import subprocess
import sys

from imagebuild.errors import LabError
from imagebuild.lab.layout import ROOT_VARIABLE
from imagebuild.report import Report

KEPT = (ROOT_VARIABLE, "PIP_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")


def is_root() -> bool:
    """Whether we may do all of it ourselves."""
    return os.geteuid() == 0


def run_as_root(report: Report, action: str, *arguments: str) -> None:
    """Do `action` of imagebuild.lab in a root process; its lines go to our own output. Raises LabError when it fails."""
    sudo = shutil.which("sudo")
    variables = [f"{name}={os.environ[name]}" for name in KEPT if name in os.environ]
    command = ["env", *variables, sys.executable, "-m", "imagebuild.lab", action, *arguments]
    if sudo is None:
        raise LabError("the lab needs root, and there is no sudo", hint=f"as root run: {' '.join(command)}")
    report.note("the lab needs root (Debian packages, bridges, DHCP, libvirt): sudo may ask for your password once")
    if subprocess.run([sudo, *command], check=False).returncode:
        raise LabError(f"lab.{action} failed as root", hint="its own lines above say why")
