"""What several scripts of the installing kind share (machine.ps1): where a CD is, how an exit code reads."""

from __future__ import annotations

import re

from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.scripts.contract import ScriptError


def find_media(guest: Guest, wanted: str) -> tuple[str, str]:
    """Drive letter with colon and label of the one volume whose label begins so, or whose letter it is."""
    volumes = {"C:": ""} | guest.files.volumes()
    by_letter = re.fullmatch(r"([A-Za-z]):?\\?", wanted)
    if by_letter:
        found = [letter for letter in volumes if letter == by_letter[1].upper() + ":"]
    else:
        found = [letter for letter, label in volumes.items() if label and label.lower().startswith(wanted.lower())]
    if len(found) == 1:
        return found[0], volumes[found[0]]
    seen = ", ".join(f"{letter} {label}" for letter, label in volumes.items() if label)
    raise ScriptError(
        f"looked for one volume '{wanted}' and found {len(found)} (volumes: {seen}): attach the CD, or name its drive letter"
    )


def format_exit_code(code: object) -> str:
    """Signed and unsigned alike: small ones in decimal, HRESULTs and crashes in hexadecimal."""
    number = int(str(code)) & 0xFFFFFFFF
    return f"0x{number:08X}" if number > 65535 else str(number)
