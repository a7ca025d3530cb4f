"""The bench for all tests of the model. Its disks lie in memory: the model writes them through at every change, and thousands of times."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from model_fakes import VIRTIO_DISK, Bench, make_installer, make_virtio_cd

MEMORY = Path("/dev/shm")


@pytest.fixture(scope="session")
def quick_folder() -> Iterator[Path]:
    """A folder in memory where there is such a thing, else an ordinary one."""
    quick = MEMORY if os.access(MEMORY, os.W_OK) else None
    with TemporaryDirectory(prefix="standin-", dir=quick) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def media(quick_folder: Path) -> dict[str, Path]:
    """The two CDs of a builder."""
    programs = quick_folder / "programs"
    programs.mkdir()
    agent = make_installer(version="8.2.1", kind="exe", exit_code=0, service="Leostream Agent", service_display="Agent")
    (programs / "LeostreamAgentSetup.exe").write_bytes(agent)
    (programs / "other.exe").write_bytes(b"MZ no installer of ours")
    (programs / "other.msi").write_bytes(b"no package of ours")
    return {"virtio-win-0.1.173": make_virtio_cd(quick_folder / "drivers"), "VDI-MEDIA": programs}


def _on_bench(folder: Path, media: dict[str, Path]) -> Bench:
    bench = Bench(folder)
    bench.machine.discs = dict(media)
    bench.machine.devices_present = (VIRTIO_DISK,)
    return bench


@pytest.fixture
def bench(quick_folder: Path, media: dict[str, Path]) -> Iterator[Bench]:
    """A base image on a builder: IDE disk, e1000, a virtio disk and two CDs beside it; not booted yet."""
    with TemporaryDirectory(dir=quick_folder) as folder:
        yield _on_bench(Path(folder), media)


@pytest.fixture(scope="session")
def builder_disk(quick_folder: Path, media: dict[str, Path]) -> Path:
    """The disk of a builder that was booted once and got the scripts."""
    bench = _on_bench(quick_folder / "builder", media)
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
