"""The HTTP and SOAP edges that well-behaved clients do not reach."""

import base64
import contextlib
import socket
from pathlib import Path

import pytest
from windows_double import WindowsDouble

from imagebuild.lab.guest.standin.envelope import parse_duration
from imagebuild.lab.guest.standin.faults import Fault
from imagebuild.lab.guest.standin.listening import Listeners

IDENTIFY = (
    b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    b'xmlns:i="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"><s:Body><i:Identify/></s:Body></s:Envelope>'
)
BASIC = "Authorization: Basic " + base64.b64encode(b"Administrator:Passw0rd!").decode()


def exchange(listeners: Listeners, request: bytes) -> bytes:
    """Send it, say that no more comes, and read until the server closes."""
    with socket.create_connection(("127.0.0.1", listeners.port("http") or 0), 5) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def post(body: bytes, *headers: str, path: str = "/wsman", method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def test_identify_needs_no_logon_and_says_what_we_are(listeners: Listeners) -> None:
    answer = exchange(listeners, post(IDENTIFY, "WSMANIDENTIFY: unauthenticated"))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"stand-in for Windows, not Windows" in answer
    assert b"Microsoft" not in answer


def test_nothing_else_passes_as_identify(listeners: Listeners, windows: WindowsDouble) -> None:
    create = IDENTIFY.replace(b"<i:Identify/>", b"<x/>")
    assert exchange(listeners, post(create, "WSMANIDENTIFY: unauthenticated")).startswith(b"HTTP/1.1 401")
    assert windows.calls == []


def test_offers_follow_the_settings(listeners: Listeners, windows: WindowsDouble) -> None:
    answer = exchange(listeners, post(b""))
    assert b"WWW-Authenticate: Negotiate\r\n" in answer
    assert b'WWW-Authenticate: Basic realm="WSMAN"\r\n' in answer


@pytest.mark.parametrize(
    "request_, status",
    [
        (post(b"", path="/other"), b"404"),
        (post(b"", method="GET"), b"405"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST /wsman HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /wsman HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"400"),
        (b"POST /wsman HTTP/1.1\r\nContent-Length: 10\r\n\r\nshort", b"400"),
        (post(b"", "Authorization: Basic %%%"), b"401"),
        (post(b"", "Authorization: Negotiate TlRMTVNTUAADAAAA"), b"401"),
        (post(b"no xml", BASIC), b"500"),
        (post(b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", BASIC), b"500"),
        (post(b"<x/>", BASIC), b"500"),
    ],
)
def test_what_is_wrong_gets_its_status(listeners: Listeners, request_: bytes, status: bytes) -> None:
    assert exchange(listeners, request_).split(b" ")[1] == status


def test_chunks_and_continue(listeners: Listeners) -> None:
    head = b"POST /wsman HTTP/1.1\r\nWSMANIDENTIFY: unauthenticated\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    chunks = b"%x\r\n%s\r\n%x;x=y\r\n%s\r\n0\r\n\r\n" % (10, IDENTIFY[:10], len(IDENTIFY) - 10, IDENTIFY[10:])
    answer = exchange(listeners, head + chunks)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")


def test_connections_stay_open(listeners: Listeners) -> None:
    one = post(IDENTIFY, "WSMANIDENTIFY: unauthenticated")
    assert exchange(listeners, one + one).count(b"</i:IdentifyResponse>") == 2


def test_a_plain_client_on_the_tls_port_does_no_harm(listeners: Listeners, certificate: tuple[Path, Path]) -> None:
    with socket.create_connection(("127.0.0.1", listeners.port("https") or 0), 5) as connection:
        connection.sendall(post(IDENTIFY))
        with contextlib.suppress(ConnectionResetError):
            assert b"200" not in connection.recv(65536)
    assert exchange(listeners, post(IDENTIFY, "WSMANIDENTIFY: unauthenticated")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "text, seconds", [("PT20S", 20), ("PT1M", 60), ("P0DT0H1M30.5S", 90.5), ("P1D", 86400), ("", 60)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_what_is_no_duration_is_a_fault() -> None:
    with pytest.raises(Fault, match="no duration"):
        parse_duration("20 s")
