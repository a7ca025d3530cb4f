"""Whether Remote Desktop answers: against the stand-in's own answer, and against everything else that may sit on a port."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from imagebuild.adapters.desktop_port import desktop_answers
from imagebuild.lab.guest.standin.desktop import greet

pytestmark = pytest.mark.effects
Serve = Callable[[socket.socket], None]


@contextlib.contextmanager
def listening(serve: Serve) -> Iterator[int]:
    """A port on loopback whose one visitor is served so."""

    def accept() -> None:
        with contextlib.suppress(OSError):
            visitor, _ = server.accept()
            with visitor:
                serve(visitor)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
    thread.join(5)


def test_a_desktop_answers() -> None:
    with listening(greet) as port:
        assert desktop_answers("127.0.0.1", port=port)


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x03\x00\x00\x0b\x06\x80\x00\x00\x00\x00\x00"])
def test_another_who_sits_there_is_no_desktop(said: bytes) -> None:
    with listening(lambda visitor: visitor.sendall(said)) as port:
        assert not desktop_answers("127.0.0.1", port=port)


def test_one_who_takes_the_connection_and_says_nothing_is_not_waited_for() -> None:
    done = threading.Event()

    def hold(visitor: socket.socket) -> None:
        done.wait(10)

    with listening(hold) as port:
        assert not desktop_answers("127.0.0.1", port=port, seconds=0.1)
        done.set()


def test_nobody_there_is_no_desktop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert not desktop_answers("127.0.0.1", port=port)
