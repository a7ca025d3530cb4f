"""Where the project is, and the ways out of it: to a cloud, to a guest. The only place that chooses adapters."""

import os
from dataclasses import dataclass
from pathlib import Path

import imagebuild.steps  # noqa: F401  importing registers every step
from imagebuild.adapters.cloud_names import configured_clouds
from imagebuild.adapters.local_address import address_towards
from imagebuild.adapters.openstack_cloud import connect_cloud
from imagebuild.adapters.terminal import find_terminal
from imagebuild.attendant import Terminal
from imagebuild.cloud import Cloud
from imagebuild.errors import LabError, RecipeError
from imagebuild.guest import Guest
from imagebuild.lab.layout import ADMIN_CLOUD, CLOUD, find_layout
from imagebuild.report import Report
from imagebuild.secrets import Secret
from imagebuild.step import Connect

LAB_CLOUDS = (CLOUD, ADMIN_CLOUD)


@dataclass(frozen=True)
class Settings:
    """Where the project is, and which cloud."""

    project: Path
    cloud: str | None = None

    @property
    def recipes(self) -> Path:
        """The folder of recipes."""
        return self.project / "recipes"

    @property
    def pools(self) -> Path:
        """The folder of pool files."""
        return self.recipes / "pools"

    @property
    def templates(self) -> Path:
        """The folder of answer files."""
        return self.project / "unattend"

    @property
    def builds(self) -> Path:
        """Where builds keep their journals and logs."""
        return self.project / ".imagebuild" / "builds"

    def open_cloud(self, report: Report) -> Cloud:
        """The cloud that was named, the only one that is configured, or the lab, brought up when it is not there."""
        name = self._cloud_name()
        if name in LAB_CLOUDS:
            from imagebuild.lab import lifecycle  # here: who has a cloud never needs what makes one

            return connect_cloud(name, config_files=[lifecycle.up(report).clouds_yaml])
        return connect_cloud(name)

    def open_cloud_as_it_is(self) -> Cloud:
        """The same cloud for who only wants to look: a lab that is down stays down. Raises LabError when there is none."""
        name = self._cloud_name()
        if name not in LAB_CLOUDS:
            return connect_cloud(name)
        clouds_yaml = find_layout().clouds_yaml
        if not clouds_yaml.exists():
            raise LabError(
                "no cloud is configured, and there is no lab", hint="name a cloud: --cloud NAME, or OS_CLOUD"
            )
        return connect_cloud(name, config_files=[clouds_yaml])

    def _cloud_name(self) -> str:
        """The name that was given, or the only one that is configured, or the lab's."""
        if name := self.cloud or os.environ.get("OS_CLOUD"):
            return name
        names = [one for one in configured_clouds() if one not in LAB_CLOUDS]
        if len(names) > 1:
            raise RecipeError(
                f"clouds.yaml has {', '.join(names)}: which one?",
                hint="say it: --cloud NAME, or export OS_CLOUD=NAME",
            )
        return names[0] if names else CLOUD

    def connector(self, *, user: str, trust_any_certificate: bool) -> Connect:
        """How a guest is connected, once its address, password and certificate are known."""

        def connect(address: str, password: Secret, certificate: str | None) -> Guest:
            from imagebuild.adapters.winrm_guest import connect_guest  # here: WinRM takes 0.15 s to load

            return connect_guest(
                address,
                user=user,
                password=password,
                certificate_sha256=certificate,
                insecure=trust_any_certificate,
            )

        return connect

    def terminal(self) -> Terminal | None:
        """The person at the terminal, None when nobody is there to be asked."""
        return find_terminal()

    def address_towards(self, cidr: str) -> str:
        """The address (as /32) that this machine has towards a network: from where WinRM is let in."""
        return address_towards(cidr)
