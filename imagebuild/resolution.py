"""What a recipe's names mean in this cloud today: ids of image, flavor, network and media, and whether there is room. Only reads."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from imagebuild.cloud import Cloud, Flavor, Headroom, Image, Network
from imagebuild.cloud_values import shortages
from imagebuild.errors import CloudRefused, RecipeError
from imagebuild.images import Version, list_versions, next_version, pick_current
from imagebuild.properties import GENERALIZED
from imagebuild.recipe import Recipe
from imagebuild.recipe_header import NOBODY, Source

GIB = 1 << 30
EXTRA_DISK_GIB = 1
Found = TypeVar("Found")


@dataclass(frozen=True)
class Medium:
    """A Glance ISO image to be attached as a CD-ROM; `gib` is the size of the volume that holds it."""

    id: str
    name: str
    gib: int
    checksum: str | None


@dataclass(frozen=True)
class Resolution:
    """Everything that was looked up before anything is made."""

    source: Image
    flavor: Flavor
    network: Network
    media: tuple[Medium, ...]
    version: int
    root_bus: str

    @property
    def root(self) -> dict[str, Any]:
        """What a build stands on, for the root of the plan's digest: contents, not names or ids of a moment."""
        return {
            "source": self.source.checksum or self.source.id,
            "root_bus": self.root_bus,
            "flavor": [self.flavor.vcpus, self.flavor.ram_mib, self.flavor.disk_gib],
            "media": [[medium.name, medium.checksum or medium.id] for medium in self.media],
        }

    @property
    def facts(self) -> dict[str, Any]:
        """The first facts of a build."""
        return {
            "source_image_id": self.source.id,
            "source_image_name": self.source.name,
            "source_min_ram": self.source.min_ram,
            "boot_image_id": self.source.id,
            "root_bus": self.root_bus,
            "flavor_id": self.flavor.id,
            "flavor_disk_gib": self.flavor.disk_gib,
            "network_id": self.network.id,
            "network_cidrs": list(self.network.cidrs),
            "media": [asdict(medium) for medium in self.media],
        }


def resolve(recipe: Recipe, cloud: Cloud, *, room: bool = True, seen: Sequence[Image] | None = None) -> Resolution:
    """Look everything up. Raises RecipeError with every problem at once: names that do not exist, sizes that do not fit, no room.

    `room`: whether quota is needed; a build that is resumed has had its own. `seen`: the project's images, by who has just looked.
    """
    problems: list[str] = []
    header = recipe.header
    source = _source(header.source, cloud, problems)
    flavor = _look("builder.flavor", header.builder.flavor, cloud.find_flavor, problems)
    network = _look("builder.network", header.builder.network, cloud.find_network, problems)
    if network and not network.cidrs:
        problems.append(f"builder.network: {network.name} has no subnet, so nothing in it gets an address")
    media = []
    for name in sorted({name for step in recipe.steps for name in step.media()}):
        image = _look("media", name, cloud.find_image, problems)
        if image and image.disk_format != "iso":
            problems.append(f"media {name!r} is {image.disk_format}, not an ISO image")
        elif image:
            media.append(Medium(image.id, image.name, max(1, -(-(image.size or 0) // GIB)), image.checksum))
    if source and source.status != "active":
        problems.append(f"source: {source.name} is {source.status}, not active")
    if source and flavor:
        problems += _misfits(source, flavor)
    if flavor and room:
        extra = [] if header.builder.extra_disk_bus == "none" else [EXTRA_DISK_GIB]
        groups = 0 if header.builder.allow_from == NOBODY else 1
        sizes = [*(medium.gib for medium in media), *extra]
        problems += _shortages(cloud.headroom(volumes=bool(sizes), network=groups > 0), flavor, sizes, groups=groups)
    if problems or not (source and flavor and network):
        words = f"{recipe.path} cannot be built in the cloud {cloud.name}"
        hint = "correct the recipe, or make what is missing; `invoke plan` looks again without touching anything"
        raise RecipeError(words, hint=hint, details=problems)
    root_bus = header.builder.root_bus or source.properties.get("hw_disk_bus") or "ide"
    version = next_version(cloud, recipe.name, among=seen)
    return Resolution(source, flavor, network, tuple(media), version, root_bus)


def _source(source: Source, cloud: Cloud, problems: list[str]) -> Image | None:
    """The image that the builder is booted from; a problem when there is none, or when it cannot be booted as a new machine."""
    if source.image:
        return _look("source.image", source.image, cloud.find_image, problems)
    versions = [one for one in list_versions(cloud, source.recipe) if one.state != "building"]
    chosen = _version(source, versions)
    if chosen is None:
        wanted = "current version" if source.version == "current" else f"version {source.version}"
        there = ", ".join(f"{one.name} ({one.state})" for one in versions) or "none"
        advice = "; next: invoke promote NAME" if source.version == "current" and versions else ""
        problems.append(f"source.recipe: {source.recipe} has no {wanted}; there are: {there}{advice}")
        return None
    if chosen.state == "rejected":
        problems.append(f"source.version: {chosen.name} was rejected")
    if chosen.image.properties.get(GENERALIZED) != "yes":
        problems.append(f"source.version: {chosen.name} is not generalized: every server from it would be its twin")
    return chosen.image


def _version(source: Source, versions: list[Version]) -> Version | None:
    if source.version == "current":
        return pick_current(versions, str(source.recipe))
    return next((one for one in versions if one.version == source.version), None)


def _look(place: str, name: str, find: Callable[[str], Found | None], problems: list[str]) -> Found | None:
    """The thing of that name; a problem when the cloud has none or cannot tell which."""
    try:
        found = find(name)
    except CloudRefused as error:  # a cloud that does not answer is no mistake in the recipe
        problems.append(f"{place}: {error}")
        return None
    if found is None:
        problems.append(f"{place}: there is no {name!r}")
    return found


def _misfits(source: Image, flavor: Flavor) -> Iterable[str]:
    if flavor.disk_gib and flavor.disk_gib < source.min_disk:
        yield f"builder.flavor: {flavor.name} has a disk of {flavor.disk_gib} GiB, {source.name} needs {source.min_disk}"
    if flavor.ram_mib < source.min_ram:
        yield f"builder.flavor: {flavor.name} has {flavor.ram_mib} MiB of memory, {source.name} needs {source.min_ram}"


def _shortages(room: Headroom, flavor: Flavor, volumes: list[int], *, groups: int) -> Iterable[str]:
    needs = room.for_servers(1, flavor) | room.for_volumes(volumes)
    needs["security groups"] = (groups, room.security_groups)
    return [f"quota: {line}" for line in shortages(needs)]
