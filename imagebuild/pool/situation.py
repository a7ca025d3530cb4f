"""Everything that a preflight looks at, asked once: the pool, the image that it is to get, and what the cloud and the broker say."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from imagebuild.broker import Broker, Cap, Health, PoolSettings
from imagebuild.claim import Claim, claims
from imagebuild.cloud import Cloud, Flavor, Headroom, Network, ServerGroup
from imagebuild.errors import BrokerError, CloudRefused, NotFound
from imagebuild.images import Version
from imagebuild.pool.adoption import Adoption, find_adoptions
from imagebuild.pool.definition import PoolDefinition
from imagebuild.pool.extra_names import extra_names
from imagebuild.pool.marks import ROLL_STATE
from imagebuild.pool.methods import Choice, choose_method
from imagebuild.pool.model import Desktop, Method, Phase
from imagebuild.pool.provision import zone_trouble
from imagebuild.pool.survey import Survey

Level = Literal["ok", "warn", "refuse"]
_FEW = 5
_KNOCKS = 3


@dataclass(frozen=True)
class Finding:
    """One thing that a preflight looked at. `todo` is what a person does about it."""

    name: str
    level: Level
    words: str
    todo: str = ""

    def __str__(self) -> str:
        todo = f"; {self.todo}" if self.todo else ""
        return f"{self.level:6s} {self.name}: {self.words}{todo}"


@dataclass(frozen=True)
class PoolGroup:
    """The name of a security group, which the pool's file may call by its id; or why it cannot be used."""

    name: str = ""
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A pool before a roll to `to`. `choices` (by server id) tell how each of the desktops to be moved would be.

    `flavors` are those that the desktops have, by name. `health` and `settings` are None when the broker did not answer: `silence`
    then says what it said instead. `back`: the roll is a return to an image that the pool had.
    """

    definition: PoolDefinition
    survey: Survey
    to: Version
    flavor: Flavor
    network: Network
    now: datetime
    choices: Mapping[str, Choice] = field(default_factory=dict)
    flavors: Mapping[str, Flavor | None] = field(default_factory=dict)
    headroom: Headroom
    capabilities: frozenset[Cap]
    health: Health | None = None
    settings: PoolSettings | None = None
    silence: str = ""
    claims: tuple[Claim, ...] = ()
    group: PoolGroup = PoolGroup()
    """The pool's security group, where desktops are to be replaced or made."""
    zone: str = ""
    """Likewise: why the availability zone cannot be used, '' when it can."""
    extras: tuple[str, ...] = ()
    """Names of the extra desktops that the roll is to make: `max_surge` without those that are there."""
    strangers: tuple[Adoption, ...] = ()
    """Servers with names of the pool's that the broker lists, and that are no members."""
    own_ports: frozenset[str] = frozenset()
    """Ids of the servers whose port was made by us: it outlives them."""
    server_groups: tuple[ServerGroup, ...] = ()
    """The project's, where desktops are to be replaced, or the pool's file names one."""
    paused: bool = False
    """The pool's last roll has left the broker's provisioning off: the next one turns it on."""
    doors: Mapping[str, bool] = field(default_factory=dict)
    """By names of desktops that should be well: does Remote Desktop answer this machine there? The last one is the first that does."""
    project_id: str = ""
    roll_id: str | None = None
    back: bool = False

    @property
    def strict(self) -> Level:
        """How bad it is when the image lacks a proof: a way back must stay open, also to an image from before there were proofs."""
        return "warn" if self.back else "refuse"

    @property
    def moving(self) -> tuple[Desktop, ...]:
        """The desktops that are to be moved, those that cannot be among them."""
        return tuple(desktop for desktop in self.survey.desktops if desktop.id in self.choices)

    def moving_by(self, *methods: Method) -> tuple[Desktop, ...]:
        """Those of them that go one of these ways."""
        return tuple(one for one in self.moving if self.choices[one.id].method in methods)

    @property
    def floor(self) -> int:
        """How many free desktops must stay."""
        return self.definition.roll.free_floor(self.threshold, len(self.survey.desktops))

    @property
    def threshold(self) -> int | None:
        """So many unassigned desktops the broker wants to have; None where it does not say."""
        return self.settings.threshold if self.settings else None


def assess(
    definition: PoolDefinition,
    survey: Survey,
    *,
    to: Version,
    cloud: Cloud,
    broker: Broker,
    now: datetime,
    only: frozenset[str] | None = None,
    roll_id: str | None = None,
    back: bool = False,
    paused: bool = False,
) -> Situation:
    """Ask cloud and broker what a preflight needs. `only`: names of the desktops to be moved (a rollback's); `roll_id`: our own roll.

    Raises NotFound when the pool's flavor or network is not there. A broker that does not answer is a finding, not an error.
    """
    flavor, network = _find_parts(definition, cloud)
    moving = [one for one in survey.included if _moves(one, definition, to=to, only=only)]
    rules = definition.roll
    choices = {one.id: choose_method(one, rules, image=to.image, flavor=flavor, network=network) for one in moving}
    replacing = any(choice.method == "replace" for choice in choices.values())
    health, settings, silence = _ask(broker, definition.pool)
    extras = () if back else extra_names(definition, survey, cloud, moves=len(moving), settings=settings)
    return Situation(
        definition=definition,
        survey=survey,
        to=to,
        flavor=flavor,
        network=network,
        now=now,
        choices=choices,
        flavors=_flavors_of(moving, flavor, cloud),
        headroom=cloud.headroom(),
        capabilities=broker.capabilities(),
        health=health,
        settings=settings,
        silence=silence,
        claims=tuple(claims(cloud, definition.pool)),
        group=_find_group(definition, cloud) if replacing or extras else PoolGroup(),
        zone=zone_trouble(definition, cloud) if replacing or extras else "",
        extras=extras,
        own_ports=_own_ports(definition, cloud) if replacing else frozenset(),
        strangers=_find_strangers(definition, survey, cloud),
        server_groups=tuple(cloud.server_groups()) if replacing or definition.server_group else (),
        paused=paused,
        project_id=cloud.project_id,
        roll_id=roll_id,
        back=back,
    )


def _flavors_of(desktops: Iterable[Desktop], flavor: Flavor, cloud: Cloud) -> dict[str, Flavor | None]:
    """Those that the desktops have, by name; the pool's own is known."""
    names = {one.flavor for one in desktops if one.flavor}
    return {name: flavor if name in (flavor.name, flavor.id) else cloud.find_flavor(name) for name in names}


def matches(desktop: Desktop, to: Version) -> bool:
    """Does it have this image already, and is it well? Nova names an image when it accepts the rebuild: a roll's note tells more."""
    halfway = desktop.metadata.get(ROLL_STATE, "") not in ("", Phase.DONE, Phase.PENDING, Phase.SKIPPED)
    return desktop.image_id == to.image.id and not desktop.broken and not halfway


def some_of(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return f"{', '.join(names[:_FEW])}{more}"


def _moves(desktop: Desktop, definition: PoolDefinition, *, to: Version, only: frozenset[str] | None) -> bool:
    if only is not None and desktop.name not in only:
        return False
    return not (definition.roll.skip_matching and matches(desktop, to))


def _own_ports(definition: PoolDefinition, cloud: Cloud) -> frozenset[str]:
    return frozenset(port.server_id or "" for port in cloud.ports(pool=definition.pool))


def _find_parts(definition: PoolDefinition, cloud: Cloud) -> tuple[Flavor, Network]:
    flavor, network = cloud.find_flavor(definition.flavor), cloud.find_network(definition.network)
    if flavor is None:
        raise NotFound(
            f"there is no flavor {definition.flavor} in {cloud.name}", hint="put one that is there into the pool's file"
        )
    if network is None:
        raise NotFound(
            f"there is no network {definition.network}", hint=f"make it: invoke pool.network {definition.pool}"
        )
    return flavor, network


def _find_strangers(definition: PoolDefinition, survey: Survey, cloud: Cloud) -> tuple[Adoption, ...]:
    """All servers are listed only where the broker knows of desktops that the pool has not."""
    listed = {seat.key for seat in survey.strays if definition.number_of(seat.name) is not None}
    if not listed:
        return ()
    found = find_adoptions(definition, cloud)
    return tuple(one for one in found if not one.member and one.server.name.casefold() in listed)


def knock(situation: Situation, answers: Callable[[str], bool]) -> Situation:
    """Does Remote Desktop answer this machine? Few desktops are asked, until one does: it is about the way there, not about each."""
    well = [one for one in situation.survey.included if one.powered_on and one.addresses and not one.unwell]
    well.sort(key=lambda one: (one.busy, one.seat is None or one.seat.agent != "up"))
    doors: dict[str, bool] = {}
    for desktop in well[:_KNOCKS] if situation.moving else ():
        doors[desktop.name] = answers(desktop.addresses[0])
        if doors[desktop.name]:
            break
    return replace(situation, doors=doors)


def _find_group(definition: PoolDefinition, cloud: Cloud) -> PoolGroup:
    """A desktop whose server is deleted must not fail for want of it."""
    try:
        found = cloud.find_security_group(definition.security_group)
    except CloudRefused as error:
        return PoolGroup(trouble=str(error))
    return (
        PoolGroup(found.name) if found else PoolGroup(trouble=f"there is no security group {definition.security_group}")
    )


def _ask(broker: Broker, pool: str) -> tuple[Health | None, PoolSettings | None, str]:
    """Health and settings, or what the broker said instead."""
    try:
        return broker.health(), broker.settings(pool), ""
    except BrokerError as error:
        return None, None, str(error)
