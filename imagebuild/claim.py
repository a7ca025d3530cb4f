"""A claim on a recipe, held in the cloud itself: an empty image record whose id follows from what is claimed, so that only one can make it.

Glance takes an id that the client chooses, answers 409 to everybody who comes later, and never gives an id a second time, not even
after a deletion. So the ids of one claim are a row, k = 0, 1, 2 ...: a burnt one (409, and nothing is there) is passed over, one that
stands is somebody's, and the first that nobody had is taken. Times are UTC by the machines' own clocks; who judges another's claim
gives it MARGIN beyond its end. A claim whose process is certainly gone is not waited for: see holder.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal

from imagebuild.cloud import OWNER_KEY, ROLE_KEY, Cloud, Image
from imagebuild.errors import Busy, CloudError, ImagebuildError, NotFound
from imagebuild.holder import describe_holder, is_gone, this_process
from imagebuild.properties import (
    CLAIM_PURPOSE,
    CLAIM_ROLE,
    CLAIM_SEED,
    EXPIRES_AT,
    HOLDER,
    HOLDER_PROCESS,
    RECIPE,
    STATE,
    VERSION,
)
from imagebuild.report import Report
from imagebuild.waiting import Deadline

Purpose = Literal["build", "life", "roll", "verify"]
MARGIN = timedelta(minutes=15)
Seed = Callable[[Sequence[Image]], str]
_NAMESPACE = uuid.UUID("9b0d2a5e-6c1f-5a43-8f6e-2f1c7a6f4d10")
_LONGEST_ROW = 2000
_DELETE_SECONDS = 60
_CLOSE, _SPARE = timedelta(minutes=1), timedelta(hours=2)


@dataclass(frozen=True)
class Claim:
    """Who may change a recipe's versions, and until when. `id` is the image record's; `owner` is a build's id, `holder` is for a person.

    `process` is where the holder can be looked for, '' when it is not known (see holder.this_process).
    """

    id: str
    recipe: str
    purpose: str
    seed: str
    owner: str
    holder: str
    since: str
    expires_at: datetime
    process: str = ""

    def is_expired(self) -> bool:
        """True when its end has passed by more than what clocks may differ by."""
        return datetime.now(UTC) > self.expires_at + MARGIN

    def is_over(self) -> bool:
        """True when nobody stands behind it any more: it expired, or its process is known to be gone."""
        return self.is_expired() or is_gone(self.process)

    def __str__(self) -> str:
        return (
            f"{self.recipe} ({self.purpose}) is claimed by {self.owner} ({self.holder}) "
            f"since {self.since[:16].replace('T', ' ')} until {self.expires_at:%Y-%m-%d %H:%M} UTC"
        )


def claims(cloud: Cloud, recipe: str | None = None, *, purpose: Purpose | None = None) -> list[Claim]:
    """The claims that stand in this project, live or not; of one recipe, for one purpose when they are named."""
    wanted = {ROLE_KEY: CLAIM_ROLE}
    wanted |= {RECIPE: recipe} if recipe else {}
    wanted |= {CLAIM_PURPOSE: purpose} if purpose else {}
    return _claims_among(cloud.images(properties=wanted), wanted)


def _claims_among(images: Iterable[Image], wanted: Mapping[str, str]) -> list[Claim]:
    found = [_read(image) for image in images if wanted.items() <= image.properties.items()]
    return sorted(found, key=lambda claim: (claim.recipe, claim.since))


def take(
    cloud: Cloud,
    recipe: str,
    *,
    purpose: Purpose,
    seed: Seed,
    owner: str,
    lifetime_seconds: float,
    is_dead: Callable[[str], bool],
    report: Report,
    seen: Sequence[Image] | None = None,
) -> Claim:
    """Claim the recipe for that owner, or find that owner's claim again. Raises Busy (who, until when, what to do) when another has it.

    `seed` gives the state that is going to be changed (for a build: the next version's number) from all of the project's images.
    It is asked again once the claim is ours, because the state may have moved while the former holder finished. `seen`: the
    images, by who has just looked; one out of date costs another round, or a Busy about a claim that has just ended.
    `is_dead` says of an owner that it was a build of this project folder and no process works on it any more; its claim is taken
    over and told, and so is one that expired, or whose process is gone.
    """
    around = partial(_look_around, cloud, recipe, purpose=purpose, owner=owner, is_dead=is_dead, report=report)
    images = cloud.images() if seen is None else seen
    for _ in range(5):
        wanted = seed(images)
        claim = around(images)
        if claim and claim.seed != wanted:
            release(cloud, claim)
            claim = None
        if claim is None:
            told = {OWNER_KEY: owner, EXPIRES_AT: _until(lifetime_seconds).isoformat()}
            asked = told | _properties(recipe, purpose, seed=wanted)
            claim = _reserve(cloud, asked, is_dead=is_dead, report=report)
        with ExitStack() as otherwise:
            otherwise.callback(_release_anyhow, cloud, claim, report)
            # Somebody who saw another seed has another row of ids: whoever comes second sees the first one here.
            images = cloud.images()
            standing = around(images)
            if seed(images) == wanted:
                if standing is None:
                    raise _lost(cloud, claim)
                if not _is_told(standing, _until(lifetime_seconds)):
                    standing = renew(cloud, standing, lifetime_seconds)
                otherwise.pop_all()
                return standing
    raise Busy(f"the versions of {recipe} change faster than they can be claimed", hint="run it again")


def renew(cloud: Cloud, claim: Claim, lifetime_seconds: float) -> Claim:
    """The claim, good for that long from now. Raises Busy when it is no longer ours: then nothing may be changed any more.

    It names this process from now on: a resumed build is another one than that which took the claim, and would look dead.
    """
    until = _until(lifetime_seconds)
    try:
        if _is_told(claim, until):  # a look costs less than a change
            image = cloud.image(claim.id)
        else:  # nobody else ever gets this id: what can be changed under it is ours
            told = {EXPIRES_AT: until.isoformat(), HOLDER: describe_holder(), HOLDER_PROCESS: this_process() or None}
            image = cloud.update_image(claim.id, properties=told)
    except NotFound as error:
        raise _lost(cloud, claim) from error
    if image is None or image.properties.get(OWNER_KEY) != claim.owner:
        raise _lost(cloud, claim)
    return _read(image)


def release(cloud: Cloud, claim: Claim) -> None:
    """Give the claim back; nothing happens when it is gone."""
    cloud.delete("image", claim.id, deadline=Deadline.after(_DELETE_SECONDS))


@contextmanager
def hold(
    cloud: Cloud,
    recipe: str,
    *,
    purpose: Purpose,
    seed: Seed,
    owner: str,
    lifetime_seconds: float,
    is_dead: Callable[[str], bool] = lambda owner: False,
    report: Report,
) -> Iterator[Claim]:
    """`take` for the length of a block. A claim that cannot be given back is told; it ends by itself."""
    claim = take(
        cloud,
        recipe,
        purpose=purpose,
        seed=seed,
        owner=owner,
        lifetime_seconds=lifetime_seconds,
        is_dead=is_dead,
        report=report,
    )
    try:
        yield claim
    finally:
        _release_anyhow(cloud, claim, report)


def break_claim(cloud: Cloud, recipe: str) -> list[Claim]:
    """Remove every claim on the recipe, whoever holds it: its holder ends before its next step. Gives what was broken."""
    broken = claims(cloud, recipe)
    for claim in broken:
        release(cloud, claim)
    return broken


def _properties(recipe: str, purpose: Purpose, *, seed: str) -> dict[str, str]:
    """What a claim says of itself; one for a build also what the version that it stands for says, so that it is listed with them."""
    of_version = {STATE: "building", VERSION: seed} if purpose == "build" else {}
    process = {HOLDER_PROCESS: told} if (told := this_process()) else {}
    what = {ROLE_KEY: CLAIM_ROLE, RECIPE: recipe, CLAIM_PURPOSE: purpose, CLAIM_SEED: seed}
    return what | {HOLDER: describe_holder()} | process | of_version


def _look_around(
    cloud: Cloud,
    recipe: str,
    images: Sequence[Image],
    *,
    purpose: Purpose,
    owner: str,
    is_dead: Callable[[str], bool],
    report: Report,
) -> Claim | None:
    """The owner's own claim, if it stands among these images. Raises Busy when another's is live; dead ones are removed."""
    own = None
    for claim in _claims_among(images, {ROLE_KEY: CLAIM_ROLE, RECIPE: recipe, CLAIM_PURPOSE: purpose}):
        if claim.owner == owner:
            own = claim
        else:
            _remove_dead(cloud, claim, is_dead=is_dead, report=report)
    return own


def _reserve(cloud: Cloud, asked: dict[str, str], *, is_dead: Callable[[str], bool], report: Report) -> Claim:
    """The first id of the row that nobody ever had. Raises Busy when a live claim stands in it."""
    row = "\n".join((cloud.project_id, asked[RECIPE], asked[CLAIM_PURPOSE], asked[CLAIM_SEED]))
    for k in range(_LONGEST_ROW):
        image_id = str(uuid.uuid5(_NAMESPACE, f"{row}\n{k}"))
        name = f"claim {asked[RECIPE]} {asked[CLAIM_PURPOSE]} {asked[CLAIM_SEED]}"
        image = cloud.reserve_image(image_id, name, properties=asked)
        if image is not None:
            return _read(image)
        standing = cloud.image(image_id)
        if standing is not None:
            _remove_dead(cloud, _read(standing), is_dead=is_dead, report=report)
    raise CloudError(
        f"{_LONGEST_ROW} claims on {asked[RECIPE]} {asked[CLAIM_SEED]} were made and given back",
        hint="does every build of it fail? look at `invoke builds`",
    )


def _remove_dead(cloud: Cloud, claim: Claim, *, is_dead: Callable[[str], bool], report: Report) -> None:
    """Remove a claim that nobody stands behind. Raises Busy when it is live."""
    dead = is_dead(claim.owner) or is_gone(claim.process)
    if not dead and not claim.is_expired():
        raise Busy(
            str(claim),
            hint=f"wait for it; if you know that it is dead: invoke builds.unclaim {claim.recipe} --break-claim",
        )
    why = "is dead" if dead else f"let its claim expire at {claim.expires_at:%Y-%m-%d %H:%M} UTC"
    left = f"; what it has left: invoke builds.undo {claim.owner}" if claim.purpose == "build" else ""
    report.warn(f"{claim.owner} ({claim.holder}) {why}: its claim on {claim.recipe} is taken over{left}")
    release(cloud, claim)


def _release_anyhow(cloud: Cloud, claim: Claim, report: Report) -> None:
    try:
        release(cloud, claim)
    except ImagebuildError as error:
        report.warn(f"the claim on {claim.recipe} could not be given back and ends by itself: {error}")


def _lost(cloud: Cloud, claim: Claim) -> Busy:
    """What to say when the claim is not ours any more, with who has it now."""
    others = [str(other) for other in claims(cloud, claim.recipe) if other.owner != claim.owner]
    look = f"invoke pool.status {claim.recipe}" if claim.purpose == "roll" else "invoke builds"
    return Busy(
        f"{claim.owner} has lost its claim on {claim.recipe}: it was broken by hand, or it expired and was taken over",
        hint=f"nothing more is changed; see who has it now: {look}",
        details=others,
    )


def _is_told(claim: Claim, until: datetime) -> bool:
    """Does it name this process, and about that end?"""
    return claim.process == this_process() and until - _CLOSE <= claim.expires_at <= until + _SPARE


def _until(lifetime_seconds: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=lifetime_seconds)


def _read(image: Image) -> Claim:
    """The claim that an image record is. One without a readable end counts as over long ago: nobody could ever wait for it."""
    properties = image.properties
    try:
        expires_at = datetime.fromisoformat(properties[EXPIRES_AT]).astimezone(UTC)
    except (KeyError, ValueError):
        expires_at = datetime.min.replace(tzinfo=UTC) + MARGIN
    return Claim(
        id=image.id,
        recipe=properties.get(RECIPE, ""),
        purpose=properties.get(CLAIM_PURPOSE, ""),
        seed=properties.get(CLAIM_SEED, ""),
        owner=properties.get(OWNER_KEY, ""),
        holder=properties.get(HOLDER, "unknown"),
        since=image.created_at,
        expires_at=expires_at,
        process=properties.get(HOLDER_PROCESS, ""),
    )
