"""The lab, seen directly and through bad weather."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from imagebuild.adapters.openstack_cloud import OpenStackCloud, connect_cloud
from imagebuild.cleaning import leftovers, remove
from imagebuild.cloud import ServerRequest
from imagebuild.lab import lifecycle
from imagebuild.lab.layout import PORTS
from imagebuild.report import ConsoleReport, SilentReport
from imagebuild.waiting import Deadline, wait_for
from tests.faults.proxy import WEATHER_CLOUD, Weather, bad_weather

SERVICES = {
    "identity": PORTS["keystone"],
    "compute": PORTS["nova"],
    "image": PORTS["glance"],
    "network": PORTS["neutron"],
    "volume": PORTS["cinder"],
}


@dataclass(frozen=True)
class Site:
    """The lab as the tool's ordinary user; `owner` marks all that the tests make."""

    lab: lifecycle.LabCloud
    cloud: OpenStackCloud
    request: ServerRequest
    owner: str
    folder: Path

    @contextmanager
    def clouds_yaml(self, weather: Weather) -> Iterator[Path]:
        """A clouds.yaml whose cloud WEATHER_CLOUD is the lab behind that weather."""
        with bad_weather(weather, SERVICES, self.lab.clouds_yaml, self.lab.name) as content:
            path = self.folder / f"clouds-{uuid4().hex[:8]}.yaml"
            path.write_text(yaml.safe_dump(content))
            yield path

    @contextmanager
    def through(self, weather: Weather) -> Iterator[OpenStackCloud]:
        """The lab behind that weather."""
        with self.clouds_yaml(weather) as path:
            yield connect_cloud(WEATHER_CLOUD, config_files=[path])

    def wait(self, probe: Callable[[], bool], what: str) -> None:
        """Until the probe is true."""
        wait_for(lambda: probe() or None, what, deadline=Deadline.after(120), every=0.25)

    def sweep(self, owner: str) -> None:
        """Delete all that carries that owner."""
        remove(self.cloud, leftovers(self.cloud, owner), report=SilentReport(), deadline=Deadline.after(300))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The lab, brought up when it is not there."""
    lab = lifecycle.up(ConsoleReport())
    cloud = connect_cloud(lab.name, config_files=[lab.clouds_yaml])
    image, flavor, network = (
        cloud.find_image("win7-sp1-x64"), cloud.find_flavor("1cpu_256MB_4GB"), cloud.find_network("vdi-network")
    )  # fmt: skip
    assert image and flavor and network
    request = ServerRequest("faults", image.id, flavor.id, network.id, root_bus="ide")
    return Site(lab, cloud, request, f"faults-{uuid4().hex[:8]}", tmp_path_factory.mktemp("faults"))
