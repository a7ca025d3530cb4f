"""`invoke check` from recipes to lines: which ones are looked at, whose leftovers are told, and that it always answers."""

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imagebuild.build_folder import new_build_folder
from imagebuild.cloud import OWNER_KEY, ROLE_KEY
from imagebuild.errors import CloudUnreachable
from imagebuild.health import Health, Level, Limits
from imagebuild.interruption import ends_within
from imagebuild.jobs.checking import check
from imagebuild.jobs.settings import Settings
from imagebuild.journal import Journal
from imagebuild.properties import BUILT_AT, CLAIM_ROLE, EXPIRES_AT, RECIPE
from tests.fakes.cloud import FakeCloud
from tests.unit.examples import PROJECT
from tests.unit.versions import a_cloud, add_version

Look = Callable[..., Health]
FRESH = {BUILT_AT: datetime.now(UTC).isoformat()}


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    made = a_cloud()
    monkeypatch.setattr(Settings, "open_cloud_as_it_is", lambda settings: made)
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "recipes").mkdir()
    for name in ("win7-vdi", "empty"):
        (tmp_path / "recipes" / f"{name}.yaml").write_text((PROJECT / "recipes" / f"{name}.yaml").read_text())
    return Settings(tmp_path)


@pytest.fixture
def look(settings: Settings) -> Look:
    def run(*recipes: str, seconds: float = 50) -> Health:
        return check(settings, recipes, limits=Limits(), seconds=seconds)

    return run


def texts(health: Health) -> list[str]:
    return [finding.text for finding in health.findings]


def test_all_is_well(look: Look, cloud: FakeCloud) -> None:
    add_version(cloud, 1, "current", recipe="win7-vdi", **FRESH)
    health = look()
    assert (health.level, list(health.ages), health.leftovers) == (Level.OK, ["win7-vdi"], 0)


def test_every_line_counts_that_is_to_be_rebuilt_or_that_somebody_uses(look: Look, cloud: FakeCloud) -> None:
    add_version(cloud, 1, "current", recipe="of-another-project", **FRESH)
    add_version(cloud, 1, "superseded", recipe="retired", **FRESH)
    add_version(cloud, 1, "candidate", recipe="empty", **FRESH)
    health = look()
    assert texts(health) == [
        "of-another-project-v1 is current, 0.0 days old",
        "win7-vdi: nothing was built yet",
    ]


def test_a_recipe_that_is_named_is_looked_at_alone_whatever_its_policy(look: Look, cloud: FakeCloud) -> None:
    add_version(cloud, 1, "candidate", recipe="empty", **FRESH)
    assert texts(look("empty")) == ["empty: none of 1 versions is current; next: invoke promote NAME"]


def test_a_name_that_nobody_knows_is_unknown(look: Look, cloud: FakeCloud) -> None:
    health = look("win7-vdo")
    assert health.level == Level.UNKNOWN
    assert "there is no recipe win7-vdo" in health.lines()[0]


def test_a_recipe_that_is_broken_hides_nothing_of_the_others(look: Look, cloud: FakeCloud, settings: Settings) -> None:
    add_version(cloud, 1, "current", recipe="win7-vdi", **FRESH)
    (settings.recipes / "broken.yaml").write_text("recipe: broken\n")
    health = look()
    assert health.level == Level.WARNING
    assert "broken.yaml has" in health.lines()[0]
    assert list(health.ages) == ["win7-vdi"]


def test_leftovers_count_when_their_build_is_dead(look: Look, cloud: FakeCloud, settings: Settings) -> None:
    dead, alive, kept = (new_build_folder(settings.builds, name) for name in ("dead", "alive", "kept"))
    for folder in (dead, alive, kept):
        cloud.create_volume("v", owner=folder.id, role="x", gib=1)
        with Journal(folder.journal) as journal:
            journal.write("build_begun", recipe="small", cloud="fake")
    with Journal(kept.journal) as journal:
        journal.write("kept")
    with Journal(alive.journal):
        health = look()
    assert [text for text in texts(health) if " dead, " in text] == [
        f"{dead.id} is dead, 1 of its things stand; next: invoke sweep"
    ]
    assert health.leftovers == 1


def test_another_machines_leftovers_count_after_a_day_without_a_living_claim(look: Look, cloud: FakeCloud) -> None:
    def stand_since(owner: str, days: float) -> None:
        volume = cloud.create_volume("v", owner=owner, role="x", gib=1)
        moment = datetime.now(UTC) - timedelta(days=days)
        cloud._volumes[volume.id] = type(volume)(
            volume.id, "v", "available", 1, metadata=volume.metadata, created_at=moment.isoformat()
        )

    stand_since("theirs-old", 1.1)
    stand_since("theirs-young", 0.9)
    stand_since("theirs-at-work", 1.1)
    claim = {"imagebuild_owner": "theirs-at-work", "imagebuild_recipe": "x"}
    claim["imagebuild_expires_at"] = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    cloud.reserve_image("00000000-0000-0000-0000-000000000001", "c", properties={**claim, "imagebuild_role": "claim"})
    assert [text for text in texts(look()) if " dead, " in text] == [
        "theirs-old is dead, 1 of its things stand; next: invoke sweep --foreign"
    ]


def test_a_named_recipe_is_not_red_for_anothers_dead_build(look: Look, cloud: FakeCloud, settings: Settings) -> None:
    add_version(cloud, 1, "current", recipe="win7-vdi", **FRESH)
    add_version(cloud, 1, "current", recipe="other", **FRESH)
    owners = {}
    for number, name in enumerate(("win7-vdi", "verify-win7-vdi-v1", "other", "verify-other-v1", "win7-vdi-big")):
        folder = new_build_folder(settings.builds, name)
        owners[folder.id] = name
        cloud.create_volume("v", owner=folder.id, role="x", gib=1)
        with Journal(folder.journal) as journal:
            journal.write("build_begun", recipe=name, cloud="fake")
        claim = {OWNER_KEY: folder.id, RECIPE: name, EXPIRES_AT: "2026-01-01T00:00:00+00:00", ROLE_KEY: CLAIM_ROLE}
        cloud.reserve_image(f"00000000-0000-0000-0000-00000000000{number}", "c", properties=claim)

    def red_for(*recipes: str) -> tuple[set[str], set[str]]:
        said = "\n".join(texts(look(*recipes)))
        dead = {name for owner, name in owners.items() if f"{owner} is dead" in said}
        return dead, {name for owner, name in owners.items() if f"the claim of {owner}" in said}

    everything = set(owners.values())
    assert red_for() == (everything, everything)
    assert red_for("win7-vdi") == ({"win7-vdi", "verify-win7-vdi-v1"}, {"win7-vdi"})
    assert red_for("other") == ({"other", "verify-other-v1"}, {"other"})
    assert (look("other").leftovers, look().leftovers) == (2, 5)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (CloudUnreachable("503 from keystone", hint="is it up?"), "503 from keystone (is it up?)"),
        (ZeroDivisionError("a bug"), "a defect of imagebuild: ZeroDivisionError: a bug"),
    ],
)
def test_whatever_breaks_the_look_is_unknown_and_no_trace(
    look: Look, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cloud, "images", fail)
    assert look().lines() == [f"IMAGEBUILD UNKNOWN - {words}", f"UNKNOWN: {words}"]


def test_a_cloud_that_never_answers_is_unknown_in_time(
    look: Look, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud, "images", lambda **_: signal.pause())
    begun = time.monotonic()
    health = look(seconds=0.2)
    assert time.monotonic() - begun < 5
    assert health.lines()[0] == "IMAGEBUILD UNKNOWN - waited 0.2 s for the cloud's answers"


def test_the_alarm_does_not_outlive_the_look() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with ends_within(30, "nothing"):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) == before
