"""What is asked of Nova for pools: the listing, rebuilds that cannot wipe by accident, marks, and what lost answers lead to."""

import base64

import pytest
from keystoneauth1 import exceptions as keystone

from imagebuild.adapters.openstack_desktops import Desktops
from imagebuild.adapters.openstack_errors import AnswerLost, VersionMissing
from imagebuild.adapters.openstack_servers import MICROVERSION, Servers
from imagebuild.adapters.openstack_values import read_server, write_server
from imagebuild.cloud import ServerGroup, ServerRequest
from imagebuild.errors import CloudError, CloudRefused
from tests.unit.openstack_wire import Response, Wire

LOST = keystone.ConnectFailure("reset by peer")
DESKTOP = {
    "id": "s1", "name": "desktop-1", "status": "ACTIVE", "metadata": {"vdi_pool": "staff"}, "tags": ["vdi-pool=staff"],
    "locked": True, "locked_reason": "being looked at", "OS-SRV-USG:launched_at": "2026-01-02T03:04:05.000000",
    "created": "2026-01-01T00:00:00Z", "updated": "2026-01-02T03:04:06Z", "image": {"id": "i1"},
    "flavor": {"original_name": "1cpu_2GB", "extra_specs": {"hw:tpm_version": "2.0"}, "vcpus": 1},
    "os-extended-volumes:volumes_attached": [{"id": "v1", "delete_on_termination": False}],
}  # fmt: skip


def desktops(wire: Wire) -> Desktops:
    nova = wire.service(microversion=MICROVERSION)
    return Desktops(nova, Servers(nova, clock=wire.clock), clock=wire.clock)


def rebuild(wire: Wire, *, metadata: dict[str, str] | None = None, wipe: bool = False, user_data: str = "") -> None:
    desktops(wire).rebuild("s1", "i2", user_data=user_data or None, metadata=metadata, allow_root_volume_wipe=wipe)


def versions(wire: Wire) -> list[str]:
    return [sent.options["microversion"] for sent in wire.sent]


class TestServerGroups:
    def test_one_looked_at_alone_tells_its_group(self) -> None:
        wire = Wire(Response(200, {"server": {**DESKTOP, "server_groups": ["g1"]}}))
        server = Servers(wire.service(microversion=MICROVERSION), clock=wire.clock).get("s1")
        assert server is not None and (server.group_id, server.locked_reason) == ("g1", "being looked at")
        assert server == read_server(DESKTOP), "in a listing it is the same server"

    def test_they_are_read_to_the_first_empty_page(self) -> None:
        group = {"id": "g1", "name": "spread", "policies": ["anti-affinity"], "members": ["s1"], "metadata": {}}
        newer = {"id": "g2", "name": "loose", "policy": "soft-anti-affinity", "rules": {}, "members": []}
        pages = [Response(200, {"server_groups": page}) for page in ([group], [newer], [])]
        wire = Wire(*pages)
        assert desktops(wire).groups() == (
            ServerGroup("g1", "spread", "anti-affinity", ("s1",)),
            ServerGroup("g2", "loose", "soft-anti-affinity"),
        )
        assert [sent.options["params"]["offset"] for sent in wire.sent] == ["0", "1", "2"]


def test_zones_are_those_with_a_host_that_is_up() -> None:
    zones = [
        {"zoneName": name, "zoneState": {"available": up}, "hosts": None} for name, up in (("a", True), ("b", False))
    ]
    wire = Wire(Response(200, {"availabilityZoneInfo": zones}))
    assert desktops(wire).zones() == ("a",) and wire.paths() == ["GET /os-availability-zone"]


class TestListing:
    def test_all_that_a_pool_needs_is_in_the_listing(self) -> None:
        wire = Wire(Response(200, {"servers": [DESKTOP]}))
        (server,) = desktops(wire).all(tags=("vdi-pool=staff", "other"), changed_since="")
        assert wire.paths() == ["GET /servers/detail"] and versions(wire) == ["2.73"]
        assert wire.sent[0].options["params"]["tags"] == "vdi-pool=staff,other"
        assert (server.tags, server.locked, server.locked_reason) == (("vdi-pool=staff",), True, "being looked at")
        assert (server.flavor, server.flavor_specs) == ("1cpu_2GB", {"hw:tpm_version": "2.0"})
        assert server.launched_at.startswith("2026-01-02T03:04:05") and server.updated_at == "2026-01-02T03:04:06Z"
        assert server.volume_ids == ("v1",) and server.root_volume_id is None, "it has a disk of its own beside"

    def test_a_server_on_a_volume_tells_which(self) -> None:
        server = read_server({**DESKTOP, "image": ""})
        assert (server.image_id, server.root_volume_id) == (None, "v1")

    @pytest.mark.parametrize("newest", ["2.71", MICROVERSION])
    def test_an_older_nova_is_asked_for_less_from_then_on(self, newest: str) -> None:
        listing = Response(200, {"servers": [{**DESKTOP, "locked_reason": None}]})
        tried = ["2.73", "2.71", MICROVERSION][: ["2.71", MICROVERSION].index(newest) + 1]
        refusals = [Response(406, f"Version {one} is not supported by the API") for one in tried]
        wire = Wire(*refusals, listing, listing, Response(200, {"server": DESKTOP}))
        nova = wire.service(microversion=MICROVERSION)
        servers = Servers(nova, clock=wire.clock)
        asked = Desktops(nova, servers, clock=wire.clock)
        assert asked.all(tags=(), changed_since="") == asked.all(tags=(), changed_since="")
        assert servers.get("s1") is not None
        assert versions(wire) == [*tried, newest, newest, newest]

    def test_a_cloud_that_has_none_of_these_versions_is_told_as_that(self) -> None:
        wire = Wire(*[Response(406, "Version 2.x is not supported by the API")] * 3)
        with pytest.raises(VersionMissing):
            desktops(wire).all(tags=(), changed_since="")

    def test_pages_are_followed_and_who_is_on_its_way_out_is_left_out(self) -> None:
        more = [{"rel": "next", "href": "http://elsewhere/"}]
        going = {**DESKTOP, "id": "s2", "OS-EXT-STS:task_state": "deleting"}
        wire = Wire(
            Response(200, {"servers": [DESKTOP, going], "servers_links": more}),
            Response(200, {"servers": [{**DESKTOP, "id": "s3"}]}),
        )
        assert [server.id for server in desktops(wire).all(tags=(), changed_since="")] == ["s1", "s3"]
        assert wire.sent[1].options["params"]["marker"] == "s2"

    def test_changes_tell_the_deleted_ones_too(self) -> None:
        gone = {"id": "s2", "name": "desktop-2", "status": "DELETED", "tags": []}
        elsewhere = {**DESKTOP, "id": "s3", "tags": ["vdi-pool=lab"]}
        wire = Wire(Response(200, {"servers": [{**DESKTOP, "OS-EXT-STS:task_state": "deleting"}, gone, elsewhere]}))
        found = desktops(wire).all(tags=("vdi-pool=staff",), changed_since="2026-01-01T00:00:00Z")
        assert [server.id for server in found] == ["s1", "s2"]
        params = wire.sent[0].options["params"]
        assert params["changes-since"] == "2025-12-31T23:59:00Z", "controllers' clocks differ"
        assert "tags" not in params, "a deleted server has none any more"


class TestRebuild:
    def test_without_leave_no_root_volume_can_be_wiped(self) -> None:
        wire = Wire(Response(202))
        rebuild(wire)
        assert versions(wire) == ["2.60"], "below 2.93 Nova refuses another image for a root volume"
        assert wire.paths() == ["POST /servers/s1/action"]
        assert wire.sent[0].body == {"rebuild": {"imageRef": "i2"}}

    def test_with_leave_it_is_asked_for_by_its_version(self) -> None:
        wire = Wire(Response(202))
        rebuild(wire, wipe=True)
        assert versions(wire) == ["2.93"]

    def test_a_nova_that_cannot_wipe_root_volumes_says_so(self) -> None:
        with pytest.raises(CloudError, match="406 Version 2.93 is not supported") as caught:
            rebuild(Wire(Response(406, "Version 2.93 is not supported by the API")), wipe=True)
        assert "older" in caught.value.hint

    def test_marks_and_user_data_go_with_it(self) -> None:
        wire = Wire(Response(202))
        rebuild(wire, metadata={"vdi_roll_id": "r1"}, user_data="#ps1\n한글")
        asked = wire.sent[0].body["rebuild"]
        assert asked["metadata"] == {"vdi_roll_id": "r1"}
        assert base64.b64decode(asked["user_data"]).decode() == "#ps1\n한글"

    @pytest.mark.parametrize(
        "state",
        [
            {"status": "REBUILD", "OS-EXT-STS:task_state": "rebuilding"},
            {"status": "ACTIVE", "OS-EXT-STS:task_state": "rebuild_spawning"},
            {"status": "ACTIVE", "image": {"id": "i2"}},
            {"status": "ERROR", "image": {"id": "i2"}},
        ],
    )
    def test_a_lost_answer_is_not_followed_by_a_second_rebuild(self, state: dict[str, object]) -> None:
        wire = Wire(LOST, Response(200, {"server": {**DESKTOP, **state}}))
        rebuild(wire)
        assert wire.paths() == ["POST /servers/s1/action", "GET /servers/s1"]
        assert wire.clock.slept >= 5, "a cloud that lost our connection may still be at it"

    def test_a_request_that_did_not_arrive_is_made_again(self) -> None:
        wire = Wire(LOST, Response(200, {"server": DESKTOP}), Response(202))
        rebuild(wire)
        assert wire.paths().count("POST /servers/s1/action") == 2

    def test_one_that_was_refused_for_haste_is_made_again_without_a_look(self) -> None:
        wire = Wire(Response(429, "", {"Retry-After": "7"}), Response(202))
        rebuild(wire)
        assert wire.paths() == ["POST /servers/s1/action"] * 2 and wire.clock.slept >= 7

    def test_a_cloud_that_stays_away_is_told(self) -> None:
        wire = Wire(*[LOST] * 1000)
        with pytest.raises(AnswerLost, match="server s1: reset by peer"):
            rebuild(wire)
        assert wire.paths().count("POST /servers/s1/action") == 1, "it looks until it knows"

    def test_a_locked_desktop_is_refused(self) -> None:
        with pytest.raises(CloudRefused, match="is locked"):
            rebuild(Wire(Response(409, {"conflictingRequest": {"code": 409, "message": "Instance s1 is locked"}})))


class TestMarks:
    def test_keys_are_set_in_one_call_and_removed_one_by_one(self) -> None:
        wire = Wire(Response(200), Response(204), Response(404))
        desktops(wire).set_metadata("s1", {"a": "1", "b": "2", "gone": None, "never/was": None})
        assert wire.sent[0].body == {"metadata": {"a": "1", "b": "2"}}
        assert wire.paths()[0] == "POST /servers/s1/metadata", "a PUT would replace all others"
        assert sorted(wire.paths()[1:]) == [
            "DELETE /servers/s1/metadata/gone",
            "DELETE /servers/s1/metadata/never%2Fwas",
        ]

    def test_nothing_to_set_asks_nothing(self) -> None:
        desktops(Wire()).set_metadata("s1", {})

    def test_a_tag_comes_and_goes_alone(self) -> None:
        wire = Wire(Response(201), Response(204), Response(404))
        pool = desktops(wire)
        pool.tag("s1", "vdi-pool=staff", present=True)
        pool.tag("s1", "vdi-pool=staff", present=False)
        pool.tag("s1", "vdi-pool=staff", present=False)
        path = "/servers/s1/tags/vdi-pool=staff"
        assert wire.paths() == [f"PUT {path}", f"DELETE {path}", f"DELETE {path}"]


class TestMaking:
    PLAIN = ServerRequest("desktop-1", "i", "f", "n", metadata={"vdi_roll_id": "r2"}, tags=("vdi-pool=staff",))
    REQUEST = ServerRequest(
        "desktop-1", "i", "f", "n", metadata={"vdi_roll_id": "r2"}, tags=("vdi-pool=staff",), port_id="p1", root_gib=40
    )

    def test_a_desktop_has_no_owner_and_is_known_by_its_roll(self) -> None:
        earlier = {**DESKTOP, "metadata": {"vdi_pool": "staff", "vdi_roll_id": "r1"}}
        ours = {**DESKTOP, "id": "s2", "metadata": {"vdi_pool": "staff", "vdi_roll_id": "r2"}}
        wire = Wire(Response(200, {"servers": [earlier]}), LOST, Response(200, {"servers": [earlier, ours]}))
        assert desktops(wire).create(self.PLAIN, pool="staff").id == "s2"
        assert wire.sent[1].body["server"]["metadata"] == {"vdi_roll_id": "r2", "vdi_pool": "staff"}
        assert wire.sent[1].body["server"]["tags"] == ["vdi-pool=staff"]

    def test_with_a_port_it_looks_before_too(self) -> None:
        ours = {**DESKTOP, "id": "s2", "metadata": {"vdi_pool": "staff", "vdi_roll_id": "r2"}}
        wire = Wire(Response(200, {"servers": [ours]}))
        assert desktops(wire).create(self.REQUEST, pool="staff").id == "s2"
        assert wire.paths() == ["GET /servers/detail"], "Nova may take the port twice, and unplug it from both"

    def test_a_new_one_comes_back_as_it_was_asked_for(self) -> None:
        wire = Wire(Response(200, {"servers": []}), Response(202, {"server": {"id": "s2"}}))
        made = desktops(wire).create(self.REQUEST, pool="staff")
        assert wire.paths() == ["GET /servers/detail", "POST /servers"]
        assert (made.id, made.status, made.metadata["vdi_pool"]) == ("s2", "BUILD", "staff")
        assert (made.image_id, made.tags) == (None, ("vdi-pool=staff",)), "its root is a volume"

    def test_who_knows_that_it_is_new_saves_the_first_look_and_no_later_one(self) -> None:
        ours = {**DESKTOP, "id": "s2", "metadata": {"vdi_pool": "staff", "vdi_roll_id": "r2"}}
        wire = Wire(LOST, Response(200, {"servers": [ours]}))
        assert desktops(wire).create(self.REQUEST, pool="staff", is_new=True).id == "s2"
        assert wire.paths() == ["POST /servers", "GET /servers/detail"]

    def test_a_port_that_is_taken_is_an_error(self) -> None:
        taken = Response(409, {"conflictingRequest": {"message": "Port p1 is still in use."}})
        with pytest.raises(CloudRefused, match="Port p1 is still in use"):
            desktops(Wire(Response(200, {"servers": [DESKTOP]}), taken)).create(self.REQUEST, pool="staff")

    def test_a_port_that_is_there_brings_address_and_groups(self) -> None:
        body = write_server(self.REQUEST, marks={})["server"]
        assert body["networks"] == [{"port": "p1"}] and "security_groups" not in body

    def test_a_root_on_a_volume_is_no_root_on_the_hypervisor(self) -> None:
        body = write_server(self.REQUEST, marks={})["server"]
        (root,) = body["block_device_mapping_v2"]
        assert body["imageRef"] == ""
        assert (root["source_type"], root["destination_type"], root["volume_size"]) == ("image", "volume", 40)

    def test_an_end_is_asked_for_once_and_not_waited_for(self) -> None:
        wire = Wire(Response(204), Response(404))
        desktops(wire).delete("s1")
        desktops(wire).delete("s1")
        assert wire.paths() == ["DELETE /servers/s1"] * 2 and wire.clock.slept == 0
