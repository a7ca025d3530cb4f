"""Installs the virtio drivers while a virtio disk is present, and proves that Windows could boot from one."""

from typing import Any

from pydantic import Field

from imagebuild.errors import StepFailed
from imagebuild.recipe_header import Header, Word
from imagebuild.step import Context, Step


class VirtioDrivers(Step):
    """pnputil alone only stages a driver: without a present device there is no service and no boot (stop code 0x7B)."""

    name = "virtio-drivers"
    title = "install the virtio drivers"
    needs = frozenset({"windows"})
    gives = frozenset({"drivers"})

    media_image: Word = Field(alias="media", description="Glance ISO image with the virtio-win CD")
    label: Word = Field(default="virtio-win", description="how the CD's volume label begins")
    folder: Word | None = Field(
        default=None, description="the Windows folder on the CD; default: by the Windows that runs"
    )
    drivers: list[Word] | None = Field(default=None, description="which; default: all that the CD has for this Windows")
    skip: list[Word] = []

    def describe(self) -> str:
        """Which CD."""
        return f"{', '.join(self.drivers) if self.drivers else 'all'} from {self.media_image}, then the boot gate"

    def media(self) -> frozenset[str]:
        """The driver CD."""
        return frozenset({self.media_image})

    def check(self, header: Header) -> tuple[str, ...]:
        """Drivers become boot-ready only for a device that is there."""
        if header.builder.extra_disk_bus != header.image.disk_bus:
            return (
                f"builder.extra_disk_bus is {header.builder.extra_disk_bus}, image.disk_bus {header.image.disk_bus}: "
                "the driver must be installed with such a disk present",
            )
        return ()

    def run(self, context: Context) -> None:
        """Install as SYSTEM, restart when asked for, look through the gate."""
        deadline = context.deadline(self.deadline_minutes)
        parameters: dict[str, Any] = {"media": self.label, "skip": self.skip}
        if self.folder:
            parameters["os"] = self.folder
        if self.drivers is not None:
            parameters["drivers"] = self.drivers
        done = context.guest.run_as_system(
            "Install-VirtioDrivers", parameters, job="virtio-drivers", deadline=deadline, on_step=context.on_step
        )
        if not done["complete"]:
            failed = [f"{d['name']}: {d['words']}" for d in done["drivers"] if d["name"] in done["failed"]]
            raise StepFailed(
                f"drivers were refused: {', '.join(done['failed'])}",
                details=failed,
                hint="is it the CD for this Windows?",
            )
        if done["reboot_needed"]:
            context.guest.restart("virtio drivers", deadline=deadline, on_step=context.on_step)
        state = context.guest.run("Get-DriverState", {"bus": context.header.image.disk_bus}, deadline=deadline)
        if not (state["boot_ready"] and state["network_ready"]):
            reasons = [*state["reasons"], *state["warnings"]]
            raise StepFailed(
                "this Windows would not boot on virtio",
                details=reasons,
                hint="clones would stop with 0x7B: a device of that bus must be there while its driver is installed",
            )
        versions = {driver["name"]: driver.get("version") for driver in done["drivers"]}
        context.report.note(f"{done['label']}: {len(versions)} drivers, boot-ready on {context.header.image.disk_bus}")
        context.remember(drivers={"media": done["label"], "versions": versions})
