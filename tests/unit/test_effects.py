"""The ban on effects holds: a unit test that opens a socket or starts a process ends at once."""

import socket
import subprocess
import sys

import pytest

from tests.conftest import Effect


def test_a_socket_is_refused() -> None:
    with socket.socket() as probe, pytest.raises(Effect, match="socket.connect"):
        probe.connect(("127.0.0.1", 9))


def test_a_process_is_refused_even_by_code_that_catches_every_exception() -> None:
    with pytest.raises(Effect, match=r"subprocess\.Popen"):
        try:
            subprocess.run([sys.executable, "-c", ""], check=True)
        except Exception:  # noqa: BLE001  what a test of ours must not be fooled by
            pytest.fail("the ban was swallowed")


@pytest.mark.effects
def test_who_must_may() -> None:
    done = subprocess.run([sys.executable, "-c", "print(6 * 7)"], check=True, capture_output=True, text=True)
    assert done.stdout == "42\n"
