"""What a desktop's server itself says of the last roll that had it in hand: read by whoever goes on, goes back, or comes after."""

from collections.abc import Collection, Iterable

from imagebuild.pool.marks import IMAGE_ID, PREVIOUS_IMAGE_ID, ROLL_ID, ROLL_NOTE, ROLL_STATE
from imagebuild.pool.model import Desktop, Phase
from imagebuild.pool.progress import Note

_WELL = (None, Phase.DONE, Phase.PENDING, Phase.SKIPPED)
"""How a roll leaves a desktop whose image is the one that it is well with."""


def phase_of(desktop: Desktop) -> Phase | None:
    """How far that roll was with it; None when none tells."""
    told = desktop.metadata.get(ROLL_STATE, "")
    return Phase(told) if told in list(Phase) else None


def note_of(desktop: Desktop) -> Note | None:
    """What that roll has noted."""
    return Note.read(desktop.metadata.get(ROLL_NOTE, ""))


def in_hand(desktops: Iterable[Desktop], *, finished: Collection[str]) -> dict[str, list[Desktop]]:
    """By roll, the desktops that say that it has them in hand; of one that is `finished`, or that one of them says is over, none.

    Nova takes no marks in ERROR, nor of a server that somebody has locked: what stands there may be of a roll that has given it up. With
    one that does not tell what its roll is about nobody could go on.
    """
    told = [
        (one, roll_id, note) for one in desktops if (roll_id := one.metadata.get(ROLL_ID)) and (note := note_of(one))
    ]
    ended = {roll_id for _, roll_id, note in told if note.over}.union(finished)
    found: dict[str, list[Desktop]] = {}
    for one, roll_id, _ in told:
        if (phase := phase_of(one)) and phase.in_flight and not one.broken and roll_id not in ended:
            found.setdefault(roll_id, []).append(one)
    return found


def was_well_with(desktop: Desktop) -> str | None:
    """The image that it had when it was last well: a roll that did not bring it through has put another one on it, maybe.

    Not where somebody has made it from yet another image since.
    """
    note, image_id = note_of(desktop), desktop.image_id
    if note is None or phase_of(desktop) in _WELL or desktop.metadata.get(IMAGE_ID) != image_id:
        return image_id
    return note.from_image_id or image_id


def image_before(desktop: Desktop) -> str | None:
    """What it had before the image that it has now; None when it does not tell, or had none."""
    well = was_well_with(desktop)
    before = well if well != desktop.image_id else desktop.metadata.get(PREVIOUS_IMAGE_ID)
    return before if before != desktop.image_id else None


def moved_by(desktop: Desktop) -> str | None:
    """The roll that has put its image on it, whether it came through or not; None when that roll put the old one back, or is not told.

    Of what a broker has made beside those that a roll waited for, that roll notes no phase.
    """
    through = phase_of(desktop) in (None, Phase.DONE) or was_well_with(desktop) != desktop.image_id
    return desktop.metadata.get(ROLL_ID) if through else None


def newest(roll_ids: Iterable[str]) -> str:
    """The last one: its time is in its id. Raises ValueError for none."""
    return max(roll_ids, key=lambda roll_id: roll_id.rsplit("-", 3)[1:])
