"""A replacement that an earlier process began: the server that it made is taken up, and no second one is made."""

import pytest

from imagebuild.cloud import Server, ServerRequest
from imagebuild.pool.model import RollState
from tests.unit.pool.rolling import Killed, Site


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
