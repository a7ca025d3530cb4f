"""The stand-in broker over HTTPS: a bounded number of threads, TLS in each of them, and not a word more than the answer."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from typing import Any

from imagebuild.lab.broker.rest import Answer, Request

THREADS = 32
PATIENCE_SECONDS = 15.0
LARGEST_BODY = 1024 * 1024


class Lost(Exception):
    """The connection is to break here."""


class Server(ThreadingHTTPServer):
    """HTTPS on an address; `answer` is called from several threads at once."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], certificate: Path, key: Path, answer: Callable[[Request], Answer]
    ) -> None:
        self.answer = answer
        self._room = threading.BoundedSemaphore(THREADS)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate, key)
        super().__init__(address, Handler)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def get_request(self) -> tuple[socket, Any]:
        """The handshake is for the thread: one who says nothing holds up nobody else."""
        connection, address = super().get_request()
        connection.settimeout(PATIENCE_SECONDS)
        return self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a thread when there is room for one; who waits longer than anybody should is sent away."""
        if not self._room.acquire(timeout=PATIENCE_SECONDS):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread to be had
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One connection, to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks, from either side, is no news."""


class Handler(BaseHTTPRequestHandler):
    """One connection, kept open between requests for a while."""

    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_SECONDS
    wbufsize = -1  # head and body in one piece: else the client's delayed acknowledgement costs 40 ms an answer
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        """Shake hands first."""
        self.request.do_handshake()
        super().setup()

    def do_GET(self) -> None:  # noqa: N802  the library's name
        """Any request."""
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            self.send_error(413)
            self.close_connection = True
            return
        body = self.rfile.read(int(length))
        try:
            told = json.loads(body) if body else None
        except ValueError:
            told = None
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        answer = self.server.answer(Request(self.command, self.path.partition("?")[0], told, bearer))
        if answer.lost:
            raise Lost
        self._send(answer)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: logins are in the requests."""

    def _send(self, answer: Answer) -> None:
        content = b"" if answer.body is None else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if content:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
