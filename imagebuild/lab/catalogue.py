"""What a new lab offers: network, flavors, zones, volume type. All of it is find-or-create, so a killed run is just repeated."""

from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openstack.config
import openstack.connection
from openstack import exceptions

from imagebuild.errors import LabError
from imagebuild.lab import layout
from imagebuild.lab.layout import FAKE_ZONE, HOST, NETWORK, PROJECT, SUBNET, ZONE, Layout, digest_files

SEEDED = "seeded"
FAKES = "fake-hosts"
VOLUME_TYPE = "file"
FAKE_QUOTA = {"instances": 1000, "cores": 4000, "ram": 8_000_000}
"""Quota of the ordinary project while there are fake hosts: they are there for many servers."""

NAME_SERVERS = [layout.GATEWAY]
"""What a site's network tells its desktops: the domain controller. This machine stands for it, and nobody answers there."""

FLAVORS = (
    # name, vCPUs, MB of memory, GB of disk
    ("2cpu_2GB_40GB", 2, 2048, 40),
    ("1cpu_256MB_4GB", 1, 256, 4),
    ("1cpu_512MB_8GB", 1, 512, 8),
    ("1cpu_1GB_20GB", 1, 1024, 20),
)


def connect(place: Layout, cloud: str) -> Any:
    """A connection of openstacksdk to one of the lab's two clouds; files and variables of the user play no part."""
    config = openstack.config.OpenStackConfig(config_files=[str(place.clouds_yaml)], load_envvars=False)
    return openstack.connection.Connection(config=config.get_one(cloud=cloud))


@contextmanager
def translated(what: str) -> Any:
    """openstacksdk's errors become LabError."""
    try:
        yield
    except exceptions.SDKException as error:
        raise LabError(
            f"{what} failed: {error}", hint="run the command again; invoke lab.reset makes a new lab"
        ) from error


def is_seeded(place: Layout) -> bool:
    """Whether this state has all that is offered today."""
    path = place.state / SEEDED
    return path.exists() and path.read_text(encoding="ascii") == _digest()


def _digest() -> str:
    return digest_files([Path(__file__)])


def seed(place: Layout, cloud: Any) -> None:
    """Bring a state to what the lab offers."""
    with translated("filling the lab's catalogue"):
        _make_zone(cloud, ZONE, [HOST])
        _make_network(cloud)
        for name, vcpus, ram, disk in FLAVORS:
            if not cloud.compute.find_flavor(name):
                cloud.compute.create_flavor(name=name, vcpus=vcpus, ram=ram, disk=disk)
        if not cloud.block_storage.find_type(VOLUME_TYPE):
            extra = {"volume_backend_name": VOLUME_TYPE}
            cloud.block_storage.create_type(name=VOLUME_TYPE, extra_specs=extra, is_public=True)
    (place.state / SEEDED).write_text(_digest(), encoding="ascii")


def _make_network(cloud: Any) -> None:
    network = cloud.network.find_network(NETWORK)
    if not network:
        network = cloud.network.create_network(name=NETWORK, is_shared=True)
    subnet = cloud.network.find_subnet(f"{NETWORK}-v4")
    if not subnet:
        cloud.network.create_subnet(
            network_id=network.id,
            name=f"{NETWORK}-v4",
            cidr=SUBNET,
            ip_version=4,
            gateway_ip=layout.GATEWAY,
            allocation_pools=[{"start": layout.FIRST_ADDRESS, "end": layout.LAST_ADDRESS}],
            dns_nameservers=NAME_SERVERS,
        )
    elif subnet.dns_nameservers != NAME_SERVERS:
        cloud.network.update_subnet(subnet, dns_nameservers=NAME_SERVERS)


def _make_zone(cloud: Any, zone: str, hosts: Iterable[str]) -> None:
    """An aggregate that is an availability zone: the one way to keep servers off hosts that nobody asked for."""
    found = [a for a in cloud.compute.aggregates() if a.name == zone]
    aggregate = found[0] if found else cloud.compute.create_aggregate(name=zone, availability_zone=zone)
    for host in set(hosts) - set(aggregate.hosts or []):
        cloud.compute.add_host_to_aggregate(aggregate, host)


def fit_fakes(cloud: Any, count: int) -> None:
    """Put the fake hosts into their zone, forget those that are gone, and set the ordinary project's quota to what goes with them."""
    wanted = {f"fake{number}" for number in range(1, count + 1)}
    with translated("fitting the lab to its fake hosts"):
        project = cloud.identity.find_project(PROJECT, ignore_missing=False)
        if count:
            _make_zone(cloud, FAKE_ZONE, wanted)
            cloud.compute.update_quota_set(project.id, **FAKE_QUOTA)
        else:
            cloud.compute.revert_quota_set(project.id)
        _forget_hosts(cloud, FAKE_ZONE, wanted)


def _forget_hosts(cloud: Any, zone: str, wanted: set[str]) -> None:
    """Take hosts out of the zone and of Nova. One that still has servers stays, as a host that is down."""
    for aggregate in [a for a in cloud.compute.aggregates() if a.name == zone]:
        for host in set(aggregate.hosts or []) - wanted:
            try:
                cloud.compute.remove_host_from_aggregate(aggregate, host)
                for service in cloud.compute.services(host=host, binary="nova-compute"):
                    cloud.compute.delete_service(service)
            except exceptions.ConflictException:
                continue


def read_fakes(place: Layout) -> int:
    """The number of fake hosts that this state was last fitted to."""
    try:
        return int((place.state / FAKES).read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0


def write_fakes(place: Layout, count: int) -> None:
    """Remember it."""
    (place.state / FAKES).write_text(str(count), encoding="ascii")
