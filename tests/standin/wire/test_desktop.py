"""Remote Desktop's port: what a client, or whoever looks whether the desktop answers, gets from it."""

import errno
import socket

import pytest
from windows_double import WindowsDouble

from imagebuild.lab.guest.standin.listening import Listeners

REQUEST = bytes.fromhex("03000013 0ee000000000 00 0100080003000000")


@pytest.fixture
def desktop(windows: WindowsDouble) -> Listeners:
    """Open on a free port."""
    windows.wanted = frozenset({"rdp", "http"})
    listeners = Listeners(windows, address="127.0.0.1", ports={"rdp": 0})
    listeners.follow()
    return listeners


def exchange(listeners: Listeners, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", listeners.port("rdp") or 0), 5) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(64)
        except OSError as error:  # closed before all was read, or before we were done with our side
            assert error.errno in (errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE), error
            return b""


def test_a_connection_request_is_confirmed(desktop: Listeners) -> None:
    answer = exchange(desktop, REQUEST)
    assert (answer[0], len(answer), answer[5]) == (3, int.from_bytes(answer[2:4], "big"), 0xD0)
    assert answer[11:] == bytes.fromhex("021f080001000000")
    desktop.close()


@pytest.mark.parametrize("request_", [b"", b"GET / HTTP/1.1\r\n\r\n", REQUEST[:9], b"\x03\x00\x00\x05\xe0"])
def test_anything_else_gets_no_answer(desktop: Listeners, request_: bytes) -> None:
    assert exchange(desktop, request_) == b""
    desktop.close()


def test_a_name_without_a_port_is_not_opened(desktop: Listeners) -> None:
    assert desktop.port("http") is None
    desktop.close()
