"""The calls of the cloud that are tried in bad weather, each with the request of it that is to meet it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid4, uuid5

from imagebuild.adapters.openstack_cloud import OpenStackCloud
from imagebuild.cloud import OWNER_KEY, Image, Server
from imagebuild.waiting import Deadline
from tests.faults.conftest import Site
from tests.faults.proxy import Fault


@dataclass(frozen=True)
class Standing:
    """What stands while calls are tried: the site, a stopped server and an image record."""

    site: Site
    server: Server
    image: Image
    owner: str

    @property
    def mine(self) -> dict[str, str]:
        """The properties of our image."""
        return {OWNER_KEY: self.owner}


class Call(NamedTuple):
    """A call, and the request of it that meets the weather."""

    method: str
    place: str
    run: Callable[[Standing, OpenStackCloud, str], object]


def make_group(there: Standing, cloud: OpenStackCloud, owner: str) -> object:
    """A group with two rules."""
    return cloud.create_security_group("faults", owner=owner, allow_from="172.16.100.1/32", ports=[5985, 5986])


def make_volume(there: Standing, cloud: OpenStackCloud, owner: str) -> object:
    """A blank volume."""
    return cloud.create_volume("faults", owner=owner, role="data", gib=1)


def make_record(there: Standing, cloud: OpenStackCloud, owner: str) -> object:
    """A claim; the id follows from the owner, so that a second try is the same claim."""
    return cloud.reserve_image(str(uuid5(NAMESPACE_URL, owner)), "faults", properties={OWNER_KEY: owner})


def make_server(there: Standing, cloud: OpenStackCloud, owner: str) -> object:
    """A server, whatever becomes of it."""
    return cloud.create_server(there.site.request, owner=owner, role="builder")


def make_image(there: Standing, cloud: OpenStackCloud, owner: str) -> object:
    """An image of the stopped server."""
    return cloud.snapshot(there.server.id, f"{owner}-image", owner=owner, properties={})


def change_image(there: Standing, cloud: OpenStackCloud, owner: str) -> object:
    """A property that stands afterwards. Of a record of its own: of two changes of one image at once Glance may drop one."""
    record = there.site.cloud.reserve_image(str(uuid4()), "faults", properties={**there.mine, "old": "yes"})
    assert record
    cloud.update_image(record.id, properties={"new": "yes"}, min_ram=1)
    changed = there.site.cloud.image(record.id)
    return changed is not None and changed.min_ram == 1 and {"old", "new"} <= changed.properties.keys()


def delete_record(there: Standing, cloud: OpenStackCloud, owner: str) -> object:
    """A record that is gone afterwards."""
    image_id = str(uuid4())
    assert there.site.cloud.reserve_image(image_id, "faults", properties={OWNER_KEY: owner})
    cloud.delete("image", image_id, deadline=Deadline.after(60))
    return there.site.cloud.image(image_id) is None


def delete_group(there: Standing, cloud: OpenStackCloud, owner: str) -> object:
    """A group that is gone afterwards."""
    group = there.site.cloud.create_security_group("faults", owner=owner, allow_from="172.16.100.1/32", ports=[])
    cloud.delete("security_group", group.id, deadline=Deadline.after(60))
    return there.site.cloud.owned(owner) == {}


CREATES: Mapping[str, Call] = {
    "create_security_group": Call("POST", r"network/v2\.0/security-groups$", make_group),
    "its rules": Call("POST", r"network/v2\.0/security-group-rules$", make_group),
    "create_volume": Call("POST", r"volume/v3/\w+/volumes$", make_volume),
    "reserve_image": Call("POST", r"image/v2/images$", make_record),
}
CREATES_IN_TURN: Mapping[str, Call] = {  # few machines at once, in a lab with two cores, and of one only one image
    "create_server": Call("POST", r"compute/v2\.1/servers$", make_server),
    "snapshot": Call("POST", r"compute/v2\.1/servers/[^/]+/action$", make_image),
}
CHAINS = (
    [("create_server", fault) for fault in (Fault.LOST, Fault.RESET)],
    [("create_server", fault) for fault in (Fault.GATEWAY, Fault.CUT)],
    [("snapshot", fault) for fault in (Fault.LOST, Fault.ERROR)],
)
READS: Mapping[str, Call] = {
    "find_image": Call("GET", r"image/v2/images", lambda there, cloud, _: cloud.find_image("win7-sp1-x64")),
    "images": Call(
        "GET",
        r"image/v2/images$",
        lambda there, cloud, _: there.image.id in [i.id for i in cloud.images(properties=there.mine)],
    ),
    "image": Call("GET", r"image/v2/images/", lambda there, cloud, _: cloud.image(there.server.image_id or "")),
    "find_flavor": Call("GET", r"flavors/detail$", lambda there, cloud, _: cloud.find_flavor("1cpu_256MB_4GB")),
    "find_network": Call("GET", r"v2\.0/networks$", lambda there, cloud, _: cloud.find_network("vdi-network")),
    "headroom": Call("GET", r"/limits$", lambda there, cloud, _: cloud.headroom().gigabytes is not None),
    "server": Call("GET", r"compute/v2\.1/servers/", lambda there, cloud, _: cloud.server(there.server.id)),
    "actions": Call("GET", r"/os-instance-actions$", lambda there, cloud, _: cloud.actions(there.server.id)),
    "console_log": Call("POST", r"/action$", lambda there, cloud, _: cloud.console_log(there.server.id)),
    "owned": Call("GET", r"/volumes/detail$", lambda there, cloud, _: cloud.owned(there.owner)[there.owner].servers),
    "image_uses": Call("GET", r"servers/detail$", lambda there, cloud, _: there.server.image_id in cloud.image_uses()),
}
DISCOVERIES: Mapping[str, Call] = {
    "discovery of images": Call("GET", r"image/$", READS["find_image"].run),
    "discovery of networks": Call("GET", r"network/$", READS["find_network"].run),
    "the identity service": Call("GET", r"identity/v3$", READS["find_image"].run),
    "a token": Call("POST", r"identity/v3/auth/tokens$", READS["find_image"].run),
}
CHANGES: Mapping[str, Call] = {
    "update_image": Call("PATCH", r"image/v2/images/", change_image),
    "delete an image": Call("DELETE", r"image/v2/images/", delete_record),
    "delete a group": Call("DELETE", r"network/v2\.0/security-groups/", delete_group),
}
CALLS = {**CREATES, **CREATES_IN_TURN, **READS, **DISCOVERIES, **CHANGES}
