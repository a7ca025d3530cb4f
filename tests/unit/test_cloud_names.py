"""Which clouds this machine knows by name."""

import os
from pathlib import Path

import pytest

from imagebuild.adapters.cloud_names import configured_clouds
from imagebuild.errors import RecipeError


def test_names_stand_in_order(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text("clouds:\n  b: {auth: {auth_url: http://b}}\n  a: {auth: {auth_url: http://a}}\n")
    assert configured_clouds([path]) == ("a", "b")


def test_a_broken_file_is_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "clouds.yaml"
    path.write_text("clouds: {a: [\n")
    with pytest.raises(RecipeError, match="clouds.yaml cannot be read"):
        configured_clouds([path])


def test_no_file_is_no_cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    assert configured_clouds([tmp_path / "clouds.yaml"]) == ()
