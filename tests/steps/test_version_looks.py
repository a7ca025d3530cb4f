"""images, images.show and images.diff as typed: for people and for machines, and what comes next."""

import json
from io import StringIO
from typing import Any

import pytest

from imagebuild.image_record import pack
from imagebuild.jobs import versions
from imagebuild.jobs.settings import Settings
from imagebuild.properties import GENERALIZED, PROMOTED_AT, RECORD, VERIFIED
from imagebuild.report import ConsoleReport, JsonReport
from tests.fakes.cloud import FakeCloud
from tests.unit.versions import a_cloud, add_claim, add_version


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    """Two recipes: one with a current version and one that waits, one with an overtaken candidate."""
    made = a_cloud()
    record = {RECORD: pack({"updates": {"KB1": "installed"}, "steps": []})}
    add_version(made, 1, "current", **{PROMOTED_AT: "2026-01-05"}, **record)
    add_version(made, 2, "candidate", **{VERIFIED: ""}, **{RECORD: pack({"updates": {}, "steps": []})})
    add_version(made, 1, "candidate", recipe="other")
    add_version(made, 2, "current", recipe="other")
    monkeypatch.setattr(Settings, "open_cloud", lambda settings, report: made)
    return made


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(tmp_path)


def printed(look: Any, *words: Any) -> list[str]:
    out = StringIO()
    look(*words, ConsoleReport(out))
    return out.getvalue().splitlines()


def events(look: Any, *words: Any) -> list[dict[str, Any]]:
    out = StringIO()
    look(*words, JsonReport(out))
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_the_list_ends_with_what_the_newest_candidate_waits_for(cloud: FakeCloud, settings: Settings) -> None:
    lines = printed(versions.images, None, settings)
    assert [line.split()[0] for line in lines] == ["NAME", "other-v1", "other-v2", "small-v1", "small-v2", "next:"]
    assert lines[-1] == "next: invoke verify small-v2"
    add_version(cloud, 3)
    add_claim(cloud, 4)
    assert printed(versions.images, "small", settings)[-1] == "next: invoke promote small-v3"
    assert not printed(versions.images, "other", settings)[-1].startswith("next")


def test_a_first_candidate_waits_as_well(cloud: FakeCloud, settings: Settings) -> None:
    add_version(cloud, 1, recipe="fresh")
    assert printed(versions.images, "fresh", settings)[-1] == "next: invoke promote fresh-v1"


def test_what_can_never_be_current_waits_for_nothing(cloud: FakeCloud, settings: Settings) -> None:
    add_version(cloud, 1, recipe="guard", **{GENERALIZED: "no"})
    assert not printed(versions.images, "guard", settings)[-1].startswith("next")


def test_a_seal_that_nobody_saw_is_verified_first(cloud: FakeCloud, settings: Settings) -> None:
    add_version(cloud, 1, recipe="torn", **{GENERALIZED: "unseen", VERIFIED: ""})
    assert printed(versions.images, "torn", settings)[-1] == "next: invoke verify torn-v1"


def test_the_list_for_a_machine(cloud: FakeCloud, settings: Settings) -> None:
    found = [event for event in events(versions.images, "small", settings) if "image" in event]
    assert [(event["image"], event["recipe"], event["version"], event["state"]) for event in found] == [
        ("small-v1", "small", 1, "current"),
        ("small-v2", "small", 2, "candidate"),
    ]
    assert found[0]["used"] == []


def test_no_images_say_how_to_make_one(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(Settings, "open_cloud", lambda settings, report: a_cloud())
    assert printed(versions.images, None, settings) == ["no images yet; to make one: invoke build win7-vdi"]
    assert printed(versions.images, "small", settings) == ["no images of small yet; to make one: invoke build small"]
    assert events(versions.images, None, settings)[0]["images"] == []


def test_show_is_a_page_and_for_a_machine_one_event_with_all(cloud: FakeCloud, settings: Settings) -> None:
    lines = printed(versions.show, "small", settings)
    assert lines[0].startswith("small-v1  (")
    assert any(line.startswith("updates      1") for line in lines)
    first = events(versions.show, "small-v1", settings)[0]
    assert (first["image"], first["state"], first["record"]["updates"]) == ("small-v1", "current", {"KB1": "installed"})
    assert RECORD not in first["properties"]
    assert first["properties"]["imagebuild_version"] == "1"


def test_diff_tells_each_difference_and_how_many(cloud: FakeCloud, settings: Settings) -> None:
    lines = printed(versions.differ, "small-v1", "small-v2", settings)
    assert [" ".join(line.split()) for line in lines] == [
        "updates - KB1 installed",
        "small-v1 -> small-v2: 1 difference",
    ]
    found = events(versions.differ, "small-v1", "small-v2", settings)
    assert (found[0]["section"], found[0]["sign"], found[0]["name"]) == ("updates", "-", "KB1")
    assert found[-1]["differences"] == 1


def test_no_difference_is_said(cloud: FakeCloud, settings: Settings) -> None:
    assert printed(versions.differ, "small", "small-v1", settings) == ["small-v1 -> small-v1: no difference"]


def test_what_a_record_does_not_tell_is_not_counted(cloud: FakeCloud, settings: Settings) -> None:
    old, new = ({"settings": {"windows build": "7601", **own}} for own in ({}, {"desktop power_plan": "on"}))
    add_version(cloud, 1, recipe="grown", **{RECORD: pack(old)})
    add_version(cloud, 2, recipe="grown", **{RECORD: pack(new)})
    lines = printed(versions.differ, "grown-v1", "grown-v2", settings)
    assert [" ".join(line.split()) for line in lines] == [
        "settings ? the record of grown-v1 does not tell desktop",
        "grown-v1 -> grown-v2: no difference in what both records tell",
    ]
    assert events(versions.differ, "grown-v1", "grown-v2", settings)[-1]["differences"] == 0
