"""A WinRM server on loopback with a double of Windows behind it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from windows_double import WindowsDouble

from imagebuild.lab.guest.standin.hardware import make_certificate
from imagebuild.lab.guest.standin.listening import Listeners


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(certificate, key), made as the guest makes its own."""
    return make_certificate("localhost", tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def windows(certificate: tuple[Path, Path]) -> WindowsDouble:
    """The double; a test may change its settings."""
    return WindowsDouble(tls=certificate, wanted=frozenset({"http", "https"}))


@pytest.fixture
def listeners(windows: WindowsDouble) -> Iterator[Listeners]:
    """Open on free ports of loopback."""
    listeners = Listeners(windows, address="127.0.0.1", ports={"http": 0, "https": 0})
    listeners.follow()
    yield listeners
    listeners.close()
