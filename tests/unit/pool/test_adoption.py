"""Servers that are taken over: only those of the pool's names, none that is somebody's, and a member has its notes already."""

import pytest

from imagebuild.cloud import Server, ServerRequest
from imagebuild.errors import CloudUnreachable
from imagebuild.pool.adoption import adopt_all, find_adoptions
from imagebuild.pool.marks import IMAGE_ID, IMAGE_VERSION, PERSISTENT, SEQUENCE
from imagebuild.report import SilentReport
from tests.unit.pool.pools import Site, a_site


def loose(site: Site, name: str, *, volume_backed: bool = False, pool: str = "") -> Server:
    """A server that stands there without notes and, unless `pool` says so, without a tag."""
    request = ServerRequest(name=name, image_id=site.old.id, flavor_id=site.flavor.id, network_id=site.network.id)
    server = site.cloud.add_desktop(name, request, pool=pool or "x", volume_backed=volume_backed)
    site.change(server, metadata={}, tags=(f"vdi-pool={pool}",) if pool else ())
    return server


def take(site: Site, *persistent: str) -> list[str]:
    taken = adopt_all(site.definition, site.cloud, persistent=frozenset(persistent), report=SilentReport())
    return [one.server.name for one in taken]


def server_of(site: Site, server: Server) -> Server:
    found = site.cloud.server(server.id)
    assert found is not None
    return found


def test_a_look_changes_nothing() -> None:
    site = a_site(0)
    loose(site, "desktop-2")
    loose(site, "desktop-10")
    loose(site, "reception")
    before = site.cloud.servers()
    found = find_adoptions(site.definition, site.cloud)
    assert [(one.server.name, one.obstacle, one.member) for one in found] == [
        ("desktop-2", "", False),
        ("desktop-10", "", False),
    ]
    assert "can be taken over" in str(found[0])
    assert site.cloud.servers() == before


def test_what_is_taken_over_gets_its_notes_and_its_tag() -> None:
    site = a_site(0)
    server, stranger = loose(site, "Desktop-7"), loose(site, "reception")
    assert take(site) == ["Desktop-7"]
    after = server_of(site, server)
    assert after.tags == ("vdi-pool=staff",)
    assert after.metadata == {"vdi_pool": "staff", SEQUENCE: "7", IMAGE_ID: site.old.id, IMAGE_VERSION: "small-v1"}
    assert server_of(site, stranger).tags == ()
    assert take(site) == []
    assert find_adoptions(site.definition, site.cloud)[0].member


def test_of_a_root_volume_the_image_is_looked_up_once_and_noted() -> None:
    site = a_site(0)
    server = loose(site, "desktop-1", volume_backed=True)
    take(site)
    assert server_of(site, server).metadata[IMAGE_ID] == site.old.id


def test_one_user_s_own_desktop_is_marked_so() -> None:
    site = a_site(0)
    own, other = loose(site, "Desktop-1"), loose(site, "desktop-2")
    take(site, "desktop-1")
    assert server_of(site, own).metadata[PERSISTENT] == "yes"
    assert PERSISTENT not in server_of(site, other).metadata
    assert [one.name for one in site.look().included] == ["desktop-2"]


@pytest.mark.parametrize(
    ("changes", "obstacle"),
    [
        ({"tags": ("vdi-pool=students",)}, "it belongs to another pool (vdi-pool=students)"),
        ({"metadata": {"imagebuild_owner": "win7-1"}}, "it was made for a build (win7-1)"),
        ({"locked": True, "locked_reason": "exam"}, "somebody has locked it: exam"),
        ({"locked": True}, "somebody has locked it"),
        ({"status": "ERROR"}, "it is ERROR, and Nova marks only servers that are settled"),
        ({"task_state": "rebuilding"}, "it is ACTIVE, and Nova marks only servers that are settled"),
    ],
)
def test_what_stays_out(changes: dict[str, object], obstacle: str) -> None:
    site = a_site(0)
    server = loose(site, "desktop-1")
    site.change(server, **changes)
    (found,) = find_adoptions(site.definition, site.cloud)
    assert found.obstacle == obstacle
    assert f"stays out: {obstacle}" in str(found)
    assert take(site) == []
    assert "vdi-pool=staff" not in server_of(site, server).tags


def test_of_two_with_one_name_neither_is_taken() -> None:
    site = a_site(0)
    loose(site, "desktop-1")
    loose(site, "DESKTOP-1")
    assert take(site) == []
    assert {one.obstacle.split(" ", 1)[1] for one in find_adoptions(site.definition, site.cloud)} == {
        "servers are called desktop-1",
        "servers are called DESKTOP-1",
    }


def test_a_run_that_breaks_off_leaves_no_member_without_its_notes_and_is_finished_by_the_next() -> None:
    for method in ("set_server_metadata", "tag_server"):
        site = a_site(0)
        loose(site, "desktop-1")
        loose(site, "desktop-2")
        site.cloud.faults.lose_answer(method)
        with pytest.raises(CloudUnreachable):
            take(site)
        assert all(IMAGE_ID in one.metadata for one in site.cloud.servers(tags=("vdi-pool=staff",)))
        take(site)
        assert len(site.cloud.servers(tags=("vdi-pool=staff",))) == 2
