"""The bench for all tests of the model."""

from pathlib import Path

import pytest
from model_fakes import VIRTIO_DISK, Bench, make_installer, make_virtio_cd


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A base image on a builder: IDE disk, e1000, a virtio disk and two CDs beside it; not booted yet."""
    bench = Bench(tmp_path)
    media = tmp_path / "media"
    media.mkdir()
    installer = make_installer(
        version="8.2.1", kind="exe", exit_code=0, service="Leostream Agent", service_display="Agent"
    )
    (media / "LeostreamAgentSetup.exe").write_bytes(installer)
    (media / "other.exe").write_bytes(b"MZ no installer of ours")
    bench.machine.discs = {"virtio-win-0.1.173": make_virtio_cd(tmp_path / "drivers"), "VDI-MEDIA": media}
    bench.machine.devices_present = (VIRTIO_DISK,)
    return bench


@pytest.fixture
def builder(bench: Bench) -> Bench:
    """The same, booted, with the scripts sent."""
    bench.boot()
    bench.send_scripts()
    return bench
