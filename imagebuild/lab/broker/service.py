"""The stand-in broker as a service: one file of settings, state that survives a restart, HTTPS, and a turn every second."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagebuild.lab.broker import portal, rest
from imagebuild.lab.broker.center import CenterSettings
from imagebuild.lab.broker.certificates import find_or_make
from imagebuild.lab.broker.cloud_view import CloudView
from imagebuild.lab.broker.connection_broker import COUNT_SECONDS, ConnectionBroker
from imagebuild.lab.broker.crowds import Crowds
from imagebuild.lab.broker.nova_view import CloudAccount, NovaView
from imagebuild.lab.broker.rest import Account, Answer, Request, Rest
from imagebuild.lab.broker.server import Server
from imagebuild.lab.broker.state import Desktop, State, load

TURN_SECONDS = 1.0
REST = 4.0
"""After a turn it rests so many times as long as that took: a slow cloud is not asked without end."""

Hearsay = Callable[[], Iterable[Mapping[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """`folder`: where state and certificate are. `registrations`: the file in which the agents' broker keeps what they said.
    `cloud`: where its center looks.

    `pools`, `desktops` and `images` are what there is at the very first start; after that the state's word counts.
    """

    folder: Path
    accounts: Sequence[Account]
    address: str = "127.0.0.1"
    port: int = 0
    names: Sequence[str] = ("IP:127.0.0.1", "DNS:localhost")
    registrations: Path | None = None
    cloud: CloudAccount | None = None
    pools: Sequence[Mapping[str, Any]] = ()
    desktops: Sequence[str] = ()
    images: Sequence[str] = ()
    center: CenterSettings = field(default_factory=CenterSettings)
    count_seconds: float = COUNT_SECONDS
    turn_seconds: float = TURN_SECONDS


def read_settings(path: Path) -> ServiceSettings:
    """From a JSON file, relative paths beginning at its folder. It holds passwords. Raises OSError, ValueError, TypeError or KeyError."""
    told = json.loads(path.read_text(encoding="utf-8"))
    told["folder"] = path.parent / told["folder"]
    if told.get("registrations"):
        told["registrations"] = path.parent / told["registrations"]
    told["accounts"] = [Account(**account) for account in told["accounts"]]
    told["center"] = CenterSettings(**told.get("center", {}))
    if told.get("cloud"):
        told["cloud"] = CloudAccount(**told["cloud"])
    return ServiceSettings(**told)


class Service:
    """The broker with its state file."""

    def __init__(
        self, settings: ServiceSettings, *, cloud: CloudView | None = None, registrations: Hearsay | None = None
    ) -> None:
        self._path = settings.folder / "state.json"
        self._kept = ""
        self._writing = threading.Lock()
        first = not self._path.exists()
        self.broker = ConnectionBroker(
            State() if first else load(self._path.read_text(encoding="utf-8")),
            now=time.time,
            cloud=cloud,
            registrations=registrations or (lambda: read_registrations(settings.registrations)),
            center=settings.center,
            count_seconds=settings.count_seconds,
        )
        if first:
            furnish(self.broker, settings)
        self._rest = Rest(self.broker, *settings.accounts)
        self._crowds = Crowds(self.broker)
        self._portal = portal.PortalService(self.broker, self._crowds)
        self._silence = ""
        self.save()

    def answer(self, request: Request) -> Answer:
        """Answer a request; what it has changed is on the disk before the answer is sent."""
        told = Answer(404)
        if request.path.startswith(rest.BASE + "/"):
            told = self._rest.answer(request)
        elif request.path.startswith(portal.BASE + "/"):
            told = self._portal.answer(request)
        if request.method != "GET":
            self.save()
        return told

    def turn(self) -> None:
        """What happens by itself. A cloud that does not answer is asked again at the next turn, and complained of once."""
        silence = ""
        try:
            self.broker.go_on()
        except OSError as error:
            silence = f"the cloud: {error}"
        if silence != self._silence:
            print(silence or "the cloud answers again", flush=True)
            self._silence = silence
        with self.broker.lock:
            self._crowds.advance()
        self.save()

    def save(self) -> None:
        """Write the state when it has changed, in place of the old one at once."""
        with self._writing:
            with self.broker.lock:
                text = self.broker.state.dump()
            if text == self._kept:
                return
            part = self._path.with_suffix(".new")
            part.touch(mode=0o600)
            part.write_text(text, encoding="utf-8")
            part.replace(self._path)
            self._kept = text


def furnish(broker: ConnectionBroker, settings: ServiceSettings) -> None:
    """What there is at the first start. A pool names its image; here it gets the broker's number of it."""
    numbers = {name: broker.center.learn_image(name) for name in settings.images}
    for name in settings.desktops:
        broker.state.desktops.append(Desktop(broker.state.new_id(), name))
    for told in settings.pools:
        pool = dict(told)
        image = pool.pop("image", None)
        if image is not None:
            pool["provision"] = {**pool["provision"], "provision_vm_id": numbers[image]}
        broker.pools.add(pool)
    broker.pools.count()


def read_registrations(path: Path | None) -> list[dict[str, Any]]:
    """What the agents have said, from a file of JSON lines. Half a line that is just being written is no registration yet."""
    found = []
    for line in path.read_bytes().splitlines() if path and path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [said for said in found if isinstance(said, dict)]


@contextmanager
def serving(
    settings: ServiceSettings, *, cloud: CloudView | None = None, registrations: Hearsay | None = None
) -> Iterator[tuple[Server, Service]]:
    """The service, in threads of this process, until the block ends. `registrations`: what agents said, where no file has it."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    made = find_or_make(settings.folder / "tls", *settings.names)
    if cloud is None and settings.cloud is not None:
        cloud = NovaView(settings.cloud)
    service = Service(settings, cloud=cloud, registrations=registrations)
    over = threading.Event()

    def turns() -> None:
        pause = settings.turn_seconds
        while not over.wait(pause):
            begun = time.monotonic()
            service.turn()
            pause = max(settings.turn_seconds, REST * (time.monotonic() - begun))

    with Server((settings.address, settings.port), made.certificate, made.key, service.answer) as server:
        threads = [threading.Thread(target=one) for one in (lambda: server.serve_forever(poll_interval=0.1), turns)]
        for thread in threads:
            thread.start()
        try:
            yield server, service
        finally:
            over.set()
            server.shutdown()
            for thread in threads:
                thread.join()


def serve(
    settings: ServiceSettings,
    *,
    ready: Callable[[int], None],
    over: threading.Event,
    registrations: Hearsay | None = None,
) -> None:
    """Serve until `over`; `ready` gets the port."""
    with serving(settings, registrations=registrations) as (server, _):
        ready(server.port)
        over.wait()
