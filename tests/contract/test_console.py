"""The console over a real websocket on loopback: TLS by the CA of clouds.yaml, the deadline, and a token that no error tells."""

import asyncio
import datetime
import ipaddress
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from imagebuild.adapters.vnc_console import look_at_console
from imagebuild.adapters.vnc_screen import Screen
from imagebuild.errors import CloudUnreachable, DeadlinePassed, ImagebuildError
from imagebuild.secrets import Secret
from imagebuild.waiting import Deadline

Play = Callable[[ServerConnection], Awaitable[None]]
TOKEN = "d0c5a3c0-token"
PICTURE = Screen(1, 1, b"\1\2\3")


async def show(connection: ServerConnection) -> None:
    """One blue-ish pixel, cut into messages where no border is."""
    assert connection.request is not None and connection.request.path == f"/?token={TOKEN}"
    assert connection.subprotocol == "binary"
    update = struct.pack(">BxH", 0, 1) + struct.pack(">HHHHi", 0, 0, 1, 1, 0) + b"\1\2\3?"
    said = b"RFB 003.008\n\1\1" + bytes(4) + struct.pack(">HH16xI", 1, 1, 0) + update
    for start in range(0, len(said), 7):
        await connection.send(said[start : start + 7])
    async for _message in connection:
        pass


async def say_nothing(connection: ServerConnection) -> None:
    """Until the client has enough."""
    async for _message in connection:
        pass


async def hang_up(connection: ServerConnection) -> None:
    """In the middle of the greeting, as Nova's proxy does for a token that is used up."""
    await connection.send(b"RFB 0")
    await connection.close()


@contextmanager
def console(play: Play, *, tls: ssl.SSLContext | None = None) -> Iterator[Secret]:
    """The address of a console, as Nova would give it."""
    loop = asyncio.new_event_loop()
    serving = threading.Thread(target=loop.run_forever)
    serving.start()

    async def begin() -> Server:
        return await serve(play, "127.0.0.1", 0, ssl=tls, subprotocols=[Subprotocol("binary")])

    async def end(server: Server) -> None:
        server.close(close_connections=True)
        await server.wait_closed()

    try:
        server = asyncio.run_coroutine_threadsafe(begin(), loop).result(timeout=10)
        port = next(iter(server.sockets)).getsockname()[1]
        yield Secret(f"{'https' if tls else 'http'}://127.0.0.1:{port}/vnc_auto.html?path=%3Ftoken%3D{TOKEN}")
        asyncio.run_coroutine_threadsafe(end(server), loop).result(timeout=10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        serving.join(timeout=10)
        loop.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1, signed by itself, with its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "console")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "console.pem"
    key_text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key_text)
    return file


def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def soon(seconds: float = 10) -> Deadline:
    return Deadline.after(seconds)


def test_a_picture_comes_whole_however_it_is_cut() -> None:
    with console(show) as url:
        assert look_at_console(url, verify=True, deadline=soon()) == PICTURE


def test_over_tls_by_the_ca_of_the_cloud(certificate: Path) -> None:
    with console(show, tls=serving(certificate)) as url:
        assert look_at_console(url, verify=str(certificate), deadline=soon()) == PICTURE
        assert look_at_console(url, verify=False, deadline=soon()) == PICTURE, "the user's own word in clouds.yaml"


def test_a_stranger_is_not_talked_to(certificate: Path) -> None:
    with console(show, tls=serving(certificate)) as url:
        told(CloudUnreachable, "SSLCertVerificationError", lambda: look_at_console(url, verify=True, deadline=soon()))


def test_a_silent_proxy_is_left_at_the_deadline() -> None:
    with console(say_nothing) as url:
        told(DeadlinePassed, "in time", lambda: look_at_console(url, verify=True, deadline=soon(0.3)))


def test_a_proxy_that_hangs_up() -> None:
    with console(hang_up) as url:
        told(CloudUnreachable, "hung up", lambda: look_at_console(url, verify=True, deadline=soon()))


def test_a_proxy_that_is_not_there() -> None:
    with console(show) as url:
        pass
    told(CloudUnreachable, "ConnectionRefusedError", lambda: look_at_console(url, verify=True, deadline=soon()))


def test_a_missing_ca_file_is_told(tmp_path: Path) -> None:
    url = Secret(f"https://127.0.0.1:1/vnc_auto.html?path=%3Ftoken%3D{TOKEN}")
    missing = str(tmp_path / "ca.pem")
    told(CloudUnreachable, "FileNotFoundError", lambda: look_at_console(url, verify=missing, deadline=soon()))


def told(kind: type[ImagebuildError], words: str, call: Callable[[], Screen]) -> None:
    """The call raises that, with these words, a way on, and without the token anywhere in its chain."""
    with pytest.raises(kind, match=words) as caught:
        call()
    assert TOKEN not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    assert caught.value.__suppress_context__
