"""The versions there are: only finished ones, in order, a line each."""

from dataclasses import replace

from imagebuild.cloud import OWNER_KEY, Image
from imagebuild.images import Version, list_versions, table
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud


def cloud_with(*images: Image) -> FakeCloud:
    cloud = FakeCloud(FakeClock())
    for image in images:
        cloud.add_image(image.name, foreign=False, image=image)
    return cloud


def version(recipe: str, number: int, **properties: str) -> Image:
    ours = {"imagebuild_recipe": recipe, "imagebuild_version": str(number), **properties}
    return Image("", f"{recipe}-v{number}", "active", size=1_500_000_000, protected=True, properties=ours)


def test_versions_stand_by_recipe_and_number() -> None:
    cloud = cloud_with(*(version("b", number) for number in (10, 9)), version("a", 2))
    assert [one.image.name for one in list_versions(cloud)] == ["a-v2", "b-v9", "b-v10"]
    assert [one.image.name for one in list_versions(cloud, "b")] == ["b-v9", "b-v10"]


def test_what_is_being_made_or_is_not_ours_is_left_out() -> None:
    cloud = cloud_with(version("a", 1), version("a", 2, **{OWNER_KEY: "build-7"}), Image("", "theirs", "active"))
    assert [one.version for one in list_versions(cloud)] == [1]


def test_the_table_has_a_line_for_each_and_its_columns_stand_below_each_other() -> None:
    built = {"imagebuild_built_at": "2026-01-02T03:04:05+00:00", "imagebuild_base": "win7-sp1-x64"}
    open_one = replace(version("a", 2), protected=False, size=None)
    heading, first, second = table([Version("a", 1, version("a", 1, **built)), Version("a", 2, open_one)])
    assert first.split()[:3] == ["a-v1", "active", "1500"]
    for word in ("2026-01-02 03:04:05 ", "win7-sp1-x64", "protected"):
        assert word in first
    assert " open " in second
    assert " 0 " in second
    assert first.index("protected") == second.index("open") == heading.index("GUARD")


def test_no_versions_leave_the_heading() -> None:
    assert len(table([])) == 1
