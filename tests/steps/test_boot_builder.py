"""boot-builder: everything is made once, by the build's id, however often a run is cut off; what goes wrong is said with a reason."""

from dataclasses import replace

import pytest

from imagebuild import windows
from imagebuild.errors import CloudRefused, CloudUnreachable, DeadlinePassed, StepFailed
from imagebuild.recipe_header import NOBODY, Header
from imagebuild.steps.boot_builder import BootBuilder
from tests.steps.conftest import World
from tests.unit.examples import TEMPLATES


def change_builder(world: World, **values: object) -> None:
    content = world.context.header.model_dump()
    content["builder"] |= values
    world.context.header = Header.model_validate(content)


def test_group_volumes_and_server_are_made_and_wired(world: World) -> None:
    BootBuilder().run(world.context)
    build = world.context.build.id
    owned = world.cloud.owned(build)[build]
    assert [server.status for server in owned.servers] == ["ACTIVE"]
    assert world.facts["server_id"] == world.builder() == world.remembered()["server_id"]
    assert [(group.name, "10.0.0.1/32" in group.description) for group in owned.security_groups] == [(build, True)]
    assert "5986" in owned.security_groups[0].description
    assert sorted(volume.name for volume in owned.volumes) == [f"{build}-drivers-cd", f"{build}-extra"]
    request = world.cloud.request_of(world.builder())
    assert request.root_bus == "ide"
    assert [(disk.bus, disk.cdrom) for disk in request.disks] == [("virtio", False), ("ide", True)]
    assert {disk.volume_id for disk in request.disks} == {volume.id for volume in owned.volumes}
    assert request.security_groups == (build,)
    assert request.user_data == windows.user_data()
    assert request.admin_password == world.context.password


def test_a_sata_machine_has_no_ide_for_its_cds(world: World) -> None:
    world.facts["root_bus"] = "sata"
    BootBuilder().run(world.context)
    assert world.cloud.request_of(world.builder()).root_bus == "sata"
    assert [disk.bus for disk in world.cloud.request_of(world.builder()).disks] == ["virtio", "sata"]


def test_a_builder_without_an_extra_disk_has_its_cds_only(world: World) -> None:
    change_builder(world, extra_disk_bus="none")
    BootBuilder().run(world.context)
    build = world.context.build.id
    assert [volume.name for volume in world.cloud.owned(build)[build].volumes] == [f"{build}-drivers-cd"]
    assert [disk.cdrom for disk in world.cloud.request_of(world.builder()).disks] == [True]


def test_a_builder_without_disks_needs_no_volume(world: World) -> None:
    change_builder(world, extra_disk_bus="none")
    world.facts["media"] = []
    BootBuilder().run(world.context)
    assert world.cloud.request_of(world.builder()).disks == ()
    assert "create_volume" not in world.cloud.faults.calls


def test_metadata_and_zone_of_the_recipe_arrive(world: World) -> None:
    change_builder(world, metadata={"team": "vdi"}, availability_zone="az2")
    world.cloud.zones.append("az2")
    BootBuilder().run(world.context)
    request = world.cloud.request_of(world.builder())
    assert (request.metadata, request.availability_zone) == ({"team": "vdi"}, "az2")


@pytest.mark.parametrize("call", ["create_security_group", "create_volume", "create_server", "server"])
def test_a_second_run_takes_up_what_a_cut_off_one_has_made(world: World, call: str) -> None:
    world.cloud.faults.lose_answer(call)
    with pytest.raises(CloudUnreachable):
        BootBuilder().run(world.context)
    BootBuilder().run(world.context)
    BootBuilder().run(world.context)
    owned = world.cloud.owned()[world.context.build.id]
    assert (len(owned.servers), len(owned.volumes), len(owned.security_groups)) == (1, 2, 1)
    assert world.facts["server_id"] == world.builder()


def test_the_id_is_on_the_disk_before_it_is_waited_for(world: World) -> None:
    world.cloud.server_fault = "No valid host was found."
    with pytest.raises(StepFailed):
        BootBuilder().run(world.context)
    assert world.remembered()["server_id"] == world.builder()


def test_novas_own_reason_is_told(world: World) -> None:
    world.cloud.server_fault = "No valid host was found."
    with pytest.raises(StepFailed, match=r"Nova could not start the builder: No valid host was found\.") as caught:
        BootBuilder().run(world.context)
    assert caught.value.hint


def test_a_server_that_somebody_deletes_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.cloud, "server", lambda server_id: None)
    with pytest.raises(StepFailed, match="somebody deleted it"):
        BootBuilder().run(world.context)


@pytest.mark.parametrize("gone", [False, True])
def test_a_volume_that_breaks_or_vanishes_ends_it_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    look = world.cloud.volume

    def broken(volume_id: str) -> object:
        volume = look(volume_id)
        return None if gone or volume is None else replace(volume, status="error")

    monkeypatch.setattr(world.cloud, "volume", broken)
    with pytest.raises(StepFailed, match="is gone" if gone else "is error"):
        BootBuilder().run(world.context)
    assert world.clock.slept == 0
    assert "create_server" not in world.cloud.faults.calls


def test_a_quota_that_somebody_used_up_meanwhile_is_a_refusal(world: World) -> None:
    world.cloud.faults.fail("create_server", CloudRefused("403 Quota exceeded"))
    with pytest.raises(CloudRefused, match="Quota"):
        BootBuilder().run(world.context)


def test_a_builder_that_never_starts_ends_with_the_deadline(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.cloud, "_boot", lambda server_id: None)
    with pytest.raises(DeadlinePassed, match="waited .* s for Nova to start the builder"):
        BootBuilder(deadline_minutes=2).run(world.context)
    assert world.clock.slept <= 121


def test_the_user_data_is_part_of_the_digest() -> None:
    assert BootBuilder().inputs(TEMPLATES) == {"user_data": windows.user_data()}


def test_a_builder_that_nobody_talks_to_needs_no_group_of_its_own(world: World) -> None:
    world.facts["allow_from"] = NOBODY
    BootBuilder().run(world.context)
    build = world.context.build.id
    assert world.cloud.owned(build)[build].security_groups == ()
    assert world.cloud.request_of(world.builder()).security_groups == ()
