"""Which cloud: the one that is named, the only one there is, or the lab; never a guess among several."""

from pathlib import Path
from typing import Any

import pytest

from imagebuild.errors import LabError, RecipeError
from imagebuild.jobs import settings as settings_module
from imagebuild.jobs.settings import Settings
from imagebuild.lab import lifecycle
from imagebuild.lab.layout import ADMIN_CLOUD, CLOUD
from imagebuild.report import SilentReport

LAB_FILE = Path("lab") / "clouds.yaml"


class Opened:
    """What was connected, and whether the lab was brought up for it."""

    def __init__(self) -> None:
        self.names: list[tuple[str, list[Path] | None]] = []
        self.labs = 0
        self.configured: tuple[str, ...] = ()

    def connect(self, name: str, config_files: list[Path] | None = None) -> str:
        """Noted."""
        self.names.append((name, config_files))
        return name

    def up(self, *_: Any, **__: Any) -> lifecycle.LabCloud:
        """Noted."""
        self.labs += 1
        return lifecycle.LabCloud(CLOUD, LAB_FILE, ADMIN_CLOUD, Path("lab"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    made = Opened()
    monkeypatch.delenv("OS_CLOUD", raising=False)
    monkeypatch.setattr(settings_module, "connect_cloud", made.connect)
    monkeypatch.setattr(settings_module, "configured_clouds", lambda: made.configured)
    monkeypatch.setattr(lifecycle, "up", made.up)
    return made


def choose(name: str | None = None) -> None:
    Settings(Path(), cloud=name).open_cloud(SilentReport())


def test_a_named_cloud_goes_before_everything(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_CLOUD", "from-the-environment")
    opened.configured = ("a", "b")
    choose("mine")
    assert (opened.names, opened.labs) == ([("mine", None)], 0)


def test_the_environment_goes_before_the_file(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_CLOUD", "from-the-environment")
    opened.configured = ("a", "b")
    choose()
    assert (opened.names, opened.labs) == ([("from-the-environment", None)], 0)


@pytest.mark.parametrize("configured", [("a",), ("a", CLOUD), (CLOUD, "a", ADMIN_CLOUD)])
def test_the_only_one_is_taken(opened: Opened, configured: tuple[str, ...]) -> None:
    opened.configured = configured
    choose()
    assert (opened.names, opened.labs) == ([("a", None)], 0)


def test_among_several_nobody_guesses(opened: Opened) -> None:
    opened.configured = ("a", "b")
    with pytest.raises(RecipeError, match="a, b: which one") as caught:
        choose()
    assert "--cloud NAME" in caught.value.hint
    assert opened.names == []


@pytest.mark.parametrize("configured", [(), (CLOUD,), (ADMIN_CLOUD, CLOUD)])
def test_without_one_the_lab_is_brought_up(opened: Opened, configured: tuple[str, ...]) -> None:
    opened.configured = configured
    choose()
    assert (opened.names, opened.labs) == ([(CLOUD, [LAB_FILE])], 1)


def test_the_lab_may_be_named_also_as_its_administrator(opened: Opened) -> None:
    choose(CLOUD)
    choose(ADMIN_CLOUD)
    assert opened.names == [(CLOUD, [LAB_FILE]), (ADMIN_CLOUD, [LAB_FILE])]
    assert opened.labs == 2


def look(name: str | None = None) -> None:
    Settings(Path(), cloud=name).open_cloud_as_it_is()


def test_who_only_looks_gets_the_same_cloud_and_starts_no_lab(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Place:
        clouds_yaml = tmp_path / "clouds.yaml"

    monkeypatch.setattr(settings_module, "find_layout", lambda: Place)
    with pytest.raises(LabError, match="there is no lab"):
        look()
    Place.clouds_yaml.touch()
    look()
    opened.configured = ("a", CLOUD)
    look()
    look("mine")
    assert opened.names == [(CLOUD, [Place.clouds_yaml]), ("a", None), ("mine", None)]
    assert opened.labs == 0
