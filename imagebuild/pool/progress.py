"""How far a roll is with each desktop, as a value: written to the journal at every change, mirrored in short on the server itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

from imagebuild.pool.marks import IMAGE_ID, IMAGE_VERSION, PREVIOUS_IMAGE_ID, ROLL_ID, ROLL_NOTE, ROLL_STATE
from imagebuild.pool.model import Method, Phase

AWAITED = "the broker is to show it as available again"
WITHHELD = "the broker does not show it as available again: is it out of service there?"


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """One desktop of a roll. Times are aware; those that have not come are None.

    `going_back`: it failed, and is on its way to its old image. `outcome`: what it is to be once it is returned. `held`: we keep
    users from it, so we give it back. `was_off`: it was switched off, and is so again at the end. `attempt` counts the acts
    of one direction that the cloud accepted; `acted`: at least one of any direction, so its old disk is gone.
    """

    name: str
    server_id: str
    method: Method
    from_image_id: str | None
    phase: Phase = Phase.PENDING
    since: datetime
    reason: str = ""
    outcome: Phase | None = None
    held: bool = False
    was_off: bool = False
    addresses: tuple[str, ...] = ()
    known: bool = True
    """The broker had a record of it, `broker_id`, before it was touched."""
    broker_id: str = ""
    drain_since: datetime | None = None
    asked_at: datetime | None = None
    """When the broker was last asked to hold it back, or to offer it again."""
    noticed_at: datetime | None = None
    """When its user was first told."""
    told_at: datetime | None = None
    """When its user was last told."""
    told_user: str = ""
    """Who that was, as far as the broker says it: another one is to be told anew."""
    free_since: datetime | None = None
    free_seen: datetime | None = None
    """The broker's own time of the look that first found it free."""
    attempt: int = 0
    acted: bool = False
    accepted: bool = False
    going_back: bool = False
    failure: str = ""
    """Why it goes back: `reason` tells by then what it waits for."""
    launched_before: datetime | None = None
    old_server_id: str = ""
    """With replace and broker: the server that goes."""
    follower: str = ""
    """With broker: the name of the desktop that the broker has made in its place; `server_id` is then that one's."""
    old_metadata: Mapping[str, str] = field(default_factory=dict)
    """What that one said of itself, until its follower does: a desktop keeps what others have noted on it."""
    old_tags: tuple[str, ...] = ()
    group_id: str | None = None
    """The server group that it was in: when it is gone nobody else can tell."""
    act_since: datetime | None = None
    boot_since: datetime | None = None
    ready_since: datetime | None = None
    fell: bool = False
    """It went off by itself while this attempt was looked at, and was started once more."""
    stamp: str = ""
    """What was read in the guest: `matches`, or why nothing was."""

    @property
    def extra(self) -> bool:
        """Is it none of the pool's members, but one that a roll has made beside them?"""
        return self.method in ("make", "remove")

    @property
    def failed(self) -> bool:
        """Does it count as a failure, whatever becomes of it?"""
        return self.going_back or self.phase in (Phase.FAILED, Phase.QUARANTINED) or self.outcome is Phase.FAILED

    @property
    def withheld(self) -> bool:
        """Is it to be with its users again, and the broker does not show that it is? Where it ends so, the next roll gives it back."""
        return self.held and bool(self.server_id) and self.phase in _GIVEN_BACK

    @property
    def why(self) -> str:
        """Its reason, and what keeps its users from it."""
        words = (AWAITED if self.phase is Phase.RETURNING else WITHHELD) if self.withheld else ""
        return "; ".join(filter(None, (self.reason, words)))

    @property
    def known_as(self) -> str:
        """The name of its server, which the broker knows it by."""
        return self.follower or self.name

    def is_known_as(self, name: str) -> bool:
        """Is that its server's name? One that somebody has renamed is no longer what the broker, or Windows, knows by it."""
        return name.casefold() == self.known_as.casefold()

    @property
    def awaits(self) -> bool:
        """Is its server gone, and the broker's next one not there yet?"""
        return self.method == "broker" and self.phase is Phase.BOOTING and not self.server_id

    @property
    def vacant(self) -> bool:
        """Was its server deleted for another, which is not there yet?"""
        return self.method in ("replace", "make") and self.acted and self.server_id == self.old_server_id

    @property
    def working(self) -> bool:
        """Is it between the cloud's first work on it and its first healthy look: what `parallel_boots` counts?"""
        return self.phase in (Phase.ACTING, Phase.BOOTING)

    @property
    def awaits_end(self) -> bool:
        """Was its server deleted, to be followed by another or by none, and may yet be there?"""
        return self.phase is Phase.ACTING and self.method != "rebuild" and self.accepted

    @property
    def untouched(self) -> bool:
        """Is it in hand, and could be given back as it is?"""
        return self.phase in (Phase.DRAINING, Phase.DRAINED) and not self.acted

    def serving(self) -> "Progress":
        """An extra one that is well: what is to be done with it yet is to remove it."""
        return replace(self, method="remove", attempt=0, accepted=False, acted=False)

    def to(self, phase: Phase, now: datetime, **changes: Any) -> "Progress":
        """The same desktop in another phase."""
        return replace(self, phase=phase, since=now, **changes)

    def waited(self, now: datetime, limit: timedelta) -> bool:
        """Has it been in its phase for longer than that?"""
        return now - self.since > limit


_GIVEN_BACK = (Phase.RETURNING, Phase.PENDING, Phase.DONE, Phase.SKIPPED, Phase.FAILED)
_TUPLES = {"addresses", "old_tags"}
_FACTS = tuple(one.name for one in fields(Progress))
_TIMES = tuple(one.name for one in fields(Progress) if "datetime" in str(one.type))


def as_facts(progress: Progress, before: Progress | None = None) -> dict[str, Any]:
    """Plain values; of a desktop that was written `before`, its name and what is new only."""
    facts: dict[str, Any] = {}
    for name in _FACTS:
        value = getattr(progress, name)
        if before is None or name == "name" or value != getattr(before, name):
            facts[name] = value.isoformat() if isinstance(value, datetime) else value
    return facts


def from_facts(facts: Mapping[str, Any], before: Progress | None = None) -> Progress:
    """The reverse. Raises KeyError, TypeError or ValueError for facts that are none."""
    known = {one.name for one in fields(Progress)}
    values = {name: value for name, value in facts.items() if name in known}
    for name in _TIMES:
        if values.get(name) is not None:
            values[name] = datetime.fromisoformat(values[name])
    for name in ("phase", "outcome"):
        if values.get(name) is not None:
            values[name] = Phase(values[name])
    for name in _TUPLES & values.keys():
        values[name] = tuple(values[name])
    return replace(before, **values) if before else Progress(**values)


@dataclass(frozen=True, kw_only=True)
class Note:
    """What stands on a server beside the phase, for whoever goes on without our journal; at most 255 characters (nova: metadata).

    `to_image_id`: what the roll brings; `from_image_id`: what it had when the roll took it in hand, and where one that is `going_back`
    goes.
    """

    to_image_id: str
    from_image_id: str | None = None
    attempt: int = 0
    held: bool = False
    was_off: bool = False
    back: bool = False
    going_back: bool = False
    provisioning: bool = False
    """The broker made desktops by itself before this roll, and is to do so again."""
    follows: str = ""
    """The desktop of the roll in whose place the broker has made this one."""
    pool_image: str = ""
    """What the broker made new desktops from before the roll; '' where the roll leaves that until its canary has passed."""
    over: bool = False
    """The roll has ended for good: some of its desktops say so."""

    def __str__(self) -> str:
        flags = [name for name in _FLAGS if getattr(self, name)]
        came = (f"from={self.from_image_id}",) if self.from_image_id else ()
        words = [f"{name}={value}" for name in _WORDS if 0 < len(value := quote(getattr(self, name))) <= _LONGEST]
        return " ".join((f"to={self.to_image_id}", *came, f"attempt={self.attempt}", *words, *flags))

    @classmethod
    def read(cls, text: str) -> "Note | None":
        """What a server says, None when it says nothing of this kind."""
        words = text.split()
        said = dict(word.split("=", 1) for word in words if "=" in word)
        if "to" not in said or not said.get("attempt", "").isdigit():
            return None
        more: dict[str, Any] = {name: name in words for name in _FLAGS}
        more |= {name: unquote(said.get(name, "")) for name in _WORDS}
        return cls(to_image_id=said["to"], from_image_id=said.get("from"), attempt=int(said["attempt"]), **more)


_FLAGS = ("held", "was_off", "back", "going_back", "provisioning", "over")
_WORDS = ("follows", "pool_image")
_LONGEST = 60
"""A longer name is not told: all of a note has to fit."""


def marks_of(progress: Progress, *, roll_id: str, note: Note) -> dict[str, str | None]:
    """What the server says of the roll while it has it in hand, and after.

    The image that it had before is told only when it has come through: one that failed and has its old image again, still came to
    that one from where it said.
    """
    marks: dict[str, str | None] = {ROLL_ID: roll_id, ROLL_STATE: progress.phase.value, ROLL_NOTE: str(note)}
    if progress.phase is Phase.DONE and progress.from_image_id not in (None, note.to_image_id):
        marks[PREVIOUS_IMAGE_ID] = progress.from_image_id
    return marks


def image_marks(image_id: str, version: str) -> dict[str, str | None]:
    """What a server says of its image once it is made from it."""
    return {IMAGE_ID: image_id, IMAGE_VERSION: version}
