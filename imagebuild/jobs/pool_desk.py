"""What the jobs about rolls share: the pool with its cloud and broker opened, its journals on this machine, and its claim in the cloud."""

import getpass
import hashlib
import platform
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from imagebuild.adapters.brokers import open_broker, utc_now
from imagebuild.adapters.desktop_port import desktop_answers
from imagebuild.broker import Broker
from imagebuild.build_folder import BuildFolder, build_folders
from imagebuild.claim import Claim, claims, hold, renew
from imagebuild.cloud import Cloud
from imagebuild.errors import CloudUnreachable, NotFound, VersionRefused
from imagebuild.images import Version, find_version
from imagebuild.jobs.pool_making import read_pool
from imagebuild.jobs.settings import Settings
from imagebuild.pool.definition import PoolDefinition
from imagebuild.pool.hands import Hands
from imagebuild.pool.health import ConsoleWitness
from imagebuild.pool.lookout import Lookout, View
from imagebuild.pool.marks import ROLL_ID, ROLL_STATE
from imagebuild.pool.roll import Roll, Wish
from imagebuild.pool.roll_journal import RollLog, read_log
from imagebuild.pool.roll_plan import RollPlan, plan_roll
from imagebuild.pool.survey import Survey, survey
from imagebuild.properties import WISH
from imagebuild.report import Report
from imagebuild.waiting import Clock, SystemClock

CLAIM_SECONDS = 1800.0
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
        return survey(self.definition, self.cloud, self.broker)

    def plan(
        self, pool: Survey, to: Version, *, roll_id: str | None = None, only: frozenset[str] | None = None
    ) -> RollPlan:
        """What a roll to that version would do; of a way back, `only` is given."""
        return plan_roll(
            self.definition,
            pool,
            to=to,
            cloud=self.cloud,
            broker=self.broker,
            now=self.now(),
            only=only,
            roll_id=roll_id,
            back=only is not None,
        )

    def last_roll(self) -> tuple[BuildFolder, RollLog] | None:
        """The pool's newest roll that this machine knows of; only to be read."""
        for folder in reversed(list(build_folders(rolls_of(self.settings)))):
            log = read_log(folder.entries())
            if log is not None and log.assignment.pool == self.pool:
                return folder, log
        return None

    def version_of(self, image_id: str) -> Version | None:
        """The version with that image, None when it is gone or none of ours."""
        try:
            return find_version(self.cloud, image_id)
        except (NotFound, VersionRefused):
            return None

    def roll(self, log: RollLog, *, wishes: Callable[[], Wish | None], watch: Callable[[Roll, View], None]) -> Roll:
        """A process that works on the roll."""
        rules = self.definition.roll.model_copy(update={"canary_names": log.assignment.canary_names})
        hands = Hands(
            definition=self.definition.model_copy(update={"roll": rules}),
            assignment=log.assignment,
            cloud=self.cloud,
            broker=self.broker,
            lookout=Lookout(self.definition, self.cloud, self.broker, now=self.now),
            version_of=cache(self.version_of),
            provisioned=lambda: bool(log.provisioning),
        )
        witness = GuestWitness(self.cloud)
        return Roll(log, hands, witness, self.now, self.clock, self.report, wishes, watch)

    @contextmanager
    def claimed(self, folder: BuildFolder) -> Iterator[Claim]:
        """The pool is ours for a roll while this is open. Raises Busy."""
        with hold(
            self.cloud,
            self.pool,
            purpose="roll",
            seed=lambda images: self._state(),
            owner=owner_of(folder),
            lifetime_seconds=CLAIM_SECONDS,
            is_dead=self._is_dead_here,
            report=self.report,
        ) as claim:
            yield claim

    def standing_claims(self) -> list[Claim]:
        """Who works on the pool's roll now."""
        return [one for one in claims(self.cloud, self.pool, purpose="roll") if not one.is_over()]

    def _is_dead_here(self, owner: str) -> bool:
        """A roll of this machine, or a `pool.create` and its like, that nothing works on any more."""
        places = (rolls_of(self.settings), self.settings.builds)
        folders = (BuildFolder(place / owner.partition(_ELSEWHERE)[0]) for place in places)
        return any(one.journal.exists() and owner_of(one) == owner and not one.is_alive() for one in folders)

    def _state(self) -> str:
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
    with open_broker(definition.broker, folder=settings.project) as broker:
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


def listening(desk: Desk, claim: Claim, is_asked: Callable[[], bool]) -> Callable[[], Wish | None]:
    """What people want of the roll: a signal here, or a wish on its claim from anywhere. Raises Busy when the claim is lost."""
    held = [claim]

    def wishes() -> Wish | None:
        if is_asked():
            return "pause"
        try:
            if held[0].expires_at - datetime.now(UTC) < timedelta(seconds=CLAIM_SECONDS / 2):
                held[0] = renew(desk.cloud, held[0], CLAIM_SECONDS)
            image = desk.cloud.image(claim.id)
            if image is None:
                renew(desk.cloud, held[0], CLAIM_SECONDS)  # says who has it now
                return None
        except CloudUnreachable:
            return None
        told = image.properties.get(WISH)
        return "abort" if told == "abort" else "pause" if told == "pause" else None

    return wishes


def started_by() -> str:
    """Who works, for a person to read."""
    return f"{getpass.getuser()}@{platform.node()}"
