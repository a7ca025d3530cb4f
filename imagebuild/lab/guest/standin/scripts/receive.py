"""Receive-Files: files over standard input, one gzip stream in base64 lines, written only when their SHA-256 is the announced one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.scripts.contract import ScriptError, describe_error, result_line
from imagebuild.lab.guest.standin.scripts.session import Session
from imagebuild.lab.guest.standin.scripts.workplace import close_workplace

PATH = re.compile(r'[A-Za-z]:\\[^<>:"/|?*\x00-\x1f]+\Z')
BAD_PART = re.compile(r"\\(\.*|[^\\]*[. ])(\\|$)")
GZIP = 16 + zlib.MAX_WBITS


def receive_files(session: Session) -> int:
    """Play the script on what arrives; it always ends with 0, the result line says how it went."""
    try:
        lines = _lines(session.call.stdin)
        received = _receive(session.guest, lines)
        session.out(result_line({"ok": True, "value": {"files": received}}))
    except ScriptError as error:
        session.out(result_line({"ok": False, "error": describe_error("Receive-Files", error)}))
    return 0


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line.strip() for line in whole)
    if rest.strip():
        yield rest.strip()


def _receive(guest: Guest, lines: Iterator[bytes]) -> list[dict[str, Any]]:
    files = _read_list(next(lines, b""))
    close_workplace(guest)
    stream = _Stream(lines)
    received = []
    for file in files:
        path, size, wanted = file["path"], int(file["size"]), str(file["sha256"]).lower()
        content = stream.read(size)
        if len(content) < size:
            raise ScriptError(f"the stream ends {size - len(content)} bytes before the end of {path}. Send it again.")
        actual = hashlib.sha256(content).hexdigest()
        if actual != wanted:
            raise ScriptError(f"{path} has SHA-256 {actual} instead of {wanted}. Send it again.")
        guest.files.write(path, content)
        received.append({"path": path, "sha256": actual, "size": size})
    if stream.read(1):
        raise ScriptError("the stream holds more than the files that were announced")
    return received


def _read_list(line: bytes) -> list[dict[str, Any]]:
    try:
        files: list[dict[str, Any]] = json.loads(base64.b64decode(line, validate=True))["files"]
    except (binascii.Error, ValueError, KeyError) as error:
        raise ScriptError(f"the first line is no list of files: {error}") from error
    for file in files:
        if not PATH.match(file["path"]) or BAD_PART.search(file["path"][2:]):
            raise ScriptError(f"path '{file['path']}' is refused: a full Windows path without '.' parts is wanted")
    return files


class _Stream:
    """The unpacked bytes of the gzip stream, as far as they are asked for."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._unpacker = zlib.decompressobj(GZIP)
        self._ready = b""

    def read(self, size: int) -> bytes:
        while len(self._ready) < size and (line := next(self._lines, None)) is not None:
            try:
                self._ready += self._unpacker.decompress(base64.b64decode(line, validate=True))
            except (binascii.Error, zlib.error) as error:
                raise ScriptError(f"the stream is damaged: {error}. Send it again.") from error
        taken, self._ready = self._ready[:size], self._ready[size:]
        return taken
