"""OpenStack as our Cloud: keystoneauth for the way in, four services behind one front. The only place that knows clouds.yaml."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from keystoneauth1.adapter import Adapter
from keystoneauth1.exceptions import DiscoveryFailure

from imagebuild.adapters.openstack_api import TIMEOUTS, Service, persist, translate
from imagebuild.adapters.openstack_desktops import Desktops
from imagebuild.adapters.openstack_errors import ServiceMissing
from imagebuild.adapters.openstack_images import Images
from imagebuild.adapters.openstack_networks import Networks
from imagebuild.adapters.openstack_ownership import things_by_owner, uses_by_image
from imagebuild.adapters.openstack_pool_networks import PoolNetworks
from imagebuild.adapters.openstack_pools import PoolSide
from imagebuild.adapters.openstack_sdk import OpenStackConfig
from imagebuild.adapters.openstack_servers import MICROVERSION, Servers
from imagebuild.adapters.openstack_values import read_headroom
from imagebuild.adapters.openstack_volumes import Volumes
from imagebuild.cloud import (
    OWNER_KEY,
    Action,
    Flavor,
    Headroom,
    Image,
    Kind,
    Network,
    Owned,
    SecurityGroup,
    Server,
    ServerRequest,
    Volume,
)
from imagebuild.errors import CloudError
from imagebuild.waiting import Clock, Deadline, SystemClock


class OpenStackCloud(PoolSide):
    """One project of one OpenStack, as imagebuild.cloud.Cloud. Made by connect_cloud."""

    def __init__(
        self,
        name: str,
        project_id: str,
        *,
        servers: Servers,
        images: Images,
        volumes: Volumes,
        networks: Networks,
        desktops: Desktops,
        pool_networks: PoolNetworks,
        verify: bool | str = True,
    ) -> None:
        super().__init__(desktops, pool_networks)
        self._name = name
        self._project_id = project_id
        self._servers = servers
        self._images = images
        self._volumes = volumes
        self._networks = networks
        self._verify = verify

    @property
    def name(self) -> str:
        """The name in clouds.yaml."""
        return self._name

    @property
    def project_id(self) -> str:
        """The project of the token."""
        return self._project_id

    def find_image(self, name_or_id: str) -> Image | None:
        """By id, else the one active image of that name."""
        return self._images.find(name_or_id)

    def images(self, *, properties: Mapping[str, str] | None = None) -> Sequence[Image]:
        """The project's own, hidden ones too."""
        return tuple(self._images.all(properties))

    def borrowed_images(self, *, properties: Mapping[str, str]) -> Sequence[Image]:
        """Not the project's own, hidden ones too."""
        return tuple(self._images.borrowed(properties))

    def find_flavor(self, name: str) -> Flavor | None:
        """By name, then by id."""
        return self._servers.find_flavor(name)

    def find_network(self, name: str) -> Network | None:
        """By name, then by id."""
        return self._networks.find(name)

    def headroom(self, *, volumes: bool = True, network: bool = True) -> Headroom:
        """From three services' quotas at most; what a service does not tell is None."""
        try:
            storage = self._volumes.limits() if volumes else {}
        except ServiceMissing:
            storage = {}
        return read_headroom(self._servers.limits(), storage, self._networks.quota() if network else {})

    def create_security_group(self, name: str, *, owner: str, allow_from: str, ports: Sequence[int]) -> SecurityGroup:
        """Find-or-create by owner and name."""
        return self._networks.create_group(name, owner=owner, allow_from=allow_from, ports=ports)

    def create_volume(self, name: str, *, owner: str, role: str, gib: int, image_id: str | None = None) -> Volume:
        """Find-or-create by owner, role and name."""
        return self._volumes.create(name, owner=owner, role=role, gib=gib, image_id=image_id)

    def volume(self, volume_id: str) -> Volume | None:
        """None when it is gone."""
        return self._volumes.get(volume_id)

    def create_server(self, request: ServerRequest, *, owner: str, role: str) -> Server:
        """Find-or-create by owner, role and name."""
        return self._servers.create(request, owner=owner, role=role)

    def server(self, server_id: str) -> Server | None:
        """None when it is gone."""
        return self._servers.get(server_id)

    def actions(self, server_id: str) -> Sequence[Action]:
        """Oldest first."""
        return self._servers.actions(server_id)

    def console_log(self, server_id: str) -> str:
        """All that Nova keeps (about 100 KiB)."""
        return self._servers.console_log(server_id)

    def stop_server(self, server_id: str) -> None:
        """ACPI first, the plug after Nova's own time-out."""
        self._servers.stop(server_id)

    def start_server(self, server_id: str) -> None:
        """Power on."""
        self._servers.start(server_id)

    def snapshot(self, server_id: str, name: str, *, owner: str, properties: Mapping[str, str]) -> Image:
        """createImage with the owner among the properties."""
        return self._images.snapshot(self._servers, server_id, name=name, owner=owner, properties=properties)

    def image(self, image_id: str) -> Image | None:
        """None when it is gone."""
        return self._images.get(image_id)

    def update_image(
        self,
        image_id: str,
        *,
        properties: Mapping[str, str | None] | None = None,
        name: str | None = None,
        visibility: str | None = None,
        protected: bool | None = None,
        min_disk: int | None = None,
        min_ram: int | None = None,
        hidden: bool | None = None,
    ) -> Image:
        """One JSON patch, so that others see all of the change or nothing."""
        members: dict[str, str | int | bool | None] = {
            "name": name,
            "visibility": visibility,
            "protected": protected,
            "min_disk": min_disk,
            "min_ram": min_ram,
            "os_hidden": hidden,
        }
        named = {key: value for key, value in members.items() if value is not None}
        return self._images.update(image_id, {**(properties or {}), **named})

    def reserve_image(self, image_id: str, name: str, *, properties: Mapping[str, str]) -> Image | None:
        """An empty, hidden record under that id; None when the id is taken."""
        return self._images.reserve(image_id, name, properties=properties)

    def set_image_active(self, image_id: str, *, active: bool) -> Image:
        """Glance's deactivate and reactivate."""
        return self._images.set_active(image_id, active=active)

    def image_uses(self) -> Mapping[str, Sequence[str]]:
        """From two listings; a server that runs from a volume is told by that volume."""
        return uses_by_image(self._servers.all(), self._all_volumes())

    def console_picture(self, server_id: str, *, deadline: Deadline) -> bytes | None:
        """Over Nova's noVNC proxy, as a browser would."""
        address = self._servers.console_address(server_id)
        if address is None:
            return None
        from imagebuild.adapters.vnc_console import (
            look_at_console,
        )  # here: websockets take time to load, and few builds fail

        return look_at_console(address, verify=self._verify, deadline=deadline).png()

    def _all_volumes(self) -> Sequence[Volume]:
        """None in a cloud without block storage."""
        try:
            return tuple(self._volumes.all())
        except ServiceMissing:
            return ()

    def owned(self, owner: str | None = None) -> Mapping[str, Owned]:
        """From four listings."""
        return things_by_owner(
            self._servers.all(),
            self._all_volumes(),
            self._networks.groups(),
            self._images.all({OWNER_KEY: owner} if owner else None),
            owner=owner,
        )

    def begin_delete(self, server_id: str) -> None:
        """Nova's DELETE without the wait."""
        self._servers.begin_delete(server_id)

    def delete(self, kind: Kind, thing_id: str, *, deadline: Deadline) -> None:
        """Delete one thing and wait until it is gone."""
        delete: Callable[..., None] = {
            "server": self._servers.delete,
            "volume": self._volumes.delete,
            "security_group": self._networks.delete_group,
            "image": self._images.delete,
            "port": self._pool_networks.delete_port,
        }[kind]
        delete(thing_id, deadline=deadline)


def connect_cloud(
    name: str, *, config_files: Sequence[Path] | None = None, clock: Clock | None = None
) -> OpenStackCloud:
    """The cloud of that name in clouds.yaml (in these files only, when some are given), logged in.

    Raises CloudError for an unknown name or an unusable entry, CloudRefused for wrong credentials, CloudUnreachable.
    """
    clock = clock or SystemClock()
    for library in ("keystoneauth", "openstack"):  # without a handler Python prints their warnings between our lines
        logging.getLogger(library).addHandler(logging.NullHandler())
    doing = f"use the cloud '{name}'"
    files = None if config_files is None else [str(path) for path in config_files]
    # The environment may name another file (OS_CLIENT_CONFIG_FILE), which the SDK reads before those that we name.
    read = OpenStackConfig(config_files=files, load_envvars=files is None, app_name="imagebuild").get_one
    config = translate(lambda: read(name), doing, service="identity")
    session = translate(config.get_session, doing, service="identity")
    session.timeout = session.timeout or TIMEOUTS  # for tokens and discovery; requests takes the pair as it is
    log_in = partial(translate, session.get_project_id, doing, service="identity")
    project_id = persist(log_in, f"a token of the cloud '{name}'", clock=clock)
    if not project_id:
        raise CloudError(f"the token of the cloud '{name}' has no project", hint="set project_name in clouds.yaml")

    def service(kind: str, *, microversion: str | None = None, **versions: Any) -> Service:
        return Service(
            kind, lambda: _adapter(config, session, kind, **versions), clock=clock, microversion=microversion
        )

    nova = service("compute", microversion=MICROVERSION, version=(2,))
    neutron = service("network", version=(2,))
    servers = Servers(nova, clock=clock)
    networks = Networks(neutron, project_id=project_id, clock=clock)
    return OpenStackCloud(
        name,
        project_id,
        servers=servers,
        images=Images(service("image", version=(2,)), project_id=project_id, clock=clock),
        volumes=Volumes(service("block-storage", version=(3,)), clock=clock),
        networks=networks,
        desktops=Desktops(nova, servers, clock=clock),
        pool_networks=PoolNetworks(neutron, networks, project_id=project_id, clock=clock),
        verify=config.get_requests_verify_args()[0],
    )


def _adapter(config: Any, session: Any, kind: str, **versions: Any) -> Any:
    """keystoneauth's adapter for a service; what discovery finds out is kept in the session.

    Where discovery fails keystoneauth goes on with the catalogue's address as it is. Glance answers there, too: with its
    list of versions, in which a listing of images looks empty. So an address without a version is no address.
    """
    place = {
        "service_type": config.get_service_type(kind),
        "service_name": config.get_service_name(kind),
        "interface": config.get_interface(kind),
        "region_name": config.get_region_name(kind),
        **versions,
    }
    adapter = Adapter(session=session, endpoint_override=config.get_endpoint(kind), **place)
    # Where the catalogue's address tells the version, as Nova's and Cinder's do, nobody need be asked for it.
    endpoint = None if adapter.endpoint_override else session.get_endpoint_data(discover_versions=False, **place)
    if endpoint is not None and endpoint.api_version is None:
        endpoint = adapter.get_endpoint_data()
    if endpoint is not None and endpoint.api_version is None:
        setting = f"{kind.replace('-', '_')}_endpoint_override"
        raise DiscoveryFailure(
            f"{endpoint.url} does not tell the {kind} service's version; {setting} in clouds.yaml can"
        )
    return adapter
