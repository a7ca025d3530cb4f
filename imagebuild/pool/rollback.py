"""The way back: a roll to the image that desktops had before, over those that a roll has moved; and whose work it would cost."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC

from imagebuild.errors import RollRefused
from imagebuild.pool.model import Desktop
from imagebuild.pool.survey import Survey
from imagebuild.pool.testimony import image_before, moved_by, newest


@dataclass(frozen=True)
class WayBack:
    """`names` go back to `image_id`. `used`: what may be lost on each, a line a desktop; `others`: those that had yet another image."""

    image_id: str
    names: frozenset[str]
    used: tuple[str, ...]
    others: tuple[str, ...] = ()


def find_way_back(survey: Survey, *, roll_id: str | None = None, to_image_id: str | None = None) -> WayBack:
    """The desktops to be taken back, and the image that most of them had before.

    They are those that `roll_id` has moved; with `to_image_id` those that had this one before; with neither all on the image that the
    last roll of the pool has brought. One that did not come through, and was left with that image, is among them.

    What is on a desktop's own disk goes: users have had these desktops since, and a broker does not tell who was on one in the meantime.
    Raises RollRefused when there is nothing to go back from.
    """
    moved = [one for one in survey.desktops if image_before(one)]
    if roll_id is not None:
        moved = [one for one in moved if moved_by(one) == roll_id]
    elif to_image_id is None:
        moved = _of_the_last_roll(moved)
    if to_image_id is None and moved:
        to_image_id = Counter(map(image_before, moved)).most_common(1)[0][0]
    going = [one for one in moved if image_before(one) == to_image_id]
    if to_image_id is None or not going:
        raise _nothing(survey, roll_id)
    others = tuple(one.name for one in moved if one not in going)
    return WayBack(to_image_id, frozenset(one.name for one in going), tuple(map(_use_of, going)), others)


def _nothing(survey: Survey, roll_id: str | None) -> RollRefused:
    if roll_id is not None:
        words = f"{roll_id} has moved no desktop that it could be taken back from"
        return RollRefused(
            words, hint=f"end it: invoke pool.abort {survey.pool}; what failed has its old image already"
        )
    return RollRefused(
        f"no desktop of {survey.pool} tells that a roll has moved it",
        hint=f"a roll forward does the same: invoke pool.roll {survey.pool} --to VERSION",
    )


def _of_the_last_roll(moved: list[Desktop]) -> list[Desktop]:
    """Those on the image that the last roll of any has brought; an earlier roll may have brought it to some."""
    brought = {roll_id: one.image_id for one in moved if (roll_id := moved_by(one))}
    return [one for one in moved if one.image_id == brought[newest(brought)]] if brought else moved


def _use_of(desktop: Desktop) -> str:
    since = f"{desktop.launched_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if desktop.launched_at else "nobody knows when"
    if desktop.busy:
        return f"{desktop.name}: somebody is, or may be, on it now; in use since {since}"
    return f"{desktop.name}: free now; users could have it since {since}"
