"""Opens and closes the ports of WinRM and Remote Desktop as the Windows behind them says, and gives each connection a thread."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

from imagebuild.lab.guest.standin.connection import Connection
from imagebuild.lab.guest.standin.desktop import greet
from imagebuild.lab.guest.standin.host import Host
from imagebuild.lab.guest.standin.wsman import Service

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

PORTS = {"http": 5985, "https": 5986, "rdp": 3389}
LOOK_EVERY = 0.2
"""Seconds between two looks at which listeners there should be."""
HANDSHAKE_SECONDS = 30.0
IDLE_SECONDS = 900.0
"""A connection on which nothing is said for so long is closed."""


class Listeners:
    """The listening sockets of one Windows. `ports` maps 'http', 'https' and 'rdp' to port numbers; 0 takes a free one.

    What has no number there is not opened.
    """

    def __init__(self, host: Host, *, address: str = "", ports: dict[str, int] | None = None) -> None:
        self._host = host
        self._address = address
        self._ports = ports or PORTS
        self._service = Service(host)
        self._open: dict[str, tuple[socket.socket, tuple[Path, Path] | None]] = {}

    def keep(self) -> None:
        """Follow the wanted listeners for ever."""
        while True:
            self.follow()
            time.sleep(LOOK_EVERY)

    def close(self) -> None:
        """Close all ports. Connections that are open stay."""
        for name in list(self._open):
            self._close(name)

    def port(self, name: str) -> int | None:
        """The port that is open for this name now."""
        listener = self._open.get(name)
        return listener[0].getsockname()[1] if listener else None

    def follow(self) -> None:
        """Open what is wanted, close what is not; an HTTPS listener with another certificate is opened anew."""
        wanted: dict[str, tuple[Path, Path] | None] = {}
        for name in self._host.listeners() & self._ports.keys():
            certificate = self._host.certificate() if name == "https" else None
            if name != "https" or certificate is not None:
                wanted[name] = certificate
        for name, (_, shown) in list(self._open.items()):
            if name not in wanted or wanted[name] != shown:
                self._close(name)
        for name, certificate in wanted.items():
            if name not in self._open:
                tls = _load(certificate) if certificate else None
                listening = socket.create_server((self._address, self._ports[name]), backlog=64)
                self._open[name] = (listening, certificate)
                threading.Thread(
                    target=self._accept, args=(name, listening, tls), daemon=True, name=f"listen {name}"
                ).start()

    def _close(self, name: str) -> None:
        listening, _ = self._open.pop(name)
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        listening.close()

    def _accept(self, name: str, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        while True:
            try:
                connected, _ = listening.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(name, connected, tls), daemon=True, name="connection").start()

    def _serve(self, name: str, connected: socket.socket, tls: ssl.SSLContext | None) -> None:
        with contextlib.suppress(OSError), connected:  # a client that goes away is no news
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.settimeout(HANDSHAKE_SECONDS)
            if name == "rdp":
                greet(connected)
                return
            if tls is not None:
                connected = tls.wrap_socket(connected, server_side=True)
            connected.settimeout(IDLE_SECONDS)
            with connected:
                Connection(connected, self._host, self._service, encrypted=tls is not None).serve()


def _load(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    import ssl  # a third of a second in the guest, and only HTTPS needs it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context
