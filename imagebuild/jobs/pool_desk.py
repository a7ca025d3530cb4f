"""What the jobs about rolls share: the pool with its cloud and broker opened, its journals on this machine, and its claim in the cloud."""

import getpass
import hashlib
import platform
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path

from imagebuild.adapters.brokers import open_broker, utc_now
from imagebuild.adapters.desktop_port import desktop_answers
from imagebuild.broker import Broker
from imagebuild.build_folder import BuildFolder, build_folders
from imagebuild.claim import Claim, claims, hold
from imagebuild.cloud import Cloud
from imagebuild.errors import NotFound, RollRefused, VersionRefused
from imagebuild.images import Version, find_version
from imagebuild.jobs.pool_making import read_pool
from imagebuild.jobs.pool_tenure import CLAIM_SECONDS, Tenure
from imagebuild.jobs.settings import Settings
from imagebuild.pool.definition import PoolDefinition
from imagebuild.pool.forecast import learn
from imagebuild.pool.hands import Hands
from imagebuild.pool.health import ConsoleWitness
from imagebuild.pool.lookout import Lookout, View
from imagebuild.pool.marks import ROLL_ID, ROLL_STATE
from imagebuild.pool.quantities import count_of
from imagebuild.pool.roll import Roll
from imagebuild.pool.roll_journal import RollLog, read_log
from imagebuild.pool.roll_plan import RollPlan, plan_roll
from imagebuild.pool.survey import Survey, survey
from imagebuild.report import Report
from imagebuild.waiting import Clock, SystemClock

_ELSEWHERE = "~"


@dataclass(frozen=True)
class Desk:
    """A pool with all that a job about its roll needs."""

    definition: PoolDefinition
    settings: Settings
    cloud: Cloud
    broker: Broker
    report: Report
    clock: Clock
    now: Callable[[], datetime]

    @property
    def pool(self) -> str:
        """Its name."""
        return self.definition.pool

    def survey(self) -> Survey:
        """How the pool stands."""
        pool = survey(self.definition, self.cloud, self.broker)
        told = {roll_id for one in pool.everyone if (roll_id := one.metadata.get(ROLL_ID))}
        return replace(pool, finished=frozenset(filter(self._has_ended, told)))

    def _has_ended(self, roll_id: str) -> bool:
        """Does a journal on this machine say so?"""
        log = read_log(BuildFolder(rolls_of(self.settings) / roll_id).entries())
        return log is not None and log.state.finished

    def plan(
        self,
        pool: Survey,
        to: Version,
        *,
        roll_id: str | None = None,
        only: frozenset[str] | None = None,
        knocks: bool = True,
    ) -> RollPlan:
        """What a roll to that version would do; of a way back, `only` is given. `knocks`: ask whether desktops can be reached from here."""
        last = self.last_roll()
        made = plan_roll(
            self.definition,
            pool,
            to=to,
            cloud=self.cloud,
            broker=self.broker,
            now=self.now(),
            only=only,
            roll_id=roll_id,
            back=only is not None,
            paused=last is not None and bool(last[1].provisioning),
            answers=desktop_answers if knocks else None,
        )
        usual = learn(log for _, log in self.rolls())
        return replace(made, estimate=replace(made.estimate, usual=usual))

    def last_roll(self) -> tuple[BuildFolder, RollLog] | None:
        """The pool's newest roll that this machine knows of; only to be read."""
        return next(self.rolls(), None)

    def rolls(self) -> Iterator[tuple[BuildFolder, RollLog]]:
        """The pool's rolls that this machine knows of, the newest first; only to be read."""
        for folder in reversed(list(build_folders(rolls_of(self.settings)))):
            log = read_log(folder.entries())
            if log is not None and log.assignment.pool == self.pool:
                yield folder, log

    def version_of(self, image_id: str) -> Version | None:
        """The version with that image, None when it is gone or none of ours."""
        try:
            return find_version(self.cloud, image_id, borrowed=True)
        except (NotFound, VersionRefused):
            return None

    def roll(self, log: RollLog, *, tenure: Tenure, watch: Callable[[Roll, View], None]) -> Roll:
        """A process that works on the roll for as long as the pool is ours."""
        cloud, broker = tenure.around(self.cloud), tenure.around(self.broker)
        rules = self.definition.roll.model_copy(update={"canary_names": log.assignment.canary_names})
        hands = Hands(
            definition=self.definition.model_copy(update={"roll": rules}),
            assignment=log.assignment,
            cloud=cloud,
            broker=broker,
            lookout=Lookout(self.definition, cloud, broker, now=self.now),
            version_of=cache(self.version_of),
            provisioned=lambda: bool(log.provisioning),
            pool_image=lambda: log.image_before or "",
        )
        return Roll(log, hands, GuestWitness(cloud), self.now, self.clock, self.report, tenure.wish, watch)

    @contextmanager
    def claimed(self, folder: BuildFolder, *, state: str = "") -> Iterator[Claim]:
        """The pool is ours for a roll while this is open. Raises Busy, and RollRefused where it is in another `state` than it is said."""
        with hold(
            self.cloud,
            self.pool,
            purpose="roll",
            seed=lambda images: self.state(),
            owner=owner_of(folder),
            lifetime_seconds=CLAIM_SECONDS,
            is_dead=self._is_dead_here,
            report=self.report,
        ) as claim:
            if state not in ("", claim.seed):
                words = f"{self.pool} has changed since this plan of it was made: somebody else has rolled it, or added to it"
                raise RollRefused(words, hint="look at it as it is now, by the same command")
            yield claim

    def standing_claims(self) -> list[Claim]:
        """Who works on the pool's roll now, here or elsewhere."""
        standing = claims(self.cloud, self.pool, purpose="roll")
        return [one for one in standing if not (one.is_over() or self._is_dead_here(one.owner))]

    def _is_dead_here(self, owner: str) -> bool:
        """A roll of this machine, or a `pool.create` and its like, that nothing works on any more."""
        places = (rolls_of(self.settings), self.settings.builds)
        folders = (BuildFolder(place / owner.partition(_ELSEWHERE)[0]) for place in places)
        return any(one.journal.exists() and owner_of(one) == owner and not one.is_alive() for one in folders)

    def state(self) -> str:
        """A short word for what a roll would change: two who begin at once meet over it."""
        servers = self.cloud.servers(tags=(self.definition.tag,))
        told = [(one.id, one.image_id, one.metadata.get(ROLL_ID), one.metadata.get(ROLL_STATE)) for one in servers]
        return hashlib.sha256(repr(sorted(map(str, told))).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class GuestWitness(ConsoleWitness):
    """imagebuild.pool.health.Witness: the console for its words, a knock at Remote Desktop's door."""

    def answers(self, address: str) -> bool:
        """Does Remote Desktop answer there?"""
        return desktop_answers(address)


@contextmanager
def open_desk(name: str, settings: Settings, report: Report) -> Iterator[Desk]:
    """Open the pool of that name. Raises RecipeError, CloudError, BrokerError."""
    definition = read_pool(name, settings)
    cloud = settings.open_cloud(report)
    with open_broker(definition.broker, folder=settings.project, refills=definition.roll.refills) as broker:
        yield Desk(definition, settings, cloud, broker, report, SystemClock(), utc_now)


def rolls_of(settings: Settings) -> Path:
    """Where rolls keep their journals."""
    return settings.project / ".imagebuild" / "rolls"


def owner_of(folder: BuildFolder) -> str:
    """By what name this machine claims the pool for the roll: two that work on the same roll are not the same to the cloud."""
    told = [entry.facts["owner"] for entry in folder.entries() if entry.event == "taken_up"]
    return str(told[-1]) if told else folder.id


def another_owner(roll_id: str) -> str:
    """A name for a machine that takes up a roll which it has not begun; for its journal's `taken_up`."""
    return f"{roll_id}{_ELSEWHERE}{secrets.token_hex(2)}"


def roll_of(claim: Claim) -> str:
    """The roll that a process with that claim works on, whatever machine it is on."""
    return claim.owner.partition(_ELSEWHERE)[0]


def started_by() -> str:
    """Who works, for a person to read."""
    return f"{getpass.getuser()}@{platform.node()}"


def check_plan(made: RollPlan) -> None:
    """Raise RollRefused, with all reasons, when a roll may not begin."""
    if made.refused:
        reasons = [str(one) for one in made.findings if one.level == "refuse"]
        raise RollRefused(
            f"the roll of {made.pool} to {made.to} may not begin: {count_of(len(reasons), 'reason')}",
            details=reasons,
        )
