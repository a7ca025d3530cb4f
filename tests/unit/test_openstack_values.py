"""OpenStack's JSON to values and back."""

import base64
from dataclasses import replace

from imagebuild.adapters.openstack_values import (
    describe_owner,
    read_headroom,
    read_image,
    read_owner,
    read_server,
    write_image_patch,
    write_server,
)
from imagebuild.cloud import Disk, ServerRequest
from imagebuild.secrets import Secret

MARKS = {"imagebuild_owner": "o", "imagebuild_role": "r"}
REQUEST = ServerRequest(name="b", image_id="i", flavor_id="f", network_id="n")


def test_image_properties_are_what_is_not_glances_own() -> None:
    item = {
        "id": "1", "name": "win7", "status": "active", "visibility": "private", "protected": True, "size": 5, "min_disk": 40,
        "min_ram": 0, "os_hidden": False, "checksum": "c", "owner": "p", "tags": [], "self": "/v2/images/1", "file": "/f",
        "schema": "/s", "stores": "a", "hw_disk_bus": "virtio", "imagebuild_version": 3, "empty": None,
        "disk_format": "qcow2", "container_format": "bare", "created_at": "2026", "updated_at": "2026",
        "virtual_size": 7, "os_hash_algo": "sha512", "os_hash_value": "h",
    }  # fmt: skip
    image = read_image(item)
    assert image.properties == {"hw_disk_bus": "virtio", "imagebuild_version": "3"}
    assert (image.protected, image.min_disk, image.size) == (True, 40, 5)
    assert (image.fingerprint, image.has_data("c"), image.has_data("sha512:x")) == ("sha512:h", True, False)
    assert read_image({**item, "os_hash_algo": None, "os_hash_value": None}).fingerprint == "c"


def test_a_snapshot_that_is_not_uploaded_yet_has_no_name_of_a_format() -> None:
    image = read_image({"id": "1", "name": None, "status": "queued", "min_disk": None, "size": None})
    assert (image.name, image.size, image.disk_format, image.min_disk) == ("", None, None, 0)


def test_fixed_ipv4_comes_first() -> None:
    addresses = {
        "vdi": [
            {"addr": "192.0.2.9", "version": 4, "OS-EXT-IPS:type": "floating"},
            {"addr": "fd00::5", "version": 6, "OS-EXT-IPS:type": "fixed"},
            {"addr": "10.0.0.5", "version": 4, "OS-EXT-IPS:type": "fixed"},
        ]
    }
    server = read_server({"id": "1", "name": "b", "status": "ACTIVE", "addresses": addresses})
    assert server.addresses == ("10.0.0.5", "fd00::5", "192.0.2.9")


def test_cards_are_counted_by_their_hardware_addresses() -> None:
    def port(address: str, mac: str) -> dict[str, object]:
        return {"addr": address, "version": 4, "OS-EXT-IPS-MAC:mac_addr": mac}

    one = {"vdi": [port("10.0.0.5", "fa:16:3e:00:00:01"), port("192.0.2.9", "fa:16:3e:00:00:01")]}
    two = {**one, "data": [port("10.1.0.5", "fa:16:3e:00:00:02")]}
    assert [read_server({"id": "1", "status": "ACTIVE", "addresses": each}).cards for each in (one, two)] == [1, 2]


def test_what_a_server_was_given_beyond_its_image_is_told() -> None:
    groups = [{"name": "vdi-desktop"}, {"name": "lab"}, {"name": "lab"}]  # of two ports
    addresses = {"vdi": [{"addr": "192.0.2.9", "OS-EXT-IPS:type": "floating"}, {"addr": "10.0.0.5"}]}
    item = {"id": "1", "status": "ACTIVE", "key_name": "kim", "security_groups": groups, "addresses": addresses}
    server = read_server(item)
    assert (server.key_name, server.floating, server.security_groups) == ("kim", ("192.0.2.9",), ("lab", "vdi-desktop"))
    bare = read_server({"id": "1", "status": "ERROR", "key_name": None})  # Nova names no groups where there are none
    assert (bare.key_name, bare.floating, bare.security_groups) == ("", (), ())


def test_a_server_in_error_tells_its_fault() -> None:
    server = read_server({"id": "1", "status": "ERROR", "fault": {"message": "No valid host was found.", "code": 500}})
    assert server.fault == "No valid host was found."


def test_headroom_counts_and_minus_one_is_no_limit() -> None:
    compute = {"maxTotalInstances": 10, "totalInstancesUsed": 4, "maxTotalCores": -1, "totalCoresUsed": 8}
    network = {"security_group": {"limit": 10, "used": 2, "reserved": 1}, "port": {"limit": 500, "used": 480}}
    headroom = read_headroom(compute, {}, network)
    assert (headroom.instances, headroom.cores, headroom.ram_mib) == (6, None, None)
    assert (headroom.volumes, headroom.security_groups, headroom.ports) == (None, 7, 20)
    assert headroom.group_members is None
    assert read_headroom({}, {}, {"port": {"limit": -1, "used": 3, "reserved": 0}}).ports is None
    assert read_headroom({"maxServerGroupMembers": 10}, {}, {}).group_members == 10


def test_headroom_is_never_negative() -> None:
    assert read_headroom({"maxTotalInstances": 1, "totalInstancesUsed": 3}, {}, {}).instances == 0


def test_the_owner_survives_a_security_groups_description() -> None:
    assert read_owner(describe_owner("win7-20260101-abcd")) == "win7-20260101-abcd"
    assert read_owner("Default security group") is None
    assert read_owner("not first: imagebuild_owner=x") is None


def test_a_server_group_is_a_hint_beside_the_server() -> None:
    assert write_server(replace(REQUEST, group_id="g"), marks=MARKS)["os:scheduler_hints"] == {"group": "g"}
    assert "os:scheduler_hints" not in write_server(REQUEST, marks=MARKS)


def test_the_root_disk_is_named_twice_and_has_its_bus() -> None:
    body = write_server(ServerRequest("b", "i", "f", "n", root_bus="ide"), marks=MARKS)["server"]
    assert body["imageRef"] == "i"
    assert body["block_device_mapping_v2"] == [
        {
            "boot_index": 0, "uuid": "i", "source_type": "image", "destination_type": "local", "disk_bus": "ide",
            "delete_on_termination": True,
        }
    ]  # fmt: skip
    assert body["config_drive"] is True
    assert body["metadata"] == {"imagebuild_owner": "o", "imagebuild_role": "r"}


def test_nothing_that_was_not_asked_for_is_sent() -> None:
    body = write_server(REQUEST, marks=MARKS)["server"]
    assert not {"adminPass", "user_data", "security_groups", "availability_zone"} & body.keys()
    assert "disk_bus" not in body["block_device_mapping_v2"][0]


def test_disks_beside_the_root() -> None:
    disks = (Disk("virtio", gib=2), Disk("virtio", volume_id="v1"), Disk("ide", volume_id="v2", cdrom=True))
    body = write_server(ServerRequest("b", "i", "f", "n", disks=disks), marks=MARKS)["server"]
    blank, volume, cdrom = body["block_device_mapping_v2"][1:]
    assert (blank["source_type"], blank["volume_size"], blank["destination_type"]) == ("blank", 2, "volume")
    assert (volume["source_type"], volume["uuid"], volume["device_type"]) == ("volume", "v1", "disk")
    assert (cdrom["device_type"], cdrom["disk_bus"]) == ("cdrom", "ide")
    assert all(each["boot_index"] == -1 and each["delete_on_termination"] for each in (blank, volume, cdrom))


def test_user_data_and_password_are_in_the_body_and_nowhere_printed() -> None:
    request = ServerRequest("b", "i", "f", "n", user_data="#ps1\n한글", admin_password=Secret("pass-1234"))
    body = write_server(request, marks=MARKS)["server"]
    assert base64.b64decode(body["user_data"]).decode() == "#ps1\n한글"
    assert body["adminPass"] == "pass-1234"
    assert "pass-1234" not in repr(request)


def test_the_owner_cannot_be_overwritten_by_metadata_of_the_request() -> None:
    request = ServerRequest("b", "i", "f", "n", metadata={"imagebuild_owner": "else", "pool": "p"})
    assert write_server(request, marks=MARKS)["server"]["metadata"]["imagebuild_owner"] == "o"


def test_a_patch_holds_only_what_differs() -> None:
    current = {"name": "old", "protected": False, "hw_disk_bus": "ide", "gone": "x", "same": "s"}
    wanted: dict[str, str | int | bool | None] = {
        "name": "new", "protected": True, "hw_disk_bus": "virtio", "gone": None, "never": None, "same": "s",
    }  # fmt: skip
    assert write_image_patch(current, wanted) == [
        {"op": "add", "path": "/name", "value": "new"},
        {"op": "add", "path": "/protected", "value": True},
        {"op": "add", "path": "/hw_disk_bus", "value": "virtio"},
        {"op": "remove", "path": "/gone"},
    ]


def test_a_patch_escapes_its_paths() -> None:
    assert write_image_patch({}, {"a/b~c": "1"}) == [{"op": "add", "path": "/a~1b~0c", "value": "1"}]
