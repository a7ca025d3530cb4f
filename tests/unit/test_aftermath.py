"""After a failure: the evidence is saved, what was asked for is done, and the person is told what stands and what comes next."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagebuild.aftermath import conclude, undo
from imagebuild.build_folder import BuildFolder
from imagebuild.cleaning import leftovers
from imagebuild.errors import Busy, CloudRefused, CloudUnreachable, ImagebuildError, StepFailed
from imagebuild.journal import Journal
from imagebuild.record import fold
from imagebuild.report import SilentReport
from imagebuild.runner import Failure
from imagebuild.step import Context
from imagebuild.steps.boot_builder import BootBuilder
from imagebuild.waiting import SystemClock
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud
from tests.unit.examples import context as make_context


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud(FakeClock())


@pytest.fixture
def context(tmp_path: Path, cloud: FakeCloud) -> Iterator[Context]:
    """A build whose builder stands and has said something on its console."""
    made = make_context(tmp_path / "small-20260101-000000-abcd", cloud)
    made.journal.write("build_begun", recipe="small", cloud="fake")
    made.facts |= {
        "boot_image_id": cloud.add_image("base").id,
        "root_bus": "ide",
        "flavor_id": cloud.add_flavor("f").id,
        "network_id": cloud.add_network("n", "10.0.0.0/24").id,
        "allow_from": "10.0.0.1/32",
        "media": [],
    }
    BootBuilder().run(made)
    cloud.say(made.facts["server_id"], "*** STOP: 0x0000007B")
    yield made
    made.journal.close()


@pytest.fixture
def folder(context: Context) -> BuildFolder:
    made = BuildFolder(context.folder)
    made.password()
    return made


def fail(context: Context, folder: BuildFolder, *, keep: bool) -> list[str]:
    """What a person is told."""
    failure = Failure("updates", StepFailed("it broke"))
    conclude(failure, context, folder, keep=keep, again="invoke build small-file")
    return list(failure.error.after)


def state(folder: BuildFolder) -> str:
    record = fold(folder.entries())
    assert record is not None
    return record.state


def test_undo_deletes_everything_and_says_what_comes_next(
    context: Context, folder: BuildFolder, cloud: FakeCloud
) -> None:
    assert fail(context, folder, keep=False) == [
        f"failed in step updates of {context.build.id}; logs: {folder.path}",
        "saved: console.log",
        "nothing of it stands any more (3 things deleted)",
        "next: mend it, then invoke build small-file",
    ]
    assert leftovers(cloud) == []
    assert state(folder) == "undone"
    assert not (folder.path / "password").exists()
    assert "*** STOP: 0x0000007B" in (folder.path / "console.log").read_text()


def test_an_image_that_was_registered_before_is_not_told_away(context: Context, folder: BuildFolder) -> None:
    context.facts["image_name"] = "small-v1"
    assert fail(context, folder, keep=False)[2:] == [
        "small-v1 was registered before that and stands; nothing else does",
        "next: invoke images",
    ]


def test_keep_names_what_stands_and_how_to_get_in(context: Context, folder: BuildFolder, cloud: FakeCloud) -> None:
    context.facts["guest_address"] = "10.0.0.9"
    told = fail(context, folder, keep=True)
    standing = leftovers(cloud, context.build.id)
    assert len(standing) == 3
    assert told[2:] == [
        *(f"stands: {thing}" for thing in standing),
        f"log on at 10.0.0.9 as Administrator; the password is in {folder.path / 'password'}",
        f"next: look at it, then invoke builds.resume {folder.id}",
        f"  or: invoke builds.undo {folder.id}",
    ]
    assert state(folder) == "kept"
    assert (folder.path / "password").exists()
    assert (folder.path / "console.log").exists()


def test_keep_before_there_was_an_address(context: Context, folder: BuildFolder) -> None:
    assert not any("log on" in line for line in fail(context, folder, keep=True))


def test_what_cannot_be_deleted_is_named(context: Context, folder: BuildFolder, cloud: FakeCloud) -> None:
    cloud.faults.fail("delete", CloudRefused("409 busy"))
    told = fail(context, folder, keep=False)
    assert told[2] == "cleaning up was cut short: not everything could be deleted"
    assert told[3].startswith(f"stands: server {context.build.id} (")
    assert told[3].endswith("409 busy")
    assert told[-1] == f"next: invoke builds.undo {folder.id}"
    assert state(folder) == "running"  # not undone: a sweep must look again


def test_a_cloud_that_is_gone_is_told_and_kept_stays_kept(
    context: Context, folder: BuildFolder, cloud: FakeCloud
) -> None:
    cloud.faults.fail("owned", CloudUnreachable("503"))
    assert fail(context, folder, keep=True)[2:] == [
        "cleaning up was cut short: 503",
        f"stands: server {context.facts['server_id']} (as far as is known)",
        *ways_on(folder),
    ]
    assert state(folder) == "kept"


def ways_on(folder: BuildFolder) -> list[str]:
    """What is told while nothing was deleted yet."""
    return [f"next: invoke builds.resume {folder.id}, to go on with it", f"  or: invoke builds.undo {folder.id}"]


def test_a_console_log_that_cannot_be_had_does_not_stop_the_clean_up(
    context: Context, folder: BuildFolder, cloud: FakeCloud
) -> None:
    cloud.faults.fail("console_log", CloudUnreachable("503"))
    fail(context, folder, keep=False)
    assert leftovers(cloud) == []
    assert not (folder.path / "console.log").exists()


def test_a_failure_before_there_was_a_server_has_no_console_log(context: Context, folder: BuildFolder) -> None:
    del context.facts["server_id"]
    assert "nothing of it stands any more (3 things deleted)" in fail(context, folder, keep=False)
    assert not (folder.path / "console.log").exists()


@pytest.mark.parametrize("call", ["delete", "console_log", "owned"])
def test_ctrl_c_while_cleaning_up_ends_it_with_the_next_command(
    context: Context, folder: BuildFolder, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(cloud, call, interrupt)
        told = fail(context, folder, keep=False)
    assert "cleaning up was cut short: interrupted" in told
    assert told[-1] == (f"next: invoke builds.undo {folder.id}" if call == "delete" else ways_on(folder)[-1])
    assert state(folder) == "running"
    assert len(leftovers(cloud, context.build.id)) == 3


def test_a_full_disk_keeps_nothing_from_being_deleted(
    context: Context, folder: BuildFolder, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise ImagebuildError("the journal cannot be written: No space left on device")

    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "write", full)
    monkeypatch.setattr(BuildFolder, "save", no_space)
    told = fail(context, folder, keep=False)
    assert "nothing of it stands any more (3 things deleted)" in told
    assert not any(line.startswith("saved:") for line in told)
    assert leftovers(cloud) == []


@pytest.fixture
def one_clock(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's clock is the cloud's."""
    monkeypatch.setattr(SystemClock, "now", lambda self: cloud.clock.now())
    monkeypatch.setattr(SystemClock, "sleep", lambda self, seconds: cloud.clock.sleep(seconds))


@pytest.mark.usefixtures("one_clock")
def test_a_dead_build_is_undone_later(context: Context, folder: BuildFolder, cloud: FakeCloud) -> None:
    context.journal.close()
    assert undo(cloud, folder, context.build.id, report=SilentReport()) == 3
    assert leftovers(cloud) == []
    assert state(folder) == "undone"
    assert not (folder.path / "password").exists()
    assert undo(cloud, folder, context.build.id, report=SilentReport()) == 0
    context.journal = type(context.journal)(folder.journal)  # for the fixture to close


@pytest.mark.usefixtures("one_clock")
def test_what_comes_up_while_all_is_deleted_goes_as_well(
    context: Context, folder: BuildFolder, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A creation whose answer was lost, and which the cloud was still at when the build failed."""
    late = ["late"]
    delete = cloud.delete

    def create_late(*given: Any, **named: Any) -> None:
        delete(*given, **named)
        if late:
            cloud.create_volume(late.pop(), owner=context.build.id, role="x", gib=1)

    monkeypatch.setattr(cloud, "delete", create_late)
    assert "nothing of it stands any more (4 things deleted)" in fail(context, folder, keep=False)
    assert leftovers(cloud) == []


def test_a_living_build_is_not_undone(context: Context, folder: BuildFolder, cloud: FakeCloud) -> None:
    with pytest.raises(Busy):
        undo(cloud, folder, context.build.id, report=SilentReport())
    assert len(leftovers(cloud)) == 3
    assert (folder.path / "password").exists()


@pytest.mark.usefixtures("one_clock")
def test_a_build_of_another_machine_is_undone_without_a_journal(context: Context, cloud: FakeCloud) -> None:
    assert undo(cloud, None, context.build.id, report=SilentReport()) == 3
    assert leftovers(cloud) == []
