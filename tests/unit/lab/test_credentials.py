"""clouds.yaml: the lab's entries stand beside those of others, and go without them."""

from pathlib import Path

import pytest
import yaml

from imagebuild.errors import LabError
from imagebuild.lab import credentials
from imagebuild.lab.databases import Accounts
from imagebuild.lab.layout import Layout
from imagebuild.secrets import Secret

ACCOUNTS = Accounts(Secret("admin-word"), Secret("user-word"), Secret("service-word"))
CLOUDS = credentials.describe_clouds(ACCOUNTS)
OTHERS = {"clouds": {"work": {"auth": {"auth_url": "https://cloud.example/v3"}}}, "public-clouds": {"x": {}}}


def read(path: Path) -> object:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_merge_makes_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "openstack" / "clouds.yaml"
    credentials.merge(path, CLOUDS)
    assert read(path) == {"clouds": CLOUDS}
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_merge_keeps_what_others_wrote_and_the_files_mode(tmp_path: Path) -> None:
    path = tmp_path / "clouds.yaml"
    path.write_text(yaml.safe_dump(OTHERS), encoding="utf-8")
    path.chmod(0o644)
    credentials.merge(path, CLOUDS)
    assert read(path) == OTHERS | {"clouds": OTHERS["clouds"] | CLOUDS}
    assert path.stat().st_mode & 0o777 == 0o644


def test_merge_again_replaces_our_entries_only_when_they_changed(tmp_path: Path) -> None:
    path = tmp_path / "clouds.yaml"
    credentials.merge(path, CLOUDS)
    before = path.stat()
    credentials.merge(path, CLOUDS)
    assert path.stat().st_ino == before.st_ino
    newer = credentials.describe_clouds(Accounts(Secret("other-word"), Secret("user-word"), Secret("service-word")))
    credentials.merge(path, newer)
    assert read(path) == {"clouds": newer}


def test_withdraw_leaves_what_others_wrote(tmp_path: Path) -> None:
    path = tmp_path / "clouds.yaml"
    path.write_text(yaml.safe_dump(OTHERS), encoding="utf-8")
    credentials.merge(path, CLOUDS)
    credentials.withdraw(path)
    assert read(path) == OTHERS
    credentials.withdraw(path)
    assert read(path) == OTHERS


def test_withdraw_removes_a_file_that_was_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "clouds.yaml"
    credentials.merge(path, CLOUDS)
    credentials.withdraw(path)
    assert not path.exists()
    credentials.withdraw(path)


@pytest.mark.parametrize("text", ["- a list\n", "clouds: {broken\n"])
def test_a_file_that_is_no_clouds_yaml_is_named_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "clouds.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LabError, match="clouds.yaml"):
        credentials.merge(path, CLOUDS)
    assert path.read_text(encoding="utf-8") == text


def test_the_client_is_linked_when_there_is_none_and_only_our_link_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "bin" / "openstack"
    command.parent.mkdir()
    monkeypatch.setattr(credentials, "COMMAND", command)
    monkeypatch.setenv("PATH", str(command.parent))
    place = Layout(tmp_path / "lab")
    credentials.link_command(place)
    credentials.link_command(place)
    assert command.readlink() == place.venv / "bin" / "openstack"
    credentials.unlink_command(place)
    assert not command.is_symlink()
    command.write_text("somebody's own", encoding="utf-8")
    credentials.link_command(place)
    credentials.unlink_command(place)
    assert command.read_text(encoding="utf-8") == "somebody's own"
