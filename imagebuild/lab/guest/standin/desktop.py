"""Remote Desktop as far as whoever looks whether a desktop answers goes: the first two messages of a connection.

[MS-RDPBCGR] 2.2.1.1 and 2.2.1.2: an X.224 connection request in a TPKT header, and the confirm that chooses TLS.
"""

from __future__ import annotations

import socket

CONNECTION_REQUEST = 0xE0
CONFIRM = bytes.fromhex(
    "0300 0013"  # TPKT: version 3, 19 bytes
    "0e d0 0000 1234 00"  # X.224: 14 bytes follow, connection confirm, no class
    "02 1f 0800 01000000"  # negotiation response, 8 bytes: TLS
)


def greet(connected: socket.socket) -> None:
    """Answer a connection request; anything else gets no answer, as from Windows."""
    header = _read(connected, 4)
    if len(header) < 4 or header[0] != 3:
        return
    request = _read(connected, int.from_bytes(header[2:4], "big") - 4)
    if len(request) >= 7 and request[1] == CONNECTION_REQUEST:
        connected.sendall(CONFIRM)


def _read(connected: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size and (piece := connected.recv(size - len(content))):
        content += piece
    return content
