"""checkpoint: an image of a builder that ended by itself, and the builder up again, wherever the build was cut off."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from imagebuild.checkpoints import list_checkpoints
from imagebuild.cloud import OWNER_KEY, Image, ServerRequest
from imagebuild.errors import (
    CloudError,
    CloudRefused,
    CloudUnreachable,
    DeadlinePassed,
    GuestUnreachable,
    ImagebuildError,
    SessionLost,
    StepFailed,
)
from imagebuild.image_record import unpack
from imagebuild.journal import Journal
from imagebuild.properties import BUILD, CHECKPOINT, EXPIRES_AT, FACTS, RECIPE, SELF, STANDIN, STATE, VERSION
from imagebuild.steps.checkpoint import Checkpoint
from tests.fakes import cloud_images
from tests.fakes.faults import Faults
from tests.fakes.kill import Killed
from tests.steps.conftest import World, make_standing

DIGEST = "ab12" * 16
NAME = "small-checkpoint-ab12ab12ab12"
DRIVERS = {"media": "virtio-win-0.1.173", "versions": {"viostor": "62.91"}}


def prepare(world: World, *, says: tuple[str, ...] = ("releasing", "shutdown"), off: bool = True) -> World:
    """A builder whose Stop-Builder says that and goes off ten seconds later, and whose Windows is there again after a start."""
    world.context.begin(DIGEST, attempt=0)
    world.context.remember(drivers=DRIVERS)
    server = world.builder()
    world.cloud.boots = lambda server_id: setattr(world.guest, "up", True)

    def play(parameters: dict[str, Any], say: Any) -> dict[str, Any]:
        for number, word in enumerate(says):
            line = f"imagebuild: {parameters['name']} {word}"
            world.cloud._after(2 + number, lambda line=line: world.cloud.say(server, line))
        if off:
            world.cloud._after(2 + parameters["shutdown_seconds"], go_off)
        return {}

    def go_off() -> None:
        world.guest.up = False
        world.cloud.power_off(server)

    world.guest.plays("Stop-Builder", play)
    return world


@pytest.fixture
def ready(standing: World) -> World:
    return prepare(standing)


def only(world: World) -> Image:
    """The one checkpoint that there is; nothing of the build is half made."""
    assert not [image for image in world.cloud.images() if OWNER_KEY in image.properties]
    (image,) = list_checkpoints(world.cloud)
    return image


def state(world: World) -> str:
    server = world.cloud.server(world.builder())
    assert server is not None
    return server.status


# ------------------------------------------------------------------------------------------------------ what it leaves


def test_it_leaves_a_hidden_unprotected_image_by_the_plans_digest(ready: World) -> None:
    Checkpoint(max_age_days=30).run(ready.context)
    image = only(ready)
    assert (image.name, image.status, image.hidden, image.protected) == (NAME, "active", True, False)
    marks = {CHECKPOINT: DIGEST, SELF: image.id, RECIPE: "small", BUILD: ready.context.build.id}
    assert marks.items() <= image.properties.items()
    age = datetime.fromisoformat(image.properties[EXPIRES_AT]) - datetime.fromisoformat(
        image.properties["imagebuild_built_at"]
    )
    assert age == timedelta(days=30)
    assert ready.remembered()["checkpoint"] == {"digest": DIGEST, "image_id": image.id}


def test_facts_of_steps_go_with_it_and_those_of_the_builder_do_not(ready: World) -> None:
    Checkpoint().run(ready.context)
    assert unpack(only(ready).properties[FACTS]) == {"drivers": DRIVERS}


def test_the_builder_runs_again_and_is_reached_again(ready: World) -> None:
    Checkpoint().run(ready.context)
    assert state(ready) == "ACTIVE"
    assert ready.guest.run("Get-Ready", deadline=ready.context.deadline(1))
    assert ready.guest.closed == 1, "an open shell of ours would keep Windows up"
    assert ready.told.notes[-1].startswith("the builder runs, ready after")


def test_another_address_after_the_start_is_used(ready: World) -> None:
    ready.facts["guest_address"] = "10.0.0.99"
    Checkpoint().run(ready.context)
    address = ready.cloud.server(ready.builder()).addresses[0]  # type: ignore[union-attr]
    assert ready.remembered()["guest_address"] == address
    assert ready.connections[-1][0] == address


def test_the_guest_is_asked_with_all_that_it_needs(ready: World) -> None:
    Checkpoint(shutdown_seconds=7, serial_port="COM2").run(ready.context)
    (asked,) = ready.guest.parameters_of("Stop-Builder")
    assert (asked["shutdown_seconds"], asked["serial_port"]) == (7, "COM2")
    assert asked["name"].startswith("down-")


def test_what_the_image_has_from_a_base_image_of_ours_goes_away(ready: World) -> None:
    """A master change boots a version: Nova copies its properties onto the snapshot."""
    theirs = {RECIPE: "small", VERSION: "3", STATE: "current", SELF: "another", STANDIN: "yes", "hw_disk_bus": "virtio"}
    base = ready.cloud.request_of(ready.builder()).image_id
    ready.cloud._change_image(base, properties=theirs)
    Checkpoint().run(ready.context)
    properties = only(ready).properties
    assert not {VERSION, STATE} & properties.keys()
    assert (properties[STANDIN], properties["hw_disk_bus"]) == ("yes", "virtio")


# -------------------------------------------------------------------------------------------------------- old ones


def leave(world: World, digest: str) -> Image:
    """An older checkpoint of the recipe."""
    world.clock.sleep(60)
    image = world.cloud.add_image("old", foreign=False)
    return world.cloud.update_image(image.id, properties={CHECKPOINT: digest, SELF: image.id, RECIPE: "small"})


def test_older_ones_go_and_the_newest_stay(ready: World) -> None:
    old = [leave(ready, f"{number}" * 64) for number in range(4)]
    Checkpoint(keep=3).run(ready.context)
    left = {image.id for image in list_checkpoints(ready.cloud)}
    assert left == {ready.facts["checkpoint"]["image_id"], old[2].id, old[3].id}
    assert sum("is deleted: 3 are kept" in note for note in ready.told.notes) == 2


def test_one_of_the_same_digest_is_made_anew_and_replaces_the_old(ready: World) -> None:
    """Who builds --fresh does not trust the old one, for example because a WSUS offers more now."""
    leave(ready, DIGEST)
    Checkpoint(keep=5).run(ready.context)
    assert only(ready).properties[BUILD] == ready.context.build.id


def test_one_that_a_server_runs_from_stays(ready: World) -> None:
    used, unused = leave(ready, "1" * 64), leave(ready, "2" * 64)
    facts = ready.facts
    request = ServerRequest("other", used.id, facts["flavor_id"], facts["network_id"])
    ready.cloud.create_server(request, owner="another-build", role="builder")
    Checkpoint(keep=1).run(ready.context)
    assert {image.id for image in list_checkpoints(ready.cloud)} == {facts["checkpoint"]["image_id"], used.id}
    assert any(f"({used.id}) stays: server other" in note for note in ready.told.notes)
    assert ready.cloud.image(unused.id) is None


def test_what_only_looks_like_one_is_left_alone(ready: World) -> None:
    named = ready.cloud.add_image(NAME, foreign=False)
    inherited = ready.cloud.add_image("desktop", foreign=False, **{CHECKPOINT: "3" * 64, RECIPE: "small", SELF: "x"})
    other = leave(ready, "4" * 64)
    ready.cloud.update_image(other.id, properties={RECIPE: "large"})
    Checkpoint(keep=1).run(ready.context)
    assert all(ready.cloud.image(image.id) for image in (named, inherited, other))


@pytest.mark.parametrize("call", ["image_uses", "delete"])
@pytest.mark.parametrize("error", [CloudError("500"), CloudUnreachable("503"), CloudRefused("409")])
def test_a_cloud_that_does_not_delete_now_does_not_end_the_build(ready: World, call: str, error: CloudError) -> None:
    leave(ready, "1" * 64)
    ready.cloud.faults.fail(call, error)
    Checkpoint(keep=1).run(ready.context)
    assert any("stay for now" in warning for warning in ready.told.warnings)


# ------------------------------------------------------------------------------------- where only the saving is lost


def test_an_image_that_nova_drops_does_not_end_the_build(ready: World) -> None:
    ready.cloud.snapshot_fails = True
    Checkpoint().run(ready.context)
    assert list_checkpoints(ready.cloud) == []
    assert ready.remembered()["checkpoint"] == {"digest": DIGEST, "image_id": None}
    assert state(ready) == "ACTIVE"
    assert "no checkpoint, the build goes on without: the image is gone" in ready.told.warnings[-1]


def test_a_refused_image_does_not_end_the_build(ready: World) -> None:
    ready.cloud.faults.fail("snapshot", CloudRefused("403 quota"))
    Checkpoint().run(ready.context)
    assert state(ready) == "ACTIVE"
    assert "403 quota" in ready.told.warnings[-1]


def test_facts_too_long_for_a_property_are_said_before_the_builder_goes_down(ready: World) -> None:
    noise = Random(7)  # that cannot be compressed
    ready.facts["updates"] = {"installed": [f"{noise.getrandbits(400):x}" for _ in range(1500)]}
    Checkpoint().run(ready.context)
    assert list_checkpoints(ready.cloud) == []
    assert "too long for a property" in ready.told.warnings[-1]
    assert ready.guest.parameters_of("Stop-Builder") == []


# ---------------------------------------------------------------------------------------------------- what ends a build


def test_an_upload_that_never_ends_ends_with_the_deadline(ready: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_images, "SNAPSHOT_SECONDS", 10_000.0)
    with pytest.raises(DeadlinePassed, match="for Glance to have the checkpoint"):
        Checkpoint(deadline_minutes=3).run(ready.context)


def test_a_builder_that_cannot_go_down_says_why(standing: World) -> None:
    prepare(standing, says=("releasing", "failed: shutdown.exe /s ended with 5."), off=False)
    with pytest.raises(StepFailed, match="could not be shut down: failed: shutdown.exe /s ended with 5"):
        Checkpoint().run(standing.context)


def test_after_such_a_failure_it_is_asked_again(standing: World) -> None:
    prepare(standing, says=("releasing", "failed: no."), off=False)
    with pytest.raises(StepFailed):
        Checkpoint().run(standing.context)
    prepare(standing)
    standing.context.begin(DIGEST, attempt=1)
    Checkpoint().run(standing.context)
    assert only(standing).status == "active"


def test_a_builder_that_never_goes_down_ends_with_the_deadline(standing: World) -> None:
    prepare(standing, off=False)
    with pytest.raises(DeadlinePassed, match="the builder to shut itself down"):
        Checkpoint(deadline_minutes=2).run(standing.context)


def test_a_builder_that_goes_off_without_a_word_is_asked_once_more(standing: World) -> None:
    prepare(standing, says=())
    with pytest.raises(StepFailed, match="went off before it said so") as caught:
        Checkpoint().run(standing.context)
    assert "serial_port" in caught.value.hint
    assert len(standing.guest.parameters_of("Stop-Builder")) == 2
    assert not [image for image in standing.cloud.images() if CHECKPOINT in image.properties]


def test_a_builder_that_somebody_stopped_is_not_imaged(ready: World) -> None:
    ready.cloud.act_as("an-operator", ready.builder(), "stop")
    with pytest.raises(StepFailed, match="somebody else acted on the builder"):
        Checkpoint().run(ready.context)
    assert list_checkpoints(ready.cloud) == []


def test_a_builder_that_is_gone_is_said(ready: World) -> None:
    ready.cloud.delete("server", ready.builder(), deadline=ready.context.deadline(5))
    with pytest.raises(StepFailed, match="the builder is gone: somebody deleted it"):
        Checkpoint().run(ready.context)


def test_a_windows_that_does_not_come_back_ends_with_the_deadline(ready: World) -> None:
    ready.cloud.boots = lambda server_id: None
    with pytest.raises(DeadlinePassed):
        Checkpoint(deadline_minutes=5).run(ready.context)
    assert only(ready).status == "active", "the checkpoint is there all the same"


# ------------------------------------------------------------------------------------------------- cut off, run again


class Cutting(Faults):
    """Counts the calls over the network and ends the process before or after one of them."""

    def __init__(self, number: int, *, after: bool) -> None:
        super().__init__(lambda: CloudUnreachable("unused"))
        self.left = number
        self.late = after

    def before(self, method: str) -> None:
        super().before(method)
        self.left -= 1
        if self.left == 0 and not self.late:
            raise Killed

    def after(self, method: str) -> None:
        if self.left == 0 and self.late:
            self.left = -1
            raise Killed


def run_again(world: World) -> None:
    """A second process: it knows what the first had looked up, and its journal."""
    known = dict(world.context.facts)
    world.context.disconnect()
    remembered = world.remembered()
    world.context.journal.close()
    world.context.journal = Journal(world.context.folder / "journal.jsonl")
    world.context.facts = {name: known[name] for name in ("server_id", "guest_certificate", "windows", "guest_address")}
    world.context.facts |= remembered
    Checkpoint().run(world.context)


def cut_runs(folder: Path, *, after: bool) -> Iterator[World]:
    """A world for each call of the step, cut off there; it ends when a run comes through."""
    for number in range(1, 200):
        world = prepare(make_standing(folder / str(number)))
        world.cloud.faults = world.guest.faults = Cutting(number, after=after)
        try:
            Checkpoint().run(world.context)
        except Killed:
            world.cloud.faults = Faults(lambda: CloudUnreachable("lost"))
            world.guest.faults = Faults(lambda: GuestUnreachable("lost"))
            yield world
            continue
        return
    pytest.fail("the step does not come to an end")


@pytest.mark.parametrize("pause", [0, 5, 60])
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_call_it_ends_the_same(tmp_path: Path, *, after: bool, pause: int) -> None:
    """Run again at once, while Windows goes down, or much later."""
    count = 0
    for count, world in enumerate(cut_runs(tmp_path, after=after), start=1):  # noqa: B007
        for _ in range(pause):
            world.clock.sleep(1)
            world.cloud.go_on()
        try:
            run_again(world)
        except GuestUnreachable:  # right in the moment between the order and its first word: the next one finds it off
            run_again(world)
        image = only(world)
        assert unpack(image.properties[FACTS]) == {"drivers": DRIVERS}
        assert world.facts["checkpoint"]["image_id"] == image.id
        assert state(world) == "ACTIVE"
        assert world.guest.up
        world.context.journal.close()
    assert count > 15


@pytest.mark.parametrize("call", ["snapshot", "update_image", "start_server", "server", "console_log", "image"])
def test_a_lost_answer_makes_no_second_one(ready: World, call: str) -> None:
    ready.cloud.faults.lose_answer(call)
    with pytest.raises(ImagebuildError):
        Checkpoint().run(ready.context)
    run_again(ready)
    assert only(ready).status == "active"
    assert state(ready) == "ACTIVE"


def test_run_again_when_it_is_done_it_does_nothing(ready: World) -> None:
    Checkpoint().run(ready.context)
    first = only(ready)
    ready.cloud.faults.calls.clear()
    run_again(ready)
    assert only(ready) == first
    assert not {"snapshot", "start_server", "update_image", "delete"} & set(ready.cloud.faults.calls)


def test_a_builder_that_is_off_before_it_could_answer_is_not_waited_for(ready: World) -> None:
    """A busy host: Windows is off while the answer is still on its way. Nobody saw it go, so it is started and asked again."""
    start = ready.guest.start_as_system

    def slow(*words: Any, **more: Any) -> None:
        ready.guest.start_as_system = start  # type: ignore[method-assign]
        start(*words, **more)
        ready.clock.sleep(60)
        ready.guest.go_on()
        raise SessionLost("no answer")

    ready.guest.start_as_system = slow  # type: ignore[method-assign]
    began = ready.clock.now()
    Checkpoint().run(ready.context)
    assert only(ready).name == NAME
    assert ready.clock.now() - began < 300
