"""Versions of images as register, promotion and the clouds' users leave them, put into a fake cloud."""

from imagebuild.cloud import OWNER_KEY, ROLE_KEY, Image
from imagebuild.properties import (
    BASE,
    BUILT_AT,
    EXPIRES_AT,
    GENERALIZED,
    HOLDER,
    RECIPE,
    SELF,
    STATE,
    VERIFIED,
    VERSION,
    State,
)
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud

GOOD = {GENERALIZED: "yes", VERIFIED: "passed"}


def a_cloud() -> FakeCloud:
    """An empty one, where time passes by itself."""
    return FakeCloud(FakeClock())


def add_version(
    cloud: FakeCloud, number: int, state: State = "candidate", *, recipe: str = "small", **properties: str
) -> Image:
    """A registered version, generalised and verified; what differs is given as properties ('' = without it)."""
    image = cloud.add_image(
        f"{recipe}-v{number}",
        foreign=False,
        image=Image("", "", "active", protected=True, hidden=state != "current", size=1_500_000_000),
    )
    marks = {RECIPE: recipe, VERSION: str(number), STATE: state, SELF: image.id, BASE: "win7-sp1-x64"}
    marks |= {BUILT_AT: f"2026-01-{number:02d}T03:04:05+00:00", **GOOD, **properties}
    return cloud.update_image(image.id, properties={key: value or None for key, value in marks.items()})


def add_claim(cloud: FakeCloud, number: int, *, recipe: str = "small") -> Image:
    """The record that a build under way holds."""
    marks = {RECIPE: recipe, VERSION: str(number), STATE: "building", OWNER_KEY: "small-build", ROLE_KEY: "claim"}
    times = {HOLDER: "kim@host, pid 7", EXPIRES_AT: "2026-01-09T12:00:00+00:00"}
    return cloud.add_image("claim", foreign=False, image=Image("", "", "queued", hidden=True, properties=marks | times))


def add_desktop_snapshot(cloud: FakeCloud, of: Image) -> Image:
    """Somebody's snapshot of a desktop that was made from a version: Nova has copied all of its properties."""
    copied = Image("", "", "active", properties={**of.properties, "image_type": "snapshot", "base_image_ref": of.id})
    return cloud.add_image("my-desktop", foreign=False, image=copied)
