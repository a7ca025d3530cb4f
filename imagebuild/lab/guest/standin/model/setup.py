"""The first boot of a generalized disk: specialize, the answer file, out-of-box experience, SetupComplete.cmd."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from imagebuild.lab.guest.standin.model.answers import Answers, read_answers
from imagebuild.lab.guest.standin.model.cloudbase import UNATTEND_CONFIGURATION, CloudbaseInit
from imagebuild.lab.guest.standin.model.edition import COMPLETE, RESEALED, TERMINAL
from imagebuild.lab.guest.standin.model.files import WINDOWS
from imagebuild.lab.guest.standin.model.identity import ADMINISTRATOR
from imagebuild.lab.guest.standin.model.registry import CONTROL, SETUP_STATE

if TYPE_CHECKING:
    from imagebuild.lab.guest.standin.model.guest import Guest

SPECIALIZE = "IMAGE_STATE_SPECIALIZE_RESEAL_TO_OOBE"
ANSWER_FILES = (WINDOWS + "\\Panther\\unattend.xml", WINDOWS + "\\System32\\Sysprep\\unattend.xml")
SETUP_COMPLETE = WINDOWS + "\\Setup\\Scripts\\SetupComplete.cmd"


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
        self._specialize(answers or Answers())
        if (
            answers is not None
        ):  # a client's built-in account ends disabled; a base image that was prepared for a cloud has none to ask
            guest.identity.set_disabled(ADMINISTRATOR, disabled=True)
        guest.registry.set(SETUP_STATE, "ImageState", COMPLETE)
        guest.registry.remove_value("HKLM:\\SYSTEM\\Setup", "SystemSetupInProgress")
        if guest.files.exists(SETUP_COMPLETE):
            self._run_line(f'call "{SETUP_COMPLETE}"')

    def _specialize(self, answers: Answers) -> None:
        guest = self._guest
        wanted = answers.computer_name
        guest.identity.rename(wanted if wanted not in ("", "*") else "WIN-" + os.urandom(5).hex())
        if answers.runs_cloudbase:
            self._cloudbase.run(UNATTEND_CONFIGURATION)
        if answers.remote_desktop:
            guest.registry.set(TERMINAL, "fDenyTSConnections", 0)
        if answers.time_zone:
            guest.registry.set(CONTROL + "\\TimeZoneInformation", "TimeZoneKeyName", answers.time_zone)
        if answers.administrator_password:
            guest.identity.set_password(ADMINISTRATOR, answers.administrator_password)
        for name, password in answers.accounts:
            guest.identity.set_password(name, password)
        guest.domain.join_as_noted()

    def _read_answers(self) -> Answers | None:
        named = self._guest.registry.get("HKLM:\\SYSTEM\\Setup", "UnattendFile", "")
        for path in (str(named), *ANSWER_FILES):
            if path and self._guest.files.exists(path):
                return read_answers(self._guest.files.read_text(path))
        return None
