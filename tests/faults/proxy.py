"""Bad weather between the tool and a real cloud: reverse proxies on loopback that let some calls go wrong, by rule or by seed."""

import http.client
import random
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

HOST = "127.0.0.1"
WEATHER_CLOUD = "weather"
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
_DRIP_SECONDS = 0.2


class Fault(Enum):
    """What goes wrong with a call. Those of HAPPENED reach the service, whatever the caller hears of it."""

    ERROR = "500"
    BUSY = "503 with Retry-After"
    THROTTLED = "429 with Retry-After"
    EXPIRED = "401 in the middle"
    RESET = "reset before it was passed on"
    LOST = "reset after it was passed on"
    GATEWAY = "504 after it was passed on"
    DRIP = "slow body"
    HALF = "half of the body that was announced"
    CUT = "half of a body without announced length"


HAPPENED = frozenset({Fault.LOST, Fault.GATEWAY, Fault.DRIP, Fault.HALF, Fault.CUT})
_ANSWERS: Mapping[Fault, tuple[int, dict[str, str]]] = {
    Fault.ERROR: (500, {}),
    Fault.BUSY: (503, {"Retry-After": "1"}),
    Fault.THROTTLED: (429, {"Retry-After": "1"}),
    Fault.EXPIRED: (401, {}),
    Fault.GATEWAY: (504, {}),
}


@dataclass(frozen=True)
class Call:
    """One call that came by: `place` is the service's type and the path without its query, like `compute/v2.1/servers`."""

    method: str
    place: str
    fault: Fault | None


@dataclass
class Rule:
    """The nth call (from 1) of this method whose place matches the expression, and whose body holds the words, meets that fault."""

    method: str
    place: str
    fault: Fault
    nth: int = 1
    words: bytes = b""
    seen: int = 0

    def meets(self, method: str, place: str, body: bytes) -> bool:
        """Whether it is this call's turn; counts it when it is one of ours."""
        if method != self.method or not re.search(self.place, place) or self.words not in body:
            return False
        self.seen += 1
        return self.seen == self.nth


@dataclass
class Weather:
    """Which call meets which fault: certain ones by rule, and a share of all others at random, the same for the same seed."""

    rules: list[Rule] = field(default_factory=list)
    share: float = 0.0
    seed: int = 0
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._dice = random.Random(self.seed)

    def pick(self, method: str, place: str, *, body: bytes, has_token: bool) -> Fault | None:
        """The fault of this call, None for fair weather. A token can only expire in a call that has one."""
        with self._lock:
            due = [rule.fault for rule in self.rules if rule.meets(method, place, body)]
            unlucky = self._dice.random() < self.share
            fault = due[0] if due else self._dice.choice(list(Fault)) if unlucky else None
            if fault is Fault.EXPIRED and not has_token:
                fault = None
            self.calls.append(Call(method, place, fault))
            return fault

    def met(self) -> list[Call]:
        """The calls that went wrong."""
        return [call for call in self.calls if call.fault is not None]


@contextmanager
def bad_weather(
    weather: Weather, services: Mapping[str, int], clouds_yaml: Path, cloud: str
) -> Iterator[dict[str, Any]]:
    """A clouds.yaml (as a value, its one cloud is WEATHER_CLOUD) whose every service is reached through the weather.

    `services`: their ports on this machine by service type. The identity service's answers carry the catalogue: in them
    every service's port becomes that of its proxy, so that version discovery goes through the weather, too.
    """
    with ExitStack() as stack:
        ports: dict[int, int] = {}
        for kind, port in services.items():
            rewrite = partial(_rewrite, ports=ports) if kind == "identity" else None
            ports[port] = stack.enter_context(_proxy(kind, port, weather, rewrite))
        entry = yaml.safe_load(clouds_yaml.read_text())["clouds"][cloud]
        entry["auth"]["auth_url"] = _rewrite(entry["auth"]["auth_url"].encode(), ports=ports).decode()
        yield {"clouds": {WEATHER_CLOUD: entry}}


def _rewrite(body: bytes, *, ports: Mapping[int, int]) -> bytes:
    known = {str(port).encode(): str(new).encode() for port, new in ports.items()}
    return re.sub(rb"(?<=127\.0\.0\.1:)\d+", lambda found: known.get(found[0], found[0]), body)


@contextmanager
def _proxy(kind: str, port: int, weather: Weather, rewrite: Callable[[bytes], bytes] | None) -> Iterator[int]:
    server = _Server((HOST, 0), partial(_Handler, kind, port, weather, rewrite))
    serving = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05))
    serving.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        serving.join(timeout=10)
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def shutdown_request(self, request: Any) -> None:
        """Without the polite end that the base class adds: a connection that is to be reset is reset."""
        request.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(
        self, kind: str, port: int, weather: Weather, rewrite: Callable[[bytes], bytes] | None, *connection: Any
    ) -> None:
        self._kind, self._port, self._weather, self._rewrite = kind, port, weather, rewrite
        super().__init__(*connection)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the weather remembers its calls."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        place = self._kind + self.path.partition("?")[0]
        fault = self._weather.pick(self.command, place, body=body, has_token="X-Auth-Token" in self.headers)
        passed_on = self._pass_on(body) if fault is None or fault in HAPPENED else None
        if fault is not None and fault in _ANSWERS:
            self._send(*_ANSWERS[fault], b"bad weather")
        elif passed_on is None or fault is Fault.LOST:
            self._reset()
        else:
            self._send(*passed_on, fault)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _handle  # noqa: N815  the base class asks for these names

    def _pass_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        upstream = http.client.HTTPConnection(HOST, self._port, timeout=60)
        try:
            upstream.request(
                self.command, self.path, body or None, dict(self.headers)
            )  # Host as it came: links stay here
            got = upstream.getresponse()
            answer = got.read()
            headers = {name: value for name, value in got.getheaders() if name.lower() not in _HOP_BY_HOP}
            return got.status, headers, self._rewrite(answer) if self._rewrite else answer
        finally:
            upstream.close()

    def _send(self, status: int, headers: Mapping[str, str], body: bytes, fault: Fault | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if fault is Fault.CUT:
            self.send_header("Connection", "close")
        elif status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault is Fault.DRIP:
            for start in range(0, len(body), max(1, len(body) // 3)):
                threading.Event().wait(_DRIP_SECONDS)
                self.wfile.write(body[start : start + max(1, len(body) // 3)])
        else:
            self.wfile.write(body[: len(body) // 2] if fault in (Fault.HALF, Fault.CUT) else body)
        self.close_connection |= fault in (Fault.HALF, Fault.CUT)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
