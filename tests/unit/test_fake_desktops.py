"""The fake cloud where no contract can hold it against the lab: what Nova refuses there takes hardware or rights that the lab has not.

Sources: nova.compute.api.API.rebuild with its decorators, nova.db.main.api.instance_destroy.
"""

import pytest

from imagebuild.cloud import Server, ServerRequest
from imagebuild.errors import CloudError, CloudRefused
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud
from tests.fakes.cloud_desktops import PAGE
from tests.fakes.cloud_state import Limits


def a_cloud(**limits: int) -> FakeCloud:
    return FakeCloud(FakeClock(), limits=Limits(**{"instances": 9, **limits}))


def a_request(cloud: FakeCloud, *, specs: dict[str, str] | None = None, tpm: str = "") -> ServerRequest:
    image = cloud.add_image("old", hw_tpm_version=tpm) if tpm else cloud.add_image("old")
    return ServerRequest("d", image.id, cloud.add_flavor("f", specs=specs).id, cloud.add_network("n").id)


def a_desktop(cloud: FakeCloud, *, specs: dict[str, str] | None = None, tpm: str = "") -> Server:
    return cloud.add_desktop("desktop-1", a_request(cloud, specs=specs, tpm=tpm), pool="staff")


@pytest.mark.parametrize("where", ["flavor", "image"])
def test_a_desktop_with_a_virtual_tpm_is_not_rebuilt(where: str) -> None:
    cloud = a_cloud()
    in_flavor = where == "flavor"
    desktop = a_desktop(cloud, specs={"hw:tpm_version": "2.0"} if in_flavor else None, tpm="" if in_flavor else "2.0")
    with pytest.raises(CloudError, match="vTPM"):
        cloud.rebuild_server(desktop.id, cloud.add_image("new").id)
    assert cloud.rebuilds == []


def test_a_root_volume_is_wiped_with_leave_only() -> None:
    cloud = a_cloud()
    desktop = cloud.add_desktop("desktop-1", a_request(cloud), pool="staff", volume_backed=True)
    new = cloud.add_image("new").id
    with pytest.raises(CloudError, match="volume-backed"):
        cloud.rebuild_server(desktop.id, new)
    cloud.rebuild_server(desktop.id, new, allow_root_volume_wipe=True)
    assert desktop.root_volume_id is not None
    volume = cloud.volume(desktop.root_volume_id)
    assert volume is not None and volume.image_id == new


def test_a_rebuild_that_fails_leaves_an_error_that_can_be_rebuilt_and_not_marked() -> None:
    cloud = a_cloud()
    desktop, new = a_desktop(cloud), cloud.add_image("new").id
    cloud.rebuild_fault = lambda server: "No valid host was found."
    cloud.rebuild_server(desktop.id, new)
    cloud.clock.sleep(60)
    failed = cloud.server(desktop.id)
    assert failed is not None
    assert (failed.status, failed.fault, failed.image_id) == ("ERROR", "No valid host was found.", new)
    assert failed.launched_at == desktop.launched_at, "the new image's id is no proof of the new disk"
    with pytest.raises(CloudRefused):
        cloud.set_server_metadata(desktop.id, {"a": "b"})
    cloud.rebuild_fault = lambda server: ""
    cloud.rebuild_server(desktop.id, new, metadata={"a": "b"})


def test_more_desktops_than_the_quota_are_refused() -> None:
    cloud = a_cloud(instances=1)
    request = a_request(cloud)
    cloud.create_desktop(request, pool="staff")
    with pytest.raises(CloudRefused, match="Quota exceeded"):
        cloud.create_desktop(ServerRequest("e", request.image_id, request.flavor_id, request.network_id), pool="staff")


def test_two_servers_may_have_one_name() -> None:
    cloud = a_cloud()
    request = a_request(cloud)
    first, second = (cloud.add_desktop("desktop-1", request, pool="staff") for _ in range(2))
    assert first.id != second.id and first.name == second.name


def test_a_listing_counts_its_pages() -> None:
    cloud = a_cloud()
    request = a_request(cloud)
    for number in range(PAGE + 1):
        cloud.add_desktop(f"d-{number}", request, pool="staff")
    assert len(cloud.servers(tags=("vdi-pool=staff",))) == PAGE + 1
    assert cloud.faults.requests["servers"] == 2
