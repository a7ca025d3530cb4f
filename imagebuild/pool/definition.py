"""A pool file: which desktops a pool has, how new ones are made, which broker hands them out, and by which rules it is rolled."""

import re
from datetime import timedelta
from string import Formatter
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, field_validator, model_validator

from imagebuild.broker_settings import BrokerSettings, NoneSettings
from imagebuild.complaints import Whole, complaint
from imagebuild.pool.intranet import Intranet
from imagebuild.pool.marks import DOMAIN, OU, pool_tag
from imagebuild.pool.membership import domain_of
from imagebuild.pool.naming import DomainName, Names, PoolName
from imagebuild.pool.quantities import Duration, PoolShare, Share, duration_words
from imagebuild.pool.window import Window
from imagebuild.recipe_header import RecipeName, Section, Word

LONGEST_NAME = 15
"""A NetBIOS name: Windows cuts longer ones, and a domain join under the cut name meets somebody else's account."""

SMALL_POOL = 20
"""Pools below this size end at their second failure; larger ones at 5 %."""

Rank = Literal["broken", "free-off", "free", "longest-idle"]


def _each_once(value: tuple[str, ...]) -> tuple[str, ...]:
    if len({one.casefold() for one in value}) != len(value):
        raise ValueError("names something twice")
    return value


def _a_second_at_least(value: timedelta) -> timedelta:
    if value < timedelta(seconds=1):
        raise ValueError("must be at least 1s")
    return value


class Rules(Section):
    """How a pool is rolled. Every default keeps the promise: no desktop with a user is touched, the floor of free ones is kept.

    No settings are: that the canary goes first and its failure halts the roll, that unknown is busy, that only tagged servers are
    members, and that going back is a person's word (`invoke pool.rollback`).
    """

    method: Literal["auto", "rebuild", "replace", "broker"] = Field(
        default="auto",
        description="auto: rebuild, and replace where Nova refuses to (a vTPM) or would wipe a volume; broker: it makes the new ones",
    )
    allow_root_volume_wipe: bool = Field(
        default=False, description="true: rebuild volume-backed desktops, which overwrites their root volume in place"
    )
    allow_unheld: bool = Field(
        default=False,
        description="true: roll although the broker cannot hold a desktop back; who logs in at the wrong moment is cut off",
    )
    canary: Whole = Field(default=1, ge=1, description="how many go first, alone; chosen among the free and healthy")
    canary_names: Annotated[tuple[Word, ...], AfterValidator(_each_once)] = Field(
        default=(), description="these go first instead of chosen ones"
    )
    auto_continue: bool = Field(
        default=False, description="true: go on by itself after bake_time; false: wait for `invoke pool.continue`"
    )
    bake_time: Duration = Field(default=timedelta(minutes=30), description="how long to wait then, with auto_continue")
    checkpoints: tuple[PoolShare, ...] = Field(
        default=(), description="stop after so many as after the canary: [10%, 50%]"
    )
    max_unavailable: PoolShare = Field(
        default=Share(10, percent=True), description="in hand at once; a share is rounded down, but never to none"
    )
    min_available: Whole | None = Field(
        default=None,
        ge=0,
        description="free, healthy desktops that stay; default: the broker's threshold (method broker: less max_unavailable), at least 1",
    )
    max_surge: PoolShare = Field(
        default=Share(0),
        description="extra desktops of the new image that serve while others are in hand, beyond size; they go when the roll ends",
    )
    batch_pause: Duration = Field(
        default=timedelta(seconds=30),
        description="between the end of one desktop and the beginning of the next in its place",
    )
    parallel_boots: Whole = Field(default=3, ge=1, description="desktops that boot at once: agents storm their broker")
    look_every: Annotated[Duration, AfterValidator(_a_second_at_least)] = Field(
        default=timedelta(seconds=15),
        description="between two looks while a machine works; four times as long while only users are waited for",
    )
    order: Annotated[tuple[Rank, ...], AfterValidator(_each_once)] = Field(
        default=get_args(Rank),
        description="which go first; broken: also whose agent is silent; "
        "longest-idle: disconnected before active, as no broker tells how long",
    )
    logoff_policy: Literal["wait", "notify-then-force"] = Field(
        default="wait", description="notify-then-force: sessions end force_after the first notice, whoever is on it"
    )
    force_after: Duration | None = Field(default=None, description="needed with notify-then-force, never without")
    drain_deadline: Duration = Field(
        default=timedelta(hours=24),
        description="a desktop in hand that is busy for longer is skipped and told, not forced",
    )
    notify_every: Duration = Field(default=timedelta(hours=4), description="0: once, when its drain begins")
    notify_text: Word = Field(
        default="This desktop gets a new version. Please save your work and log off within {minutes} minutes ({deadline}).",
        description="{minutes} and {deadline} are filled in",
    )
    disconnected_is_busy: bool = Field(default=True, description="false: a disconnected session may be lost")
    settle: Duration = Field(
        default=timedelta(seconds=60), description="a free desktop is looked at again after it, right before the act"
    )
    max_failures: PoolShare | None = Field(
        default=None, description="more than that halt the roll; default: 1 below 20 desktops, else 5%"
    )
    max_unhealthy: PoolShare = Field(
        default=Share(20, percent=True),
        description="of the desktops done: more that fall ill later halt the roll, but never a single one",
    )
    act_timeout: Duration = Field(default=timedelta(minutes=30), description="for Nova's part, plus reimage_per_gib")
    reimage_per_gib: Duration = Field(
        default=timedelta(seconds=20), description="added for each GiB of a volume-backed root (Nova's own allowance)"
    )
    boot_timeout: Duration = Field(default=timedelta(minutes=30), description="for boot and checks")
    min_ready: Duration = Field(default=timedelta(seconds=60), description="how long its checks must hold")
    retries: Whole = Field(default=1, ge=0, description="further attempts at one desktop")
    put_back: bool = Field(
        default=True, description="a failed desktop gets its old image back; false: it is kept away from users as it is"
    )
    skip_matching: bool = Field(default=True, description="desktops that have the image and are healthy are left alone")
    include_persistent: bool = Field(
        default=False, description="true: also desktops marked vdi_persistent=yes; their users lose what is on them"
    )
    pause_broker_provisioning: bool = Field(
        default=True,
        description="while a roll works, the broker makes and deletes no desktops by itself (not with method broker)",
    )
    window: Window | None = Field(default=None, description="desktops are begun only then; one begun is finished")

    @model_validator(mode="after")
    def _agree(self) -> "Rules":
        forces = self.logoff_policy == "notify-then-force"
        if forces != (self.force_after is not None):
            words = "`force_after` belongs to `logoff_policy: notify-then-force`: say both or neither"
            raise complaint(words, "force_after", "logoff_policy")
        if self.force_after is not None and self.force_after > self.drain_deadline:
            words = (
                f"is longer than drain_deadline ({duration_words(self.drain_deadline)}): nothing would ever be forced"
            )
            raise complaint(words, "force_after")
        if self.refills and self.max_surge.number:
            words = "has no place beside `method: broker`: how many more there are is the broker's choice"
            raise complaint(words, "max_surge")
        if self.canary_names and self.canary not in (1, len(self.canary_names)):
            words = f"is {self.canary}, and `canary_names` names {len(self.canary_names)}: leave one of them out"
            raise complaint(words, "canary")
        if self.max_unavailable.number == 0 and self.max_surge.number == 0:
            raise complaint("is 0, and there is no max_surge: nothing could ever be rolled", "max_unavailable")
        return self

    @field_validator("notify_text")
    @classmethod
    def _text(cls, value: str) -> str:
        words = "knows only {minutes} and {deadline}, just so; a brace itself is written twice"
        try:
            fields = list(Formatter().parse(value))
        except ValueError as error:
            raise ValueError(words) from error
        if any(name not in (None, "minutes", "deadline") or form or conversion for _, name, form, conversion in fields):
            raise ValueError(words)
        return value

    def unavailable_limit(self, size: int) -> int:
        """How many of a pool of `size` desktops may be in hand at once; 0: none but the canary, until extra ones serve in their place."""
        return max(1, self.max_unavailable.of(size)) if self.max_unavailable.number else 0

    def surge(self, size: int, *, moves: int) -> int:
        """How many extra desktops a roll that moves so many may have: none for those that go first."""
        return max(0, min(self.max_surge.of(size), moves - self.canary_count))

    def free_floor(self, threshold: int | None, size: int) -> int:
        """How many free, healthy desktops of `size` must stay; `threshold` is the broker's own wish, None when it tells none.

        A broker that makes the new ones has no more than it wishes for: what is in hand comes out of these.
        """
        if self.min_available is not None:
            return self.min_available
        wish = threshold or 0
        return max(1, min(wish, size) - self.unavailable_limit(size) if self.refills else wish)

    @property
    def refills(self) -> bool:
        """Does the broker make the new desktops, so that its provisioning goes on while a roll works?"""
        return self.method == "broker"

    @property
    def pauses_provisioning(self) -> bool:
        """Does a roll pause the broker's own making of desktops?"""
        return self.pause_broker_provisioning and not self.refills

    def failure_budget(self, size: int) -> int:
        """How many failed desktops a roll of `size` bears; one more halts it."""
        if self.max_failures is not None:
            return self.max_failures.of(size)
        return 1 if size < SMALL_POOL else Share(5, percent=True).of(size)

    def stops(self, size: int) -> tuple[int, ...]:
        """After how many desktops done a roll of `size` stops: the canary, then the checkpoints, rising."""
        marks = {min(self.canary_count, size)} | {share.of(size) for share in self.checkpoints}
        return tuple(sorted(mark for mark in marks if self.canary_count <= mark < size))

    @property
    def canary_count(self) -> int:
        """How many go first."""
        return len(self.canary_names) or self.canary


class PoolDefinition(Section):
    """A pool: its members are the servers tagged `vdi-pool=NAME`, its image is the current version of a recipe."""

    pool: PoolName = Field(description="as the file is called; the servers tagged `vdi-pool=NAME` are its desktops")
    description: str = Field(default="", description="for people")
    recipe: RecipeName = Field(description="the line of versions that its desktops are made from")
    names: Names = Field(default="desktop-{sequence}", description="at most 15 characters with the largest number")
    digits: Whole = Field(default=1, ge=1, le=9, description="with 3, the first is desktop-001")
    first: Whole = Field(default=1, ge=0, description="the smallest number")
    size: Whole = Field(default=1, ge=1, le=100_000, description="how many desktops `invoke pool.create` makes it have")
    flavor: Word = Field(description="of new desktops")
    root_volume_gib: Whole | None = Field(
        default=None, ge=1, description="the root is a volume of that size; default: a disk of the hypervisor's"
    )
    network: Word = Field(description="a name or id; `invoke pool.network` makes it")
    availability_zone: Word | None = Field(default=None, description="of new desktops; default: Nova's choice")
    security_group: Word = Field(description="a name or id; `invoke pool.network` makes it")
    server_group: Word | None = Field(
        default=None, description="of new desktops, a name or id; one that is replaced stays in the one that it has"
    )
    ou: Word | None = Field(default=None, description="OU=...,DC=... of the computer accounts: noted on each server")
    domain: DomainName | None = Field(
        default=None,
        description="the DNS name of their domain, noted on each server: one that was rolled must tell that it is a member",
    )
    intranet: Intranet | None = Field(default=None, description="what `invoke pool.network` makes or checks")
    broker: BrokerSettings = NoneSettings(kind="none")
    max_session_age: Duration = Field(default=timedelta(minutes=15), description="older words on sessions warn a plan")
    roll: Rules = Rules()

    @model_validator(mode="after")
    def _names(self) -> "PoolDefinition":
        last = self.name_of(self.first + self.size - 1)
        words = ""
        if len(last) > LONGEST_NAME:
            words = f"{last} has {len(last)} characters: Windows names have at most {LONGEST_NAME}"
        elif last.startswith("-") or last.endswith("-") or last.isdigit():
            words = f"{last} is no name for a Windows machine: it is not only digits, and no `-` is at its ends"
        if words:
            raise complaint(words, "names", "digits", "size", "first")
        return self

    @model_validator(mode="after")
    def _domain(self) -> "PoolDefinition":
        within = domain_of(self.ou or "")
        if self.domain and within and within.casefold() != self.domain.casefold():
            raise complaint(f"is {self.domain}, and `ou` is in {within}", "domain")
        return self

    @property
    def tag(self) -> str:
        """The tag of its servers."""
        return pool_tag(self.pool)

    @property
    def domain_notes(self) -> dict[str, str]:
        """What a server's metadata tell whoever joins it to its domain."""
        return {key: value for key, value in ((OU, self.ou), (DOMAIN, self.domain)) if value is not None}

    def name_of(self, number: int) -> str:
        """The desktop with that number."""
        return self.names.replace("{sequence}", str(number).zfill(self.digits))

    def number_of(self, name: str) -> int | None:
        """The number in a desktop's name, None when it is not one of this pool's names. Upper and lower case are the same."""
        before, _, after = self.names.partition("{sequence}")
        match = re.fullmatch(f"{re.escape(before)}([0-9]+){re.escape(after)}", name, re.IGNORECASE)
        if match is None or self.name_of(int(match[1])).casefold() != name.casefold():
            return None
        return int(match[1])
