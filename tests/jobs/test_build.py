"""A build on fakes: from the recipe to the image, and every way in which it can end before that."""

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imagebuild.build_folder import BuildFolder
from imagebuild.claim import break_claim, claims
from imagebuild.errors import (
    Busy,
    CloudRefused,
    CloudUnreachable,
    ImagebuildError,
    Interrupted,
    RecipeError,
    StepFailed,
)
from imagebuild.jobs import building
from imagebuild.journal import Journal
from imagebuild.report import ConsoleReport
from tests.jobs.conftest import RECIPE, Killed, Site
from tests.steps.conftest import answer

# ------------------------------------------------------------------------------------------------------- to the image


def test_a_recipe_becomes_an_image_and_nothing_else_stays(site: Site) -> None:
    built = site.build()
    image = site.image()
    assert (built.image, built.image_id, built.changed) == ("win7-vdi-v1", image.id, True)
    assert (image.status, image.visibility, image.protected) == ("active", "private", True)
    assert (image.properties["hw_disk_bus"], image.properties["imagebuild_recipe"]) == ("virtio", RECIPE)
    assert site.things() == []
    assert claims(site.cloud) == []
    record = site.record()
    assert (record.state, record.image_id, record.image_name) == ("built", image.id, "win7-vdi-v1")
    assert json.loads((site.folder().path / "record.json").read_text()) == json.loads(json.dumps(record.as_json()))
    assert image.properties["imagebuild_digest"] == record.digest
    assert record.done == tuple(range(1, len(record.seconds) + 1))


def test_a_person_sees_every_step_and_the_image_last(site: Site) -> None:
    site.build()
    lines = site.said().splitlines()
    assert lines[-1].startswith(f"built win7-vdi-v1 ({site.image().id}) in ")
    steps = len(site.record().done)
    numbers = [line.split("[")[1].split("]")[0] for line in lines if "[" in line and f"/{steps}]" in line]
    assert numbers == [f"{number}/{steps}" for number in range(1, steps + 1)]


def test_the_second_build_is_the_second_version_of_the_same_digest(site: Site) -> None:
    site.build()
    first = site.record().digest
    assert site.build(fresh=True).image == "win7-vdi-v2"
    assert site.record().digest == first
    assert [one.name for one in site.images()] == ["win7-vdi-v1", "win7-vdi-v2"]


def test_if_changed_does_nothing_when_the_same_is_there(site: Site) -> None:
    first = site.build()
    site.cloud.faults.calls.clear()
    again = site.build(if_changed=True)
    assert (again.image, again.image_id, again.changed, again.folder) == (first.image, first.image_id, False, None)
    assert site.said().splitlines()[-1].startswith("unchanged: win7-vdi-v1 (candidate)")
    assert set(site.cloud.faults.calls) <= {"find_image", "find_flavor", "find_network", "headroom", "images"}
    site.recipe("win7-vdi", lambda content: content["windows"].update(locale="en-US"))
    assert site.build(if_changed=True).image == "win7-vdi-v2"


def test_the_builders_password_is_written_nowhere_and_gone_afterwards(site: Site) -> None:
    site.build()
    (password,) = {secret.reveal() for secret in site.passwords}
    folder = site.folder().path
    assert not (folder / "password").exists()
    written = site.said() + "".join(path.read_text() for path in folder.iterdir())
    assert password not in written


def test_two_builds_have_two_passwords(site: Site) -> None:
    site.build()
    site.build(fresh=True)
    assert len({secret.reveal() for secret in site.passwords}) == 2


# ------------------------------------------------------------------------------------------------- what touches nothing


def test_a_plan_only_reads(site: Site) -> None:
    building.plan(RECIPE, site.settings, ConsoleReport(site.out))
    assert "win7-vdi-v1" in site.said()
    assert "nothing was touched; to do it: invoke build win7-vdi" in site.said()
    assert set(site.cloud.faults.calls) <= {"find_image", "find_flavor", "find_network", "headroom", "images"}
    assert not site.settings.builds.exists()


def test_a_recipe_that_does_not_fit_the_cloud_makes_nothing(site: Site) -> None:
    site.cloud._flavors.clear()
    with pytest.raises(RecipeError, match="cannot be built in the cloud fake") as caught:
        site.build()
    assert caught.value.details == ("builder.flavor: there is no '2cpu_2GB_40GB'",)
    assert site.things() == []
    assert not site.settings.builds.exists()


@pytest.mark.parametrize("call", ["headroom", "reserve_image"])
def test_ctrl_c_before_the_first_step_has_made_nothing(site: Site, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    real = getattr(site.cloud, call)

    def interrupt(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(site.cloud, call, interrupt)
    with pytest.raises(Interrupted) as caught:
        site.build()
    assert caught.value.hint == "nothing had been made"
    assert site.things() == []
    assert list(site.settings.builds.glob("*")) == []


# ----------------------------------------------------------------------------------------------------------- the claim


def test_a_second_build_of_a_recipe_ends_at_once_and_leaves_no_trace(site: Site) -> None:
    seen: list[Busy] = []

    def second() -> None:
        with pytest.raises(Busy, match=r"win7-vdi \(build\) is claimed by win7-vdi-") as caught:
            site.build()
        seen.append(caught.value)

    site.do_in("Set-RemoteDesktop", second)
    assert site.build().image == "win7-vdi-v1"
    assert [error.exit_code for error in seen] == [3]
    assert [one.name for one in site.images()] == ["win7-vdi-v1"]
    assert len(list(site.settings.builds.iterdir())) == 1
    assert claims(site.cloud) == []


def test_recipes_of_other_lines_are_built_side_by_side(site: Site) -> None:
    site.recipe("another")
    site.do_in("Set-RemoteDesktop", lambda: site.build("another"))
    site.build()
    assert [one.name for one in site.images()] == ["another-v1", "win7-vdi-v1"]


def test_a_build_whose_claim_is_broken_ends_before_its_next_step_and_cleans_up(site: Site) -> None:
    site.do_in("Set-RemoteDesktop", lambda: break_claim(site.cloud, RECIPE))
    with pytest.raises(Busy, match="has lost its claim on win7-vdi"):
        site.build()
    assert "Set-Desktop" not in [script for guest in site.guests.values() for script, _, _ in guest.ran]
    assert site.images() == []
    assert site.things() == []
    assert (site.record().state, site.record().failed_step) == ("undone", "desktop")


def test_a_version_that_was_made_while_the_claim_was_taken_is_not_made_twice(site: Site) -> None:
    """The plan was made for version 1; the builder before us finishes it while we ask for the claim."""
    site.build()
    first = site.image()
    hidden = site.cloud._images.pop(first.id)
    reserve = site.cloud.reserve_image

    def late(image_id: str, name: str, *, properties: dict[str, str]) -> Any:
        site.cloud._images.setdefault(first.id, hidden)
        return reserve(image_id, name, properties=properties)

    site.cloud.reserve_image = late  # type: ignore[method-assign, assignment]
    assert site.build(fresh=True).image == "win7-vdi-v2"
    assert [one.name for one in site.images()] == ["win7-vdi-v1", "win7-vdi-v2"]
    assert claims(site.cloud) == []


# ----------------------------------------------------------------------------------------------------------- failures


def test_a_failed_build_undoes_itself_and_says_why(site: Site) -> None:
    failed = answer("Install-Program", "1603 brings back the log")
    site.plays["Install-Program"] = lambda parameters, say: failed
    with pytest.raises(StepFailed, match="ended with 1603") as caught:
        site.build()
    assert caught.value.details
    assert "failed in step broker-agent" in caught.value.after[0]
    assert caught.value.after[1].startswith("saved: console.log")
    assert caught.value.after[-1] == "next: mend it, then invoke build win7-vdi"
    assert site.things() == []
    assert (site.record().state, site.record().failed_step) == ("undone", "broker-agent")
    assert "certificate sha256" in (site.folder().path / "console.log").read_text()
    assert not (site.folder().path / "password").exists()
    assert all(guest.closed for guest in site.guests.values())


def test_a_failed_build_is_kept_when_asked_and_swept_when_asked(site: Site) -> None:
    site.fail_in("Set-Desktop", RuntimeError("a defect"))
    with pytest.raises(StepFailed, match="desktop broke: RuntimeError") as caught:
        site.build(on_error="keep")
    build = site.folder().id
    assert len([line for line in caught.value.after if line.startswith("stands: ")]) == 5
    assert caught.value.after[-2:] == (
        f"next: look at it, then invoke builds.resume {build}",
        f"  or: invoke builds.undo {build}",
    )
    assert (site.folder().path / "password").exists()
    assert site.record().state == "kept"
    assert len(site.things()) == 5, "its claim was given back"
    assert site.sweep() == 0
    assert len(site.things()) == 5
    assert site.sweep(kept=True, dry_run=True) == 5
    assert len(site.things()) == 5
    assert site.sweep(kept=True) == 5
    assert site.things() == []
    assert site.record().state == "undone"
    assert not (site.folder().path / "password").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_in_the_middle_leaves_nothing(site: Site, number: signal.Signals) -> None:
    site.do_in("Install-Updates", lambda: signal.raise_signal(number))
    with pytest.raises(Interrupted) as caught:
        site.build()
    assert caught.value.exit_code == 130
    assert site.things() == []
    assert site.record().failed_step == "updates"


@pytest.mark.parametrize(
    ("step", "call"),
    [
        ("boot-builder", "create_server"),
        ("reach-guest", "console_log"),
        ("checkpoint", "snapshot"),
        ("register", "update_image"),
    ],
)
def test_a_cloud_that_is_gone_leaves_the_ways_on(
    site: Site, monkeypatch: pytest.MonkeyPatch, step: str, call: str
) -> None:
    """With undo impossible, the message names what stands as far as is known, and nothing is called deleted."""
    gone = CloudUnreachable("no answer for minutes", hint="is the cloud up?")

    real = getattr(site.cloud, call)

    def vanish(*given: Any, **named: Any) -> Any:
        if call == "update_image" and "name" not in named:  # the claim's renewal
            return real(*given, **named)
        for other in ("owned", "console_log", "console_picture", "server", "image", "delete"):
            site.cloud.faults.fail(other, gone, times=1000)
        raise gone

    with monkeypatch.context() as patched:
        patched.setattr(site.cloud, call, vanish)
        with pytest.raises(CloudUnreachable) as caught:
            site.build()
    site.cloud.faults._errors.clear()
    build = site.folder().id
    after = caught.value.after
    assert f"failed in step {step}" in after[0]
    assert any(line.startswith("cleaning up was cut short") for line in after)
    assert after[-2] == f"next: invoke builds.resume {build}, to go on with it"
    assert after[-1] == f"  or: invoke builds.undo {build}"
    assert any(line.startswith("stands: server") for line in after) == (step != "boot-builder")
    assert site.record().state == "failed"
    assert (site.folder().path / "password").exists()
    if step == "boot-builder":
        assert site.undo() > 0
        assert site.things() == []
        return
    assert site.resume().image == "win7-vdi-v1"
    assert site.things() == []


@pytest.mark.parametrize("file", ["journal", "every file"])
def test_a_disk_that_fills_up_ends_the_build_and_the_builder_goes_all_the_same(
    site: Site, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    write = Journal.write

    def full(self: Journal, event: str, **facts: Any) -> None:
        if self.entries() and any(entry.facts.get("step") == "desktop" for entry in self.entries()):
            raise ImagebuildError("the journal cannot be written: No space left on device", hint="free disk space")
        write(self, event, **facts)

    def no_space(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "write", full)
    if file == "every file":
        monkeypatch.setattr(BuildFolder, "save", no_space)
        monkeypatch.setattr(BuildFolder, "save_json", lambda *_: None)
    with pytest.raises(ImagebuildError, match="No space left") as caught:
        site.build()
    assert "failed in step desktop" in caught.value.after[0]
    assert any("nothing of it stands any more" in line for line in caught.value.after)
    assert "could not be written down" in site.said()
    assert site.things() == []


def test_a_disk_that_is_full_before_the_first_step_makes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(BuildFolder, "save_json", no_space)
    with pytest.raises(ImagebuildError, match="No space left on device") as caught:
        site.build()
    assert "free disk space" in caught.value.hint
    assert site.things() == []


def test_a_disk_that_is_full_when_all_is_done_does_not_take_the_image_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Journal.write

    def full(self: Journal, event: str, **facts: Any) -> None:
        if event == "build_done":
            raise ImagebuildError("the journal cannot be written")
        write(self, event, **facts)

    monkeypatch.setattr(Journal, "write", full)
    assert site.build().image == "win7-vdi-v1"
    assert "the image is made, but that could not be written down" in site.said()
    assert site.things() == []


def test_an_undo_that_is_refused_is_finished_by_another(site: Site) -> None:
    site.fail_in("Set-RemoteDesktop", RuntimeError("a defect"))
    site.cloud.faults.fail("delete", CloudRefused("409 busy"))
    with pytest.raises(StepFailed) as caught:
        site.build()
    assert caught.value.after[-1] == f"next: invoke builds.undo {site.folder().id}"
    assert any(line.startswith("stands: server") for line in caught.value.after)
    assert site.undo() > 0
    assert site.things() == []
    assert site.record().state == "undone"


# ------------------------------------------------------------------------------------------------- a person beside it


@dataclass
class Person:
    """Does something at each question, and answers."""

    turns: list[tuple[Callable[[], object], str]]
    asked: list[str] = field(default_factory=list)

    def ask(self, question: str, *, seconds: float) -> str | None:
        """attendant.Terminal."""
        self.asked.append(question)
        work, answer = self.turns.pop(0)
        work()
        return answer


def test_a_person_mends_the_builder_and_has_the_step_tried_again(site: Site) -> None:
    failed = answer("Install-Program", "1603 brings back the log")
    site.plays["Install-Program"] = lambda parameters, say: failed
    ends: list[datetime] = []

    def look() -> None:
        ends.extend(claim.expires_at for claim in claims(site.cloud))

    site.person = person = Person([(look, "r"), (site.plays.clear, "retry")])
    assert site.build(on_error="ask").image == "win7-vdi-v1"
    assert ends[0] - datetime.now(UTC) > timedelta(hours=7), "nobody takes the recipe away while a person thinks"
    assert len(person.asked) == 2
    assert "step broker-agent failed" in person.asked[0]
    assert "log on at 10.0.0.10 as Administrator; the password is in" in person.asked[0]
    assert site.things() == []


@pytest.mark.parametrize(("word", "state"), [("u", "undone"), ("k", "kept")])
def test_a_person_decides_what_becomes_of_the_builder(site: Site, word: str, state: str) -> None:
    site.fail_in("Set-Desktop", RuntimeError("a defect"))
    site.person = Person([(lambda: None, word)])
    with pytest.raises(StepFailed):
        site.build(on_error="ask")
    assert site.record().state == state
    assert bool(site.things()) == (state == "kept")


def test_a_pause_keeps_the_claim_and_goes_on_with_enter(site: Site) -> None:
    ends: list[datetime] = []

    def look() -> None:
        ends.extend(claim.expires_at for claim in claims(site.cloud))
        assert "Set-Desktop" not in [script for guest in site.guests.values() for script, _, _ in guest.ran]

    site.person = person = Person([(look, "")])
    assert site.build(pause_before="desktop").image == "win7-vdi-v1"
    assert person.asked[0].startswith("pause before desktop\n")
    assert ends[0] - datetime.now(UTC) > timedelta(hours=7)


def test_a_pause_before_what_a_resumed_build_has_behind_it_is_none_and_said(site: Site) -> None:
    site.die_in("Set-Desktop")
    with pytest.raises(Killed):
        site.build()
    site.person = Person([])
    site.resume(pause_before="boot-builder")
    assert "no pause: boot-builder need not be done again" in site.said()


# ----------------------------------------------------------------------------------------------------------- overhead


def test_a_claim_that_is_broken_a_moment_before_the_image_is_registered_keeps_it_from_that(site: Site) -> None:
    snapshot = site.cloud.snapshot

    def broken(*arguments: Any, **more: Any) -> Any:
        made = snapshot(*arguments, **more)
        break_claim(site.cloud, "empty")
        return made

    site.cloud.snapshot = broken  # type: ignore[method-assign]
    with pytest.raises(Busy, match="has lost its claim on empty"):
        site.build("empty")
    assert site.record().failed_step == "register"
    assert (site.images(), site.things()) == ([], [])


def test_an_empty_build_asks_for_no_more_than_it_needs(site: Site) -> None:
    """Each of these is a call or a few. Waits, and the look at the claim before each step, are left out."""
    site.build("empty")
    looks = ["images", "find_image", "find_flavor", "find_network", "headroom", "find_image"]
    claim = ["reserve_image", "images", "find_image"]
    steps = [
        "create_server",
        "stop_server",
        "update_image",
        "snapshot",
    ]  # the claim is extended before the longest step
    register = ["images", "find_image", "update_image"]
    the_end = ["begin_delete", "owned", "delete", "delete"]  # the builder, and the claim
    calls = [call for call in site.cloud.faults.calls if call not in ("server", "image")]
    assert calls == [*looks, *claim, *steps, *register, *the_end]
    assert site.cloud.faults.requests["headroom"] == 1, "no volume and no security group is made: Nova alone is asked"
