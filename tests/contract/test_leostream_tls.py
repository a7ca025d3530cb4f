"""Leostream's calls over real TLS on the loopback: a certificate that is not trusted ends everything before a password is sent."""

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from imagebuild.adapters.leostream_api import LeostreamApi
from imagebuild.errors import BrokerRefused, BrokerUnreachable
from imagebuild.secrets import Secret
from tests.unit.leostream_wire import PASSWORD


class Answering(BaseHTTPRequestHandler):
    """Logs anybody in and has no pools."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """The login."""
        self.read_body()
        self.answer(200, {"sid": "session-over-tls"})

    def do_GET(self) -> None:
        """Redirected when the server says so."""
        self.read_body()
        self.answer(self.server.status, [], Location=self.server.elsewhere)  # type: ignore[attr-defined]

    def read_body(self) -> None:
        """Note what came."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.path, self.headers.get("Authorization"), body))  # type: ignore[attr-defined]

    def answer(self, status: int, body: Any, **headers: str) -> None:
        """JSON and nothing else."""
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


class Server(ThreadingHTTPServer):
    """What came is in `seen`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.seen: list[tuple[str, str | None, bytes]] = []
        self.status, self.elsewhere = 200, "/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the handshake is what the test is about."""


@contextmanager
def serving(certificate: Path, key: Path) -> Iterator[Server]:
    """HTTPS on a port of the loopback."""
    server = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Self-signed for this alternative name."""
    certificate, key = folder / f"{name[:2]}.pem", folder / f"{name[:2]}.key"
    options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-subj", "/CN=broker"]
    files = ["-addext", f"subjectAltName={name}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", *options, *files], check=True, capture_output=True)
    return certificate, key


def api_of(server: Server, ca_file: Path | None) -> LeostreamApi:
    url = f"https://127.0.0.1:{server.server_address[1]}"
    return LeostreamApi(url, user=Secret("robot"), password=Secret(PASSWORD), ca_file=ca_file, seconds=10)


def test_a_certificate_that_the_ca_file_vouches_for_is_trusted(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "IP:127.0.0.1")
    with serving(certificate, key) as server:
        api = api_of(server, certificate)
        assert api.get("/pools", doing="list the pools") == []
        api.close()
        paths = [path for path, _, _ in server.seen]
        assert paths == ["/rest/v1/session/login", "/rest/v1/pools", "/rest/v1/session/logout"]
        assert {bearer for _, bearer, _ in server.seen[1:]} == {"Bearer session-over-tls"}


def test_a_certificate_that_nobody_vouches_for_never_sees_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = make_certificate(tmp_path, "IP:127.0.0.1")
    other, _ = make_certificate(tmp_path, "DNS:other.example")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))  # the environment has no say
    with serving(certificate, key) as server:
        for ca_file in (None, other):
            with pytest.raises(BrokerRefused, match="certificate is not trusted") as caught:
                api_of(server, ca_file).get("/pools", doing="list the pools")
            assert "ca_file" in caught.value.hint
        assert server.seen == []


def test_a_certificate_for_another_name_never_sees_the_password(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "DNS:other.example")
    with serving(certificate, key) as server:
        with pytest.raises(BrokerRefused, match="certificate is not trusted"):
            api_of(server, certificate).get("/pools", doing="list the pools")
        assert server.seen == []


def test_the_bearer_goes_nowhere_else(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "IP:127.0.0.1")
    with serving(certificate, key) as elsewhere, serving(certificate, key) as server:
        server.status = 302
        server.elsewhere = f"https://127.0.0.1:{elsewhere.server_address[1]}/rest/v1/pools"
        with pytest.raises(BrokerRefused, match="302"):
            api_of(server, certificate).get("/pools", doing="list the pools")
        assert elsewhere.seen == []


def test_nobody_there_is_told_within_the_deadline(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "IP:127.0.0.1")
    with serving(certificate, key) as server:
        url = f"https://127.0.0.1:{server.server_address[1]}"
    api = LeostreamApi(url, user=Secret("robot"), password=Secret(PASSWORD), ca_file=certificate, seconds=1)
    with pytest.raises(BrokerUnreachable, match="the connection broke"):
        api.get("/pools", doing="list the pools")
