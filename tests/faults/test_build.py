"""A whole build in bad weather: of every call that makes something the answer is lost, of the others one in twenty goes wrong."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from imagebuild.claim import claims
from imagebuild.cleaning import leftovers
from imagebuild.jobs.building import build
from imagebuild.jobs.settings import Settings
from imagebuild.properties import RECIPE
from imagebuild.report import ConsoleReport
from imagebuild.waiting import Deadline
from tests.faults.conftest import Site
from tests.faults.proxy import WEATHER_CLOUD, Fault, Rule, Weather
from tests.lab.project import QUICK, Project

pytestmark = pytest.mark.lab
SEED = 20260101
SHARE = 0.05
NAME = "faults-weather"
SERVER = r"compute/v2\.1/servers"


def certain() -> list[Rule]:
    """What is sure to go wrong, in the order of a build."""
    return [
        Rule("GET", r"image/$", Fault.ERROR),
        Rule("POST", r"image/v2/images$", Fault.LOST),
        Rule("POST", r"network/v2\.0/security-groups$", Fault.GATEWAY),
        Rule("POST", r"volume/v3/\w+/volumes$", Fault.LOST),
        Rule("POST", rf"{SERVER}$", Fault.LOST),
        Rule("GET", rf"{SERVER}/[^/]+$", Fault.EXPIRED, nth=4),
        Rule("POST", rf"{SERVER}/[^/]+/action$", Fault.LOST, words=b"createImage"),
        Rule("PATCH", r"image/v2/images/", Fault.LOST),
        Rule("DELETE", rf"{SERVER}/", Fault.LOST),
        Rule("DELETE", r"network/v2\.0/security-groups/", Fault.CUT),
    ]


def test_it_ends_with_one_image_and_nothing_else(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    project = Project(tmp_path)
    project.recipe(NAME, without=QUICK)
    weather = Weather(certain(), share=SHARE, seed=SEED)
    try:
        with site.clouds_yaml(weather) as clouds_yaml:
            monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds_yaml))
            built = build(NAME, Settings(project.folder, WEATHER_CLOUD), ConsoleReport())
        images = site.cloud.images(properties={RECIPE: NAME})
        assert [(image.id, image.status) for image in images] == [(built.image_id, "active")]
        assert built.folder is not None and leftovers(site.cloud, built.folder.id) == []
        assert claims(site.cloud, NAME) == []
    finally:
        sweep(site)
    struck = Counter(call.fault for call in weather.met())
    assert [rule for rule in weather.rules if rule.seen < rule.nth] == [], "all that was certain has struck"
    told = ", ".join(f"{count} x {fault.value}" for fault, count in struck.most_common() if fault)
    record_property("told", f"a build of {len(weather.calls)} calls, {sum(struck.values())} struck: {told}")


def sweep(site: Site) -> None:
    """Everything of the recipe, whatever became of its build."""
    for owner in {thing.owner for thing in leftovers(site.cloud)}:
        if owner.startswith(f"{NAME}-"):
            site.sweep(owner)
    for image in site.cloud.images(properties={RECIPE: NAME}):
        site.cloud.update_image(image.id, protected=False)
        site.cloud.delete("image", image.id, deadline=Deadline.after(60))
