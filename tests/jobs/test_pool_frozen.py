"""A process that is frozen in a roll, and wakes up when another machine has ended that roll: it touches nothing more."""

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from imagebuild import build_folder
from imagebuild.claim import break_claim, claims
from imagebuild.errors import Busy, RollRefused
from imagebuild.jobs import pools
from imagebuild.jobs.settings import Settings
from imagebuild.pool.model import Method
from tests.jobs.test_pools import Office, at_work
from tests.unit.pool.rolling import POOL, images_of
from tests.unit.versions import add_version

OF_THE_CLAIM = {"image", "images", "update_image", "delete", "reserve_image", "servers"}
"""What a process still asks the cloud when it looks for its claim, tries once more to get it, and gives it back."""

STEP = int(os.environ.get("STEP", "3"))
"""Behind each third call. All of them: STEP=1."""


class Freezer:
    """The calls of one process, counted; behind the one with the number `at` it is frozen while `meanwhile` happens."""

    def __init__(self, meanwhile: Callable[[], object], *, at: int = 0) -> None:
        self.calls: list[str] = []
        self._meanwhile = meanwhile
        self._at = at

    def around(self, inner: Any) -> Any:
        """A cloud, or a broker, that is asked by it."""
        return _Asked(inner, self)

    def asked(self, name: str) -> None:
        self.calls.append(name)
        if len(self.calls) == self._at:
            self._meanwhile()

    @property
    def later(self) -> list[str]:
        """What it asked for when it had been woken up."""
        return self.calls[self._at :]


class _Asked:
    def __init__(self, inner: Any, freezer: Freezer) -> None:
        self._inner, self._freezer = inner, freezer

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)

        def call(*arguments: Any, **more: Any) -> Any:
            try:
                return found(*arguments, **more)
            finally:
                self._freezer.asked(name)

        return call if callable(found) else found


class Two:
    """A pool, and two machines that roll it: the first one asks through a freezer."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, at: int, method: Method) -> None:
        self.office = office = at_work(Office(folder / "here", size=3), monkeypatch)
        self.elsewhere = Settings(folder / "elsewhere")
        office.write_file(auto_continue=True, bake_time="1m", method=method)
        self.elsewhere.pools.mkdir(parents=True)
        (self.elsewhere.pools / "staff.yaml").write_bytes((office.settings.pools / "staff.yaml").read_bytes())
        self.freezer = Freezer(self.go_on_elsewhere, at=at)
        self.ended: int | None = None
        self.cloud, self.broker = office.cloud, office.broker
        monkeypatch.setattr(build_folder, "datetime", SimpleNamespace(now=lambda zone: office.now()))
        monkeypatch.setattr(Settings, "open_cloud", lambda settings, report: self._seen_from(settings, self.cloud))
        office.cloud, office.broker = self.freezer.around(self.cloud), self.freezer.around(self.broker)

    def _seen_from(self, settings: Settings, cloud: Any) -> Any:
        return cloud if settings.project == self.elsewhere.project else self.freezer.around(cloud)

    def go_on_elsewhere(self) -> None:
        """Somebody takes the roll from the frozen machine, and it is ended elsewhere."""
        asked_here, self.office.broker = self.office.broker, self.broker
        if claims(self.cloud, POOL):
            with pytest.raises((Busy, RollRefused), match="is claimed by|may not begin"):
                self._roll_elsewhere()
            break_claim(self.cloud, POOL)
        self.office.clock.sleep(10)
        self.ended = self._roll_elsewhere()
        self.office.broker = asked_here

    def go_on_here(self) -> int:
        """The first machine is asked to go on when all is over; the exit code."""
        try:
            return self.office.go_on()
        except RollRefused as error:
            assert "has no unfinished roll" in str(error)
            return 0

    def _roll_elsewhere(self) -> int:
        try:
            return pools.go_on(POOL, self.elsewhere, self.office.say)
        except RollRefused:  # nothing was begun yet, or all was done
            return pools.roll(POOL, self.elsewhere, self.office.say, yes=True, ask=lambda words: False)


def calls_of_a_roll(folder: Path, monkeypatch: pytest.MonkeyPatch, method: Method) -> range:
    """The numbers of those that it makes, undisturbed, from its claim on."""
    with monkeypatch.context() as patch:
        undisturbed = Two(folder / "whole", patch, at=0, method=method)
        assert undisturbed.office.run_roll() == 0
        calls = undisturbed.freezer.calls
        return range(calls.index("reserve_image") + 1, len(calls) + 1, STEP)


@pytest.mark.parametrize("method", ["rebuild", "replace"])
def test_frozen_behind_any_call_and_woken_too_late(
    method: Method, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in calls_of_a_roll(tmp_path, monkeypatch, method):
        with monkeypatch.context() as patch:
            two = Two(tmp_path / str(at), patch, at=at, method=method)
            with contextlib.suppress(Busy, RollRefused):
                two.office.run_roll()
            freezer = two.freezer
            assert two.ended == 0
            assert set(freezer.later) <= OF_THE_CLAIM, (at, freezer.calls[at - 1], freezer.later)
            assert len(two.cloud.rebuilds) == (3 if method == "rebuild" else 0)
            assert two.go_on_here() in (0, 4)  # its journal alone knows of a server that it has just deleted
            assert len(two.cloud.rebuilds) == (3 if method == "rebuild" else 0)
            assert two.broker.pools[POOL].provisioning is True
            assert images_of(two.office, two.office.names) == {two.office.new.id}
            assert (two.office.held_back(), two.broker.cut) == ([], [])


def test_who_thinks_for_too_long_about_a_plan_is_asked_to_look_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = Two(tmp_path, monkeypatch, at=0, method="rebuild")

    def think(words: str) -> bool:
        two.go_on_elsewhere()
        return True

    with pytest.raises(RollRefused, match="staff has changed since this plan of it was made"):
        pools.roll(POOL, two.office.settings, two.office.say, yes=False, ask=think)
    assert (two.ended, len(two.cloud.rebuilds)) == (0, 3)
    assert two.office.run_roll() == 0
    assert "staff: there is nothing to roll" in two.office.said()


def test_a_roll_that_another_one_has_overtaken_begins_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = Two(tmp_path, monkeypatch, at=0, method="rebuild")
    two.office.write_file()
    assert two.office.run_roll() == 6
    newer = add_version(two.cloud, 3, "current")
    assert pools.abort(POOL, two.elsewhere, two.office.say) == 5
    assert pools.roll(POOL, two.elsewhere, two.office.say, to="small-v3", yes=True, ask=lambda words: False) == 0
    assert two.office.go_on() == 4
    assert re.search(r"halted: .*\(staff-\S+ has rolled the pool since: give this one up\)", two.office.said())
    assert images_of(two.office, two.office.names) == {newer.id}
    assert pools.abort(POOL, two.office.settings, two.office.say) == 5
