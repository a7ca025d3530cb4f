"""Installs and configures Cloudbase-Init for the clones, and keeps it from running on the builder."""

from pathlib import Path

from pydantic import Field

from imagebuild import windows
from imagebuild.answers import render_cloudbase_configuration
from imagebuild.console_words import MEMBER_SCRIPT, first_boot_files, first_boot_lines
from imagebuild.errors import StepFailed
from imagebuild.recipe_header import Sha256, Word
from imagebuild.step import Context, Step

_TEMPLATES = ("cloudbase-init.conf.j2", "cloudbase-init-unattend.conf.j2")


class CloudbaseInit(Step):
    """What names a clone and sets its password. The version must fit: its Python decides on which Windows it runs at all."""

    name = "cloudbase-init"
    title = "Cloudbase-Init for the clones"
    needs = frozenset({"windows"})
    gives = frozenset({"cloudbase_init"})

    media_image: Word = Field(alias="media", description="Glance ISO image with the MSI")
    label: Word = Field(description="how the CD's volume label begins")
    path: Word = Field(description="below the CD's root")
    sha256: Sha256
    enable_administrator: bool = Field(default=False, description="clients disable the built-in account at first start")
    first_boot_commands: list[str] = Field(
        default_factory=list, description="lines for SetupComplete.cmd of each clone"
    )

    def describe(self) -> str:
        """Which."""
        return f"{self.path} from {self.media_image}, configured from unattend/"

    def media(self) -> frozenset[str]:
        """The CD with the MSI."""
        return frozenset({self.media_image})

    def inputs(self, templates: Path) -> dict[str, str]:
        """Both configuration files, and the script that stays in the image."""
        files = {name: (templates / name).read_text(encoding="utf-8") for name in _TEMPLATES}
        return files | {MEMBER_SCRIPT: windows.read_script(MEMBER_SCRIPT).decode("ascii")}

    def run(self, context: Context) -> None:
        """Render, install as SYSTEM, see that its Python works on this Windows; let the clones tell what they are."""
        deadline = context.deadline(self.deadline_minutes)
        serial_port = context.header.windows.serial_port
        rendered = render_cloudbase_configuration(context.templates, settings=context.header.windows)
        parameters = {
            "installer": self.path,
            "media": self.label,
            "sha256": self.sha256,
            "configuration": rendered.configuration,
            "unattend_configuration": rendered.unattend_configuration,
            "properties": {
                "LOGGINGSERIALPORTNAME": serial_port or "",
                "RUN_SERVICE_AS_LOCAL_SYSTEM": "1",
            },
            "enable_administrator": self.enable_administrator or context.header.windows.enables_administrator,
            "first_boot_commands": [*first_boot_lines(serial_port), *self.first_boot_commands],
        }
        if files := first_boot_files(serial_port):
            context.guest.send_files(files, deadline=deadline)
        done = context.guest.run_as_system(
            "Install-CloudbaseInit",
            parameters,
            job="cloudbase-init",
            deadline=deadline,
            on_step=context.on_step,
        )
        if not done["python_works"]:
            words = f"Cloudbase-Init {done['version']} does not run on this Windows: a clone would restart for ever in specialize"
            raise StepFailed(words, hint="Windows 7 wants 1.1.2, Windows Server 2012 R2 at most 1.1.6")
        context.report.note(
            f"Cloudbase-Init {done['version']}, service {done['service']['start_mode']} until a clone's first boot"
        )
        context.remember(cloudbase_init={"version": done["version"], "service": done["service"]})
