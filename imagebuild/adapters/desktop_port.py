"""Does Remote Desktop answer? Only the first two messages are exchanged: an open port alone may be a firewall's or nobody's."""

import socket

PORT = 3389
# [MS-RDPBCGR] 2.2.1.1: a TPKT header, an X.224 connection request, and the wish for TLS or CredSSP.
_REQUEST = bytes.fromhex("0300 0013  0e e0 0000 0000 00  01 00 0800 03000000")
_CONFIRM = 0xD0
_LONGEST = 512


def desktop_answers(address: str, *, port: int = PORT, seconds: float = 1.0) -> bool:
    """Whether somebody confirms an RDP connection there. Asks once; `seconds` bounds the connection and the answer each."""
    try:
        with socket.create_connection((address, port), timeout=seconds) as link:
            link.sendall(_REQUEST)
            answer = link.recv(_LONGEST)
    except OSError:
        return False
    return len(answer) >= 6 and answer[0] == 3 and answer[5] == _CONFIRM
