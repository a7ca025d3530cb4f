"""The bench for all tests of the model."""

import shutil
from pathlib import Path

import pytest
from model_fakes import VIRTIO_DISK, Bench, make_installer, make_virtio_cd


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The two CDs of a builder."""
    folder = tmp_path_factory.mktemp("media")
    programs = folder / "programs"
    programs.mkdir()
    agent = make_installer(version="8.2.1", kind="exe", exit_code=0, service="Leostream Agent", service_display="Agent")
    (programs / "LeostreamAgentSetup.exe").write_bytes(agent)
    (programs / "other.exe").write_bytes(b"MZ no installer of ours")
    (programs / "other.msi").write_bytes(b"no package of ours")
    return {"virtio-win-0.1.173": make_virtio_cd(folder / "drivers"), "VDI-MEDIA": programs}


def _on_bench(folder: Path, media: dict[str, Path]) -> Bench:
    bench = Bench(folder)
    bench.machine.discs = media
    bench.machine.devices_present = (VIRTIO_DISK,)
    return bench


@pytest.fixture
def bench(tmp_path: Path, media: dict[str, Path]) -> Bench:
    """A base image on a builder: IDE disk, e1000, a virtio disk and two CDs beside it; not booted yet."""
    return _on_bench(tmp_path, media)


@pytest.fixture(scope="session")
def builder_disk(tmp_path_factory: pytest.TempPathFactory, media: dict[str, Path]) -> Path:
    """The disk of a builder that was booted once and got the scripts."""
    bench = _on_bench(tmp_path_factory.mktemp("builder"), media)
    bench.boot()
    bench.send_scripts()
    return bench.disk


@pytest.fixture
def builder(bench: Bench, builder_disk: Path) -> Bench:
    """A builder at work: its second boot, the scripts are there."""
    shutil.rmtree(bench.disk, ignore_errors=True)
    shutil.copytree(builder_disk, bench.disk)
    bench.boot()
    return bench
