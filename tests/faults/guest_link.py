"""A bad link between the tool and a guest: a TCP relay on loopback that cuts, swallows, drips and refuses, by the count of requests.

What goes by is TLS, so the relay tells requests and answers apart by their direction only: a request is what the client says
after the other side has spoken, an answer what the other side says after that. Handshakes count like everything else.
"""

import select
import socket
import struct
import threading
from contextlib import suppress
from enum import Enum

_READ = 64 * 1024
_DRIP_BYTES, _DRIP_SECONDS = 200, 0.01
_HALF_BYTES = 40
_CONNECT_SECONDS = 10.0
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST


class Spoil(Enum):
    """What happens to one request or its answer."""

    UNHEARD = "the connection is reset before the request is passed on"
    LOST = "the request is passed on, the connection is reset when its answer comes"
    HALF = "some bytes of the answer come, then a reset"
    HOLE = "from this request on nothing comes through in either direction, and nobody says so"
    DRIP = "the answer, and all that follow, come in small pieces"
    REFUSED = "the request is lost, and so are the next three connections"


class GuestLink:
    """The relay. `spoil` arms one fault; `requests` counts what has come by since then."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.requests = 0
        self.struck = 0
        self._armed: tuple[Spoil, int] | None = None
        self._dripping = False
        self._refusing = 0
        self._open: set[socket.socket] = set()
        self._over = threading.Event()
        threading.Thread(target=self._accept, daemon=True, name="guest link").start()

    def spoil(self, fault: Spoil, *, at: int) -> None:
        """Let that request, counted from now and from 1, go wrong."""
        self.requests = self.struck = 0
        self._armed = (fault, at)

    def mend(self) -> None:
        """A good link again; what hangs in a hole is cut."""
        self._armed, self._dripping, self._refusing = None, False, 0
        for link in tuple(self._open):
            with suppress(OSError):  # it may be closed by now
                link.shutdown(socket.SHUT_RDWR)  # wakes its thread, which closes it

    def close(self) -> None:
        """No more connections."""
        self._over.set()
        self.mend()
        self._listener.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing > 0:
                self._refusing -= 1
                with client:
                    _make_reset(client)
            else:
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        """One connection, to its end."""
        guest = socket.create_connection(self._target, timeout=_CONNECT_SECONDS)
        guest.settimeout(None)
        self._open |= {client, guest}
        with client, guest, suppress(OSError):  # somebody hung up
            self._pass_on(client, guest)
            _make_reset(client)
            _make_reset(guest)
        self._open -= {client, guest}

    def _pass_on(self, client: socket.socket, guest: socket.socket) -> None:
        asked = False  # the client has spoken last
        fault: Spoil | None = None
        while True:
            for end in select.select([client, guest], [], [])[0]:
                piece = end.recv(_READ)
                if not piece:
                    return
                if end is client and not asked:
                    fault = self._count() or (fault if fault is Spoil.HOLE else None)
                asked = end is client
                if fault is Spoil.HOLE:
                    continue
                if fault is Spoil.UNHEARD or (fault in (Spoil.LOST, Spoil.REFUSED) and end is guest):
                    return
                if fault is Spoil.HALF and end is guest:
                    client.sendall(piece[:_HALF_BYTES])
                    return
                if self._dripping and end is guest:
                    self._drip(client, piece)
                else:
                    (guest if end is client else client).sendall(piece)

    def _count(self) -> Spoil | None:
        """Count a request; the fault that strikes it."""
        self.requests += 1
        if self._armed is None or self.requests != self._armed[1]:
            return None
        (fault, _), self._armed = self._armed, None
        self.struck += 1
        self._dripping = self._dripping or fault is Spoil.DRIP
        self._refusing = 3 if fault is Spoil.REFUSED else 0
        return fault

    def _drip(self, client: socket.socket, piece: bytes) -> None:
        for begin in range(0, len(piece), _DRIP_BYTES):
            client.sendall(piece[begin : begin + _DRIP_BYTES])
            self._over.wait(_DRIP_SECONDS)


def _make_reset(link: socket.socket) -> None:
    """Its close will be an RST, as of a crashed host or a firewall."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
