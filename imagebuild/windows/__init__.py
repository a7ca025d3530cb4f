"""What runs inside the Windows guest: the PowerShell scripts beside this file, and how they are handed out to be sent."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

_ALONE = ("Enable-BuildAccess", "Receive-Files", "Write-Membership")
"""Run where the bundle is not, so without the prelude: sent before it is there, or left in the image when it is gone."""

BUILD_LISTENER = "HTTPS"
BUILD_FIREWALL_RULE = "imagebuild-winrm"
BUILD_TOKEN_POLICY = {
    "path": r"HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System",
    "name": "LocalAccountTokenFilterPolicy",
}


@cache
def _sources() -> dict[str, str]:
    """The text of every script by its file name; LF line ends, pure ASCII (anything else raises UnicodeDecodeError)."""
    folder = files(__name__)
    found = (entry for entry in folder.iterdir() if entry.name.endswith(".ps1"))
    return {entry.name: entry.read_bytes().decode("ascii").replace("\r\n", "\n") for entry in found}


def _windows_bytes(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("ascii")


def script_names() -> tuple[str, ...]:
    """Names (without .ps1) of the scripts that can be run once the bundle is in the guest; libraries are lower case."""
    stems = sorted(name.removesuffix(".ps1") for name in _sources())
    return tuple(stem for stem in stems if stem[0].isupper() and stem not in _ALONE)


def read_script(name: str) -> bytes:
    """One script or library by its name without .ps1, as it is written in the guest. An unknown name raises KeyError."""
    return _windows_bytes(_sources()[f"{name}.ps1"])


def bundle() -> dict[str, bytes]:
    r"""Everything that belongs into C:\imagebuild\scripts, by file name: scripts and the libraries that they load."""
    alone = {f"{name}.ps1" for name in _ALONE}
    return {name: _windows_bytes(text) for name, text in sorted(_sources().items()) if name not in alone}


def digest() -> str:
    """SHA-256 (hex) over the bundle's names and contents: two builds with one digest ran the same scripts."""
    total = hashlib.sha256()
    for name, content in bundle().items():
        total.update(name.encode("ascii") + b"\0" + hashlib.sha256(content).digest())
    return total.hexdigest()


def user_data() -> str:
    """The builder's user data: opens WinRM over HTTPS and says the certificate's SHA-256 on the serial console."""
    return _sources()["Enable-BuildAccess.ps1"]


def receiver() -> str:
    """The script that takes files over standard input; for powershell.exe -EncodedCommand without cmd.exe in between."""
    return _sources()["Receive-Files.ps1"]


def build_access_traces(certificate_sha256: str) -> dict[str, Any]:
    """Parameters for Clear-Traces and Start-Generalize's ``traces`` that take away what Enable-BuildAccess left.

    ``certificate_sha256`` is the pinned hex digest of the certificate in DER form.
    """
    return {
        "listeners": [BUILD_LISTENER],
        "certificates": [certificate_sha256],
        "firewall_rules": [BUILD_FIREWALL_RULE],
        "registry_values": [dict(BUILD_TOKEN_POLICY)],
    }
