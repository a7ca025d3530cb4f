"""A build's folder: its own name, a password for its owner only, files whole or not at all."""

import json
import re
from pathlib import Path

import pytest

from imagebuild.build_folder import BuildFolder, build_folders, find_build, new_build_folder
from imagebuild.errors import ImagebuildError, RecipeError
from imagebuild.journal import Journal
from imagebuild.secrets import Secret, hide


def test_two_builds_at_once_never_meet(tmp_path: Path) -> None:
    folders = [new_build_folder(tmp_path / "builds", "win7-vdi") for _ in range(20)]
    assert len({folder.id for folder in folders}) == 20
    for folder in folders:
        assert re.fullmatch(r"win7-vdi-\d{8}-\d{6}-[0-9a-f]{4}", folder.id)
        assert folder.path.stat().st_mode & 0o777 == 0o700


def test_the_password_is_made_once_for_its_owner_only_and_gone_afterwards(tmp_path: Path) -> None:
    folder = new_build_folder(tmp_path, "small")
    password = folder.password()
    file = folder.path / "password"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text() == password.reveal()
    assert BuildFolder(folder.path).password() == password
    assert hide(password.reveal()) == "***"
    folder.forget_password()
    assert not file.exists()
    folder.forget_password()
    assert folder.password() != password


def test_builds_are_found_oldest_first_and_only_with_a_journal(tmp_path: Path) -> None:
    for name in ("b-20260102-000000-aaaa", "b-20260101-000000-ffff"):
        Journal(tmp_path / name / "journal.jsonl").close()
    (tmp_path / "empty").mkdir()
    assert [folder.id for folder in build_folders(tmp_path)] == ["b-20260101-000000-ffff", "b-20260102-000000-aaaa"]
    assert list(build_folders(tmp_path / "none")) == []


def test_a_build_is_alive_while_its_journal_is_held(tmp_path: Path) -> None:
    folder = new_build_folder(tmp_path, "small")
    assert not folder.is_alive()
    with Journal(folder.journal) as journal:
        journal.write("build_begun", recipe="small")
        assert folder.is_alive()
    assert not folder.is_alive()
    assert [entry.event for entry in folder.entries()] == ["build_begun"]


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = BuildFolder(tmp_path)
    assert folder.save("console.log", "한글\n").read_text(encoding="utf-8") == "한글\n"

    def cut(self: Path, target: Path) -> None:
        raise OSError("cut off")

    monkeypatch.setattr(Path, "replace", cut)
    with pytest.raises(OSError, match="cut off"):
        folder.save("console.log", "half")
    assert (tmp_path / "console.log").read_text(encoding="utf-8") == "한글\n"


def test_what_is_saved_has_no_secrets_and_any_letters(tmp_path: Path) -> None:
    Secret("told-on-the-console")
    path = BuildFolder(tmp_path).save("console.log", "password told-on-the-console \ud800\n")
    assert path.read_text(encoding="utf-8") == "password *** ?\n"


def test_values_are_saved_as_json(tmp_path: Path) -> None:
    path = BuildFolder(tmp_path).save_json("record.json", {"b": 1, "a": Path("x")})
    assert json.loads(path.read_text()) == {"a": "x", "b": 1}
    assert path.read_text().endswith("}\n")


def test_builds_of_all_recipes_are_in_the_order_of_time(tmp_path: Path) -> None:
    for name in ("z-20260101-000000-aaaa", "a-20260102-000000-bbbb", "by-hand"):
        Journal(tmp_path / name / "journal.jsonl").close()
    assert [folder.id for folder in build_folders(tmp_path)] == [
        "by-hand",
        "z-20260101-000000-aaaa",
        "a-20260102-000000-bbbb",
    ]


def test_a_build_is_found_by_what_only_it_is_called(tmp_path: Path) -> None:
    for name in ("win7-20260101-000000-aaaa", "win7-20260102-000000-bbbb", "win7-20260102-000000-bbbb-2"):
        Journal(tmp_path / name / "journal.jsonl").close()
    assert find_build(tmp_path, "aaaa").id == "win7-20260101-000000-aaaa"
    assert find_build(tmp_path, "20260101").id == "win7-20260101-000000-aaaa"
    assert find_build(tmp_path, "win7-20260102-000000-bbbb").id == "win7-20260102-000000-bbbb", (
        "the whole id is one build"
    )
    assert find_build(tmp_path, "last").id == "win7-20260102-000000-bbbb"
    with pytest.raises(RecipeError, match="3 builds are called like 'win7'") as several:
        find_build(tmp_path, "win7")
    assert "aaaa" in several.value.hint
    with pytest.raises(RecipeError, match="no build 'win7-20260101-000000-aaab'") as near:
        find_build(tmp_path, "win7-20260101-000000-aaab")
    assert near.value.hint == "did you mean win7-20260101-000000-aaaa?"
    with pytest.raises(RecipeError, match="no build 'last'"):
        find_build(tmp_path / "none", "last")


def test_of_two_builds_of_one_second_the_one_that_began_later_is_the_last(tmp_path: Path) -> None:
    """Their ids end with random digits, and a recipe's name says nothing of time. One without a line has only just begun, or never did."""
    began = {"z-20260102-000000-bbbb": ".101", "a-20260102-000000-cccc": ".202", "m-20260102-000000-aaaa": ".303"}
    for name, part in began.items():
        line = {"event": "build_begun", "at": f"2026-01-02T00:00:00{part}+00:00"}
        (tmp_path / name).mkdir()
        (tmp_path / name / "journal.jsonl").write_text(json.dumps(line) + "\n")
    Journal(tmp_path / "z-20260102-000000-dddd" / "journal.jsonl").close()
    Journal(tmp_path / "z-20260101-000000-ffff" / "journal.jsonl").close()
    assert [one.id for one in build_folders(tmp_path)][2:] == list(began)
    assert find_build(tmp_path, "last").id == "m-20260102-000000-aaaa"


def test_a_disk_that_takes_no_password_or_folder_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = new_build_folder(tmp_path, "small")

    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", no_space)
        with pytest.raises(ImagebuildError, match="password cannot be written: No space left on device"):
            folder.password()
    assert folder.password().reveal() == (folder.path / "password").read_text()
    monkeypatch.setattr(Path, "mkdir", no_space)
    with pytest.raises(ImagebuildError, match="cannot be made: No space left on device"):
        new_build_folder(tmp_path, "small")


def test_a_build_that_made_nothing_is_forgotten(tmp_path: Path) -> None:
    folder = new_build_folder(tmp_path, "small")
    folder.password()
    folder.remove()
    assert list(tmp_path.iterdir()) == []
