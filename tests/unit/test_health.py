"""Health: what is found at an image, how bad it is, and the lines that Nagios reads, held against its plugin conventions."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from imagebuild.claim import Claim
from imagebuild.cloud import ROLE_KEY, Image, SecurityGroup
from imagebuild.health import Finding, Health, Level, Limits, count_things, days_since, examine_claims, examine_line
from imagebuild.holder import this_process
from imagebuild.images import list_versions
from imagebuild.properties import BUILT_AT, VERIFIED
from imagebuild.secrets import Secret
from tests.fakes.cloud import FakeCloud
from tests.unit.versions import a_cloud, add_version

NOW = datetime(2026, 1, 31, 3, 4, 5, tzinfo=UTC)
FIRST_LINE = re.compile(
    r"IMAGEBUILD (OK|WARNING|CRITICAL|UNKNOWN) - [^|\n]+"
    r"( \| ('[^'=]+'|[^ '=]+)=-?[0-9.]+(;[0-9.]*){0,4}( ('[^'=]+'|[^ '=]+)=-?[0-9.]+(;[0-9.]*){0,4})*)?"
)


def look(cloud: FakeCloud, **limits: float) -> Health:
    """The health of the recipe `small` on NOW: its first version was built 30 days before, the 28th 3 days."""
    findings, age = examine_line("small", list_versions(cloud, "small"), limits=Limits(**limits), now=NOW)
    return Health(findings, {} if age is None else {"small": age}, 0, Limits(**limits))


def test_a_current_image_that_is_young_and_proven_is_ok() -> None:
    cloud = a_cloud()
    add_version(cloud, 28, "current")
    health = look(cloud)
    assert health.level == Level.OK
    assert health.lines() == [
        "IMAGEBUILD OK - 1 current image, the oldest is small's with 3.0 days | 'small age_days'=3.0;30;45;0 leftovers=0;0;;0",
        "OK: small-v28 is current, 3.0 days old",
    ]


@pytest.mark.parametrize(
    ("limits", "level"),
    [
        ({"warning_days": 30.0, "critical_days": 45.0}, Level.OK),  # at the limit: Nagios' range is the same
        ({"warning_days": 29.9, "critical_days": 45.0}, Level.WARNING),
        ({"warning_days": 10.0, "critical_days": 29.9}, Level.CRITICAL),
    ],
)
def test_age_is_graded_by_the_limits(limits: dict[str, float], level: Level) -> None:
    cloud = a_cloud()
    add_version(cloud, 1, "current")
    assert look(cloud, **limits).level == level


@pytest.mark.parametrize(
    ("image", "properties", "level", "words"),
    [
        ({"status": "deactivated"}, {}, Level.CRITICAL, "no desktop can be made from it"),
        ({}, {VERIFIED: "failed"}, Level.CRITICAL, "its verification failed"),
        ({}, {VERIFIED: ""}, Level.WARNING, "was never verified; next: invoke verify small-v28"),
        ({"protected": False}, {}, Level.WARNING, "is not protected"),
        ({"hidden": True}, {}, Level.WARNING, "but hidden; next: invoke promote small-v28"),
        ({"created_at": "soon"}, {BUILT_AT: ""}, Level.WARNING, "does not say when it was built"),
    ],
)
def test_every_flaw_of_the_current_image_is_found(
    image: dict[str, object], properties: dict[str, str], level: Level, words: str
) -> None:
    cloud = a_cloud()
    made = add_version(cloud, 28, "current", **properties)
    cloud._change_image(made.id, **image)
    health = look(cloud)
    assert health.level == level
    assert words in health.lines()[0]


def test_nothing_current_is_critical_when_there_are_versions() -> None:
    cloud = a_cloud()
    assert (look(cloud).level, look(cloud).findings[0].text) == (Level.WARNING, "small: nothing was built yet")
    add_version(cloud, 28)
    add_version(cloud, 27, "rejected")
    assert look(cloud).level == Level.CRITICAL
    assert "none of 2 versions is current" in look(cloud).lines()[0]


def test_a_promotion_that_was_cut_off_is_found() -> None:
    cloud = a_cloud()
    add_version(cloud, 27, "current", imagebuild_promoted_at="2026-01-28T00:00:00+00:00")
    add_version(cloud, 28, "current", imagebuild_promoted_at="2026-01-29T00:00:00+00:00")
    assert "small-v27 says current as well as small-v28; next: invoke promote small-v28" in look(cloud).lines()[0]


@pytest.mark.parametrize(("verified", "todo"), [("passed", "promote"), ("", "verify")])
def test_a_candidate_that_waits_for_long_is_found_with_the_next_command(verified: str, todo: str) -> None:
    cloud = a_cloud()
    add_version(cloud, 20, "current")
    add_version(cloud, 22, "candidate", **{VERIFIED: verified})
    add_version(cloud, 28, "candidate")
    (waiting,) = [one for one in look(cloud).findings if one.level == Level.WARNING]
    assert waiting.text == f"small-v22 has been waiting for 9.0 days; next: invoke {todo} small-v22"


def test_an_expired_claim_is_found_and_a_living_one_is_not() -> None:
    now = datetime.now(UTC)
    old, young = (
        Claim("id", "small", "build", "3", "small-build", "kim@host", "", now + timedelta(hours=hours))
        for hours in (-1, 1)
    )
    assert list(examine_claims([young])) == []
    (finding,) = examine_claims([old, young])
    assert finding.level == Level.WARNING
    assert "next: invoke builds.unclaim small" in finding.text


def test_a_claim_whose_process_is_gone_is_found_before_it_expires() -> None:
    place, _, start = this_process().split()
    until = datetime.now(UTC) + timedelta(hours=1)
    dead = Claim("id", "small", "build", "3", "small-build", "kim@host", "", until, f"{place} {2**22 + 1} {start}")
    (finding,) = examine_claims([dead])
    assert "the claim of small-build on small is a dead process's" in finding.text


def test_things_are_counted_by_owner_without_claims() -> None:
    cloud = a_cloud()
    first = cloud.create_volume("v", owner="a", role="x", gib=1)
    cloud.clock.sleep(60)
    cloud.create_volume("w", owner="a", role="x", gib=1)
    cloud._groups["g"] = SecurityGroup("g", "g", "imagebuild_owner=b group")
    marks = {"imagebuild_owner": "c", ROLE_KEY: "claim"}
    cloud.add_image("claim", foreign=False, image=Image("", "", "queued", properties=marks))
    assert count_things(cloud) == {"a": (2, first.created_at), "b": (1, "")}


def test_the_worst_is_what_counts_and_comes_first() -> None:
    found = [Finding(level, level.name.lower()) for level in (Level.OK, Level.UNKNOWN, Level.WARNING, Level.CRITICAL)]
    for length, worst in ((1, Level.OK), (2, Level.UNKNOWN), (3, Level.WARNING), (4, Level.CRITICAL)):
        assert Health(found[:length]).level == worst
    lines = Health([*found, Finding(Level.CRITICAL, "another")]).lines()
    assert lines[0] == "IMAGEBUILD CRITICAL - critical (and 1 more)"
    assert [line.split(":")[0] for line in lines[1:]] == ["CRITICAL", "CRITICAL", "WARNING", "UNKNOWN", "OK"]


def test_whatever_is_found_the_first_line_is_one_that_nagios_can_read() -> None:
    Secret("hidden-in-health")
    health = Health(
        [Finding(Level.CRITICAL, "a | pipe\nand\tlines hidden-in-health")], {"win7-vdi": 3.21, "w.2": 0.0}, 3
    )
    first, *rest = health.lines()
    assert FIRST_LINE.fullmatch(first)
    assert first.startswith("IMAGEBUILD CRITICAL - a / pipe and lines *** | 'w.2 age_days'=0.0;30;45;0 'win7-vdi ")
    assert rest == ["CRITICAL: a / pipe and lines ***"]
    assert FIRST_LINE.fullmatch(Health([]).lines()[0])


def test_long_text_is_cut_before_nagios_cuts_it() -> None:
    lines = Health([Finding(Level.WARNING, f"finding {number}") for number in range(100)]).lines()
    assert (len(lines), lines[-1]) == (42, "... 60 more: invoke images")


@pytest.mark.parametrize(
    ("moment", "days"),
    [
        ("2026-01-30T03:04:05Z", 1.0),
        ("2026-01-30T03:04:05", 1.0),
        ("2026-01-30T12:04:05+09:00", 1.0),
        ("", None),
        ("x", None),
    ],
)
def test_days_are_counted_in_utc(moment: str, days: float | None) -> None:
    assert days_since(moment, NOW) == days
