"""What a VNC server shows, once: RFB 3.8 (RFC 6143) without a password and with raw pixels, which every server speaks, and a PNG of it."""

import struct
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from imagebuild.errors import CloudError

_VERSION = b"RFB 003.008\n"
_NO_PASSWORD = 1
_LARGEST_SIDE = 8192  # pixels; more than any console has, and it bounds what a broken server can make us read
_RGBX = struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 0, 8, 16)  # four bytes a pixel, red first
_UPDATE, _COLOURS, _BELL, _CUT_TEXT = range(4)  # what a server says


class Stream(Protocol):
    """Bytes to and from the server. `read` gives exactly that many."""

    async def read(self, count: int) -> bytes:
        """That many bytes."""
        ...

    async def write(self, data: bytes) -> None:
        """All of it."""
        ...


@dataclass(frozen=True)
class Screen:
    """A picture: three bytes a pixel (red, green, blue), line by line from the top."""

    width: int
    height: int
    pixels: bytes

    def png(self) -> bytes:
        """The picture as a PNG file."""
        line = self.width * 3
        lines = (b"\0" + self.pixels[start : start + line] for start in range(0, len(self.pixels), line))
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(lines))), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_write_chunk(kind, data) for kind, data in chunks)


def _write_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


async def read_screen(stream: Stream) -> Screen:
    """Greet the server, ask for the whole screen and take it. CloudError when it is no VNC server, or wants a password."""
    await _shake_hands(stream)
    await stream.write(b"\1")  # others may look on, too
    width, height = await _unpack(">HH", stream)
    await stream.read(16)  # its own pixel format: we ask for ours
    await stream.read(*(await _unpack(">I", stream)))  # its name
    if not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE):
        raise _strange(f"a screen of {width} x {height}")
    await stream.write(b"\0\0\0\0" + _RGBX)
    await stream.write(struct.pack(">BxHi", 2, 1, 0))  # raw pixels only
    await stream.write(struct.pack(">BBHHHH", 3, 0, 0, 0, width, height))
    return Screen(width, height, await _read_pixels(stream, width, height))


async def _shake_hands(stream: Stream) -> None:
    greeting = await stream.read(len(_VERSION))
    if not greeting.startswith(b"RFB ") or greeting < _VERSION:
        raise _strange(f"the greeting {greeting!r}")
    await stream.write(_VERSION)
    (count,) = await _unpack(">B", stream)
    offered = await stream.read(count)
    if _NO_PASSWORD not in offered:
        raise _strange(f"security types {list(offered)}")
    await stream.write(bytes([_NO_PASSWORD]))
    (refused,) = await _unpack(">I", stream)
    if refused:
        raise _strange("a refusal")


async def _read_pixels(stream: Stream, width: int, height: int) -> bytes:
    """A server may send the screen in several updates of several rectangles: until all of it has come."""
    pixels = bytearray(width * height * 3)
    missing = width * height
    while missing > 0:
        async for left, top, wide, high in _next_update(stream):
            if left + wide > width or top + high > height:
                raise _strange("pixels beside the screen")
            for row in range(top, top + high):
                start = (row * width + left) * 3
                pixels[start : start + wide * 3] = _drop_padding(await stream.read(wide * 4))
            missing -= wide * high
    return bytes(pixels)


def _drop_padding(rgbx: bytes) -> bytes:
    rgb = bytearray(len(rgbx) // 4 * 3)
    for colour in range(3):
        rgb[colour::3] = rgbx[colour::4]
    return bytes(rgb)


async def _next_update(stream: Stream) -> AsyncIterator[tuple[int, int, int, int]]:
    """The rectangles of the next update: left, top, width, height. Its pixels must be read before the next is asked for."""
    while (kind := (await stream.read(1))[0]) != _UPDATE:
        if kind == _COLOURS:
            _first, count = await _unpack(">xHH", stream)
            await stream.read(count * 6)
        elif kind == _CUT_TEXT:
            await stream.read(*(await _unpack(">xxxI", stream)))
        elif kind != _BELL:
            raise _strange(f"a message of kind {kind}")
    (count,) = await _unpack(">xH", stream)
    for _ in range(count):
        left, top, wide, high, encoding = await _unpack(">HHHHi", stream)
        if encoding != 0:
            raise _strange(f"pixels in the encoding {encoding}")
        yield left, top, wide, high


async def _unpack(form: str, stream: Stream) -> tuple[int, ...]:
    return struct.unpack(form, await stream.read(struct.calcsize(form)))


def _strange(what: str) -> CloudError:
    return CloudError(
        f"the console answered with {what}", hint="its picture can be seen in the cloud's dashboard, perhaps"
    )
