"""The picture of a VNC console: what is said to the server, what is made of its answers, and what it may not do to us."""

import asyncio
import struct
import zlib

import pytest

from imagebuild.adapters import vnc_screen
from imagebuild.adapters.vnc_console import websocket_address
from imagebuild.adapters.vnc_screen import Screen
from imagebuild.errors import CloudError

HELLO = b"RFB 003.008\n" + b"\2\2\1" + struct.pack(">I", 0)
RED, GREEN, BLUE, WHITE = b"\xff\0\0", b"\0\xff\0", b"\0\0\xff", b"\xff\xff\xff"


class Server:
    """A VNC server that has said all beforehand; asked for more, it fails the test."""

    def __init__(self, *said: bytes) -> None:
        self.rest = b"".join(said)
        self.heard = b""

    async def read(self, count: int) -> bytes:
        """What comes next."""
        assert count <= len(self.rest), "the client wants more than the server sends"
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    async def write(self, data: bytes) -> None:
        """What the client says."""
        self.heard += data


def read_screen(server: Server) -> Screen:
    """The screen that the server shows."""
    return asyncio.run(vnc_screen.read_screen(server))


def init(width: int, height: int) -> bytes:
    return struct.pack(">HH16xI", width, height, 4) + b"name"


def update(*rectangles: bytes) -> bytes:
    return struct.pack(">BxH", 0, len(rectangles)) + b"".join(rectangles)


def rectangle(left: int, top: int, *rows: list[bytes], encoding: int = 0) -> bytes:
    head = struct.pack(">HHHHi", left, top, len(rows[0]), len(rows), encoding)
    return head + b"".join(pixel + b"?" for row in rows for pixel in row)


def read_png(png: bytes) -> tuple[int, int, bytes]:
    """Width, height and pixels of a PNG as we write it: one IDAT, no filter; the checksums are looked at."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(png):
        (length,), kind = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        data = png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length]) == (zlib.crc32(kind + data),)
        chunks[kind] = data
        at += 12 + length
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (8, 2)
    lines = zlib.decompress(chunks[b"IDAT"])
    line = width * 3 + 1
    assert len(lines) == line * height and set(lines[::line]) == {0}
    return width, height, b"".join(lines[start + 1 : start + line] for start in range(0, len(lines), line))


def test_the_screen_is_read_and_written_as_png() -> None:
    server = Server(HELLO, init(2, 2), update(rectangle(0, 0, [RED, GREEN], [BLUE, WHITE])))
    screen = read_screen(server)
    assert screen == Screen(2, 2, RED + GREEN + BLUE + WHITE)
    assert read_png(screen.png()) == (2, 2, RED + GREEN + BLUE + WHITE)
    assert server.rest == b""
    assert server.heard.startswith(b"RFB 003.008\n\1\1\0\0\0\0"), "no password, shared, our pixel format"
    assert server.heard.endswith(struct.pack(">BBHHHH", 3, 0, 0, 0, 2, 2)), "all of it, not what has changed"


def test_parts_in_several_updates_among_other_messages() -> None:
    colours = struct.pack(">BxHH", 1, 0, 1) + b"\0" * 6
    cut_text = struct.pack(">BxxxI", 3, 5) + b"hello"
    first, second = update(rectangle(1, 0, [GREEN])), update(rectangle(0, 0, [RED]), rectangle(0, 1, [BLUE, WHITE]))
    server = Server(HELLO, init(2, 2), colours, b"\2", first, cut_text, update(), second)
    assert read_screen(server).pixels == RED + GREEN + BLUE + WHITE


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([b"HTTP/1.1 400"], "greeting"),
        ([b"RFB 003.003\n"], "greeting"),
        ([b"RFB 003.008\n\1\2"], r"security types \[2\]"),
        ([b"RFB 003.008\n\0"], r"security types \[\]"),
        ([b"RFB 003.008\n\1\1", struct.pack(">I", 1)], "refusal"),
        ([HELLO, init(0, 2)], "0 x 2"),
        ([HELLO, init(9000, 2)], "9000 x 2"),
        ([HELLO, init(2, 2), b"\xfa"], "kind 250"),
        ([HELLO, init(2, 2), update(rectangle(0, 0, [RED], encoding=7))], "encoding 7"),
        ([HELLO, init(2, 2), update(rectangle(1, 0, [RED, RED]))], "beside the screen"),
        ([HELLO, init(2, 2), update(rectangle(0, 2, [RED]))], "beside the screen"),
    ],
)
def test_a_server_that_is_not_as_expected(said: list[bytes], words: str) -> None:
    with pytest.raises(CloudError, match=words):
        read_screen(Server(*said))


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://h:6080/vnc_auto.html?path=%3Ftoken%3Da-b", "ws://h:6080/?token=a-b"),
        ("https://c.example/novnc/vnc_lite.html?path=novnc%2F%3Ftoken%3Dx", "wss://c.example/novnc/?token=x"),
        ("https://c.example:6080/vnc_auto.html?token=x&title=t", "wss://c.example:6080/websockify?token=x"),
    ],
)
def test_where_novnc_would_connect_to(url: str, address: str) -> None:
    assert websocket_address(url) == address


@pytest.mark.parametrize("url", ["", "spice://h/?token=SECRET", "http://h/vnc.html", "http:///x?token=SECRET"])
def test_an_address_that_is_none_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(CloudError) as caught:
        websocket_address(url)
    assert "SECRET" not in str(caught.value)
