"""What is planned to be installed, from what there is; and that the copy of the services' code is whole or absent."""

import json
import sys
from pathlib import Path

import pytest

from imagebuild.lab import environment, layout, packages
from imagebuild.lab.layout import Layout


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def make_environment(place: Layout, digest: str, *names: str) -> None:
    place.python.parent.mkdir(parents=True)
    place.python.touch()
    stamp = {"digest": digest, "names": names}
    (place.venv / environment.STAMP).write_text(json.dumps(stamp), encoding="utf-8")


def test_nothing_there_means_everything_in_order(place: Layout) -> None:
    services, binding = packages.plan_environment(place)
    assert services.needs == ()
    assert binding.needs == ("services-environment", "debian-packages")
    assert set(packages.SERVICES) <= set(services.command)
    assert binding.command[-1] == "libvirt-python"


def test_what_is_installed_from_the_same_constraints_is_kept(place: Layout) -> None:
    make_environment(place, layout.digest_environment(), *packages.SERVICES)
    (binding,) = packages.plan_environment(place)
    assert binding.command[-1] == "libvirt-python"
    (place.venv / environment.STAMP).unlink()
    place.python.unlink()
    place.python.parent.rmdir()
    make_environment(place, layout.digest_environment(), *packages.SERVICES, *packages.BINDING)
    assert packages.plan_environment(place) == []


@pytest.mark.parametrize("broken", ["other constraints", "half a stamp"])
def test_an_environment_of_others_or_half_of_one_is_made_anew(place: Layout, broken: str) -> None:
    make_environment(place, "other", *packages.SERVICES, *packages.BINDING)
    if broken == "half a stamp":
        (place.venv / environment.STAMP).write_text('{"digest', encoding="utf-8")
    assert len(packages.plan_environment(place)) == 2
    assert not place.venv.exists()


def test_the_headers_are_asked_for_only_where_the_interpreter_has_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(packages.sysconfig, "get_path", lambda _: str(tmp_path))
    assert packages._headers() == (f"python3.{sys.version_info.minor}-dev",)
    (tmp_path / "Python.h").touch()
    assert packages._headers() == ()


def test_the_code_of_before_is_replaced_whole(place: Layout) -> None:
    (place.code / "labservices").mkdir(parents=True)
    (place.code / "labservices" / "gone.py").touch()
    (place.root / "code.new").mkdir()  # left by a killed copy
    packages.copy_code(place)
    names = {path.name for path in (place.code / "labservices").iterdir()}
    assert "supervisor.py" in names
    assert "gone.py" not in names
    assert sorted(path.name for path in place.root.iterdir()) == ["code"]
