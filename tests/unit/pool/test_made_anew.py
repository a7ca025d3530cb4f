"""A replacement that an earlier process began: the server that it made is taken up, and no second one is made."""

import math
from collections.abc import Container
from dataclasses import replace

import pytest

from imagebuild.broker import Cap
from imagebuild.cloud import Server, ServerRequest
from imagebuild.errors import CloudRefused
from imagebuild.pool.model import Phase, RollState
from tests.steps.conftest import Told
from tests.unit.pool.rolling import POOL, Killed, Site, images_of


def test_killed_right_after_the_create_and_resumed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(4, method="replace")
    make = site.cloud.create_desktop
    made: list[str] = []

    def killed(request: ServerRequest, *, pool: str, is_new: bool = False) -> Server:
        made.append(make(request, pool=pool, is_new=is_new).id)
        raise Killed

    monkeypatch.setattr(site.cloud, "create_desktop", killed)
    with pytest.raises(Killed):
        site.start().run()
    monkeypatch.undo()
    site.cloud.faults.calls.clear()
    roll = site.resume()
    assert roll.run() is RollState.COMPLETED
    assert site.server("desktop-1").id in made, "it is the one that was made before"
    assert site.cloud.faults.calls.count("create_desktop") == 3, "the others"


@pytest.mark.parametrize("forgets", [True, False])
def test_a_second_record_is_removed_or_told(forgets: bool) -> None:
    told = Told()
    site = Site(4, report=told, method="replace")
    site.broker.caps = frozenset(Cap) - (frozenset() if forgets else {Cap.FORGET})
    make = site.cloud.create_desktop

    def made(request: ServerRequest, *, pool: str, is_new: bool = False) -> Server:
        if request.name == "desktop-3":
            site.broker.add(
                POOL, request.name
            ).available = False  # the new machine's own record, still held back by its pool's rule
        return make(request, pool=pool, is_new=is_new)

    site.cloud.create_desktop = made  # type: ignore[method-assign]
    assert site.start().run() is RollState.COMPLETED
    words = [one for one in told.warnings if "desktop-3; remove the records there" in one]
    assert len(words) == (0 if forgets else 1)


def refused(site: Site, name: str, *, image_ids: Container[str], lasts: float = math.inf) -> list[tuple[float, str]]:
    """Let the cloud make no server of that name and these images for such a time; gives when and for which it was asked."""
    make, asked = site.cloud.create_desktop, list[tuple[float, str]]()

    def create(request: ServerRequest, *, pool: str, is_new: bool = False) -> Server:
        if request.name == name:
            asked.append((site.clock.now(), request.image_id))
            if request.image_id in image_ids and site.clock.now() - asked[0][0] < lasts:
                raise CloudRefused("403 Quota exceeded for instances")
        return make(request, pool=pool, is_new=is_new)

    site.cloud.create_desktop = create  # type: ignore[method-assign]
    return asked


def test_a_create_that_is_refused_for_long_is_tried_again_as_often_as_the_rules_say() -> None:
    site = Site(4, method="replace", act_timeout="10m")
    refused(site, "desktop-3", image_ids=(site.new.id,), lasts=900)
    roll = site.start()
    while roll.log.held["desktop-3"].attempt < 2:
        assert not roll.turn()
        site.clock.sleep(15)
    roll = site.resume()  # and by whoever goes on
    assert roll.run() is RollState.COMPLETED
    assert (roll.log.held["desktop-3"].phase, roll.log.held["desktop-3"].attempt) == (Phase.DONE, 2)
    assert (images_of(site, site.names), site.held_back()) == ({site.new.id}, [])


@pytest.mark.parametrize("old_helps", [True, False])
def test_where_no_attempt_helps_its_old_image_is_tried_and_the_reason_is_the_clouds(old_helps: bool) -> None:
    site = Site(6, method="replace", act_timeout="10m", max_failures=1)
    asked = refused(site, "desktop-3", image_ids=(site.new.id, *(() if old_helps else (site.old.id,))))
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    failed = roll.log.held["desktop-3"]
    words = "nothing could take its place: 403 Quota exceeded for instances"
    assert failed.phase is Phase.FAILED
    assert failed.reason == words + ("" if old_helps else "; invoke pool.create staff makes it")
    assert list(dict.fromkeys(image_id for _, image_id in asked)) == [site.new.id, site.old.id]
    assert (site.has_server("desktop-3"), site.held_back()) == (old_helps, [])


def test_no_server_is_deleted_for_one_that_could_not_be_made() -> None:
    site = Site(4, method="replace")
    roll = site.start(site.plan())
    site.cloud._images[site.new.id] = replace(
        site.cloud._images[site.new.id], min_disk=1000
    )  # or the pool's file another flavor
    assert roll.run() is RollState.HALTED
    assert roll.log.held["desktop-1"].reason.startswith(
        "nothing could take its place: small-v2 needs a disk of 1000 GiB"
    )
    assert "delete_server" not in site.cloud.faults.calls
    assert site.held_back() == []
