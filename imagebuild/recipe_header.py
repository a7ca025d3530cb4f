"""The head of a recipe: what Windows it is, which image it starts from, where it is built, and what the image will be like."""

from ipaddress import ip_network
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from imagebuild.answers import AnswerSettings
from imagebuild.complaints import Number, Whole, complaint, written

Bus = Literal["ide", "sata", "virtio", "scsi"]
Word = Annotated[str, StringConstraints(min_length=1, max_length=255, strip_whitespace=True)]
NOBODY = "nobody"
Sha256 = Annotated[str, written(r"[0-9a-fA-F]{64}", "must be 64 hexadecimal digits, as sha256sum tells them")]
SerialPort = Annotated[str, written(r"COM[0-9]{1,2}", "must be COM1, COM2, ...")]
RecipeName = Annotated[
    str,
    written(
        r"[a-z0-9][a-z0-9.-]{0,62}",
        "must be at most 63 small letters, digits, `.` and `-`, and begin with a letter or a digit",
    ),
]


def _a_time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is no IANA time zone: write it like Asia/Seoul or UTC") from error
    return value


TimeZone = Annotated[str, AfterValidator(_a_time_zone)]


class Section(BaseModel):
    """A part of a recipe: frozen, and a key that is not known is an error."""

    # Deferred: a command makes the checks of those steps only that its recipe has.
    model_config = ConfigDict(
        frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False, defer_build=True
    )


class Source(Section):
    """What the builder is booted from: a Glance image by name or id, or a version of a recipe (also this one's own line)."""

    image: Word | None = None
    recipe: RecipeName | None = None
    version: Literal["current"] | Annotated[Whole, Field(ge=1)] = Field(default="current", description="with recipe")

    @model_validator(mode="after")
    def _one_of_both(self) -> "Source":
        if (self.image is None) == (self.recipe is None):
            raise ValueError("is either `image: NAME` or `recipe: NAME` with a `version`")
        if self.image is not None and self.version != "current":
            raise complaint("belongs to `recipe: NAME`, not to an image", "version")
        return self


class Builder(Section):
    """The server that the image is made in."""

    flavor: Word
    network: Word
    root_bus: Bus | None = Field(
        default=None, description="the bus that the source image boots from; default: its hw_disk_bus, or ide"
    )
    extra_disk_bus: Bus | Literal["none"] = Field(
        default="virtio",
        description="a small second disk: its driver becomes boot-ready only when present; none: no such disk",
    )
    admin_user: Word = Field(
        default="Administrator", description="whose password Cloudbase-Init sets from the config drive"
    )
    allow_from: str = Field(
        default="auto",
        description="CIDR that WinRM is let in from; auto: the address this machine uses; nobody: no step talks to it",
    )
    availability_zone: Word | None = None
    metadata: dict[str, str] = Field(default_factory=dict, description="more Nova metadata for the builder")
    trust_any_certificate: bool = Field(
        default=False,
        description="talk to a guest whose WinRM certificate was not told on the console (anybody could be it)",
    )

    @field_validator("allow_from")
    @classmethod
    def _allow_from(cls, value: str) -> str:
        if value not in ("auto", NOBODY):
            ip_network(value)  # raises ValueError with words for a person
        return value


class Target(Section):
    """The image that comes out."""

    disk_bus: Bus = "virtio"
    vif_model: Word = "virtio"
    min_disk_gib: Whole | None = Field(default=None, ge=0, description="default: the builder flavor's disk")
    min_ram_mib: Whole | None = Field(default=None, ge=0, description="default: the source image's, at least 1024")
    properties: dict[str, str] = Field(default_factory=dict, description="more Glance properties")


class Verify(Section):
    """How a candidate is proven: clones of it are booted and looked into. Not part of what the image is."""

    clones: Whole = Field(default=2, ge=1, le=8, description="at once: two show what a copy shares with its twin")
    flavor: Word | None = Field(default=None, description="default: the builder's")
    network: Word | None = Field(default=None, description="default: the builder's")
    deadline_minutes: Number = Field(default=30, gt=0, le=24 * 60)
    registrations: str | None = Field(
        default=None, description="http(s) address that gives the broker's registrations as a JSON list"
    )


class Policy(Section):
    """When `invoke rebuild --due` builds again, and how many versions `invoke prune` leaves. Not part of what the image is."""

    max_age_days: Number | None = Field(
        default=None, gt=0, description="older than that is due; default: only changes are"
    )
    rebuild: bool = Field(
        default=True,
        description="false: `invoke rebuild` builds it only when it is named, `invoke check` asks for no image",
    )
    keep: Whole = Field(default=3, ge=1, description="versions that prune leaves, the current one among them")


class Header(Section):
    """Everything of a recipe but its steps."""

    recipe: RecipeName
    description: str = ""
    windows: AnswerSettings
    source: Source
    builder: Builder
    image: Target = Target()
    verify: Verify = Verify()
    policy: Policy = Policy()
