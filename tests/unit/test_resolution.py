"""Resolution: every name, size and quota that is wrong is told at once, before anything is made."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from imagebuild.cloud import Image
from imagebuild.errors import CloudRefused, CloudUnreachable, RecipeError
from imagebuild.properties import GENERALIZED
from imagebuild.recipe import Recipe
from imagebuild.resolution import resolve
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud
from tests.fakes.cloud_world import Limits
from tests.unit.examples import write_recipe
from tests.unit.versions import add_claim, add_desktop_snapshot, add_version

ISO = Image("", "", "active", disk_format="iso", size=10)
READS = {"find_image", "find_flavor", "find_network", "headroom", "images"}


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return write_recipe(tmp_path)


@pytest.fixture
def cloud() -> FakeCloud:
    made = FakeCloud(FakeClock())
    made.add_image("base", image=Image("", "", "active", min_disk=20, min_ram=1024, checksum="c0ffee"))
    made.add_image("drivers-cd", image=ISO)
    made.add_image("programs-cd", image=replace(ISO, size=(3 << 30) + 1))
    made.add_flavor("f")
    made.add_network("n", "10.0.0.0/24")
    return made


def problems(recipe: Recipe, cloud: FakeCloud) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        resolve(recipe, cloud)
    assert "small.yaml cannot be built in the cloud fake" in str(caught.value)
    assert caught.value.hint
    return list(caught.value.details)


def test_everything_is_looked_up_and_nothing_made(recipe: Recipe, cloud: FakeCloud) -> None:
    found = resolve(recipe, cloud)
    assert (found.source.name, found.flavor.name, found.network.name, found.version) == ("base", "f", "n", 1)
    assert [(medium.name, medium.gib) for medium in found.media] == [("drivers-cd", 1), ("programs-cd", 4)]
    assert set(cloud.faults.calls) <= READS
    facts = found.facts
    assert facts["source_image_id"] == found.source.id
    assert facts["media"][1] == {"id": found.media[1].id, "name": "programs-cd", "gib": 4, "checksum": None}


def test_all_that_is_missing_is_told_at_once(recipe: Recipe) -> None:
    assert problems(recipe, FakeCloud(FakeClock())) == [
        "source.image: there is no 'base'",
        "builder.flavor: there is no 'f'",
        "builder.network: there is no 'n'",
        "media: there is no 'drivers-cd'",
        "media: there is no 'programs-cd'",
    ]


def test_names_that_two_images_share_are_told(recipe: Recipe, cloud: FakeCloud) -> None:
    cloud.add_image("base")
    assert problems(recipe, cloud) == ["source.image: 2 active images are called 'base'"]


def test_a_medium_must_be_an_iso(recipe: Recipe) -> None:
    other = FakeCloud(FakeClock())
    for name in ("base", "drivers-cd", "programs-cd"):
        other.add_image(name)
    other.add_flavor("f")
    other.add_network("n", "10.0.0.0/24")
    assert problems(recipe, other) == [
        "media 'drivers-cd' is qcow2, not an ISO image",
        "media 'programs-cd' is qcow2, not an ISO image",
    ]


def test_a_source_that_is_not_ready_or_does_not_fit(recipe: Recipe, cloud: FakeCloud, tmp_path: Path) -> None:
    queued = cloud.add_image("x", image=Image("", "", "queued", min_disk=41, min_ram=4096))
    text = (tmp_path / "small.yaml").read_text().replace("image: base", f"image: {queued.id}")
    assert problems(write_recipe(tmp_path, text), cloud) == [
        "source: x is queued, not active",
        "builder.flavor: f has a disk of 40 GiB, x needs 41",
        "builder.flavor: f has 2048 MiB of memory, x needs 4096",
    ]


def test_a_flavor_without_a_disk_of_its_own_fits_every_image(recipe: Recipe, cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.add_flavor("diskless", disk_gib=0)
    text = (tmp_path / "small.yaml").read_text().replace("flavor: f", "flavor: diskless")
    assert resolve(write_recipe(tmp_path, text), cloud).flavor.name == "diskless"


def test_a_network_without_a_subnet_gives_nobody_an_address(recipe: Recipe, cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.add_network("bare")
    text = (tmp_path / "small.yaml").read_text().replace("network: n", "network: bare")
    (only,) = problems(write_recipe(tmp_path, text), cloud)
    assert only.startswith("builder.network: bare has no subnet")


def from_line(recipe: Recipe, folder: Path, version: str = "current") -> Recipe:
    """The recipe with a version of its own line as the source."""
    text = recipe.path.read_text()
    text = re.sub(r"source: \{.*\}", f"source: {{recipe: small, version: {version}}}", text)
    return write_recipe(folder, text)


def test_a_source_may_be_the_current_version_of_a_recipe(recipe: Recipe, cloud: FakeCloud, tmp_path: Path) -> None:
    add_version(cloud, 1, "superseded")
    current = add_version(cloud, 2, "current", hw_disk_bus="virtio")
    add_version(cloud, 3, "candidate")
    found = resolve(from_line(recipe, tmp_path), cloud)
    assert (found.source.id, found.root_bus, found.version) == (current.id, "virtio", 4)


def test_a_source_may_be_a_version_by_its_number(recipe: Recipe, cloud: FakeCloud, tmp_path: Path) -> None:
    first = add_version(cloud, 1, "superseded")
    add_version(cloud, 2, "current")
    assert resolve(from_line(recipe, tmp_path, "1"), cloud).source.id == first.id


def test_a_line_without_a_current_version_says_what_there_is(recipe: Recipe, cloud: FakeCloud, tmp_path: Path) -> None:
    assert problems(from_line(recipe, tmp_path), cloud) == [
        "source.recipe: small has no current version; there are: none"
    ]
    add_version(cloud, 1, "rejected")
    add_version(cloud, 2, "candidate")
    add_claim(cloud, 3)
    assert problems(from_line(recipe, tmp_path), cloud) == [
        "source.recipe: small has no current version; there are: small-v1 (rejected), small-v2 (candidate); "
        "next: invoke promote NAME"
    ]
    assert problems(from_line(recipe, tmp_path, "3"), cloud) == [
        "source.recipe: small has no version 3; there are: small-v1 (rejected), small-v2 (candidate)"
    ]


def test_a_rejected_version_and_one_that_was_not_generalized_are_no_source(
    recipe: Recipe, cloud: FakeCloud, tmp_path: Path
) -> None:
    add_version(cloud, 1, "rejected", **{GENERALIZED: "no"})
    assert problems(from_line(recipe, tmp_path, "1"), cloud) == [
        "source.version: small-v1 was rejected",
        "source.version: small-v1 is not generalized: every server from it would be its twin",
    ]


def test_somebodys_snapshot_of_a_desktop_is_no_version(recipe: Recipe, cloud: FakeCloud, tmp_path: Path) -> None:
    current = add_version(cloud, 1, "current")
    add_desktop_snapshot(cloud, current)
    assert resolve(from_line(recipe, tmp_path), cloud).source.id == current.id


@pytest.mark.parametrize(
    ("told", "wanted", "bus"), [("", "", "ide"), ("sata", "", "sata"), ("virtio", "ide", "ide"), ("", "scsi", "scsi")]
)
def test_the_root_disk_is_on_the_sources_bus_unless_the_recipe_says_otherwise(
    recipe: Recipe, cloud: FakeCloud, tmp_path: Path, told: str, wanted: str, bus: str
) -> None:
    image = cloud.add_image("of-a-bus", **({"hw_disk_bus": told} if told else {}))
    text = recipe.path.read_text().replace("{image: base}", f"{{image: {image.id}}}")
    text = text.replace("network: n}", f"network: n, root_bus: {wanted}}}") if wanted else text
    found = resolve(write_recipe(tmp_path, text), cloud)
    assert (found.root_bus, found.facts["root_bus"], found.root["root_bus"]) == (bus, bus, bus)


def test_every_quota_that_is_short_is_told(recipe: Recipe, cloud: FakeCloud) -> None:
    cloud.limits = Limits(instances=0, cores=1, ram_mib=2047, volumes=2, gigabytes=5, security_groups=0)
    assert problems(recipe, cloud) == [
        "quota: instances: 1 needed, 0 left",
        "quota: cores: 2 needed, 1 left",
        "quota: MiB of memory: 2048 needed, 2047 left",
        "quota: volumes: 3 needed, 2 left",
        "quota: GiB of volumes: 6 needed, 5 left",
        "quota: security groups: 1 needed, 0 left",
    ]


def test_a_builder_without_disks_needs_no_volume(recipe: Recipe, cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.limits = Limits(volumes=0, gigabytes=0)
    text = recipe.path.read_text().replace("network: n}", "network: n, extra_disk_bus: none}")
    bare = write_recipe(tmp_path, text[: text.index("steps:")] + "steps: [boot-builder, stop-builder, snapshot]\n")
    assert resolve(bare, cloud).media == ()


def test_just_enough_is_enough(recipe: Recipe, cloud: FakeCloud) -> None:
    cloud.limits = Limits(instances=1, cores=2, ram_mib=2048, volumes=3, gigabytes=6, security_groups=1)
    assert resolve(recipe, cloud).version == 1


def test_a_quota_that_nobody_tells_is_no_limit(
    recipe: Recipe, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    untold = replace(cloud.headroom(), **dict.fromkeys(vars(cloud.headroom())))
    monkeypatch.setattr(cloud, "headroom", lambda **_: untold)
    assert resolve(recipe, cloud).version == 1


@pytest.mark.parametrize("call", sorted(READS))
def test_a_cloud_that_does_not_answer_is_no_mistake_in_the_recipe(recipe: Recipe, cloud: FakeCloud, call: str) -> None:
    cloud.faults.fail(call, CloudUnreachable("503"))
    with pytest.raises(CloudUnreachable):
        resolve(recipe, cloud)


def test_a_refusal_is_told_with_the_place_it_is_about(recipe: Recipe, cloud: FakeCloud) -> None:
    cloud.faults.fail("find_flavor", CloudRefused("403 not allowed"))
    assert problems(recipe, cloud) == ["builder.flavor: 403 not allowed"]


def test_the_root_of_the_digest_stands_on_contents(recipe: Recipe, cloud: FakeCloud) -> None:
    found = resolve(recipe, cloud)
    assert found.root["source"] == "c0ffee"
    assert replace(found, source=replace(found.source, checksum=None)).root["source"] == found.source.id
    assert replace(found, source=replace(found.source, name="renamed")).root == found.root
