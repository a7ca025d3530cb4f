"""What the scripts around sysprep share: the lines of its logs, and the sentence that belongs to them (generalize.ps1)."""

from __future__ import annotations

import re
from typing import Any

from imagebuild.lab.guest.standin.model.edition import RESEALED, UNDEPLOYABLE
from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.model.sysprep import LOGS

LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d), (Warning|Error|Fatal Error|Fatal)\s+(.*)\Z")
PACKAGE = re.compile(r"Package (\S+) was installed for a user, but not provisioned")
SIGNATURES = (
    ("appx", r"0x80073cf2|-2147009294|AppxSysprep\.dll.*0x3cf2|Package \S+ was installed for a user, but not provisioned",
     "a Store package is installed for a user but not provisioned for all users",
     "run Repair-Appx with the packages named here, then generalize again"),
    ("rearm", r"0xC004D307|-1073425657", "the licence has been rearmed as often as it may be",
     "build from the seed image again instead of generalizing a captured master; SkipRearm=1 only for an image that is not handed out"),
    ("servicing", r"audit mode can.{0,3}t be turned on|active scenario|0x8007139f|-2147019873|dwRet = 0x139f|pending CBS operations",
     "an update or another servicing operation is not finished",
     "let the updates finish, reboot until none is pending, then generalize again"),
    ("invalid_state", r"either the machine is in an invalid state",
     "an earlier generalize stopped half way and left the machine in a state sysprep does not start from", "rebuild from the seed image"),
)  # fmt: skip


def log_sizes(guest: Guest) -> list[int]:
    """Both logs grow for the machine's whole life: what a run wrote lies behind the sizes before it."""
    return [guest.files.size(path) if guest.files.exists(path) else 0 for path in LOGS]


def read_lines(guest: Guest, sizes: list[int]) -> list[dict[str, str]]:
    """Warnings and errors since the logs had these sizes; without sizes those of the last run that setupact.log marks."""
    if len(sizes) == 2:
        texts = [_read_from(guest, path, size) for path, size in zip(LOGS, sizes, strict=True)]
    else:
        text = _read_from(guest, LOGS[0], 0)
        texts = [text[max(0, text.rfind("Beginning of a new sysprep run")) :]]
    seen = dict.fromkeys(line for text in texts for line in text.splitlines())
    found = (LINE.match(line) for line in seen)
    return [{"time": one[1], "level": one[2], "text": one[3]} for one in found if one is not None]


def _read_from(guest: Guest, path: str, offset: int) -> str:
    return guest.files.read(path)[offset:].decode("utf-8", "replace") if guest.files.exists(path) else ""


def find_reason(image_state: str, lines: list[dict[str, str]], *, timed_out: bool) -> dict[str, Any]:
    """One sentence why this machine is not generalized; between several signatures the order of the table decides."""
    packages = list(dict.fromkeys(found[1] for line in lines if (found := PACKAGE.search(line["text"]))))
    for name, pattern, words, fix in SIGNATURES:
        for line in lines:
            if re.search(pattern, line["text"], re.IGNORECASE):
                said = f"{words}: {', '.join(packages)}" if packages and name == "appx" else words
                return {"name": name, "words": said, "fix": fix, "line": line["text"], "packages": packages}
    errors = [line["text"] for line in lines if line["level"] != "Warning"]
    if errors:
        return {
            "name": "unknown",
            "words": f"sysprep reports: {errors[0]}",
            "fix": "look the line up",
            "line": errors[0],
            "packages": packages,
        }
    name, words, fix = _silent_reason(image_state, timed_out=timed_out)
    return {"name": name, "words": words, "fix": fix, "line": None, "packages": packages}


def _silent_reason(image_state: str, *, timed_out: bool) -> tuple[str, str, str]:
    if timed_out:
        fix = "look whether TiWorker.exe is busy with updates (wait and reboot), or for a dialog on the console"
        return "never_ended", "sysprep did not end in time", fix
    if image_state == UNDEPLOYABLE:
        return "half_way", "sysprep stopped half way without an error line", "rebuild from the seed image"
    if image_state == RESEALED:
        words = "the image state says generalized, but sysprep left no fresh Sysprep_succeeded.tag or its own states disagree"
        return "no_proof", words, "rebuild from the seed image"
    fix = "look whether it ran elevated and whether another one was open; read setupact.log"
    return "nothing_done", "sysprep ended without an error and without doing anything", fix
