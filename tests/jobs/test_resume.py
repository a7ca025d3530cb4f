"""Resuming: wherever a build was cut off, it goes on to one image and nothing else; and what may not go on is refused with its reason."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from imagebuild.build_folder import BuildFolder
from imagebuild.build_state import read_state
from imagebuild.claim import break_claim, claims, take
from imagebuild.errors import (
    Busy,
    CloudUnreachable,
    DeadlinePassed,
    GuestUnreachable,
    ImagebuildError,
    RecipeError,
    StepFailed,
)
from imagebuild.images import next_version
from imagebuild.jobs.walking import Built
from imagebuild.journal import Journal
from imagebuild.report import SilentReport
from imagebuild.steps.updates import Updates
from imagebuild.waiting import Deadline
from tests.fakes.faults import Faults
from tests.jobs.conftest import RECIPE, Killed, Site, make_site
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
    """How often each script has run as SYSTEM, but for the one that may run again at any time."""
    ran = [one for guest in site.guests.values() for one in guest.ran]
    return Counter(script for script, _, whom in ran if whom == "SYSTEM" and script != "Stop-Builder")


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


# ------------------------------------------------------------------------------------------------------ what goes on


def killed_in(site: Site, script: str = "Set-Desktop") -> str:
    """A build that was killed in that script; its id."""
    site.die_in(script)
    with pytest.raises(Killed):
        site.build()
    return site.folder().id


def test_a_resumed_build_does_not_do_again_what_was_done(site: Site) -> None:
    killed_in(site)
    before = set(site.record().seconds)
    built = site.resume()
    assert built.image == "win7-vdi-v1"
    assert "[2/" not in site.said().split("resolve: is all as it was")[1]
    assert before < site.record().seconds.keys()
    assert runs(site)["Install-Updates"] == 2, "two searches, as in any build"
    assert site.said().splitlines()[-1].startswith("built win7-vdi-v1")


def test_a_kept_build_is_mended_by_hand_and_goes_on(site: Site) -> None:
    """The step looks at its result anew: under the old job's name stands the old one."""
    failed = answer("Install-Program", "1603 brings back the log")
    site.plays["Install-Program"] = lambda parameters, say: failed
    with pytest.raises(StepFailed, match="ended with 1603"):
        site.build(on_error="keep")
    assert claims(site.cloud) == []
    del site.plays["Install-Program"]
    assert site.resume().image == "win7-vdi-v1"
    assert runs(site)["Install-Program"] == 2
    assert site.things() == []


def test_a_resumed_build_that_fails_is_undone_or_kept_as_asked(site: Site) -> None:
    killed_in(site)
    site.fail_in("Get-Inventory", RuntimeError("a defect"))
    with pytest.raises(StepFailed, match="inventory broke"):
        site.resume(on_error="keep")
    assert site.record().state == "kept"
    site.fail_in("Get-Inventory", RuntimeError("a defect"))
    with pytest.raises(StepFailed, match="inventory broke"):
        site.resume()
    assert site.record().state == "undone"
    assert site.things() == []


def test_a_step_that_lost_the_guest_attaches_to_the_job_that_still_runs(site: Site) -> None:
    """No answer is no verdict: the work may be under way, and a second job beside it would be the worst of all."""
    site.fail_in("Install-VirtioDrivers", GuestUnreachable("no answer"))
    with pytest.raises(GuestUnreachable):
        site.build(on_error="keep")
    site.resume()
    assert runs(site)["Install-VirtioDrivers"] == 1


def test_a_builder_that_was_switched_off_since_is_started(site: Site) -> None:
    killed_in(site)
    server = site.record().facts["server_id"]
    site.cloud.power_off(server)
    site.clock.sleep(10)
    assert site.resume().image == "win7-vdi-v1"
    assert "start_server" in site.cloud.faults.calls


def test_a_seal_that_nobody_saw_is_left_to_the_verification(site: Site) -> None:
    """Nova shows no console of a machine that is off: who comes back too late can only ask a clone."""

    def dies_after_sysprep(parameters: dict[str, Any], say: Any) -> Any:
        del site.plays["Start-Generalize"]
        (address,) = site.guests
        site.generalize(address)
        raise Killed

    site.plays["Start-Generalize"] = dies_after_sysprep
    with pytest.raises(Killed):
        site.build()
    site.clock.sleep(60)
    assert site.resume().image == "win7-vdi-v1"
    assert "nobody saw the builder's last words" in site.said()
    assert site.image().properties["imagebuild_generalized"] == "unseen"


# ------------------------------------------------------------------------------------------------------ what is refused


def refused(site: Site, error: type[ImagebuildError], match: str) -> ImagebuildError:
    """The refusal; nothing was changed by it."""
    before, events = site.things(), len(site.folder().entries())
    with pytest.raises(error, match=match) as caught:
        site.resume()
    assert site.things() == before
    assert len(site.folder().entries()) == events
    return caught.value


def test_a_changed_recipe_is_refused_with_what_changed(site: Site) -> None:
    build = killed_in(site)

    def change(content: dict[str, Any]) -> None:
        content["windows"]["locale"] = "en-US"
        for step in content["steps"]:
            if isinstance(step, dict) and "updates" in step:
                step["updates"] = {**(step["updates"] or {}), "exclude_kb": ["KB3004394"]}
        content["steps"] = [step for step in content["steps"] if step not in ("inventory", {"inventory": None})]

    site.recipe(RECIPE, change)
    error = refused(site, RecipeError, "its plan has changed since")
    assert error.exit_code == 2
    assert "recipe: windows.locale was ko-KR, is en-US" in error.details
    assert any(line.startswith("step updates: exclude_kb was [") and "KB3004394" in line for line in error.details)
    assert "step inventory is gone" in error.details
    assert f"invoke builds.undo {build}" in error.hint


def test_another_source_image_under_the_same_name_is_refused(site: Site) -> None:
    killed_in(site)
    (old,) = [one for one in site.cloud._images.values() if one.name == "win7-sp1-x64"]
    site.cloud._images[old.id] = replace(old, checksum="beef")
    error = refused(site, RecipeError, "its plan has changed since")
    assert error.details == ("source win7-sp1-x64: checksum was c0ffee, is beef",)


def test_a_plan_whose_outline_is_lost_is_refused_all_the_same(site: Site) -> None:
    killed_in(site)
    site.recipe(RECIPE, shorten)
    (site.folder().path / "plan.json").write_text("{half")
    assert "plan.json is lost" in refused(site, RecipeError, "its plan has changed since").details[0]


def test_new_updates_in_the_world_are_no_change_of_a_plan_that_was_begun(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_in(site)
    told: list[datetime] = []
    real = Updates.outside

    def outside(step: Updates, at: datetime) -> str:
        told.append(at)
        return real(step, at)

    monkeypatch.setattr(Updates, "outside", outside)
    site.resume()
    assert {at.isoformat() for at in told} == {site.record().at}


@pytest.mark.parametrize("state", ["gone", "in ERROR"])
def test_a_builder_that_is_gone_is_refused_while_it_is_needed(site: Site, state: str) -> None:
    build = killed_in(site)
    server = site.record().facts["server_id"]
    if state == "gone":
        site.cloud.delete("server", server, deadline=Deadline.after(60, site.clock))
    else:
        site.cloud._set(server, status="ERROR", fault="the host burnt down")
    error = refused(site, ImagebuildError, f"its builder {server} is {state}")
    assert f"invoke builds.undo {build}" in error.hint


def test_a_builder_that_nobody_can_log_on_to_any_more_is_refused(site: Site) -> None:
    killed_in(site)
    site.folder().forget_password()
    refused(site, ImagebuildError, "its builder's password is gone")
    assert not site.folder().has_password


def test_a_windows_that_does_not_come_up_again_is_left_as_it_is(site: Site) -> None:
    build = killed_in(site)
    for guest in site.guests.values():
        guest.up = False
    with pytest.raises(DeadlinePassed) as caught:
        site.resume()
    assert caught.value.after == (f"nothing was done; next: invoke builds.undo {build}, or resume it later",)
    assert claims(site.cloud) == []
    for guest in site.guests.values():
        guest.up = True
    assert site.resume().image == "win7-vdi-v1"


def test_a_builder_that_is_gone_is_not_missed_once_the_image_is_there(site: Site) -> None:
    def dies(*_: Any, **__: Any) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(site.cloud, "delete", dies)
        with pytest.raises(Killed):
            site.build()
    server = site.record().facts["server_id"]
    site.cloud.delete("server", server, deadline=Deadline.after(60, site.clock))
    assert site.resume().image == "win7-vdi-v1"
    assert site.things() == []


def test_a_build_that_is_alive_is_not_resumed_twice(site: Site) -> None:
    killed_in(site)
    with Journal(site.folder().journal), pytest.raises(Busy, match="being worked on by another process"):
        site.resume()


def test_a_recipe_that_another_machine_builds_meanwhile_is_busy(site: Site) -> None:
    killed_in(site)
    break_claim(site.cloud, RECIPE)
    claim_elsewhere(site, "win7-vdi-of-another-machine")
    assert "another-machine" in str(refused(site, Busy, "is claimed by"))


def claim_elsewhere(site: Site, owner: str, *, seconds: float = 600) -> None:
    """Another machine's build of the recipe begins."""
    take(
        site.cloud,
        RECIPE,
        purpose="build",
        seed=lambda images: str(next_version(site.cloud, RECIPE)),
        owner=owner,
        lifetime_seconds=seconds,
        is_dead=lambda other: False,
        report=SilentReport(),
    )


def test_a_version_that_was_built_meanwhile_is_not_built_again(site: Site) -> None:
    """The next build took the dead one's claim over; what the dead one has made is only good for being undone."""
    build = killed_in(site)
    site.build(fresh=True)
    folder = site.settings.builds / build
    with pytest.raises(ImagebuildError, match="win7-vdi-v1 was made by another build meanwhile") as caught:
        site.resume(build)
    assert f"invoke builds.undo {build}" in caught.value.hint
    assert claims(site.cloud) == []
    assert site.undo(build) == 5
    assert read_state(BuildFolder(folder)).word == "undone"
    assert [one.name for one in site.images()] == ["win7-vdi-v1"]


@pytest.mark.parametrize("end", ["built", "undone", "undoing", "no plan"])
def test_what_is_over_is_not_resumed(site: Site, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    if end == "built":
        site.build()
    elif end == "no plan":
        with monkeypatch.context() as patched:
            patched.setattr(BuildFolder, "save_json", lambda *_: (_ for _ in ()).throw(Killed()))
            with pytest.raises(Killed):
                site.build()
    else:
        killed_in(site)
        if end == "undoing":
            site.cloud.faults.fail("delete", CloudUnreachable("no answer"), times=9)
            with pytest.raises(ImagebuildError, match="not everything could be deleted"):
                site.undo()
        else:
            site.undo()
    words = {
        "built": "it is done",
        "undone": "it was undone",
        "undoing": "its undo has begun",
        "no plan": "before it had",
    }
    refused(site, ImagebuildError, words[end])


def test_another_projects_build_is_not_touched(site: Site) -> None:
    killed_in(site)
    site.cloud.project_id = "another"
    refused(site, RecipeError, "was begun in another project")
    with pytest.raises(ImagebuildError, match="was begun in another project"):
        site.undo()
    assert len(site.things()) == 6
