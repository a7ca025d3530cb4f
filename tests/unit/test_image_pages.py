"""Images for a person's eyes: the table, and the page of one version."""

import pytest

from imagebuild.image_listing import table
from imagebuild.image_page import describe_version
from imagebuild.image_record import pack
from imagebuild.images import Version, find_version, list_versions
from imagebuild.properties import (
    GENERALIZED,
    PREVIOUS,
    PROMOTED_AT,
    REASON,
    RECORD,
    STANDIN,
    VERIFICATION,
    VERIFIED,
    VERIFIED_AT,
)
from tests.fakes.cloud import FakeCloud
from tests.unit.versions import a_cloud, add_claim, add_version

RECORD_OF_TWO = {
    "steps": [["updates", 3600.0], ["boot-builder", 12.4]],
    "updates": {f"KB{number}": "installed" for number in range(4_000_000, 4_000_040)},
    "programs": {"Agent": "7.4", "Plain": ""},
    "features": {},
}
CHECKS = [
    {"name": "sid", "outcome": "passed", "words": "its own", "clone": "vfy-1"},
    {"name": "rdp", "outcome": "failed", "words": "no answer", "clone": "vfy-2"},
]


@pytest.fixture
def cloud() -> FakeCloud:
    """A superseded, a current and a candidate version, the fourth being built."""
    made = a_cloud()
    first = add_version(made, 1, "superseded")
    told = {
        RECORD: pack(RECORD_OF_TWO),
        VERIFICATION: pack({"checks": CHECKS}),
        VERIFIED_AT: "2026-01-03T10:00:00+00:00",
    }
    add_version(made, 2, "current", **{PREVIOUS: first.id, PROMOTED_AT: "2026-01-05T01:02:03.456+00:00", **told})
    add_version(made, 3, **{VERIFIED: ""})
    add_claim(made, 4)
    return made


def page(cloud: FakeCloud, name: str, *uses: str) -> list[str]:
    return describe_version(find_version(cloud, name), list_versions(cloud), uses)


def test_the_table_has_a_line_for_each_and_its_columns_stand_below_each_other(cloud: FakeCloud) -> None:
    versions = list_versions(cloud)
    uses = {versions[1].image.id: ["server a (1)", "server b (2)"]}
    heading, *lines = table(versions, uses)
    assert lines[1].split()[:4] == ["small-v2", "current", "active", "1500"]
    for word in ("2026-01-02 03:04:05 ", "win7-sp1-x64", "protected", versions[1].image.id):
        assert word in lines[1]
    for column, word in (("STATE", "current"), ("BASE", "win7-sp1-x64"), ("GUARD", "protected")):
        assert heading.index(column) == lines[1].index(word)
    assert heading.index("USED") + len("USED") == lines[1].index("2  " + versions[1].image.id) + 1
    assert [line.split()[1] for line in lines] == ["superseded", "current", "candidate", "building"]


def test_one_that_is_being_built_names_who_and_until_when(cloud: FakeCloud) -> None:
    *_, last = table(list_versions(cloud), {})
    assert "small-v4  building" in last
    assert "by kim@host, pid 7 until 2026-01-09 12:00:00" in last


def test_what_is_not_protected_shows(cloud: FakeCloud) -> None:
    cloud.update_image(find_version(cloud, "small-v1").image.id, protected=False)
    assert " open " in table(list_versions(cloud), {})[1]


def test_no_versions_leave_the_heading() -> None:
    assert len(table([], {})) == 1


def test_the_page_tells_its_life_its_origin_and_its_neighbours(cloud: FakeCloud) -> None:
    lines = page(cloud, "small-v2", "server a (1)", "volume b (2)")
    text = "\n".join(lines)
    for words in (
        "current: active, listed, private, protected, 1500 MB qcow2",
        "promoted 2026-01-05 01:02:03 UTC",
        "before: small-v1 (superseded); after: small-v3 (candidate)",
        "became current after small-v1",
        "from win7-sp1-x64",
        "min_ram = 0 MiB",
        "updates 3600 s; boot-builder 12 s",
        "Agent 7.4; Plain",
        "used by      server a (1)",
        "             volume b (2)",
    ):
        assert words in text
    assert "NOT" not in text


def test_the_page_tells_the_verification_check_by_check(cloud: FakeCloud) -> None:
    text = "\n".join(page(cloud, "small-v2"))
    assert "verified     passed 2026-01-03 10:00:00 UTC" in text
    assert "passed       vfy-1  sid: its own" in text
    assert "failed       vfy-2  rdp: no answer" in text
    assert "verified     no" in "\n".join(page(cloud, "small-v3"))


def test_long_lists_are_counted_and_broken_into_lines_that_are_whole(cloud: FakeCloud) -> None:
    lines = page(cloud, "small-v2")
    place = next(number for number, line in enumerate(lines) if line.startswith("updates "))
    assert lines[place].split() == ["updates", "40"]
    assert lines[place + 1].strip().startswith("KB4000000; KB4000001; ")
    assert max(map(len, lines)) <= 130
    assert "\n".join(lines).count("KB40000") == 40


def test_a_line_is_never_broken_inside_a_name(cloud: FakeCloud) -> None:
    names = {f"Program number {number}": "1.0 beta" for number in range(40)}
    add_version(cloud, 5, **{RECORD: pack({"programs": names, "steps": []})})
    lines = page(cloud, "small-v5")
    whole = [item for line in lines for item in line[13:].rstrip(";").split("; ") if "Program number" in item]
    assert whole == sorted(f"{name} {value}" for name, value in names.items())


def test_without_an_inventory_the_sections_are_not_listed_one_by_one(cloud: FakeCloud) -> None:
    add_version(cloud, 5, **{RECORD: pack({"steps": []})})
    lines = page(cloud, "small-v5")
    assert "contents     not in the record: the recipe took no inventory" in lines
    assert not [line for line in lines if line.startswith("updates")]


def test_an_image_that_was_renamed_is_said(cloud: FakeCloud) -> None:
    cloud.update_image(find_version(cloud, "small-v2").image.id, name="golden")
    assert "NOT found by its name: somebody has called the image 'golden'" in "\n".join(page(cloud, "small-v2"))


def test_what_is_not_known_is_not_called_empty(cloud: FakeCloud) -> None:
    lines = page(cloud, "small-v2")
    assert "features     none" in lines
    assert "drivers      not in the record" in lines
    assert "record       none that can be read" in page(cloud, "small-v1")
    assert "used by      nothing in this project" in page(cloud, "small-v1")


def test_what_must_not_be_overlooked_stands_in_capitals(cloud: FakeCloud) -> None:
    odd = {"imagebuild_generalized": "no", STANDIN: "yes", REASON: "blue screens"}
    image = add_version(cloud, 5, "rejected", **odd)
    cloud.update_image(image.id, protected=False)
    text = "\n".join(page(cloud, "small-v5"))
    for words in ("NOT protected", "NOT generalised", "NOT Windows, but", "because: blue screens"):
        assert words in text


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("yes", None),
        ("no", "NOT generalised: never promoted"),
        ("unseen", "nobody saw whether it was generalised to the end"),
        (None, "NOT known to be generalised"),
        ("perhaps", "NOT known to be generalised"),
    ],
)
def test_of_the_seal_the_page_says_what_is_known(cloud: FakeCloud, told: str | None, words: str | None) -> None:
    cloud.update_image(add_version(cloud, 5).id, properties={GENERALIZED: told})
    lines = [line for line in page(cloud, "small-v5") if "generalised" in line]
    assert len(lines) == (words is not None)
    assert all(str(words) in line for line in lines)


def test_a_lone_version_has_no_neighbours() -> None:
    cloud = a_cloud()
    add_version(cloud, 1)
    version: Version = find_version(cloud, "small-v1")
    assert any("before: none; after: none" in line for line in describe_version(version, [version], ()))
