"""What every Cloud keeps, the fake and a real OpenStack alike."""

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from imagebuild.cloud import OWNER_KEY, ROLE_KEY, Disk, Image, Kind, Server
from imagebuild.errors import CloudError, CloudRefused, DeadlinePassed, NotFound
from imagebuild.secrets import make_password
from tests.contract.benches import CloudBench, fake_cloud_bench, lab_cloud_bench

NOWHERE = "00000000-0000-4000-8000-000000000000"
KINDS: tuple[Kind, ...] = ("server", "volume", "security_group", "image")


@pytest.fixture(scope="module", params=["fake", pytest.param("lab", marks=pytest.mark.lab)])
def bench(request: pytest.FixtureRequest) -> Iterator[CloudBench]:
    """One cloud for all tests of this file; swept afterwards, whatever failed."""
    bench = fake_cloud_bench() if request.param == "fake" else lab_cloud_bench()
    try:
        yield bench
    finally:
        bench.sweep()


@pytest.fixture(scope="module")
def server(bench: CloudBench) -> Server:
    """A server that runs, with a volume of its own and one that Nova made blank."""
    cloud, owner = bench.cloud, bench.owner
    group = cloud.create_security_group(f"{owner}-g", owner=owner, allow_from="172.16.100.1/32", ports=[5986])
    volume = cloud.create_volume(f"{owner}-v", owner=owner, role="data", gib=1)
    bench.wait(lambda: _volume_status(bench, volume.id) == "available", "the volume")
    request = replace(
        bench.request(f"{owner}-s"),
        disks=(Disk("virtio", volume_id=volume.id), Disk("virtio", gib=1)),
        security_groups=(group.name,),
        user_data="#ps1_sysnative\n# 한글\n",
        admin_password=make_password(),
        metadata={"purpose": "contract"},
    )
    made = cloud.create_server(request, owner=owner, role="builder")
    assert cloud.create_server(request, owner=owner, role="builder").id == made.id
    bench.wait(lambda: _status(bench, made.id) in ("ACTIVE", "ERROR"), "the server")
    found = cloud.server(made.id)
    assert found is not None and found.status == "ACTIVE", found
    return found


@pytest.fixture(scope="module")
def stopped(bench: CloudBench, server: Server) -> Server:
    """The same, off."""
    bench.cloud.stop_server(server.id)
    bench.cloud.stop_server(server.id)  # on its way already: no error
    bench.wait(lambda: _status(bench, server.id) == "SHUTOFF", "the server to stop")
    found = bench.cloud.server(server.id)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def snapshot(bench: CloudBench, stopped: Server) -> Image:
    """An image of it, complete."""
    cloud, name = bench.cloud, f"{bench.owner}-i"
    made = cloud.snapshot(stopped.id, name, owner=bench.owner, properties={ROLE_KEY: "snapshot", "a_key": "1"})
    assert cloud.image(made.id) is not None, "the image exists at once, whatever its state"
    again = cloud.snapshot(stopped.id, name, owner=bench.owner, properties={})
    assert again.id == made.id
    bench.wait(lambda: _image(bench, made.id).status == "active", "the image")
    return _image(bench, made.id)


class TestReading:
    def test_things_are_found_by_name_and_by_id(self, bench: CloudBench) -> None:
        cloud = bench.cloud
        for key in (bench.image.name, bench.image.id):
            image = cloud.find_image(key)
            assert image is not None and image.id == bench.image.id and image.properties["hw_disk_bus"] == "ide"
        assert cloud.find_flavor(bench.flavor.name) == cloud.find_flavor(bench.flavor.id) == bench.flavor
        assert cloud.find_network(bench.network.name) == cloud.find_network(bench.network.id) == bench.network
        assert bench.network.cidrs == ("172.16.100.0/24",)

    def test_what_is_not_there_is_none(self, bench: CloudBench) -> None:
        cloud = bench.cloud
        assert cloud.find_image("no-such-image") is None and cloud.find_image(NOWHERE) is None
        assert cloud.find_flavor("no-such-flavor") is None and cloud.find_network("no-such-network") is None
        assert cloud.server(NOWHERE) is None and cloud.volume(NOWHERE) is None and cloud.image(NOWHERE) is None
        assert cloud.console_log(NOWHERE) == "" and cloud.console_picture(NOWHERE, deadline=bench.soon(20)) is None
        assert cloud.owned("no-such-owner") == {}

    def test_a_history_of_nothing_is_an_error(self, bench: CloudBench) -> None:
        with pytest.raises(NotFound):
            bench.cloud.actions(NOWHERE)

    @pytest.mark.parametrize("kind", KINDS)
    def test_deleting_what_is_gone_is_no_error(self, bench: CloudBench, kind: Kind) -> None:
        bench.cloud.delete(kind, NOWHERE, deadline=bench.soon(10))

    def test_the_deletion_of_a_server_that_is_gone_is_no_error(self, bench: CloudBench) -> None:
        bench.cloud.begin_delete(NOWHERE)

    def test_anothers_image_is_not_listed_nor_changed(self, bench: CloudBench) -> None:
        assert bench.image.id not in {image.id for image in bench.cloud.images()}
        with pytest.raises(CloudRefused):
            bench.cloud.update_image(bench.image.id, properties={"mine": "yes"})

    def test_anothers_image_is_to_be_had_once_it_is_shared_and_accepted(self, bench: CloudBench) -> None:
        def to_be_had(**properties: str) -> list[str]:
            return [image.id for image in bench.cloud.borrowed_images(properties=properties)]

        assert bench.image.id in to_be_had(os_type="windows"), "a public one"
        with bench.lend(line=bench.owner) as (image_id, accept):
            assert to_be_had(line=bench.owner) == []
            accept()
            assert (to_be_had(line=bench.owner), to_be_had(line="another")) == ([image_id], [])
            assert bench.cloud.images(properties={"line": bench.owner}) == ()
            found = bench.cloud.find_image(image_id)
            assert found is not None and (found.id, found.visibility) == (image_id, "shared")


class TestMaking:
    def test_a_volume_is_made_once_and_counted(self, bench: CloudBench) -> None:
        cloud, name = bench.cloud, f"{bench.owner}-once"
        before = cloud.headroom()
        made = cloud.create_volume(name, owner=bench.owner, role="data", gib=2)
        again = cloud.create_volume(name, owner=bench.owner, role="data", gib=2)
        assert again.id == made.id and made.gib == 2
        assert made.metadata == {OWNER_KEY: bench.owner, ROLE_KEY: "data"}
        other = cloud.create_volume(name, owner=bench.owner, role="other", gib=1)
        assert other.id != made.id
        after = cloud.headroom()
        assert before.volumes is not None and after.volumes == before.volumes - 2
        assert before.gigabytes is not None and after.gigabytes == before.gigabytes - 3
        for volume in (made, other):
            cloud.delete("volume", volume.id, deadline=bench.soon())
            assert cloud.volume(volume.id) is None

    def test_of_quotas_only_those_are_told_that_are_asked_about(self, bench: CloudBench) -> None:
        room = bench.cloud.headroom(volumes=False, network=False)
        assert (room.volumes, room.gigabytes, room.security_groups, room.ports) == (None, None, None, None)
        assert room.instances == bench.cloud.headroom().instances

    def test_a_volume_is_filled_from_an_image_and_counts_as_a_use_of_it(self, bench: CloudBench) -> None:
        gib = max(1, bench.image.min_disk)
        made = bench.cloud.create_volume(
            f"{bench.owner}-full", owner=bench.owner, role="media", gib=gib, image_id=bench.image.id
        )
        bench.wait(lambda: _volume_status(bench, made.id) == "available", "the volume to be filled")
        filled = bench.cloud.volume(made.id)
        assert filled is not None and filled.image_id == bench.image.id
        assert f"volume {made.name} ({made.id})" in bench.cloud.image_uses()[bench.image.id]
        bench.cloud.delete("volume", made.id, deadline=bench.soon())

    def test_over_the_quota_is_refused_as_such(self, bench: CloudBench) -> None:
        left = bench.cloud.headroom().gigabytes
        assert left is not None
        with pytest.raises(CloudRefused, match="(?i)quota|limit") as caught:
            bench.cloud.create_volume(f"{bench.owner}-huge", owner=bench.owner, role="huge", gib=left + 1)
        assert caught.value.hint

    def test_a_security_group_is_made_once(self, bench: CloudBench) -> None:
        cloud, name = bench.cloud, f"{bench.owner}-group"
        made = cloud.create_security_group(name, owner=bench.owner, allow_from="172.16.100.1/32", ports=[5986, 5985])
        again = cloud.create_security_group(name, owner=bench.owner, allow_from="172.16.100.1/32", ports=[5986, 5985])
        assert again.id == made.id
        assert [group.id for group in cloud.owned(bench.owner)[bench.owner].security_groups] == [made.id]
        cloud.delete("security_group", made.id, deadline=bench.soon())

    def test_a_server_of_what_does_not_exist_is_an_error(self, bench: CloudBench) -> None:
        request = replace(bench.request("never"), image_id=NOWHERE)
        with pytest.raises(CloudError):
            bench.cloud.create_server(request, owner=bench.owner, role="never")
        request = replace(bench.request("never"), disks=(Disk("virtio", volume_id=NOWHERE),))
        with pytest.raises(CloudError):
            bench.cloud.create_server(request, owner=bench.owner, role="never")
        assert bench.cloud.owned(bench.owner) == {}


class TestReserving:
    """A record under a chosen id: what a claim is made of."""

    def test_an_id_is_taken_once_and_never_again(self, bench: CloudBench) -> None:
        cloud, image_id = bench.cloud, str(uuid4())
        ours = {OWNER_KEY: bench.owner, "holder": "one", "long": "x" * 60_000}
        made = cloud.reserve_image(image_id, f"{bench.owner}-claim", properties=ours)
        assert made is not None and (made.id, made.status, made.visibility) == (image_id, "queued", "private")
        assert made.hidden and not made.protected and ours.items() <= made.properties.items()
        again = cloud.reserve_image(image_id, f"{bench.owner}-claim", properties=ours)
        assert again == made, "our own, when its answer was lost"
        others = {**ours, "holder": "two"}
        assert cloud.reserve_image(image_id, f"{bench.owner}-claim", properties=others) is None
        assert cloud.image(image_id) == made, "the loser changes nothing"
        cloud.delete("image", image_id, deadline=bench.soon())
        assert cloud.image(image_id) is None
        assert cloud.reserve_image(image_id, f"{bench.owner}-claim", properties=ours) is None

    def test_a_record_is_listed_with_its_owner_and_never_found_by_name(self, bench: CloudBench) -> None:
        cloud, image_id, name = bench.cloud, str(uuid4()), f"{bench.owner}-record"
        cloud.reserve_image(image_id, name, properties={OWNER_KEY: bench.owner, "line": name})
        assert [(each.id, each.status) for each in cloud.images(properties={"line": name})] == [(image_id, "queued")]
        assert [each.id for each in cloud.owned(bench.owner)[bench.owner].images] == [image_id]
        assert cloud.find_image(name) is None
        changed = cloud.update_image(image_id, properties={"line": None, "holder": "next"})
        assert changed.properties["holder"] == "next" and "line" not in changed.properties
        cloud.delete("image", image_id, deadline=bench.soon())

    def test_an_image_of_another_project_is_no_claim_of_ours(self, bench: CloudBench) -> None:
        assert bench.cloud.reserve_image(bench.image.id, "mine", properties={"holder": "one"}) is None


class TestServer:
    def test_it_is_tagged_and_has_an_address(self, bench: CloudBench, server: Server) -> None:
        assert server.metadata == {"purpose": "contract", OWNER_KEY: bench.owner, ROLE_KEY: "builder"}
        assert server.addresses and server.power_state == 1 and server.task_state is None

    def test_it_is_a_use_of_its_image(self, bench: CloudBench, server: Server) -> None:
        assert server.image_id == bench.image.id
        assert f"server {server.name} ({server.id})" in bench.cloud.image_uses()[bench.image.id]

    def test_everything_of_an_owner_is_found(self, bench: CloudBench, server: Server) -> None:
        for owned in (bench.cloud.owned()[bench.owner], bench.cloud.owned(bench.owner)[bench.owner]):
            assert [thing.id for thing in owned.servers] == [server.id]
            assert [thing.name for thing in owned.volumes] == [f"{bench.owner}-v"]
            assert [thing.name for thing in owned.security_groups] == [f"{bench.owner}-g"]

    def test_what_it_uses_is_held_by_it(self, bench: CloudBench, server: Server) -> None:
        owned = bench.cloud.owned(bench.owner)[bench.owner]
        assert owned.volumes[0].status == "in-use"
        with pytest.raises(DeadlinePassed):
            bench.cloud.delete("volume", owned.volumes[0].id, deadline=bench.soon(2))
        with pytest.raises(DeadlinePassed):
            bench.cloud.delete("security_group", owned.security_groups[0].id, deadline=bench.soon(2))

    def test_a_volume_in_use_cannot_be_given_to_another(self, bench: CloudBench, server: Server) -> None:
        volume = bench.cloud.owned(bench.owner)[bench.owner].volumes[0]
        request = replace(bench.request("second"), disks=(Disk("virtio", volume_id=volume.id),))
        with pytest.raises(CloudError):
            bench.cloud.create_server(request, owner=bench.owner, role="second")

    def test_its_screen_is_a_picture(self, bench: CloudBench, server: Server) -> None:
        picture = bench.cloud.console_picture(server.id, deadline=bench.soon(20))
        assert picture is not None and picture.startswith(b"\x89PNG\r\n\x1a\n") and picture.endswith(b"IEND\xaeB`\x82")

    def test_what_was_done_to_it_is_told_oldest_first(self, bench: CloudBench, stopped: Server) -> None:
        actions = bench.cloud.actions(stopped.id)
        assert [action.name for action in actions][:2] == ["create", "stop"]
        assert all(action.user_id for action in actions[:2])
        assert stopped.power_state == 4 and stopped.task_state is None

    def test_the_console_of_a_stopped_server_cannot_be_read(self, bench: CloudBench, stopped: Server) -> None:
        assert bench.cloud.console_log(stopped.id) == ""
        assert bench.cloud.console_picture(stopped.id, deadline=bench.soon(20)) is None

    def test_a_stopped_server_starts_and_stops_again(self, bench: CloudBench, stopped: Server) -> None:
        bench.cloud.start_server(stopped.id)
        bench.wait(lambda: _status(bench, stopped.id) == "ACTIVE", "the server to start")
        bench.cloud.start_server(stopped.id)  # it runs already: no error
        bench.cloud.stop_server(stopped.id)
        bench.wait(lambda: _status(bench, stopped.id) == "SHUTOFF", "the server to stop")


class TestImage:
    def test_a_snapshot_carries_owner_properties_and_those_of_its_source(
        self, bench: CloudBench, snapshot: Image
    ) -> None:
        assert snapshot.properties[OWNER_KEY] == bench.owner
        assert snapshot.properties["a_key"] == "1"
        assert snapshot.properties["hw_disk_bus"] == "ide" and snapshot.properties["os_type"] == "windows"
        assert snapshot.properties["base_image_ref"] == bench.image.id
        assert (snapshot.visibility, snapshot.protected, snapshot.disk_format) == ("private", False, "qcow2")
        assert snapshot.size and snapshot.min_disk == bench.flavor.disk_gib
        assert snapshot.os_hash and snapshot.fingerprint == snapshot.os_hash and snapshot.os_hash.startswith("sha512:")

    def test_what_is_named_changes_and_nothing_else(self, bench: CloudBench, snapshot: Image) -> None:
        changed = bench.cloud.update_image(
            snapshot.id, properties={"hw_disk_bus": "virtio", "a_key": None, "never_was": None, "new": "x"}, min_ram=256
        )
        assert changed.properties["hw_disk_bus"] == "virtio" and changed.properties["new"] == "x"
        assert not {"a_key", "never_was"} & changed.properties.keys()
        assert (changed.name, changed.min_ram, changed.min_disk) == (snapshot.name, 256, snapshot.min_disk)
        assert bench.cloud.image(snapshot.id) == changed
        assert bench.cloud.update_image(snapshot.id, properties={"new": "x"}) == changed

    def test_images_are_listed_by_property_hidden_ones_too(self, bench: CloudBench, snapshot: Image) -> None:
        bench.cloud.update_image(snapshot.id, properties={"line": bench.owner}, hidden=True)
        found = bench.cloud.images(properties={"line": bench.owner})
        assert [image.id for image in found] == [snapshot.id] and found[0].hidden
        assert bench.cloud.images(properties={"line": bench.owner, "other": "y"}) == ()
        bench.cloud.update_image(snapshot.id, hidden=False)
        assert [image.id for image in bench.cloud.images(properties={"line": bench.owner})] == [snapshot.id]

    def test_a_deactivated_image_makes_no_server(self, bench: CloudBench, snapshot: Image) -> None:
        cloud = bench.cloud
        assert cloud.set_image_active(snapshot.id, active=False).status == "deactivated"
        assert cloud.set_image_active(snapshot.id, active=False).status == "deactivated"
        with pytest.raises(CloudError):
            cloud.create_server(replace(bench.request("never"), image_id=snapshot.id), owner=bench.owner, role="never")
        assert cloud.find_image(snapshot.name) is None
        assert snapshot.id in {image.id for image in cloud.images()}
        assert cloud.set_image_active(snapshot.id, active=True).status == "active"

    def test_anothers_image_is_not_deactivated(self, bench: CloudBench) -> None:
        with pytest.raises(CloudRefused):
            bench.cloud.set_image_active(bench.image.id, active=False)

    def test_a_protected_image_stays_and_a_finished_one_is_nobodys(self, bench: CloudBench, snapshot: Image) -> None:
        cloud = bench.cloud
        name = f"{bench.owner}-v1"
        cloud.update_image(snapshot.id, name=name, protected=True, properties={OWNER_KEY: None})
        assert cloud.owned(bench.owner)[bench.owner].images == ()
        with pytest.raises(CloudRefused):
            cloud.delete("image", snapshot.id, deadline=bench.soon(10))
        found = cloud.find_image(name)
        assert found is not None and found.protected
        cloud.update_image(snapshot.id, protected=False)
        cloud.delete("image", snapshot.id, deadline=bench.soon())
        assert cloud.image(snapshot.id) is None and cloud.find_image(name) is None


class TestEnd:
    def test_a_server_takes_its_disks_along_and_frees_its_group(self, bench: CloudBench, stopped: Server) -> None:
        owned = bench.cloud.owned(bench.owner)[bench.owner]
        bench.cloud.begin_delete(stopped.id)
        assert bench.cloud.owned(bench.owner)[bench.owner].servers == (), "it is on its way"
        bench.cloud.begin_delete(stopped.id)
        bench.cloud.delete("server", stopped.id, deadline=bench.soon())
        assert bench.cloud.server(stopped.id) is None
        for volume in owned.volumes:
            bench.cloud.delete("volume", volume.id, deadline=bench.soon())
        bench.cloud.delete("security_group", owned.security_groups[0].id, deadline=bench.soon())
        assert bench.cloud.owned(bench.owner) == {}


def _status(bench: CloudBench, server_id: str) -> str:
    server = bench.cloud.server(server_id)
    return server.status if server and server.task_state is None else "under way"


def _volume_status(bench: CloudBench, volume_id: str) -> str:
    volume = bench.cloud.volume(volume_id)
    assert volume is not None
    assert not volume.status.startswith("error"), volume
    return volume.status


def _image(bench: CloudBench, image_id: str) -> Image:
    image = bench.cloud.image(image_id)
    assert image is not None
    return image
