"""A replacement that an earlier process began: the server that it made is taken up, and no second one is made."""

import pytest

from imagebuild.broker import Cap
from imagebuild.cloud import Server, ServerRequest
from imagebuild.pool.model import RollState
from tests.steps.conftest import Told
from tests.unit.pool.rolling import POOL, Killed, Site


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
