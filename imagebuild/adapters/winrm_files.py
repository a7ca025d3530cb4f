r"""Files over a command's standard input: one line that announces them, then one gzip stream in base64 lines.

The other side is imagebuild/windows/Receive-Files.ps1, which holds size and SHA-256 of each file against the announcement.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping

from imagebuild.adapters.winrm_session import SEND_BYTES
from imagebuild.errors import ScriptBroken
from imagebuild.guest import Value

SCRIPTS_FOLDER = r"C:\imagebuild\scripts"

_LINE_BYTES = 12 * 1024  # before base64; four lines fill a Send
_READ_BYTES = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS


def describe_files(files: Mapping[str, bytes]) -> list[dict[str, object]]:
    """Path, size and SHA-256 of each, in the order of the stream."""
    return [
        {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in files.items()
    ]


def pack_files(files: Mapping[str, bytes]) -> Iterator[bytes]:
    """What goes to standard input, in pieces for one Send each."""
    announcement = json.dumps({"files": describe_files(files)})
    piece = base64.b64encode(announcement.encode()) + b"\r\n"
    for chunk in _compress(files):
        line = base64.b64encode(chunk) + b"\r\n"
        if len(piece) + len(line) > SEND_BYTES:
            yield piece
            piece = b""
        piece += line
    yield piece


def _compress(files: Mapping[str, bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=_GZIP)
    ready = bytearray()
    for content in files.values():
        view = memoryview(content)
        for begin in range(0, len(view), _READ_BYTES):
            ready += packer.compress(view[begin : begin + _READ_BYTES])
            while len(ready) >= _LINE_BYTES:
                yield bytes(ready[:_LINE_BYTES])
                del ready[:_LINE_BYTES]
    ready += packer.flush()
    for begin in range(0, len(ready), _LINE_BYTES):
        yield bytes(ready[begin : begin + _LINE_BYTES])


def check_received(files: Mapping[str, bytes], value: Value) -> None:
    """The guest's list must be ours; ScriptBroken when it is not."""
    wrote = {(item["path"], item["size"], item["sha256"]) for item in value.get("files") or ()}
    missing = [
        str(item["path"]) for item in describe_files(files) if (item["path"], item["size"], item["sha256"]) not in wrote
    ]
    if missing:
        raise ScriptBroken(
            f"the guest confirmed {len(wrote)} of {len(files)} files",
            hint="send them again",
            details=tuple(missing),
        )
