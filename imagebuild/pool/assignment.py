"""What a roll is to do, decided once when it begins: the image, the bounds, and where it stops to be looked at."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from imagebuild.cloud import Image
from imagebuild.pool.definition import Rules
from imagebuild.pool.experience import GUESS
from imagebuild.pool.roll_plan import RollPlan
from imagebuild.properties import BUILD


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """`floor` and `limit` are whole desktops of `size`; `stops` are numbers of desktops done. `back`: it is a way
    back, to an image that was proven long ago: it has no stops. `extras`: the names of the extra desktops that it makes. `started_by`:
    '' where nobody tells, nor when."""

    id: str
    pool: str
    to: str
    to_image_id: str
    checksum: str | None
    began_at: datetime
    started_by: str
    size: int
    floor: int
    limit: int
    stops: tuple[int, ...]
    back: bool = False
    canary_names: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    threshold: int = 0
    """So many unassigned desktops the broker wants to have: with fewer it makes another."""
    usual_seconds: float = GUESS.each.total_seconds()
    """What the plan has reckoned with for one desktop."""

    def as_facts(self) -> dict[str, Any]:
        """Plain values for the journal."""
        return asdict(self) | {"began_at": self.began_at.isoformat()}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "Assignment":
        """The reverse."""
        values = dict(facts) | {"began_at": datetime.fromisoformat(facts["began_at"]), "stops": tuple(facts["stops"])}
        return cls(**values | {name: tuple(facts.get(name, ())) for name in ("canary_names", "extras")})


def assign(
    plan: RollPlan, rules: Rules, *, roll_id: str, began_at: datetime, started_by: str, back: bool = False
) -> Assignment:
    """The assignment that a plan is."""
    return Assignment(
        id=roll_id,
        pool=plan.pool,
        to=plan.to,
        to_image_id=plan.to_image_id,
        checksum=plan.checksum,
        began_at=began_at,
        started_by=started_by,
        size=plan.size,
        floor=plan.floor,
        limit=plan.limit,
        stops=() if back else rules.stops(len(plan.moves)),
        back=back,
        canary_names=rules.canary_names,
        extras=plan.extras,
        threshold=plan.threshold,
        usual_seconds=plan.estimate.usual.each.total_seconds(),
    )


def stamp_of(image: Image | None) -> dict[str, str]:
    """What the stamp in an image says (windows/Set-ImageStamp): the build that made its data, whatever it is called by now; {} for
    one that is not a version of ours."""
    build = image.properties.get(BUILD, "") if image else ""
    return {"build": build} if build else {}
