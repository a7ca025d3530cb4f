"""Resuming: wherever a build was cut off, it goes on to one image and nothing else; and what may not go on is refused with its reason."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagebuild.build_folder import BuildFolder
from imagebuild.build_state import read_state
from imagebuild.claim import claims
from imagebuild.errors import Busy, CloudUnreachable, ImagebuildError, RecipeError, StepFailed
from imagebuild.jobs.walking import Built
from imagebuild.journal import Journal
from tests.fakes.faults import Faults
from tests.jobs.conftest import ANSWERS, RECIPE, Killed, Site, make_site
from tests.steps.conftest import answer

# --------------------------------------------------------------------------------------------------- kill -9, anywhere


def cut_off(work: Callable[[], object], number: int, *, moment: str) -> str | None:
    """kill -9 before or after the call with that number, cloud and guests counted together; its name, None when there were fewer."""
    counted, real = 0, getattr(Faults, moment)

    def die(self: Faults, method: str) -> None:
        nonlocal counted
        counted += 1
        if counted == number:
            raise Killed(method)
        real(self, method)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Faults, moment, die)
        try:
            work()
        except Killed as killed:
            return str(killed)
    return None


def runs(site: Site) -> Counter[str]:
    """How often each script has run as SYSTEM."""
    return Counter(script for guest in site.guests.values() for script, _, whom in guest.ran if whom == "SYSTEM")


def check_one_image_and_nothing_else(site: Site, built: Built, place: str) -> None:
    (version,) = site.images()
    assert (version.name, version.state, version.image.protected) == ("win7-vdi-v1", "candidate", True), place
    assert site.things() == [], place
    assert claims(site.cloud) == [], place
    assert built.folder is not None
    assert read_state(built.folder).word == "built", place
    assert not (built.folder.path / "password").exists(), place


def shorten(content: dict[str, Any]) -> None:
    """Fewer steps: what is left out is alike."""
    alike = ("cloudbase-init", "broker-agent", "remote-desktop", "desktop", "inventory")
    content["steps"] = [
        step for step in content["steps"] if not ({step} if isinstance(step, str) else {*step}) & {*alike}
    ]


def a_site(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = make_site(folder, monkeypatch)
    site.recipe(RECIPE, shorten)
    return site


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_build_that_is_cut_off_at_any_call_is_resumed_or_has_made_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    whole = a_site(tmp_path / "whole", monkeypatch)
    whole.build()
    number, ends = 0, Counter[str]()
    while True:
        number += 1
        site = a_site(tmp_path / str(number), monkeypatch)
        method = cut_off(site.build, number, moment=moment)
        if method is None:
            break
        place = f"{moment} call {number}, {method}"
        word, built = clean_up(site, place)
        ends[word] += 1
        check_one_image_and_nothing_else(site, built, place)
        assert runs(site) <= runs(whole), f"{place}: nothing ran twice"
    assert ends["resumed"] > 60
    assert ends["done"] == 1, "the claim is given back after all else"


def clean_up(site: Site, place: str) -> tuple[str, Built]:
    """What a person would do: resume; where nothing can be resumed, sweep and build."""
    builds = [read_state(BuildFolder(path)) for path in site.settings.builds.glob("*")]
    if not builds:
        return "nothing", site.build(fresh=True)
    (state,) = builds
    if not state.why_not_resumed:
        return "resumed", site.resume()
    site.sweep()
    assert site.things() == [], place
    if state.word == "built":
        return "done", Built("", "", changed=True, folder=state.folder)
    assert read_state(state.folder).word == "undone", place
    return "swept", site.build(fresh=True)


def test_a_resumed_build_may_be_cut_off_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 60, 7):
        site = a_site(tmp_path / str(number), monkeypatch)
        site.die_in("Get-DriverState")
        with pytest.raises(Killed):
            site.build()
        while cut_off(site.resume, number, moment="after"):
            number += 9
        check_one_image_and_nothing_else(site, Built("", "", changed=True, folder=site.folder()), f"call {number}")
