"""Nova, Glance, Cinder and Neutron behind their small classes: what is asked, and what unusual answers mean."""

import pytest
from keystoneauth1 import exceptions as keystone

from imagebuild.adapters.openstack_images import Images
from imagebuild.adapters.openstack_networks import Networks
from imagebuild.adapters.openstack_servers import Servers
from imagebuild.adapters.openstack_volumes import Volumes
from imagebuild.cloud import ServerRequest
from imagebuild.errors import CloudError, CloudRefused, DeadlinePassed
from imagebuild.waiting import Deadline
from tests.unit.openstack_wire import Response, Wire

TAGS = {"imagebuild_owner": "o", "imagebuild_role": "r"}
REQUEST = ServerRequest("b", "i", "f", "n")


def server(status: str, task: str | None = None, **more: object) -> dict[str, object]:
    return {"id": "s1", "name": "b", "status": status, "OS-EXT-STS:task_state": task, "metadata": TAGS, **more}


def answer(status: str, task: str | None = None) -> Response:
    return Response(200, {"server": server(status, task)})


def servers(wire: Wire) -> Servers:
    return Servers(wire.service(), clock=wire.clock)


def images(wire: Wire) -> Images:
    return Images(wire.service(), project_id="p", clock=wire.clock)


def soon(wire: Wire, seconds: float = 30) -> Deadline:
    return Deadline.after(seconds, wire.clock)


def test_a_server_whose_create_was_cut_off_is_found_by_its_tags() -> None:
    wire = Wire(
        Response(200, {"servers": []}),
        keystone.ConnectFailure("reset by peer"),
        Response(200, {"servers": [server("BUILD")]}),
    )
    assert servers(wire).create(REQUEST, owner="o", role="r").id == "s1"
    assert wire.paths() == ["GET /servers/detail", "POST /servers", "GET /servers/detail"]


@pytest.mark.parametrize(
    "other",
    [
        server("ACTIVE", metadata={**TAGS, "imagebuild_owner": "somebody"}),
        server("ACTIVE", metadata={**TAGS, "imagebuild_role": "clone"}),
        server("ACTIVE", name="bb"),
        server("ACTIVE", "deleting"),
        server("SOFT_DELETED"),
    ],
)
def test_another_server_is_not_taken_for_ours(other: dict[str, object]) -> None:
    wire = Wire(Response(200, {"servers": [other]}), Response(202, {"server": {"id": "s2"}}), answer("BUILD"))
    servers(wire).create(REQUEST, owner="o", role="r")
    assert wire.paths()[1] == "POST /servers"


def test_a_name_is_matched_as_a_name_not_as_an_expression() -> None:
    wire = Wire(Response(200, {"servers": []}))
    assert list(servers(wire).all(name="a.b")) == []
    assert wire.sent[0].options["params"]["name"] == r"^a\.b$"


def test_history_is_turned_oldest_first() -> None:
    newest_first = [
        {"action": "stop", "start_time": "2", "user_id": None},
        {"action": "create", "start_time": "1", "user_id": "u"},
    ]
    wire = Wire(Response(200, {"instanceActions": newest_first}))
    assert [(each.name, each.user_id) for each in servers(wire).actions("s1")] == [("create", "u"), ("stop", None)]


@pytest.mark.parametrize("status", [404, 409])
def test_no_console_yet_is_an_empty_log(status: int) -> None:
    assert servers(Wire(Response(status))).console_log("s1") == ""


def test_the_whole_console_log_is_asked_for() -> None:
    wire = Wire(Response(200, {"output": "text"}))
    assert servers(wire).console_log("s1") == "text"
    assert wire.sent[0].body == {"os-getConsoleOutput": {}}


@pytest.mark.parametrize("state", [("SHUTOFF", None), ("ACTIVE", "powering-off")])
def test_stopping_what_is_stopped_is_no_error(state: tuple[str, str | None]) -> None:
    servers(Wire(Response(409), answer(*state))).stop("s1")


def test_stopping_what_cannot_be_stopped_is_refused_with_its_state() -> None:
    with pytest.raises(CloudRefused, match="it is BUILD, task spawning"):
        servers(Wire(Response(409), answer("BUILD", "spawning"))).stop("s1")


def test_a_delete_that_nova_forgot_is_asked_again() -> None:
    wire = Wire(
        answer("ACTIVE"), Response(204), answer("ACTIVE", "deleting"), answer("ACTIVE"), Response(204), Response(404)
    )
    servers(wire).delete("s1", deadline=soon(wire))
    assert wire.paths().count("DELETE /servers/s1") == 2


def test_deleting_what_is_gone_asks_once() -> None:
    wire = Wire(Response(404))
    servers(wire).delete("s1", deadline=soon(wire))
    assert wire.paths() == ["GET /servers/s1"]


def test_a_server_that_does_not_go_ends_the_deadline() -> None:
    wire = Wire(*[answer("ACTIVE", "deleting")] * 100)
    with pytest.raises(DeadlinePassed, match="server s1 to be gone"):
        servers(wire).delete("s1", deadline=soon(wire))


def test_an_image_is_found_by_id_without_a_listing() -> None:
    image_id = "2f7c4a1e-0a57-4a44-9a0b-4d3f6c0a9a10"
    wire = Wire(Response(200, {"id": image_id, "status": "active"}))
    found = images(wire).find(image_id)
    assert found is not None and found.id == image_id


def test_two_active_images_of_one_name_are_a_question() -> None:
    twins = [{"id": "1", "name": "win7", "status": "active"}, {"id": "2", "name": "win7", "status": "active"}]
    with pytest.raises(CloudRefused, match="2 active images") as caught:
        images(Wire(Response(200, {"images": twins}))).find("win7")
    assert "1, 2" in caught.value.hint


def test_an_image_that_is_not_active_is_not_found_by_name() -> None:
    half = [{"id": "1", "name": "win7", "status": "saving"}]
    assert images(Wire(Response(200, {"images": half}))).find("win7") is None


def test_own_images_are_listed_hidden_ones_too() -> None:
    wire = Wire(
        Response(200, {"images": [{"id": "1", "status": "active", "k": "v"}]}),
        Response(200, {"images": [{"id": "2", "status": "active", "k": "v", "os_hidden": True}]}),
    )
    assert [image.id for image in images(wire).all({"k": "v"})] == ["1", "2"]
    assert wire.sent[0].options["params"]["owner"] == "p"


def test_an_image_is_changed_by_one_patch() -> None:
    changed = {"id": "1", "status": "active", "protected": True, "k": "v"}
    wire = Wire(Response(200, {"id": "1", "status": "active", "gone": "x"}), Response(200, changed))
    image = images(wire).update("1", {"k": "v", "gone": None, "protected": True})
    assert image.protected
    assert wire.sent[1].options["headers"]["Content-Type"] == "application/openstack-images-v2.1-json-patch"
    assert [operation["op"] for operation in wire.sent[1].body] == ["add", "remove", "add"]


def test_a_patch_whose_answer_was_lost_is_not_asked_for_twice() -> None:
    before, after = {"id": "1", "status": "active", "gone": "x"}, {"id": "1", "status": "active", "k": "v"}
    wire = Wire(Response(200, before), keystone.ConnectFailure("reset"), Response(200, after))
    assert images(wire).update("1", {"k": "v", "gone": None}).properties == {"k": "v"}
    assert wire.paths() == ["GET /images/1", "PATCH /images/1", "GET /images/1"]


def test_a_protected_image_is_refused_with_its_name() -> None:
    wire = Wire(Response(403), Response(200, {"id": "1", "name": "win7", "status": "active", "protected": True}))
    with pytest.raises(CloudRefused, match="'win7' is protected"):
        images(wire).delete("1", deadline=soon(wire))


def test_an_image_that_may_not_be_deleted_is_refused() -> None:
    wire = Wire(Response(403, {"message": "no"}), Response(200, {"id": "1", "name": "win7", "status": "active"}))
    with pytest.raises(CloudRefused, match="could not delete the image 1: 403 no"):
        images(wire).delete("1", deadline=soon(wire))


def test_an_image_in_use_is_asked_for_again() -> None:
    wire = Wire(Response(409), Response(204))
    images(wire).delete("1", deadline=soon(wire))
    assert wire.paths() == ["DELETE /images/1"] * 2


def test_a_snapshot_carries_its_owner_and_comes_back_with_its_id() -> None:
    wire = Wire(Response(200, {"images": []}), Response(200, {"images": []}), Response(202, {"image_id": "i1"}))
    made = images(wire).snapshot(servers(wire), "s1", name="n", owner="o", properties={"k": "v"})
    assert (made.id, made.status) == ("i1", "queued")
    assert wire.sent[2].body == {"createImage": {"name": "n", "metadata": {"k": "v", "imagebuild_owner": "o"}}}


def volume(status: str) -> Response:
    return Response(200, {"volume": {"id": "v1", "name": "v", "status": status, "size": 1}})


def test_a_volume_is_deleted_once_it_is_detached() -> None:
    wire = Wire(
        volume("in-use"), volume("detaching"), volume("available"), Response(202), volume("deleting"), Response(404)
    )
    Volumes(wire.service(), clock=wire.clock).delete("v1", deadline=soon(wire))
    assert wire.paths().count("DELETE /volumes/v1") == 1


def test_a_volume_that_cinder_cannot_delete_is_told_at_once() -> None:
    wire = Wire(volume("error_deleting"))
    with pytest.raises(CloudError, match="error_deleting"):
        Volumes(wire.service(), clock=wire.clock).delete("v1", deadline=soon(wire))


def test_a_volume_with_our_name_and_anothers_tags_is_not_ours() -> None:
    theirs = {"id": "v0", "name": "v", "status": "available", "size": 1, "metadata": {**TAGS, "imagebuild_owner": "x"}}
    wire = Wire(
        Response(200, {"volumes": [theirs]}), Response(202, {"volume": {"id": "v1", "status": "creating", "size": 1}})
    )
    made = Volumes(wire.service(), clock=wire.clock).create("v", owner="o", role="r", gib=1, image_id="i")
    assert made.id == "v1"
    assert wire.sent[1].body == {"volume": {"name": "v", "size": 1, "metadata": TAGS, "imageRef": "i"}}


def networks(wire: Wire) -> Networks:
    return Networks(wire.service(), project_id="p", clock=wire.clock)


def test_a_security_group_that_was_left_without_rules_gets_them() -> None:
    group = {"id": "g1", "name": "g", "description": "imagebuild_owner=o (x)"}
    wire = Wire(Response(200, {"security_groups": [group]}), Response(201, {}))
    assert networks(wire).create_group("g", owner="o", allow_from="172.16.0.1/32", ports=[5986]).id == "g1"
    rule = wire.sent[1].body["security_group_rule"]
    assert (rule["port_range_min"], rule["port_range_max"], rule["remote_ip_prefix"]) == (5986, 5986, "172.16.0.1/32")
    assert (rule["direction"], rule["protocol"], rule["ethertype"]) == ("ingress", "tcp", "IPv4")


def test_a_security_group_of_another_build_is_not_ours() -> None:
    theirs = {"id": "g0", "name": "g", "description": "imagebuild_owner=else"}
    made = {"security_group": {"id": "g1", "name": "g", "description": "imagebuild_owner=o"}}
    wire = Wire(Response(200, {"security_groups": [theirs]}), Response(201, made))
    assert networks(wire).create_group("g", owner="o", allow_from="10.0.0.0/8", ports=[]).id == "g1"


def test_a_rule_that_exists_is_fine_and_another_conflict_is_not() -> None:
    group = Response(200, {"security_groups": [{"id": "g1", "name": "g", "description": "imagebuild_owner=o"}]})
    exists = Response(409, {"NeutronError": {"type": "SecurityGroupRuleExists", "message": "already exists"}})
    networks(Wire(group, exists)).create_group("g", owner="o", allow_from="10.0.0.0/8", ports=[5986])
    over = Response(409, {"NeutronError": {"type": "OverQuota", "message": "Quota exceeded"}})
    with pytest.raises(CloudRefused, match="TCP 5986"):
        networks(Wire(group, over)).create_group("g", owner="o", allow_from="10.0.0.0/8", ports=[5986])


def test_a_security_group_waits_for_its_last_port() -> None:
    wire = Wire(Response(409), Response(503), Response(409), Response(204))
    networks(wire).delete_group("g1", deadline=soon(wire))
    assert len(wire.sent) == 4 and wire.clock.slept > 0


def test_a_network_quota_that_users_may_not_read_is_no_quota() -> None:
    assert networks(Wire(Response(403))).quota() == {}


def test_two_networks_of_one_name_are_a_question() -> None:
    twins = [{"id": "1", "name": "vdi"}, {"id": "2", "name": "vdi"}]
    with pytest.raises(CloudRefused, match="2 networks"):
        networks(Wire(Response(200, {"networks": twins}))).find("vdi")


RECORD = {"id": "i1", "name": "claim", "status": "queued", "os_hidden": True, "holder": "me"}


@pytest.mark.parametrize(
    ("standing", "ours"),
    [
        (Response(200, RECORD), True),
        (Response(200, {**RECORD, "holder": "you"}), False),
        (Response(404), False),
        (Response(200, {**RECORD, "status": "deleted"}), False),
    ],
)
def test_whose_a_taken_id_is_tells_what_stands_there(standing: Response, ours: bool) -> None:
    wire = Wire(Response(409), standing)
    assert (images(wire).reserve("i1", "claim", properties={"holder": "me"}) is not None) is ours
    assert wire.paths() == ["POST /images", "GET /images/i1"]


def test_a_reserved_record_is_hidden_and_private_and_a_lost_answer_is_asked_for_again() -> None:
    wire = Wire(keystone.ConnectFailure("reset by peer"), Response(409), Response(200, RECORD))
    made = images(wire).reserve("i1", "claim", properties={"holder": "me"})
    assert made is not None and made.hidden and made.properties["holder"] == "me"
    first, second, _ = wire.sent
    assert first.body == second.body
    assert {"id": "i1", "os_hidden": True, "visibility": "private", "holder": "me"}.items() <= first.body.items()


def test_a_patch_whose_answer_was_lost_reads_before_it_asks_again() -> None:
    done = {**RECORD, "holder": "you"}
    wire = Wire(Response(200, RECORD), keystone.ConnectFailure("reset by peer"), Response(200, done))
    assert images(wire).update("i1", {"holder": "you"}).properties["holder"] == "you"
    assert wire.paths() == ["GET /images/i1", "PATCH /images/i1", "GET /images/i1"]


@pytest.mark.parametrize("status", [400, 403, 404, 409, 501])
def test_a_cloud_without_vnc_has_no_console_and_that_is_no_error(status: int) -> None:
    running = Response(200, {"server": server("ACTIVE", **{"OS-EXT-STS:power_state": 1})})
    assert servers(Wire(running, Response(status))).console_address("s1") is None


@pytest.mark.parametrize("answered", [Response(404), Response(200, {"server": server("SHUTOFF")})])
def test_nobody_asks_for_the_console_of_what_is_off_or_gone(answered: Response) -> None:
    assert servers(Wire(answered)).console_address("s1") is None


def test_the_address_of_a_console_is_a_secret() -> None:
    running = Response(200, {"server": server("ACTIVE", **{"OS-EXT-STS:power_state": 1})})
    address = servers(Wire(running, Response(200, {"remote_console": {"url": "http://h/?token=t"}}))).console_address(
        "s1"
    )
    assert address is not None and address.reveal() == "http://h/?token=t" and "token" not in f"{address}"
