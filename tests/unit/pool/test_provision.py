"""The first desktops: made once whatever breaks off, few at a time, never under a name that a stranger has."""

from dataclasses import replace

import pytest

from imagebuild.broker import PoolSettings
from imagebuild.cloud import OWNER_KEY, ServerRequest
from imagebuild.errors import CloudRefused, CloudUnreachable, NotFound, StepFailed
from imagebuild.pool.marks import IMAGE_ID, IMAGE_VERSION, OU, SEQUENCE
from imagebuild.pool.network import make_network
from imagebuild.pool.provision import Made, broker_clashes, create_desktops, desktop_request, find_parts
from imagebuild.report import SilentReport
from imagebuild.waiting import Deadline
from tests.unit.pool.pools import Site, a_site, define

INTRANET = {"subnet": "10.0.0.0/8", "dns": ["10.0.0.2"], "rdp_from": ["10.0.0.0/8"], "reach": ["10.0.0.0/8"]}


def ready(size: int = 4) -> Site:
    """A cloud with the pool's network and group, and no desktops."""
    site = a_site(0, size=size, intranet=INTRANET, ou="OU=Desktops,DC=corp,DC=example")
    site.cloud.limits = replace(site.cloud.limits, instances=size)
    make_network(site.definition, site.cloud, report=SilentReport())
    site.cloud.faults.calls.clear()
    return site


def create(site: Site) -> Made:
    parts = find_parts(site.definition, site.cloud, version=site.to)
    return create_desktops(site.definition, site.cloud, parts, report=SilentReport(), clock=site.clock)


def names(site: Site) -> list[str]:
    return sorted(server.name for server in site.cloud.servers())


def test_desktops_are_made_by_the_pool_s_file() -> None:
    site = ready()
    assert create(site) == Made(("desktop-1", "desktop-2", "desktop-3", "desktop-4"), ())
    servers = site.cloud.servers(tags=("vdi-pool=staff",))
    assert sorted(server.name for server in servers) == names(site) == [f"desktop-{number}" for number in (1, 2, 3, 4)]
    notes = {IMAGE_ID: site.new.id, IMAGE_VERSION: "small-v2", OU: "OU=Desktops,DC=corp,DC=example"}
    for server in servers:
        assert server.status == "ACTIVE"
        assert server.image_id == site.new.id
        assert notes | {SEQUENCE: server.name.removeprefix("desktop-")} | {"vdi_pool": "staff"} == server.metadata
        assert OWNER_KEY not in server.metadata, "a sweep of builds would delete it"
        (port,) = site.cloud.ports(server_id=server.id)
        assert (port.name, port.description) == (server.name, "vdi_pool=staff")
        assert len(port.security_groups) == 1
    assert site.cloud.owned() == {}


def test_a_second_time_makes_nothing() -> None:
    site = ready()
    create(site)
    before = site.cloud.servers()
    made = create(site)
    assert (made.made, len(made.there)) == ((), 4)
    assert site.cloud.servers() == before


def test_a_larger_size_adds_what_is_missing_and_a_gap_is_filled() -> None:
    site = ready(6)
    site.definition = define(size=4, intranet=INTRANET)
    create(site)
    site.cloud.delete_server(next(one.id for one in site.cloud.servers() if one.name == "desktop-2"))
    site.clock.sleep(60)
    site.definition = define(size=6, intranet=INTRANET)
    assert create(site).made == ("desktop-2", "desktop-5", "desktop-6")
    assert len(names(site)) == len(set(names(site))) == 6


def test_a_desktop_that_is_broken_is_there_and_told() -> None:
    site = ready()
    create(site)
    broken = next(one.id for one in site.cloud.servers() if one.name == "desktop-2")
    site.cloud._fail_boot(broken, "No valid host was found.")
    again = create(site)
    assert (again.made, len(again.there)) == ((), 4)
    assert again.broken == ("desktop-2: No valid host was found.",)


def test_few_boot_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    site = ready(9)
    booting = []
    sleep = site.clock.sleep

    def count(seconds: float) -> None:
        booting.append(sum(machine.server.status == "BUILD" for machine in site.cloud._machines.values()))
        sleep(seconds)

    monkeypatch.setattr(site.clock, "sleep", count)
    create(site)
    assert booting == [3, 3, 3] and site.definition.roll.parallel_boots == 3


@pytest.mark.parametrize("method", ["create_port", "create_desktop"])
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_a_run_that_breaks_off_anywhere_is_finished_by_the_next_with_one_server_a_name(
    method: str, number: int
) -> None:
    site = ready()
    done = 0
    real = getattr(site.cloud, method)

    def breaks(*args: object, **kwargs: object) -> object:
        nonlocal done
        done += 1
        result = real(*args, **kwargs)
        if done == number + 1:
            raise CloudUnreachable("the answer is lost")
        return result

    setattr(site.cloud, method, breaks)
    with pytest.raises(CloudUnreachable):
        create(site)
    create(site)
    assert names(site) == [f"desktop-{one}" for one in (1, 2, 3, 4)]
    assert {server.status for server in site.cloud.servers()} == {"ACTIVE"}
    assert len(site.cloud.ports(pool="staff")) == 4


def test_desktops_that_a_killed_run_left_booting_are_waited_for() -> None:
    site = ready()
    parts = find_parts(site.definition, site.cloud, version=site.to)
    site.cloud.create_desktop(desktop_request(site.definition, "desktop-1", parts), pool="staff")
    assert create(site).made == ("desktop-2", "desktop-3", "desktop-4")
    assert {server.status for server in site.cloud.servers()} == {"ACTIVE"}


def test_one_that_nova_cannot_start_ends_the_making_and_is_named() -> None:
    site = ready(9)
    site.cloud.server_fault = "No valid host was found"
    with pytest.raises(StepFailed, match="1 desktop did not start") as caught:
        create(site)
    assert caught.value.details == ("desktop-1: No valid host was found",)
    assert len(names(site)) == 3, "those that had been begun beside it, and no more"


def test_nothing_is_made_when_the_quota_is_too_small_for_all() -> None:
    site = ready()
    site.cloud.limits = replace(site.cloud.limits, instances=3, cores=4)
    with pytest.raises(CloudRefused, match="4 new desktops: instances: 4 needed, 3 left; cores: 8 needed, 4 left"):
        create(site)
    assert names(site) == [] and site.cloud.ports(pool="staff") == ()


def test_each_desktop_needs_a_port_too() -> None:
    site = ready()
    site.cloud.limits = replace(site.cloud.limits, ports=3)
    with pytest.raises(CloudRefused, match="4 new desktops: ports: 4 needed, 3 left"):
        create(site)
    assert names(site) == [] and site.cloud.ports(pool="staff") == ()


def test_a_port_that_a_lost_desktop_has_left_is_not_needed_again() -> None:
    site = ready()
    create(site)
    site.cloud.delete("server", site.cloud.servers()[0].id, deadline=Deadline.after(60, site.clock))
    site.cloud.limits = replace(site.cloud.limits, ports=4)
    create(site)
    assert len(names(site)) == len(site.cloud.ports(pool="staff")) == 4


def test_roots_on_volumes_need_a_quota_of_volumes_too() -> None:
    site = ready()
    site.definition = site.definition.model_copy(update={"root_volume_gib": 40})
    site.cloud.limits = replace(site.cloud.limits, volumes=3, gigabytes=100)
    with pytest.raises(CloudRefused, match="volumes: 4 needed, 3 left; GiB of volumes: 160 needed, 100 left"):
        create(site)
    assert names(site) == []


def test_a_stranger_s_name_is_not_given_a_second_time() -> None:
    site = ready()
    stranger = ServerRequest(
        name="Desktop-3", image_id=site.old.id, flavor_id=site.flavor.id, network_id=site.network.id
    )
    site.cloud.create_server(stranger, owner="kim", role="own")
    with pytest.raises(
        CloudRefused, match=r"1 server outside of the pool staff with a name that it needs: Desktop-3"
    ) as caught:
        create(site)
    assert "invoke pool.adopt staff" in caught.value.hint
    assert names(site) == ["Desktop-3"]


def test_what_is_missing_is_told_with_the_command_that_makes_it() -> None:
    site = a_site(0, size=1)
    with pytest.raises(NotFound, match="no security group elsewhere") as caught:
        find_parts(define(security_group="elsewhere"), site.cloud, version=site.to)
    assert caught.value.hint == "make it: invoke pool.network staff"
    with pytest.raises(NotFound, match="no flavor huge"):
        find_parts(define(flavor="huge"), site.cloud, version=site.to)
    with pytest.raises(NotFound, match="no availability zone upstairs that is up, only nova"):
        find_parts(define(availability_zone="upstairs"), site.cloud, version=site.to)
    assert find_parts(define(availability_zone="nova:host-1"), site.cloud, version=site.to).flavor == site.flavor


def test_an_image_that_does_not_fit_the_flavor_is_refused_before_anything_is_made() -> None:
    site = ready()
    site.cloud.update_image(site.new.id, min_ram=8192)
    with pytest.raises(StepFailed, match="and 8192 MiB of memory: desktop has 40 GiB and 2048 MiB"):
        create(site)
    assert names(site) == []
    site.cloud.update_image(site.new.id, min_ram=0, min_disk=60)
    with pytest.raises(StepFailed, match="small-v2 needs a disk of 60 GiB"):
        create(site)
    site.definition = site.definition.model_copy(update={"root_volume_gib": 80})
    create(site)
    assert {server.image_id for server in site.cloud.servers()} == {None}, "their roots are volumes"


def test_a_replaced_desktop_is_asked_for_with_its_port_or_its_root_volume() -> None:
    site = ready()
    parts = find_parts(site.definition, site.cloud, version=site.to)
    port = site.cloud.create_port("desktop-1", pool="staff", network_id=site.network.id)
    request = desktop_request(site.definition, "desktop-1", parts, port=port)
    assert (request.port_id, request.root_gib, request.security_groups) == (port.id, None, ())
    bare = desktop_request(define(root_volume_gib=60), "reception", parts)
    assert (bare.root_gib, bare.security_groups, SEQUENCE in bare.metadata) == (60, ("vdi-desktop",), False)


def test_a_broker_that_makes_desktops_of_the_same_names_is_told() -> None:
    definition = define(size=4)
    settings = PoolSettings(pool="staff", provisioning=True, next_value=3)
    assert len(list(broker_clashes(definition, settings))) == 2
    assert len(list(broker_clashes(definition, replace(settings, next_value=5)))) == 1
    assert list(broker_clashes(definition, replace(settings, provisioning=False))) == []
