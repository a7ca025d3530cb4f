"""The evidence of a failed build: each piece by itself, names that stay in the folder, no secret in it, and nothing that raises."""

import pytest

from imagebuild.build_folder import BuildFolder
from imagebuild.errors import CloudUnreachable, GuestUnreachable
from imagebuild.evidence import save_evidence
from tests.fakes.cloud_world import STOP_SECONDS
from tests.steps.conftest import World

LOGS = {
    "logs": [
        {"name": "sysprep", "path": "C:\\a.log", "bytes": 9, "lines": ["one", "two"]},
        {"name": "job-updates", "path": "C:\\b.log", "bytes": 9, "lines": ["three"]},
    ],
    "unreadable": [],
}


@pytest.fixture
def failed(standing: World) -> World:
    """A builder that has a console, a screen and logs."""
    standing.cloud.say(standing.builder(), "*** STOP: 0x0000007B")
    standing.cloud.screen = b"PNG"
    standing.guest.returns("Get-GuestLogs", LOGS)
    return standing


def folder(world: World) -> BuildFolder:
    return BuildFolder(world.context.folder)


def test_everything_is_saved_and_named(failed: World) -> None:
    assert save_evidence(failed.context, folder(failed)) == ("console.log", "screen.png", "guest-logs/ (2)")
    path = failed.context.folder
    assert "0x0000007B" in (path / "console.log").read_text()
    assert (path / "screen.png").read_bytes() == b"PNG"
    assert (path / "guest-logs" / "sysprep.txt").read_text() == "one\ntwo\n"
    assert (path / "guest-logs" / "job-updates.txt").read_text() == "three\n"
    assert failed.told.warnings == []
    assert save_evidence(failed.context, folder(failed)) == ("console.log", "screen.png", "guest-logs/ (2)"), "again"


@pytest.mark.parametrize(
    ("broken", "left", "words"),
    [
        ("console_log", ("screen.png", "guest-logs/ (2)"), "the console log could not be saved"),
        ("console_picture", ("console.log", "guest-logs/ (2)"), "the picture of the screen could not be saved"),
        ("server", ("console.log", "screen.png"), "Windows' own logs could not be saved"),
    ],
)
def test_what_the_cloud_does_not_give_keeps_nothing_else_away(
    failed: World, broken: str, left: tuple[str, ...], words: str
) -> None:
    failed.cloud.faults.fail(broken, CloudUnreachable("nobody answers"))
    assert save_evidence(failed.context, folder(failed)) == left
    assert [warning for warning in failed.told.warnings if words in warning] == failed.told.warnings != []


def test_a_guest_that_does_not_answer_is_waited_for_briefly(failed: World) -> None:
    failed.guest.faults.fail("run", GuestUnreachable("no answer"))
    begun = failed.clock.now()
    assert save_evidence(failed.context, folder(failed)) == ("console.log", "screen.png")
    assert failed.clock.now() - begun < 30
    assert "Windows' own logs" in failed.told.warnings[0]


def test_a_disk_that_is_full_is_told(failed: World) -> None:
    (failed.context.folder / "console.log").mkdir()
    assert save_evidence(failed.context, folder(failed)) == ("screen.png", "guest-logs/ (2)")
    assert "the console log could not be saved" in failed.told.warnings[0]


def test_windows_is_not_asked_before_it_was_reached_nor_when_it_is_off(failed: World) -> None:
    told = failed.facts.pop("windows")
    assert save_evidence(failed.context, folder(failed)) == ("console.log", "screen.png")
    failed.facts["windows"] = told
    failed.cloud.stop_server(failed.builder())
    failed.clock.sleep(STOP_SECONDS)
    assert save_evidence(failed.context, folder(failed)) == ()
    assert failed.guest.ran == [] and failed.told.warnings == []


def test_without_a_server_there_is_nothing_to_save(world: World) -> None:
    assert save_evidence(world.context, folder(world)) == ()
    assert world.cloud.faults.calls == []


def test_what_windows_could_not_read_is_told(failed: World) -> None:
    broken = {"name": "drivers", "path": "C:\\c.log", "words": "Access is denied."}
    failed.guest.returns("Get-GuestLogs", {"logs": [], "unreadable": [broken]})
    assert save_evidence(failed.context, folder(failed))[-1] == "guest-logs/ (1)"
    told = (failed.context.folder / "guest-logs" / "unreadable.txt").read_text()
    assert told == "C:\\c.log: Access is denied.\n"


@pytest.mark.parametrize("name", ["../../x", "a/b", "", ".", "..", "a.b", "C:\\x", "-x", "x" * 81])
def test_a_name_that_leads_elsewhere_is_left_out(failed: World, name: str) -> None:
    log = {"name": name, "path": "p", "bytes": 1, "lines": ["evil"]}
    failed.guest.returns("Get-GuestLogs", {"logs": [log], "unreadable": []})
    before = set(failed.context.folder.parent.rglob("*"))
    assert save_evidence(failed.context, folder(failed)) == ("console.log", "screen.png")
    new = {path.name for path in set(failed.context.folder.parent.rglob("*")) - before}
    assert new == {"console.log", "screen.png"}


def test_the_builders_password_is_not_kept_in_a_log(failed: World) -> None:
    secret = failed.context.password.reveal()
    log = {"name": "sysprep", "path": "p", "bytes": 1, "lines": [f"net user x {secret}"]}
    failed.guest.returns("Get-GuestLogs", {"logs": [log], "unreadable": []})
    save_evidence(failed.context, folder(failed))
    assert secret not in (failed.context.folder / "guest-logs" / "sysprep.txt").read_text()
