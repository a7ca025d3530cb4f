"""Just enough HTTP/1.1 for WinRM: requests with a body, answers with a length, connections that stay.

Not http.server: that costs the guest half a second to import, and NTLM needs to know the connection anyway.
"""

from __future__ import annotations

import socket
from typing import BinaryIO, NamedTuple

LONGEST_LINE = 65536
REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    500: "Internal Server Error",
}


class Malformed(ValueError):
    """What came is not HTTP as we understand it: the connection is of no further use."""


class Request(NamedTuple):
    """One request, whole. Header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Response(NamedTuple):
    """One answer. `headers` are further (name, value) pairs: a name may come twice."""

    status: int
    body: bytes = b""
    content_type: str = "application/soap+xml;charset=UTF-8"
    headers: tuple[tuple[str, str], ...] = ()


def read_request(stream: BinaryIO, connection: socket.socket, *, largest: int) -> Request | None:
    """The next request; None when the client closed. A body over `largest` bytes is Malformed, as is all we do not know."""
    first = _read_line(stream)
    if first is None:
        return None
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Malformed("not an HTTP/1 request line")
    headers: dict[str, str] = {}
    while line := _read_line(stream):
        name, colon, value = line.partition(":")
        if not colon:
            raise Malformed("a header without a colon")
        headers[name.strip().lower()] = value.strip()
    if headers.get("expect", "").lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = _read_chunks(stream, largest=largest)
    else:
        body = _read_exactly(stream, _number(headers.get("content-length", "0"), 10, largest=largest))
    return Request(words[0], words[1], headers, body)


def send_response(connection: socket.socket, response: Response) -> None:
    """Send the answer in one piece."""
    lines = [
        f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Unknown')}",
        "Server: imagebuild stand-in for Windows",
        f"Content-Length: {len(response.body)}",
    ]
    if response.body:
        lines.append(f"Content-Type: {response.content_type}")
    lines += [f"{name}: {value}" for name, value in response.headers]
    connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + response.body)


def _read_line(stream: BinaryIO) -> str | None:
    """A line without its end; '' for an empty one; None at the end of the stream."""
    line = stream.readline(LONGEST_LINE)
    if not line:
        return None
    if not line.endswith(b"\n"):
        raise Malformed("a line too long, or cut off")
    return line.decode("latin-1").rstrip("\r\n")


def _read_exactly(stream: BinaryIO, count: int) -> bytes:
    body = stream.read(count)
    if len(body) != count:
        raise Malformed("the body was cut off")
    return body


def _read_chunks(stream: BinaryIO, *, largest: int) -> bytes:
    body = bytearray()
    while count := _number((_read_line(stream) or "").partition(";")[0].strip(), 16, largest=largest - len(body)):
        body += _read_exactly(stream, count)
        _read_line(stream)
    while _read_line(stream):
        pass  # trailers
    return bytes(body)


def _number(text: str, radix: int, *, largest: int) -> int:
    try:
        number = int(text, radix)
    except ValueError as error:
        raise Malformed(f"{text!r} is not a length") from error
    if not 0 <= number <= largest:
        raise Malformed(f"a body of {number} bytes")
    return number
