"""How a pool stands, turn after turn, for little: one listing of what has changed in the cloud, one question to the broker."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import attrgetter

from imagebuild.broker import Broker, Cap, Seat
from imagebuild.cloud import Cloud, Image, Server
from imagebuild.errors import BrokerError
from imagebuild.pool.definition import PoolDefinition
from imagebuild.pool.model import Desktop
from imagebuild.pool.survey import images_of, join

WHOLE_EVERY = timedelta(minutes=15)
"""Changes of metadata and tags are none to Nova's `changed-since`: so often everything is listed anew."""


@dataclass(frozen=True)
class View:
    """A pool at one moment. `by_id` has every server; `silence` is why the broker told nothing: then everybody counts as busy.

    The seats of `by_id` say what is so, those of `seats` (by name without case) also when the broker has seen it. To look `took` so long.
    """

    now: datetime
    by_id: Mapping[str, Desktop]
    seats: Mapping[str, Seat]
    silence: str = ""
    took: timedelta = timedelta(0)

    def find(self, server_id: str) -> Desktop | None:
        """The desktop of that server with its latest seat, None when the server is gone."""
        desktop = self.by_id.get(server_id)
        return desktop and replace(desktop, seat=self.seats.get(desktop.name.casefold()))


class Lookout:
    """Keeps what it saw, and asks for what has changed since."""

    def __init__(
        self, definition: PoolDefinition, cloud: Cloud, broker: Broker, *, now: Callable[[], datetime]
    ) -> None:
        self._definition = definition
        self._cloud = cloud
        self._broker = broker
        self._now = now
        self._servers: dict[str, Server] = {}
        self._desktops: dict[str, Desktop] = {}
        self._seats: dict[str, Seat] = {}
        self._images: dict[str, Image] = {}
        self._whole_at: datetime | None = None
        self._listed_to = ""
        """The latest change that a listing has shown. A look at one server may be later, and then others' changes come in between."""
        self._rechecked = False
        self._seen_fresh: set[str] = set()
        """Servers that one look has shown to be other than the last listing."""
        self._named: dict[str, list[Server]] = {}
        """By name, as the last listing showed them; made when somebody asks."""

    def look(self) -> View:
        """One turn's look. Raises CloudError; a broker that does not answer makes everybody busy."""
        self._rechecked = False
        self._named = {}
        begun = self._now()
        changed = self._list_servers()
        silence = self._ask_broker()
        self._join(changed)
        now = self._now()
        return View(now, self._desktops, self._seats, silence, now - begun)

    def look_at_seats(self) -> View:
        """The same servers, and what the broker says by now."""
        silence = self._ask_broker()
        self._join(set())
        return View(self._now(), self._desktops, self._seats, silence)

    def recheck(self, desktop: Desktop, *, held: bool) -> Desktop:
        """The same desktop with what the broker says right now. Raises BrokerError.

        Of one that is held back nobody can be given, so one question a turn does for all of those; else each is asked about anew.
        """
        if not (held and self._rechecked):
            self._take_seats(self._broker.seats(self._definition.pool, names=self._names()))
            self._rechecked = held
        return replace(desktop, seat=self._seats.get(desktop.name.casefold()))

    def age(self, desktop: Desktop) -> timedelta | None:
        """How old the broker's word on it is by now, None where it tells no time."""
        seen = desktop.seat.observed_at if desktop.seat else None
        return None if seen is None else self._now() - seen

    def fresh(self, server_id: str) -> Server | None:
        """The server as Nova has it right now, None when it is gone or no longer of this pool. Raises CloudError."""
        server = self._cloud.server(server_id)
        out = server is not None and server.status != "UNKNOWN" and self._definition.tag not in server.tags
        if server is None or out:  # a listing of changes by tag would not tell
            self._servers.pop(server_id, None)
            self._desktops.pop(server_id, None)
            return None
        if server_id in self._servers and server != self._servers[server_id]:
            self._servers[server_id] = server
            self._seen_fresh.add(server_id)  # the next listing finds nothing new in it
        return server

    def admit(self, server_id: str) -> None:
        """A server has become the pool's: Nova's list of changes would not tell. Raises CloudError."""
        if (server := self._cloud.server(server_id)) is not None and self._definition.tag in server.tags:
            self._servers[server_id] = server
            self._seen_fresh.add(server_id)
            self._named = {}
            self._join({server_id})

    def named(self, name: str, marks: Mapping[str, str]) -> Server | None:
        """The server of that name with these in its metadata, by this turn's listing."""
        if not self._named:
            for one in self._servers.values():
                self._named.setdefault(one.name, []).append(one)
        return next((one for one in self._named.get(name, ()) if marks.items() <= one.metadata.items()), None)

    def noted(self, server_id: str, metadata: Mapping[str, str | None]) -> None:
        """We have changed this metadata ourselves: no listing of changes would tell."""
        if (server := self._servers.get(server_id)) is not None:
            merged = {**server.metadata, **metadata}
            kept = {key: value for key, value in merged.items() if value is not None}
            self._servers[server_id] = replace(server, metadata=kept)
            self._desktops[server_id] = replace(self._desktops[server_id], metadata=kept)

    def _list_servers(self) -> set[str]:
        """Gives the ids of the servers that are other than before, or share a name with one that is: there may be two now, or one again."""
        now, since = self._now(), self._listed_to
        whole = not since or self._whole_at is None or now - self._whole_at >= WHOLE_EVERY
        listed = self._cloud.servers(tags=(self._definition.tag,), changed_since="" if whole else since)
        self._listed_to = max(
            [since, *(one.updated_at for one in listed)]
        )  # it may tell of changes before `since`, too
        if whole:
            self._whole_at = now
        there = {one.id: one for one in listed if one.status != "DELETED" and one.task_state != "deleting"}
        gone = self._servers.keys() - there.keys() if whole else {one.id for one in listed} - there.keys()
        changed = {one.id for one in there.values() if self._servers.get(one.id) != one} | self._seen_fresh
        self._seen_fresh = set()
        before = [self._servers[server_id] for server_id in (changed | gone) & self._servers.keys()]
        for server_id in gone & self._servers.keys():
            del self._servers[server_id]
            self._desktops.pop(server_id, None)
        self._servers.update(there)
        after = [self._servers[server_id] for server_id in changed & self._servers.keys()]
        names = {one.name.casefold() for one in (*before, *after)}
        return {one.id for one in self._servers.values() if one.name.casefold() in names} if names else set()

    def _ask_broker(self) -> str:
        try:
            self._take_seats(self._broker.seats(self._definition.pool, names=self._names()))
        except BrokerError as error:
            self._seats = {key: seat.distrusted() for key, seat in self._seats.items()}
            return str(error)
        return ""

    def _take_seats(self, seats: Sequence[Seat]) -> None:
        self._seats = {seat.key: seat for seat in seats}

    def _join(self, changed: set[str]) -> None:
        """Put together anew what is other: of ten thousand desktops that is a handful a turn."""
        for server_id, desktop in self._desktops.items():
            seat = self._seats.get(desktop.name.casefold())
            if seat is not desktop.seat and (
                seat is None or desktop.seat is None or _said(seat) != _said(desktop.seat)
            ):
                changed.add(server_id)
        if not changed:
            return
        servers = [self._servers[server_id] for server_id in changed]
        self._images = images_of(self._cloud, servers, known=self._images)
        joined = join(self._definition, servers, seats=self._seats_of(servers), images=self._images)
        self._desktops.update({desktop.id: desktop for desktop in joined.everyone})

    def _seats_of(self, servers: Sequence[Server]) -> list[Seat]:
        keys = (server.name.casefold() for server in servers)
        return [self._seats[key] for key in dict.fromkeys(keys) if key in self._seats]

    def _names(self) -> list[str]:
        return [server.name for server in self._servers.values()]


def holds_back(broker: Broker) -> bool:
    """Can the broker keep users from a desktop?"""
    return Cap.AVAILABILITY in broker.capabilities()


_said = attrgetter("broker_id", "assigned_user", "session", "availability", "agent", "duplicates")
"""What a seat says, whenever it was seen."""
