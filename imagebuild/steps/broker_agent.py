"""Installs the connection broker's agent, points it at the broker, and sees it run; its registration is taken out before the capture."""

from typing import Any, Literal

from pydantic import Field

from imagebuild.complaints import Whole
from imagebuild.errors import StepFailed
from imagebuild.recipe_header import Section, Sha256, Word
from imagebuild.step import Context, Step


class Installer(Section):
    """A program on an attached CD. The vendors' silent switches are not public: they are the recipe's."""

    media: Word = Field(description="Glance ISO image that holds it")
    label: Word = Field(description="how the CD's volume label begins")
    path: Word = Field(description="below the CD's root")
    kind: Literal["msi", "exe", "msu"]
    sha256: Sha256
    arguments: list[str] | str = []
    properties: dict[str, str] = Field(default_factory=dict, description="MSI properties")
    success_codes: list[int] = [0]
    timeout_seconds: Whole = Field(default=1800, gt=0)


class Setting(Section):
    """A registry value of the agent; {address} and {port} in it stand for the broker's."""

    path: Word
    name: Word
    value: str | Whole
    kind: Literal["String", "DWord"] = "String"


class BrokerAgent(Step):
    """The agent as a service that starts with every clone and knows its broker, without this builder's identity in it."""

    name = "broker-agent"
    title = "install the broker's agent"
    needs = frozenset({"windows"})
    gives = frozenset({"broker_agent", "before_generalize"})

    installer: Installer
    service: Word
    address: Word = Field(description="the broker's host name or address")
    port: Whole = Field(ge=1, le=65535)
    settings: list[Setting] = []
    listen_port: Whole = Field(default=0, ge=0, le=65535, description="the agent's own port, waited for when given")
    records: list[dict[str, str]] = Field(
        default_factory=list, description="{path, name} or {file}: what registers this machine"
    )

    def describe(self) -> str:
        """Which, and whose."""
        return f"{self.service} for the broker {self.address}:{self.port}"

    def media(self) -> frozenset[str]:
        """The CD with the installer."""
        return frozenset({self.installer.media})

    def run(self, context: Context) -> None:
        """Install as SYSTEM, restart when asked for, configure, see it run."""
        deadline = context.deadline(self.deadline_minutes)
        program = self.installer.model_dump(exclude={"media", "label"}) | {
            "media": self.installer.label,
            "detect": {"service": self.service},
        }
        done = context.guest.run_as_system(
            "Install-Program", program, job="broker-agent", deadline=deadline, on_step=context.on_step
        )
        if not done["installed"]:
            words = f"{self.installer.path} ended with {done['code']}: {done['words']}"
            log = [*done.get("log_failure", []), *done.get("log_tail", [])]
            raise StepFailed(words, details=log, hint="the installer's own log is in the details")
        if done["reboot_needed"] or done["reboot_begun"]:
            context.guest.restart("broker agent", deadline=deadline, on_step=context.on_step)
        running = context.guest.run("Set-BrokerAgent", self._goal("running"), deadline=deadline)
        context.report.note(f"{self.service} is {running['state']}, broker {self.address}:{self.port}")
        context.remember(
            broker_agent={
                "service": self.service,
                "address": self.address,
                "port": self.port,
                "sha256": self.installer.sha256,
            },
            before_generalize=[{"script": "Set-BrokerAgent", "parameters": self._goal("sealed")}],
        )

    def _goal(self, goal: str) -> dict[str, Any]:
        """Parameters of Set-BrokerAgent."""
        shared = self.model_dump(include={"service", "address", "port", "settings", "listen_port", "records"})
        return shared | {"goal": goal}
