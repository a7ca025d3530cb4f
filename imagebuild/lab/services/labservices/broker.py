"""The lab's connection broker: the door for the agents in desktops, and behind it the stand-in broker with its REST interface.

At the agents' door POST with a JSON object registers; GET /registrations gives all that are kept over restarts, oldest first, each with
`at` (UTC, ISO); DELETE /registrations forgets them. It serves the desktops' own network: what is said here comes from guests.
"""

import json
import os
import signal
import socket
import sys
import threading
import traceback
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from labservices import link

KEPT = 1000
"""Registrations that are remembered; older ones go when the service starts."""
LARGEST_BODY = 64 * 1024
PATIENCE_SECONDS = 10.0
IP_FREEBIND = 15  # linux/in.h; Python has no name for it


class Registrations:
    """What was said, in a file of JSON lines. Half a line that a kill has left is no registration."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._kept = _read(path)[-KEPT:]
        self._write_all()

    def all(self) -> list[dict[str, Any]]:
        """Every registration, oldest first."""
        with self._lock:
            return list(self._kept)

    def add(self, said: dict[str, Any]) -> None:
        """Keep one, on the disk first."""
        entry = said | {"at": datetime.now(UTC).isoformat(timespec="milliseconds")}
        with self._lock:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            self._kept.append(entry)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._kept.clear()
            self._write_all()

    def _write_all(self) -> None:
        part = self._path.with_suffix(".new")
        part.write_text("".join(json.dumps(entry) + "\n" for entry in self._kept), encoding="utf-8")
        part.chmod(0o600)
        part.replace(self._path)


def respond(registrations: Registrations, method: str, path: str, body: bytes) -> tuple[int, list[Any]]:
    """What is answered to a request: HTTP's code, and a list."""
    if method == "POST":
        try:
            said = json.loads(body)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            return 400, []
        registrations.add(said)
        return 200, []
    if path != "/registrations":
        return 404, []
    if method == "DELETE":
        registrations.clear()
        return 200, []
    return 200, registrations.all()


class Server(ThreadingHTTPServer):
    """Listens on the gateway of the desktops' network, also while that network's bridge is not there yet."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], registrations: Registrations) -> None:
        self.registrations = registrations
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Bind without asking whether the address is there."""
        self.socket.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        super().server_bind()


class Handler(BaseHTTPRequestHandler):
    """One connection. A guest that says nothing is not waited for long."""

    timeout = PATIENCE_SECONDS
    server: Server

    def do_GET(self) -> None:  # noqa: N802  the library's name
        """Tell, register or forget."""
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            self.send_error(413)
            return
        code, told = respond(self.server.registrations, self.command, self.path, self.rfile.read(int(length)))
        content = json.dumps(told).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_DELETE = do_GET  # noqa: N815


def _read(path: Path) -> list[dict[str, Any]]:
    found = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [entry for entry in found if isinstance(entry, dict)]


def _end(failed: threading.ExceptHookArgs) -> None:
    """Half a broker is none: the supervisor starts it anew."""
    traceback.print_exception(failed.exc_value)
    os._exit(70)  # EX_SOFTWARE


def main(address: str, port: str, path: str, settings: str, code: str) -> None:
    """Serve until SIGTERM. `code` is where the stand-in broker is imported from: its own, so that the tool's may change meanwhile."""
    sys.path.insert(0, code)
    from imagebuild.lab.broker.service import read_settings, serve

    threading.excepthook = _end
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    server = Server((address, int(port)), Registrations(Path(path)))
    threading.Thread(target=server.serve_forever, name="agents", daemon=True).start()
    serve(
        read_settings(Path(settings)),
        ready=lambda _: link.tell_ready(),
        over=over,
        registrations=server.registrations.all,
    )
