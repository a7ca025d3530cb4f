"""Sysprep: the states that it goes through, its tag file and the lines in its logs, also when it fails."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from imagebuild.lab.guest.standin.model.answers import read_answers
from imagebuild.lab.guest.standin.model.clock import Pause, stamp
from imagebuild.lab.guest.standin.model.edition import COMPLETE, REARMS, RESEALED, UNDEPLOYABLE
from imagebuild.lab.guest.standin.model.files import WINDOWS
from imagebuild.lab.guest.standin.model.registry import SERVICING, SETUP_STATE, SYSPREP_STATUS

if TYPE_CHECKING:
    from imagebuild.lab.guest.standin.model.guest import Guest

FOLDER = WINDOWS + "\\System32\\Sysprep"
TAG = FOLDER + "\\Sysprep_succeeded.tag"
LOGS = (FOLDER + "\\Panther\\setupact.log", FOLDER + "\\Panther\\setuperr.log")
PANTHER_ANSWER = WINDOWS + "\\Panther\\unattend.xml"
SECONDS = 1.5
_STORE_PACKAGE = "Microsoft.StandIn_1.0.0.0_x64__8wekyb3d8bbwe"
STORE_LINES = (
    f"SYSPRP Package {_STORE_PACKAGE} was installed for a user, but not provisioned for all users. "
    "This package will not function properly in the sysprep image.",
    "SYSPRP Failed to remove apps for the current user: 0x80073cf2.",
    "[0x0f0082] SYSPRP ActionPlatform::LaunchModule: Failure occurred while executing 'SysprepGeneralizeValidate' "
    "from C:\\Windows\\System32\\AppxSysprep.dll; dwRet = 0x3cf2",
)
SERVICING_LINES = (
    "SYSPRP Sysprep_Clean_Validate_Opk: Audit mode can't be turned on if there is an active scenario; hr = 0x8007139f",
)
REARM_LINES = (
    "SYSPRP RunExternalDlls:An error occurred while running registry sysprep DLLs, halting: hr = 0xC004D307",
)


class SysprepState(NamedTuple):
    """What tells a generalized machine from another one, as generalize.ps1 reads it."""

    image_state: str
    generalization_state: int | None
    cleanup_state: int | None
    tag_written: datetime | None
    running: bool

    def as_json(self) -> dict[str, str | int | bool | None]:
        """The state as the guest scripts write it."""
        return {
            "image_state": self.image_state,
            "generalization_state": self.generalization_state,
            "cleanup_state": self.cleanup_state,
            "tag_written": None if self.tag_written is None else stamp(self.tag_written),
            "running": self.running,
        }


class Sysprep:
    """sysprep.exe /generalize /oobe /quiet /quit."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._state = guest.store.section("sysprep")
        self.running = False

    def state(self) -> SysprepState:
        """What registry, tag file and process list say now."""
        registry, files = self._guest.registry, self._guest.files
        written = datetime.fromtimestamp(files.locate(TAG).stat().st_mtime, UTC) if files.exists(TAG) else None
        return SysprepState(
            image_state=str(registry.get(SETUP_STATE, "ImageState", "")),
            generalization_state=registry.get(SYSPREP_STATUS, "GeneralizationState"),
            cleanup_state=registry.get(SYSPREP_STATUS, "CleanupState"),
            tag_written=written,
            running=self.running,
        )

    def rearms_left(self) -> int:
        """How often this Windows may still be generalized."""
        return REARMS - int(self._state.get("rearmed", 0))

    def generalize(self, answer_file: str, pause: Pause) -> int:
        """Run to the end: exit code 0 with state and tag written, or 1 with the reason in the logs. May hang, by fault."""
        self.running = True
        try:
            return self._generalize(answer_file, pause)
        finally:
            self.running = False

    def _generalize(self, answer_file: str, pause: Pause) -> int:
        guest = self._guest
        self._log("Info", "SYSPRP ========================================================")
        self._log("Info", "SYSPRP ===          Beginning of a new sysprep run          ===")
        pause.wait(SECONDS / 2)
        refusal = self._refusal()
        if refusal:
            for line in refusal:
                self._log("Error", line)
            return 1
        guest.registry.set(SETUP_STATE, "ImageState", UNDEPLOYABLE)
        guest.registry.set(SYSPREP_STATUS, "GeneralizationState", 3)
        if "sysprep-hangs" in guest.faults:
            pause.hang()
        if "shutdown-without-seal" in guest.faults:
            guest.power.end_now(restart=False)
            pause.hang()
        pause.wait(SECONDS / 2)
        answers = read_answers(guest.files.read_text(answer_file))
        guest.domain.leave()
        if "sid-kept" not in guest.faults:
            guest.identity.forget_sid()
        guest.files.write(PANTHER_ANSWER, guest.files.read(answer_file))
        with guest.store.change():
            self._state["rearmed"] = int(self._state.get("rearmed", 0)) + (0 if answers.skips_rearm else 1)
            guest.registry.set(SETUP_STATE, "ImageState", RESEALED)
            guest.registry.set(SYSPREP_STATUS, "GeneralizationState", 7)
        guest.files.write_text(TAG, "imagebuild stand-in\r\n")
        self._log("Info", "SYSPRP Sysprep run completed, stand-in")
        return 0

    def _refusal(self) -> tuple[str, ...]:
        guest = self._guest
        if "sysprep-fails" in guest.faults:
            return STORE_LINES
        if guest.registry.has_key(SERVICING + "\\RebootPending") or guest.updates.reboot_required():
            return SERVICING_LINES
        if self.rearms_left() < 1:
            return REARM_LINES
        if self.state().image_state != COMPLETE:
            return (
                "SYSPRP Sysprep will not run: either the machine is in an invalid state or it was generalized before",
            )
        return ()

    def _log(self, level: str, text: str) -> None:
        line = f"{self._guest.clock.now():%Y-%m-%d %H:%M:%S}, {level:<22}{text}\r\n".encode()
        self._guest.files.append(LOGS[0], line)
        if level != "Info":
            self._guest.files.append(LOGS[1], line)
