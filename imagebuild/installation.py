"""The answer file for an installation from Microsoft's medium: disk, drivers for Setup, edition, and the first logon that lets us in.

Pure, like imagebuild.answers, whose settings it is given: text out, every mistake a RecipeError.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from imagebuild.answers import AnswerSettings, render_checked
from imagebuild.secrets import Secret

_LETTERS = ("D", "E", "F", "G")
_FOLDERS = {  # of a virtio-win CD
    "win7": "w7",
    "win10": "w10",
    "win11": "w11",
    "ws2012r2": "2k12R2",
    "ws2016": "2k16",
    "ws2019": "2k19",
    "ws2022": "2k22",
    "ws2025": "2k25",
}
_SCHANNEL = r"HKLM\SYSTEM\CurrentControlSet\Control\SecurityProviders\SCHANNEL\Protocols\TLS 1.2\Server"
_NETWORK = r"HKLM\SOFTWARE\Policies\Microsoft\Windows NT\CurrentVersion\NetworkList\Signatures\FirstNetwork"


@dataclass(frozen=True)
class Partition:
    """One partition of the new disk; without `megabytes` it takes the rest. MSR partitions have no `format`."""

    number: int
    type: Literal["EFI", "MSR", "Primary"]
    megabytes: int | None = None
    format: Literal["NTFS", "FAT32"] | None = None
    label: str = ""
    active: bool = False


@dataclass(frozen=True)
class RegistryNumber:
    """A value that is set before the first logon, and why."""

    key: str
    name: str
    number: int
    why: str


# No recovery partition behind C:, and none at all: it would keep the clones' disks from growing.
_BIOS = (
    Partition(1, "Primary", 350, "NTFS", "System", active=True),
    Partition(2, "Primary", None, "NTFS", "Windows"),
)
_UEFI = (
    Partition(1, "EFI", 260, "FAT32", "System"),
    Partition(2, "MSR", 16),
    Partition(3, "Primary", None, "NTFS", "Windows"),
)


class InstallSettings(BaseModel):
    """What an installation needs beyond the answer settings.

    `image_index` is the edition's number in the medium's install.wim; `drivers` are folders of the virtio-win CD;
    `keyboard_type` is Setup's LayeredDriver (3 to 6: other Korean and Japanese keyboards), None what the locale usually has.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    windows: AnswerSettings
    firmware: Literal["bios", "uefi"]
    image_index: int = Field(ge=1, le=99)
    disk: int = Field(default=0, ge=0, le=9)
    drivers: tuple[str, ...] = Field(default=("viostor", "NetKVM", "vioserial", "Balloon"), min_length=1, strict=False)
    layered_driver: int | None = Field(default=None, ge=1, le=6)
    bypass_requirements: bool = False

    @model_validator(mode="after")
    def _combination(self) -> "InstallSettings":
        if self.windows.os == "win7" and self.firmware == "uefi":
            raise ValueError("Windows 7 does not start from UEFI without a compatibility module: firmware bios")
        if self.windows.os == "win11" and self.firmware == "bios":
            raise ValueError("Windows 11 starts from UEFI only")
        if self.bypass_requirements and self.windows.os != "win11":
            raise ValueError("only Windows 11 checks requirements: leave bypass_requirements out")
        unknown = [name for name in self.drivers if not name.replace("-", "").isalnum() or not name.isascii()]
        if unknown:
            raise ValueError(f"'{unknown[0]}' is no folder of a virtio-win CD")
        return self

    @property
    def letters(self) -> tuple[str, ...]:
        """Drive letters that a CD may have: they follow the order of the devices."""
        return _LETTERS

    @property
    def driver_paths(self) -> tuple[str, ...]:
        """Every driver under every letter; Setup passes over what is not there."""
        tail = rf"{_FOLDERS[self.windows.os]}\{self.windows.architecture}"
        return tuple(rf"{letter}:\{driver}\{tail}" for letter in _LETTERS for driver in self.drivers)

    @property
    def keyboard_type(self) -> int | None:
        """Without one a Korean medium asks: 2 is the usual 101 keys with right Alt for Hangul."""
        return self.layered_driver or (2 if self.windows.locale == "ko-KR" else None)

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The new disk, system last so that it can grow."""
        return _BIOS if self.firmware == "bios" else _UEFI

    @property
    def registry(self) -> tuple[RegistryNumber, ...]:
        """What must be set before the restart that ends specialize."""
        if self.windows.nt >= (10, 0):
            return (RegistryNumber(_NETWORK, "Category", 1, "The first network is private"),)
        if self.windows.nt < (6, 2):
            why = "TLS 1.2, which Windows 7 can and does not offer"
            return (
                RegistryNumber(_SCHANNEL, "Enabled", 1, why),
                RegistryNumber(_SCHANNEL, "DisabledByDefault", 0, why),
            )
        return ()


def render_installation_file(template_folder: Path, *, install: InstallSettings, password: Secret) -> str:
    """Autounattend.xml for a CD, from autounattend.xml.j2. It holds the builder's password: treat it as a secret."""
    return render_checked(
        template_folder, "autounattend.xml.j2", settings=install.windows, password=password, values={"install": install}
    )
