"""The first boot of a generalized disk: specialize, the answer file, out-of-box experience, SetupComplete.cmd."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from imagebuild.lab.guest.standin.model.cloudbase import UNATTEND_CONFIGURATION, CloudbaseInit
from imagebuild.lab.guest.standin.model.edition import COMPLETE, RESEALED
from imagebuild.lab.guest.standin.model.files import WINDOWS
from imagebuild.lab.guest.standin.model.identity import ADMINISTRATOR
from imagebuild.lab.guest.standin.model.registry import SETUP_STATE

if TYPE_CHECKING:
    from imagebuild.lab.guest.standin.model.guest import Guest

SPECIALIZE = "IMAGE_STATE_SPECIALIZE_RESEAL_TO_OOBE"
ANSWER_FILES = (WINDOWS + "\\Panther\\unattend.xml", WINDOWS + "\\System32\\Sysprep\\unattend.xml")
SETUP_COMPLETE = WINDOWS + "\\Setup\\Scripts\\SetupComplete.cmd"


class Answers(NamedTuple):
    """What the stand-in heeds of an answer file."""

    computer_name: str = ""
    administrator_password: str = ""
    runs_cloudbase: bool = False


def read_answers(text: str) -> Answers:
    """By the names of the elements, whatever their namespace; ValueError for what is no XML."""
    import xml.etree.ElementTree as ElementTree  # a quarter of a second in the guest, and only first boots need it

    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - a file that our own tool wrote
    except ElementTree.ParseError as error:
        raise ValueError(f"the answer file is no XML: {error}") from error
    elements = {
        tag: [one for one in root.iter() if one.tag.rsplit("}", 1)[-1] == tag]
        for tag in ("ComputerName", "AdministratorPassword", "Path")
    }
    names = [one.text or "" for one in elements["ComputerName"]]
    passwords = [
        value.text or "" for one in elements["AdministratorPassword"] for value in one if value.tag.endswith("Value")
    ]
    paths = [one.text or "" for one in elements["Path"]]
    return Answers(
        computer_name=names[0].strip() if names else "",
        administrator_password=passwords[0] if passwords else "",
        runs_cloudbase=any("cloudbase-init" in path.lower() for path in paths),
    )


class Setup:
    """Windows setup after sysprep. A boot in the middle of it goes on where it was: every part can be done twice."""

    def __init__(self, guest: Guest, cloudbase: CloudbaseInit, run_line: Callable[[str], int]) -> None:
        self._guest = guest
        self._cloudbase = cloudbase
        self._run_line = run_line

    def needed(self) -> bool:
        """Whether this boot is the first one after a generalize, or one that was cut off in the middle of that."""
        return self._guest.registry.get(SETUP_STATE, "ImageState") in (RESEALED, SPECIALIZE)

    def run(self) -> None:
        """Go through it to the end."""
        guest = self._guest
        guest.registry.set(SETUP_STATE, "ImageState", SPECIALIZE)
        guest.registry.set("HKLM:\\SYSTEM\\Setup", "SystemSetupInProgress", 1)
        if guest.identity.sid is None:
            guest.identity.make_sid()
        answers = self._read_answers()
        wanted = answers.computer_name
        guest.identity.rename(wanted if wanted not in ("", "*") else "WIN-" + os.urandom(5).hex())
        if answers.runs_cloudbase:
            self._cloudbase.run(UNATTEND_CONFIGURATION)
        if answers.administrator_password:
            guest.identity.set_password(ADMINISTRATOR, answers.administrator_password)
        guest.registry.set(SETUP_STATE, "ImageState", COMPLETE)
        guest.registry.remove_value("HKLM:\\SYSTEM\\Setup", "SystemSetupInProgress")
        if guest.files.exists(SETUP_COMPLETE):
            for line in guest.files.read_text(SETUP_COMPLETE).splitlines():
                if line.strip() and not re.match(r"(?i)\s*(rem\b|@echo off)", line):
                    self._run_line(line)

    def _read_answers(self) -> Answers:
        named = self._guest.registry.get("HKLM:\\SYSTEM\\Setup", "UnattendFile", "")
        for path in (str(named), *ANSWER_FILES):
            if path and self._guest.files.exists(path):
                return read_answers(self._guest.files.read_text(path))
        return Answers()
