"""The CDs of the lab: what is on them, and that making them again changes nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from imagebuild.lab.guest.media import PROGRAMS, make_programs_iso, make_virtio_iso, write_installer
from imagebuild.lab.guest.standin.model.programs import read_installer

pytestmark = pytest.mark.lab  # genisoimage is one of the lab's packages


def read_iso(iso: Path, name: str) -> str:
    command = ["isoinfo", "-J", "-i", str(iso), "-x", f"/{name}"]
    return subprocess.run(command, check=True, capture_output=True, timeout=30).stdout.decode()


@pytest.fixture(scope="module")
def virtio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_virtio_iso(tmp_path_factory.mktemp("media") / "virtio.iso")


@pytest.fixture(scope="module")
def names(virtio: Path) -> set[str]:
    listed = subprocess.run(["isoinfo", "-J", "-f", "-i", str(virtio)], check=True, capture_output=True, timeout=30)
    return {line.lstrip("/") for line in listed.stdout.decode().splitlines()}


@pytest.mark.parametrize("stem", ["viostor/{}/{}/viostor", "NetKVM/{}/{}/netkvm", "vioserial/{}/{}/vioser"])
@pytest.mark.parametrize("system, architecture", [("w7", "x86"), ("w7", "amd64"), ("w10", "x86"), ("2k25", "amd64")])
def test_drivers_lie_where_the_real_ones_lie(names: set[str], stem: str, system: str, architecture: str) -> None:
    assert {stem.format(system, architecture) + ending for ending in (".inf", ".cat", ".sys")} <= names


def test_what_the_real_one_does_not_have_is_not_there(names: set[str]) -> None:
    assert not [name for name in names if re.match(r".*/(w11|2k1|2k2).*/x86", name) or name.startswith("qxl/w10")]


def test_a_driver_has_its_version_and_says_that_it_is_none(virtio: Path) -> None:
    inf = read_iso(virtio, "viostor/w7/amd64/viostor.inf")
    assert "\r\nDriverVer=07/15/2019,61.77.104.17300\r\n" in inf
    assert "PCI\\VEN_1AF4&DEV_1001" in inf
    assert "stand-in" in inf
    assert "not a driver" in read_iso(virtio, "viostor/w7/amd64/viostor.sys")


def test_the_model_understands_each_installer(tmp_path: Path) -> None:
    iso = make_programs_iso(tmp_path / "programs.iso")
    for name, keys in PROGRAMS.items():
        text = read_iso(iso, name)
        assert text == write_installer(keys)
        installer = read_installer(text.encode())
        assert installer is not None
        assert (installer.product, installer.kind, installer.service) == (
            keys["product"],
            keys["kind"],
            keys["service"],
        )


def test_making_again_leaves_the_file_alone_and_another_content_replaces_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    iso = make_programs_iso(tmp_path / "cd.iso")
    first = iso.stat()
    assert make_programs_iso(iso).stat().st_mtime_ns == first.st_mtime_ns
    monkeypatch.setattr("imagebuild.lab.guest.media.PROGRAMS", {"new.exe": {"product": "New"}})
    assert make_programs_iso(iso).stat().st_ino != first.st_ino
    assert [file.name for file in tmp_path.iterdir()] == ["cd.iso"]


def test_digests_are_printed_as_recipes_name_them() -> None:
    command = [sys.executable, "-m", "imagebuild.lab.guest.media"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    assert re.fullmatch(
        r"[0-9a-f]{64} LeostreamAgentSetup\.exe\n[0-9a-f]{64} CloudbaseInitSetup_1_1_2_x64\.msi\n", printed
    )
