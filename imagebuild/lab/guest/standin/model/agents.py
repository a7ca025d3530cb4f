"""Connection broker agents: when such a service runs and knows its broker, it tells the broker who it is, for real, over HTTP."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable

from imagebuild.lab.guest.standin.model.clock import Clock, stamp
from imagebuild.lab.guest.standin.model.faults import Faults
from imagebuild.lab.guest.standin.model.files import Files
from imagebuild.lab.guest.standin.model.store import Store

CONNECT_SECONDS = 5.0
LISTENS_ON = 8080


class BrokerAgents:
    """An agent never waits for its broker: it tries in the background, once a start, and writes down what came of it."""

    def __init__(
        self, store: Store, files: Files, clock: Clock, faults: Faults, describe: Callable[[], dict[str, str | None]]
    ) -> None:
        self._store = store
        self._brokers = store.section("brokers")
        self._files = files
        self._clock = clock
        self._faults = faults
        self._describe = describe

    def know_broker(self, service: str, address: str, port: int) -> None:
        """What the agent's configuration now names."""
        with self._store.change():
            self._brokers[service] = [address, port]

    def broker_of(self, service: str) -> tuple[str, int] | None:
        """Address and port of the broker that the service is configured for; None where its configuration names none."""
        found = self._brokers.get(service)
        return None if found is None else (str(found[0]), int(found[1]))

    def log_path(self, service: str) -> str:
        """Where the agent of this service writes what came of its registrations."""
        return f"C:\\ProgramData\\imagebuild stand-in\\{service}.log"

    def start(self, service: str) -> bool:
        """Called when a service begins to run; False for one that dies at once."""
        if service in self._brokers and "service-dies" in self._faults:
            self._log(service, "the service ends: fault service-dies")
            return False
        broker = self.broker_of(service)
        if broker is not None:
            self._clock.spawn(f"agent {service}", lambda: self._register(service, broker))
        return True

    def _register(self, service: str, broker: tuple[str, int]) -> None:
        body = json.dumps({"message": "agent registration", "service": service, "stand_in": True} | self._describe())
        head = f"POST / HTTP/1.1\r\nHost: {broker[0]}:{broker[1]}\r\nContent-Type: application/json\r\n"
        request = f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
        try:
            with socket.create_connection(broker, timeout=CONNECT_SECONDS) as link:
                link.settimeout(CONNECT_SECONDS)
                link.sendall(request.encode())
                answer = link.recv(1024).split(b"\r\n", 1)[0].decode("latin-1")
        except OSError as error:
            self._log(service, f"broker {broker[0]}:{broker[1]} not reached: {error}")
        else:
            self._log(service, f"registered with {broker[0]}:{broker[1]}: {answer or 'no answer'}")

    def _log(self, service: str, text: str) -> None:
        self._files.append(self.log_path(service), f"{stamp(self._clock.now())} {text}\r\n".encode())


def hash_sid(sid: str | None) -> str | None:
    """A SID in a form that can be compared but not read."""
    return None if sid is None else hashlib.sha256(sid.encode()).hexdigest()
