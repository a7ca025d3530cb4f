"""What Clear-Traces and Start-Generalize refuse to remove, whoever asks for it."""

from __future__ import annotations

import re

from imagebuild.lab.guest.standin.model.files import PLACES, WINDOWS
from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.scripts.contract import Parameters, ScriptError

NEEDED = (
    WINDOWS,
    WINDOWS + "\\System32",
    "C:\\Users",
    PLACES["programfiles"],
    "C:\\Program Files (x86)",
    PLACES["programdata"],
)


def check_parameters(guest: Guest, parameters: Parameters) -> None:
    """Before anything is removed: what must never be removed."""
    for path in parameters.texts("paths"):
        if not re.match(r"[A-Za-z]:\\[^\\]", path) or re.search(r'[/*?<>|"]|\\\.\.?(\\|$)', path):
            raise ScriptError(f"paths: '{path}' is not a full path below a drive's root")
        if any((needed + "\\").lower().startswith(path.rstrip("\\").lower() + "\\") for needed in NEEDED):
            raise ScriptError(f"paths: '{path}' is a part of Windows")
    for name in ("account", "profile"):
        if re.search(r'["/\\\[\]:;|=,+*?<>]|^\.+$', parameters.text(name)):
            raise ScriptError(f"{name} '{parameters.text(name)}' has a character that no account has")
    folder = parameters.text("profile") or parameters.text("account")
    if re.fullmatch(r"Default|Public|All Users|Default User", folder, re.IGNORECASE):
        raise ScriptError(f"profile '{folder}' belongs to Windows")
    built_in = [
        one
        for one in guest.identity.accounts()
        if one.rid < 1000 and one.name.casefold() == parameters.text("account").casefold()
    ]
    if built_in:
        words = "cannot be deleted: leave account out and let the clone set its password"
        raise ScriptError(f"account '{built_in[0].name}' is built in (RID {built_in[0].rid}) and {words}")
    for one in parameters.texts("certificates"):
        if not re.fullmatch(r"[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}", one):
            raise ScriptError(f"certificates: '{one}' is not a thumbprint")
    for one in parameters.texts("listeners"):
        if one.lower() not in ("http", "https"):
            raise ScriptError(f"listeners: '{one}' is neither HTTP nor HTTPS")
