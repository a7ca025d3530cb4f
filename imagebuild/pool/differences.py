"""What a desktop meets when its image changes: the virtual hardware and the claims of the image, with those marked that stop a boot.

A rebuild takes over the new image's properties in place of the old one's (nova, compute api: rebuild resets `image_*`), so a version
that asks for another bus or firmware changes the machine under a Windows that may not have the driver.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from imagebuild.cloud import Image
from imagebuild.image_differences import Difference, find_differences

_DANGEROUS = {
    "hw_firmware_type": "a disk made for BIOS does not boot with UEFI, nor the other way round",
    "hw_machine_type": "Windows finds its hardware anew, and may ask to be activated",
    "hw_disk_bus": "Windows does not start from a bus whose driver it has not loaded at boot",
    "hw_scsi_model": "Windows does not start from a controller whose driver it has not loaded at boot",
    "hw_vif_model": "without the driver there is no network: no broker, no Remote Desktop",
    "os_secure_boot": "an unsigned loader no longer starts; the flavor must agree",
    "hw_tpm_version": "Nova rebuilds no server with a virtual TPM, and BitLocker's keys go with it",
    "hw_tpm_model": "Nova rebuilds no server with a virtual TPM, and BitLocker's keys go with it",
    "os_type": "the clock and Hyper-V's help for Windows follow it",
    "architecture": "it runs on other hosts, or on none",
}


@dataclass(frozen=True)
class HardwareChange:
    """One property that is other on the new image; `danger` says why it may stop a desktop, '' when it does not."""

    before: str
    """The old image's name."""
    difference: Difference
    danger: str = ""

    def __str__(self) -> str:
        mark = f"   DANGER: {self.danger}" if self.danger else ""
        return f"{str(self.difference).removeprefix(self.difference.section).strip()}{mark}"


def hardware_changes(olds: Iterable[Image], new: Image) -> tuple[HardwareChange, ...]:
    """What the new image asks of a machine that the old ones did not, per old image."""
    return tuple(
        HardwareChange(old.name, one, _DANGEROUS.get(one.name, ""))
        for old in olds
        for one in find_differences(old, new)
        if one.section == "hardware"
    )
