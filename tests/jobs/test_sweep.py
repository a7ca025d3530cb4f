"""What dead builds leave is told by the next one and swept when asked; what lives, what is another's and what is nobody's of ours stays."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imagebuild.build_state import read_state
from imagebuild.checkpoints import list_checkpoints
from imagebuild.claim import claims
from imagebuild.cloud import Image, ServerRequest, Volume
from imagebuild.errors import Busy, CloudRefused, ImagebuildError, RecipeError
from imagebuild.holder import this_process
from imagebuild.journal import Journal
from imagebuild.properties import CHECKPOINT, EXPIRES_AT, HOLDER_PROCESS, SELF
from imagebuild.properties import RECIPE as RECIPE_KEY
from tests.jobs.conftest import RECIPE, Killed, Site
from tests.jobs.test_resume import claim_elsewhere, killed_in

ELSEWHERE = "win7-vdi-20260101-000000-abcd"


@pytest.mark.parametrize("script", ["Initialize-Workplace", "Install-Updates", "Test-Generalize", "Start-Generalize"])
def test_what_a_killed_build_has_left_is_told_by_the_next_one_and_swept(site: Site, script: str) -> None:
    dead = killed_in(site, script)
    assert len(site.things()) == 6
    assert not site.folder().is_alive()
    assert site.build(fresh=True).image == "win7-vdi-v1"
    said = site.said()
    assert f"{dead} is dead (cut off in step" in said
    assert f"invoke builds.resume {dead}, or invoke builds.undo {dead}" in said
    assert f"{dead} (" in said.split("its claim on win7-vdi is taken over")[0]
    assert len(site.things()) == 5, "its claim is gone, the rest is for the one who asks"
    assert site.sweep() == 5
    assert site.things() == []
    assert [one.name for one in site.images()] == ["win7-vdi-v1"]


def test_a_build_killed_after_its_image_was_registered_has_lost_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(site.cloud, "delete", killed)
        with pytest.raises(Killed):
            site.build()
    site.sweep()
    assert site.things() == []
    assert site.image().protected


def test_a_living_builds_things_are_never_swept(site: Site) -> None:
    killed_in(site)
    with Journal(site.folder().journal):
        assert site.sweep(kept=True, foreign=True) == 0
        assert len(site.things()) == 6
        with pytest.raises(ImagebuildError, match="being worked on by another process"):
            site.undo()
    assert site.sweep() == 6


def test_another_machines_things_are_swept_only_when_asked(site: Site) -> None:
    site.cloud.create_volume("theirs", owner="win7-vdi-of-another-machine", role="x", gib=1)
    assert site.sweep() == 0
    assert site.sweep(kept=True) == 0
    assert "nothing to sweep" in site.said()
    assert site.sweep(foreign=True, dry_run=True) == 1
    assert len(site.things()) == 1
    assert site.sweep(foreign=True) == 1
    assert site.things() == []


def test_another_machine_that_is_at_work_is_left_alone_even_when_foreign_things_are_swept(site: Site) -> None:
    """Its claim says so. One that expired long ago protects nothing."""
    site.cloud.create_volume("theirs", owner="at-work", role="x", gib=1)
    claim_elsewhere(site, "at-work")
    assert site.sweep(foreign=True) == 0
    assert len(site.things()) == 2
    for claim in claims(site.cloud):
        site.cloud.update_image(claim.id, properties={"imagebuild_expires_at": "2020-01-01T00:00:00+00:00"})
    assert site.sweep(foreign=True) == 2


def test_another_clones_build_whose_process_is_gone_protects_nothing(site: Site) -> None:
    """Plain sweep leaves it all the same: whoever works in that clone may still go on with it."""
    site.cloud.create_volume("theirs", owner=ELSEWHERE, role="x", gib=1)
    claim_elsewhere(site, ELSEWHERE)
    lose_process(site)
    assert site.sweep() == 0
    assert site.sweep(foreign=True) == 2


def test_after_its_claim_is_taken_over_a_build_of_another_clone_is_undone_by_its_id(site: Site) -> None:
    site.cloud.create_volume("theirs", owner=ELSEWHERE, role="x", gib=1)
    site.cloud.create_volume("others", owner="of-another-machine", role="x", gib=1)
    claim_elsewhere(site, ELSEWHERE)
    with pytest.raises(Busy, match=f"is claimed by {ELSEWHERE}"):
        site.build()
    with pytest.raises(Busy, match=f"is claimed by {ELSEWHERE}"):
        site.undo(ELSEWHERE)
    lose_process(site)
    assert site.build().image == "win7-vdi-v1"
    assert f"its claim on {RECIPE} is taken over; what it has left: invoke builds.undo {ELSEWHERE}" in site.said()
    assert site.undo(ELSEWHERE) == 1
    assert [thing.owner for thing in site.things()] == ["of-another-machine"]


def test_a_build_that_neither_machine_nor_cloud_knows_is_not_undone(site: Site) -> None:
    for text, words in (("of-another-machine", "this machine has no build"), (ELSEWHERE, "neither this machine nor")):
        with pytest.raises(RecipeError, match=words):
            site.undo(text)


def lose_process(site: Site) -> None:
    """The processes that hold claims were killed."""
    place, _, start = this_process().split()
    for claim in claims(site.cloud):
        site.cloud.update_image(claim.id, properties={HOLDER_PROCESS: f"{place} {2**22 + 1} {start}"})


def test_a_build_points_at_no_leftovers_that_a_plain_sweep_would_leave(site: Site) -> None:
    site.cloud.create_volume("theirs", owner="win7-vdi-of-another-machine", role="x", gib=1)
    site.build()
    assert "has left things" not in site.said()


def test_where_all_builds_are_over_the_cloud_is_not_asked_what_dead_ones_have_left(site: Site) -> None:
    looks = []
    for _ in range(3):  # the third one after a dead one
        site.cloud.faults.calls.clear()
        site.build(fresh=True)
        looks.append(site.cloud.faults.calls.count("owned"))
        if len(looks) == 2:
            killed_in(site)
    assert looks == [looks[0], looks[0], looks[0] + 1]
    assert "has left things" in site.said()


def test_one_build_that_cannot_be_swept_does_not_keep_the_others(site: Site) -> None:
    for owner in ("a", "b"):
        site.cloud.create_volume("v", owner=owner, role="x", gib=1)
    site.clock.sleep(10)
    site.cloud.faults.fail("delete", CloudRefused("409 busy"))
    with pytest.raises(ImagebuildError, match="not everything could be swept") as caught:
        site.sweep(foreign=True)
    assert len(caught.value.details) == 1
    assert [thing.owner for thing in site.things()] == ["a"]


def test_a_journal_that_nobody_can_read_does_not_stop_a_sweep(site: Site) -> None:
    killed_in(site)
    site.folder().journal.write_bytes(b"\0\0\0\n{\n")
    assert site.sweep() == 6
    assert site.things() == []


def test_things_that_only_look_like_ours_are_never_touched(site: Site) -> None:
    """Same names, same recipe, made beside a build of ours; but nothing of it carries an owner of ours."""
    build = killed_in(site)
    look_alikes = make_look_alikes(site, build)
    assert standing(site) >= look_alikes
    site.sweep(kept=True, foreign=True)
    site.build(fresh=True)
    site.die_in("Set-Desktop")
    with pytest.raises(Killed):
        site.build(fresh=True)
    site.undo(next(iter({thing.owner for thing in site.things()})))
    assert site.things() == []
    assert standing(site) >= look_alikes


def make_look_alikes(site: Site, build: str) -> set[str]:
    """A server, a volume, a group and images as somebody else in the project would make them: ids."""
    cloud = site.cloud
    image, flavor, network = (
        cloud.find_image("win7-sp1-x64"),
        cloud.find_flavor("2cpu_2GB_40GB"),
        cloud.find_network("vdi-network"),
    )
    assert image and flavor and network
    before = standing(site)
    group = cloud.create_security_group(build, owner="x", allow_from="10.0.0.1/32", ports=[22])
    cloud._groups[group.id] = type(group)(group.id, build, f"not of {build}")
    server = cloud.create_server(ServerRequest(build, image.id, flavor.id, network.id), owner="x", role="builder")
    volume = cloud.create_volume(f"{build}-extra", owner="x", role="extra-disk", gib=1)
    cloud.clock.sleep(10)
    cloud.go_on()
    cloud._set(server.id, metadata=without_owner(server.metadata))
    standing_volume = cloud._volumes[volume.id]
    cloud._volumes[volume.id] = type(volume)(
        volume.id, volume.name, standing_volume.status, 1, without_owner(volume.metadata)
    )
    cloud.add_image(build, foreign=False, image=Image("", "", "active", min_disk=1))
    cloud.add_image(f"{RECIPE}-v7", foreign=False, **{RECIPE_KEY: RECIPE, "imagebuild_id": "another image's"})
    return standing(site) - before


def without_owner(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key != "imagebuild_owner"}


def standing(site: Site) -> set[str]:
    """All ids in the cloud."""
    cloud = site.cloud
    return {*cloud._machines, *cloud._volumes, *cloud._groups, *cloud._images}


def test_a_build_that_was_cut_off_before_its_first_line_is_over_after_a_sweep(site: Site) -> None:
    Journal(site.settings.builds / "small-20260101-000000-abcd" / "journal.jsonl").close()
    assert read_state(site.folder()).word == "dead"
    assert site.sweep() == 0
    assert read_state(site.folder()).word == "undone"


# -------------------------------------------------------------------------------------------------------- checkpoints


def add_checkpoint(site: Site, name: str, *, days: float) -> Image:
    """One that held until so many days from now, of a recipe that nobody builds any more."""
    image = site.cloud.add_image(name, foreign=False, image=Image("", "", "active", hidden=True))
    until = (datetime.now(UTC) + timedelta(days=days)).isoformat(timespec="seconds")
    marks = {RECIPE_KEY: "abandoned", CHECKPOINT: "d1", SELF: image.id, EXPIRES_AT: until}
    return site.cloud.update_image(image.id, properties=marks)


def test_checkpoints_of_any_recipe_go_a_day_after_their_end(site: Site) -> None:
    """A build that began before the end may still be about to boot from it."""
    old = add_checkpoint(site, "old", days=-1.01)
    for name, days in (("young", -0.99), ("good", 9)):
        add_checkpoint(site, name, days=days)
    site.cloud.update_image(add_checkpoint(site, "silent", days=-9).id, properties={EXPIRES_AT: "some day"})
    assert site.sweep(dry_run=True) == 1
    assert f"would delete checkpoint old ({old.id}), which held until 20" in site.said()
    assert len(list_checkpoints(site.cloud)) == 4
    assert site.sweep() == 1
    assert {one.name for one in list_checkpoints(site.cloud)} == {"young", "good", "silent"}
    assert site.sweep() == 0
    assert "nothing to sweep" in site.said()


def test_a_checkpoint_that_something_runs_from_stays(site: Site) -> None:
    old = add_checkpoint(site, "old", days=-9)
    site.cloud._volumes["v"] = Volume("v", "data", "in-use", 1, image_id=old.id)
    assert site.sweep() == 0
    assert f"checkpoint old ({old.id}) stays: used by volume data (v)" in site.said()
    assert list_checkpoints(site.cloud) == [old]


def test_what_a_desktops_snapshot_has_inherited_makes_no_checkpoint_of_it(site: Site) -> None:
    snapshot = add_checkpoint(site, "desktop", days=-9)
    site.cloud.update_image(snapshot.id, properties={SELF: "the checkpoint that its desktop came from"})
    assert site.sweep() == 0


def test_a_checkpoint_that_cannot_be_deleted_does_not_keep_the_others(site: Site) -> None:
    for name in ("one", "other"):
        add_checkpoint(site, name, days=-9)
    site.cloud.faults.fail("delete", CloudRefused("409 in use"))
    with pytest.raises(ImagebuildError, match="not everything could be swept") as caught:
        site.sweep()
    (left,) = list_checkpoints(site.cloud)
    assert caught.value.details == (f"checkpoint {left.name} ({left.id}): 409 in use",)
