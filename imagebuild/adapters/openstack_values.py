"""From the JSON that OpenStack speaks to our values, and from our requests to its JSON. Pure functions, no calls."""

import base64
import re
from collections.abc import Mapping
from typing import Any

from imagebuild.cloud import (
    OWNER_KEY,
    Action,
    Disk,
    Flavor,
    Headroom,
    Image,
    SecurityGroup,
    Server,
    ServerGroup,
    ServerRequest,
    Volume,
)

Json = Mapping[str, Any]

# Everything else in Glance's flat image object is a property that somebody set.
# fmt: off
_IMAGE_FIELDS = frozenset({
    "id", "name", "status", "visibility", "protected", "disk_format", "container_format", "size", "virtual_size",
    "min_disk", "min_ram", "os_hidden", "created_at", "updated_at", "checksum", "os_hash_algo", "os_hash_value", "owner",
    "tags", "self", "file", "schema", "locations", "direct_url", "stores", "members",
})
# fmt: on
_OWNER_IN_DESCRIPTION = re.compile(rf"^{OWNER_KEY}=(\S+)")


def read_image(item: Json) -> Image:
    """A Glance image; properties are strings, those that Glance leaves null are left out."""
    return Image(
        id=item["id"],
        name=item.get("name") or "",
        status=item["status"],
        visibility=item.get("visibility") or "private",
        protected=bool(item.get("protected")),
        disk_format=item.get("disk_format"),
        container_format=item.get("container_format"),
        size=item.get("size"),
        min_disk=int(item.get("min_disk") or 0),
        min_ram=int(item.get("min_ram") or 0),
        hidden=bool(item.get("os_hidden")),
        created_at=item.get("created_at") or "",
        checksum=item.get("checksum"),
        os_hash=f"{item['os_hash_algo']}:{item['os_hash_value']}" if item.get("os_hash_value") else None,
        properties={key: str(value) for key, value in item.items() if key not in _IMAGE_FIELDS and value is not None},
    )


def read_flavor(item: Json) -> Flavor:
    """A Nova flavor."""
    return Flavor(id=item["id"], name=item["name"], vcpus=item["vcpus"], ram_mib=item["ram"], disk_gib=item["disk"])


def read_server(item: Json) -> Server:
    """A Nova server; fixed addresses come before floating ones, IPv4 before IPv6."""
    ports = [port for ports in (item.get("addresses") or {}).values() for port in ports]
    flavor = item.get("flavor") or {}
    ports.sort(key=lambda port: (port.get("OS-EXT-IPS:type") == "floating", port.get("version", 4)))
    return Server(
        id=item["id"],
        name=item.get("name") or "",
        status=item["status"],
        task_state=item.get("OS-EXT-STS:task_state"),
        power_state=item.get("OS-EXT-STS:power_state"),
        addresses=tuple(port["addr"] for port in ports),
        cards=len({port.get("OS-EXT-IPS-MAC:mac_addr") for port in ports}),
        fault=(item.get("fault") or {}).get("message"),
        metadata=dict(item.get("metadata") or {}),
        created_at=item.get("created") or "",
        image_id=(item.get("image") or {}).get("id"),  # "" for a server that runs from a volume
        tags=tuple(item.get("tags") or ()),
        locked=bool(item.get("locked")),
        locked_reason=item.get("locked_reason"),
        launched_at=item.get("OS-SRV-USG:launched_at") or "",
        updated_at=item.get("updated") or "",
        flavor=flavor.get("original_name") or "",
        flavor_specs=dict(flavor.get("extra_specs") or {}),
        volume_ids=tuple(each["id"] for each in item.get("os-extended-volumes:volumes_attached") or ()),
        key_name=item.get("key_name") or "",
        floating=tuple(port["addr"] for port in ports if port.get("OS-EXT-IPS:type") == "floating"),
        security_groups=tuple(sorted({each["name"] for each in item.get("security_groups") or ()})),
        group_id=next(iter(item.get("server_groups") or ()), None),
    )


def read_server_group(item: Json) -> ServerGroup:
    """A Nova server group; its one policy stands in a list before microversion 2.64."""
    policies = item.get("policies") or [""]
    return ServerGroup(
        id=item["id"],
        name=item.get("name") or "",
        policy=item.get("policy") or policies[0],
        members=tuple(item.get("members") or ()),
    )


def read_volume(item: Json) -> Volume:
    """A Cinder volume."""
    return Volume(
        id=item["id"],
        name=item.get("name") or "",
        status=item["status"],
        gib=int(item["size"]),
        metadata=dict(item.get("metadata") or {}),
        created_at=item.get("created_at") or "",
        image_id=(item.get("volume_image_metadata") or {}).get("image_id"),
    )


def read_security_group(item: Json) -> SecurityGroup:
    """A Neutron security group."""
    return SecurityGroup(id=item["id"], name=item["name"], description=item.get("description") or "")


def read_action(item: Json) -> Action:
    """One entry of a server's os-instance-actions."""
    return Action(name=item["action"], begun_at=item["start_time"], user_id=item.get("user_id"))


def read_headroom(compute: Json, storage: Json, network: Json) -> Headroom:
    """What is left, from Nova's and Cinder's absolute limits and Neutron's quota details; an empty mapping = not told."""
    groups, ports = (_details(network, what) for what in ("security_group", "port"))
    return Headroom(
        instances=_left(compute.get("maxTotalInstances"), compute.get("totalInstancesUsed")),
        cores=_left(compute.get("maxTotalCores"), compute.get("totalCoresUsed")),
        ram_mib=_left(compute.get("maxTotalRAMSize"), compute.get("totalRAMUsed")),
        volumes=_left(storage.get("maxTotalVolumes"), storage.get("totalVolumesUsed")),
        gigabytes=_left(storage.get("maxTotalVolumeGigabytes"), storage.get("totalGigabytesUsed")),
        security_groups=_left(*groups),
        ports=_left(*ports),
        group_members=_left(compute.get("maxServerGroupMembers")),
    )


def _details(network: Json, what: str) -> tuple[Any, ...]:
    told = network.get(what)
    return tuple(told.get(key) for key in ("limit", "used", "reserved")) if isinstance(told, Mapping) else (None,)


def _left(limit: Any, *taken: Any) -> int | None:
    if not isinstance(limit, int) or limit < 0:  # -1 is "no limit" in all three services
        return None
    return max(0, limit - sum(int(part or 0) for part in taken))


def describe_owner(owner: str) -> str:
    """A security group's description that says whose it is; groups have no metadata."""
    return f"{OWNER_KEY}={owner} (made by imagebuild for one build, removed with it)"


def read_owner(description: str) -> str | None:
    """The owner in a security group's description, None when it is not one of ours."""
    found = _OWNER_IN_DESCRIPTION.match(description)
    return found.group(1) if found else None


def write_server(request: ServerRequest, *, marks: Mapping[str, str]) -> dict[str, Any]:
    """The body of `POST /servers`; `marks` come into the metadata, whatever the request has under their keys.

    The image is named twice, as imageRef and as the root's block device: Nova answers 400 "Mapping image to local is not
    supported" without the first, and only the second can carry a disk bus.
    """
    root: dict[str, Any] = {
        "boot_index": 0,
        "uuid": request.image_id,
        "source_type": "image",
        "destination_type": "local",
        "delete_on_termination": True,
    }
    if request.root_bus:
        root["disk_bus"] = request.root_bus
    if request.root_gib is not None:
        root |= {"destination_type": "volume", "volume_size": request.root_gib}
    server: dict[str, Any] = {
        "name": request.name,
        "imageRef": request.image_id if request.root_gib is None else "",  # "" = the root is a volume
        "flavorRef": request.flavor_id,
        "networks": [{"port": request.port_id} if request.port_id else {"uuid": request.network_id}],
        "config_drive": True,
        "metadata": {**request.metadata, **marks},
        "block_device_mapping_v2": [root, *(_write_disk(disk) for disk in request.disks)],
    }
    if request.tags:
        server["tags"] = list(request.tags)
    if request.security_groups and not request.port_id:
        server["security_groups"] = [
            {"name": group} for group in request.security_groups
        ]  # Neutron takes ids here, too
    if request.user_data is not None:
        server["user_data"] = base64.b64encode(request.user_data.encode()).decode("ascii")
    if request.admin_password is not None:
        server["adminPass"] = request.admin_password.reveal()
    if request.availability_zone:
        server["availability_zone"] = request.availability_zone
    hints = {"os:scheduler_hints": {"group": request.group_id}} if request.group_id else {}
    return {"server": server, **hints}


def _write_disk(disk: Disk) -> dict[str, Any]:
    device: dict[str, Any] = {
        "boot_index": -1,
        "destination_type": "volume",
        "disk_bus": disk.bus,
        "device_type": "cdrom" if disk.cdrom else "disk",
        "delete_on_termination": True,
    }
    if disk.volume_id is not None:
        return {**device, "source_type": "volume", "uuid": disk.volume_id}
    return {**device, "source_type": "blank", "volume_size": disk.gib}


def write_image_patch(current: Json, wanted: Mapping[str, str | int | bool | None]) -> list[dict[str, Any]]:
    """JSON patch operations that bring `current` (a Glance image) to `wanted`; None removes.

    Only "add", which Glance takes for existing members, too: its "replace" of a missing one, and "remove" of a missing
    one, are 409.
    """
    patch: list[dict[str, Any]] = []
    for key, value in wanted.items():
        path = "/" + key.replace("~", "~0").replace("/", "~1")
        if value is None:
            if current.get(key) is not None:
                patch.append({"op": "remove", "path": path})
        elif current.get(key) != value:
            patch.append({"op": "add", "path": path, "value": value})
    return patch
