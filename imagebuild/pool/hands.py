"""What a roll does to a desktop in the cloud and the broker, one effect a call. Who calls has written down what he is about to do."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from imagebuild.broker import Broker, Cap, Seat
from imagebuild.cloud import Cloud, Port, Server
from imagebuild.errors import BrokerRefused, CloudRefused, NotFound
from imagebuild.images import Version
from imagebuild.pool.assignment import Assignment, stamp_of
from imagebuild.pool.definition import PoolDefinition
from imagebuild.pool.lookout import Lookout
from imagebuild.pool.marks import EXTRA
from imagebuild.pool.progress import Note, Progress, image_marks, marks_of
from imagebuild.pool.provision import Parts, desktop_request, find_parts
from imagebuild.waiting import Deadline

_PORT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Hands:
    """The cloud and the broker for one roll. `version_of` finds an image's version; `provisioned`: the broker made desktops before;
    `pool_image`: from what, where the roll has changed that.

    Every call may raise CloudError or BrokerError, and is safe to repeat.
    """

    definition: PoolDefinition
    assignment: Assignment
    cloud: Cloud
    broker: Broker
    lookout: Lookout
    version_of: Callable[[str], Version | None]
    provisioned: Callable[[], bool] = lambda: False
    pool_image: Callable[[], str] = lambda: ""
    outspoken: set[str] = field(default_factory=set)
    """Images of which a desktop has told its stamp: the others will."""
    _parts: dict[str, Parts] = field(default_factory=dict)
    _ports: dict[str, Port] = field(default_factory=dict)
    _asked_for: set[str] = field(default_factory=set)
    """Names of the desktops that were asked for by make_anew: whether they were made is not known for sure."""

    def can(self, cap: Cap) -> bool:
        """Is the broker able to do that?"""
        return cap in self.broker.capabilities()

    @property
    def pauses_provisioning(self) -> bool:
        """Does the broker make no desktops by itself while a roll has some in hand?"""
        return self.definition.roll.pauses_provisioning and self.can(Cap.PROVISIONING)

    def target(self, progress: Progress) -> str:
        """The image that this desktop is to have: the new one, or its old one on the way back."""
        back = progress.going_back and progress.from_image_id
        return back or self.assignment.to_image_id

    def stamp_of(self, progress: Progress) -> Mapping[str, str]:
        """What a desktop of that image says of itself; {} where that is not known."""
        version = self.version_of(self.target(progress))
        return stamp_of(version.image) if version else {}

    def image_gib(self, progress: Progress) -> int:
        """How large that image is on a disk; 0 where that is not known."""
        version = self.version_of(self.target(progress))
        return version.image.min_disk if version else 0

    def group_of(self, progress: Progress) -> str | None:
        """The server group, name or id, that we make a server of it in; None for none."""
        makes = progress.method in ("replace", "make")
        return progress.group_id or self.definition.server_group if makes else None

    def note(self, progress: Progress) -> Note:
        """What its server is to say of it."""
        return Note(
            to_image_id=self.assignment.to_image_id,
            from_image_id=progress.from_image_id,
            attempt=progress.attempt,
            held=progress.held,
            was_off=progress.was_off,
            back=self.assignment.back,
            going_back=progress.going_back,
            provisioning=self.provisioned(),
            follows=progress.name if progress.follower else "",
            pool_image=self.pool_image(),
        )

    def mark(self, progress: Progress, *, over: bool = False) -> bool:
        """Let the server say how far the roll is with it, or that it is over. One in ERROR takes no marks (nova: metadata): False."""
        marks = marks_of(progress, roll_id=self.assignment.id, note=replace(self.note(progress), over=over))
        try:
            self.cloud.set_server_metadata(progress.server_id, marks)
        except (CloudRefused, NotFound):
            return False
        self.lookout.noted(progress.server_id, marks)
        return True

    def hold_back(self, seat: Seat) -> None:
        """Offer it to nobody new."""
        self.broker.set_available(seat, available=False, reason=f"{self.assignment.id} brings {self.assignment.to}")

    def offer(self, seat: Seat) -> None:
        """Offer it again."""
        self.broker.set_available(seat, available=True, reason=f"{self.assignment.id} gives it back")

    def tell_user(self, seat: Seat, *, minutes: int, until: datetime) -> bool:
        """Ask its user to log off; False when nobody was there to read it."""
        text = self.definition.roll.notify_text.format(minutes=minutes, deadline=f"{until:%Y-%m-%d %H:%M} UTC")
        try:
            self.broker.notify(seat, text, minutes=minutes)
        except BrokerRefused:
            return False
        return True

    def offer_again(self, progress: Progress) -> None:
        """Take back that it is held back, when its server is gone, and the record of it; a broker that keeps nothing of it may say no."""
        with suppress(BrokerRefused):
            self.offer(self.seat_of(progress, stands=False))

    def seat_of(self, progress: Progress, *, stands: bool) -> Seat:
        """What a broker that shows no record of it is asked about: its name, and the number that it had there while its server `stands`."""
        number = progress.broker_id if stands else ""
        return Seat(name=progress.known_as, pool=self.definition.pool, broker_id=number)

    def give_up_port(self, progress: Progress) -> None:
        """Delete the port that was made to outlive its servers; one that Nova made has gone with its server."""
        port = self._known_ports().get(progress.known_as)
        if port is not None:
            self.cloud.delete("port", port.id, deadline=Deadline.after(_PORT_SECONDS))
            del self._ports[progress.known_as]

    def claim(self, progress: Progress) -> None:
        """Let the server that the broker has made say in whose place it is, and from which image."""
        marks = self._marks(progress)
        self.cloud.set_server_metadata(progress.server_id, marks)
        self.lookout.noted(progress.server_id, marks)

    def rebuild(self, progress: Progress, server: Server) -> None:
        """DESTROYS THE ROOT DISK. The marks go with it in one call: what the server says afterwards proves that it was accepted."""
        wipe = self.definition.roll.allow_root_volume_wipe and server.image_id is None
        kept = {**server.metadata, **self.definition.domain_notes, **self._marks(progress)}
        self.cloud.rebuild_server(server.id, self.target(progress), metadata=kept, allow_root_volume_wipe=wipe)

    def was_accepted(self, progress: Progress, server: Server) -> bool:
        """Has the cloud taken this very rebuild, whose answer we do not have?"""
        return server.metadata.items() >= self._marks(progress).items()

    def parts_of(self, progress: Progress) -> Parts:
        """What a server is made of that takes its place; looked for once an image. Raises NotFound or StepFailed where none can be made."""
        version = self.version_of(self.target(progress))
        if version is None:
            raise NotFound(f"the image {self.target(progress)} is gone, or no version of ours")
        if version.image.id not in self._parts:
            self._parts[version.image.id] = find_parts(self.definition, self.cloud, version=version)
        return self._parts[version.image.id]

    def make_anew(self, progress: Progress) -> Server:
        """The server that takes the place of a deleted one, by its name and address, or an extra one; found when it was made already."""
        marks = self._marks(progress)
        if (made := self.lookout.named(progress.name, marks)) is not None:
            return made
        parts = self.parts_of(progress)
        is_new = progress.name not in self._asked_for
        self._asked_for.add(progress.name)
        port = None if progress.extra else self._port(progress, parts, is_new=is_new)  # Nova's own goes with its server
        request = desktop_request(self.definition, progress.name, parts, port=port, group_id=progress.group_id)
        metadata = {**progress.old_metadata, **request.metadata, **marks}
        tags = tuple(dict.fromkeys((*request.tags, *progress.old_tags)))
        marked = replace(request, metadata=metadata, tags=tags)
        return self.cloud.create_desktop(marked, pool=self.definition.pool, is_new=is_new)

    def _port(self, progress: Progress, parts: Parts, *, is_new: bool) -> Port:
        """The desktop's own port, which outlives its servers; one listing tells of all that there are."""
        ports = self._known_ports()
        if is_new and progress.name in ports:
            return ports[progress.name]
        self._ports[progress.name] = self.cloud.create_port(
            progress.name,
            pool=self.definition.pool,
            network_id=parts.network.id,
            address=next(iter(progress.addresses), None),
            security_groups=(parts.group.id,),
            is_new=is_new,
        )
        return self._ports[progress.name]

    def _known_ports(self) -> dict[str, Port]:
        """The pool's own ports by name, listed once."""
        if not self._ports:
            self._ports.update((port.name, port) for port in self.cloud.ports(pool=self.definition.pool))
        return self._ports

    def _marks(self, progress: Progress) -> dict[str, str]:
        version = self.version_of(self.target(progress))
        marks = marks_of(progress, roll_id=self.assignment.id, note=self.note(progress))
        marks |= image_marks(self.target(progress), version.name if version else "")
        marks |= {EXTRA: self.assignment.id} if progress.extra else {}
        return {key: value for key, value in marks.items() if value}
