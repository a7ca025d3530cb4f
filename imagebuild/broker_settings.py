"""The `broker:` section of a pool file: which kind of connection broker the pool has, and how it is reached."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from imagebuild.complaints import Number, written
from imagebuild.recipe_header import Section, TimeZone, Word

SecretReference = Annotated[
    str, written(r"(env|file):.+", "must say where it stands, env:NAME or file:PATH, and not be the secret itself")
]
Minutes = Annotated[Number, Field(gt=0, le=7 * 24 * 60)]
Seconds = Annotated[Number, Field(gt=0, le=24 * 60 * 60)]
Question = Literal[
    "seats",
    "health",
    "settings",
    "registrations",
    "set-available",
    "notify",
    "release",
    "forget",
    "set-pool-image",
    "set-provisioning",
    "refresh",
]


class LeostreamSettings(Section):
    """A Leostream Connection Broker by its REST interface."""

    kind: Literal["leostream"]
    url: Annotated[str, written(r"https://[^/@\s]+/?", "must be https://HOST[:PORT], with neither path nor password")]
    user: SecretReference = Field(description="env:NAME or file:PATH of the login name; its role needs API access")
    password: SecretReference = Field(description="env:NAME or file:PATH")
    domain: Word | None = Field(default=None, description="of the login, where the broker has several")
    ca_file: Word | None = Field(default=None, description="PEM file of who signed the broker's certificate")
    pool: Word | None = Field(default=None, description="the pool's name in the broker; default: this pool's")
    center: Word | None = Field(
        default=None, description="the center that holds the images; default: the one that the pool provisions in"
    )
    drain: Literal["none", "attribute_rule", "adhoc"] = Field(
        default="none",
        description="how a desktop is taken from users, as the interface has no such call: by a rule `name ne DESKTOP` in the "
        "pool, or by leaving it out of an ad hoc pool. What that does to a standing assignment is nowhere written: try it first",
    )
    max_age_minutes: Minutes = Field(default=15, description="older counts are not believed: everybody is busy")
    time_zone: TimeZone = Field(default="UTC", description="of the broker's times, where they do not say it themselves")
    trust_unassigned: bool = Field(
        default=False,
        description="true: a desktop without assignment is free even while the broker counts more users than assignments",
    )
    deadline_seconds: Seconds = Field(default=60, description="for one question, repeats and all")
    scan_minutes: Minutes = Field(default=15, description="for one scan of the center")


class FileSettings(Section):
    """No interface to a broker: its operators keep a list of sessions (or export one), and read what we ask for in another."""

    kind: Literal["file"]
    sessions: Word = Field(description="CSV or JSON with the columns name, user, session, availability; by its ending")
    unavailable: Word | None = Field(
        default=None, description="CSV or JSON that we write: the desktops that are please to be marked unavailable"
    )
    max_age_minutes: Minutes = Field(default=15, description="an older list is not believed: everybody is busy")


class CommandSettings(Section):
    """A broker that programs of the site ask: each gets one JSON object on its input and gives one on its output."""

    kind: Literal["command"]
    commands: dict[Question, Annotated[list[str], Field(min_length=1)]] = Field(
        description="program and arguments by question; what is not named the broker cannot do"
    )
    deadline_seconds: Seconds = Field(default=60, description="for one program")
    max_age_minutes: Minutes = Field(default=15, description="older answers are not believed: everybody is busy")

    @field_validator("commands")
    @classmethod
    def _commands(cls, value: dict[Question, list[str]]) -> dict[Question, list[str]]:
        if "seats" not in value:
            raise ValueError("needs at least `seats`, which tells who has which desktop")
        return value


class NoneSettings(Section):
    """No broker, or none that can be asked: everybody is busy."""

    kind: Literal["none"]
    assume_idle: bool = Field(
        default=False,
        description="true: nobody is ever on these desktops (a pool for tests); never for users' desktops",
    )


BrokerSettings = Annotated[
    LeostreamSettings | FileSettings | CommandSettings | NoneSettings, Field(discriminator="kind")
]
