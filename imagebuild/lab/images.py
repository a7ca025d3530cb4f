"""The images that the lab offers: the stand-in's base image and two media. Made once, kept in a cache, uploaded anew when they changed.

`python -m imagebuild.lab.images ROOT` makes the files only: the lab does that beside its other preparations.
"""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagebuild.lab.catalogue import translated
from imagebuild.lab.guest.image import build_image
from imagebuild.lab.guest.media import make_programs_iso, make_virtio_iso
from imagebuild.lab.jobs import Job
from imagebuild.lab.layout import Layout
from imagebuild.report import ConsoleReport, Report
from imagebuild.waiting import Deadline

DIGEST = "imagebuild_sha256"
BUILD_SECONDS = 900.0
HONEST = "imagebuild's stand-in for {what}. It is not Windows and holds nothing of Microsoft or Red Hat."

BASE_PROPERTIES = {
    "hw_disk_bus": "ide",
    "hw_vif_model": "e1000",
    "hw_cdrom_bus": "ide",
    "os_type": "windows",
    "os_distro": "windows",
    "os_version": "7",
    "architecture": "x86_64",
    "description": HONEST.format(what="a Windows 7 SP1 x64 base image"),
}


@dataclass(frozen=True)
class Offer:
    """An image of the lab: its name, its file, and what Glance shall say of it."""

    name: str
    file: Path
    disk_format: str
    properties: Mapping[str, str]
    min_disk: int = 0
    min_ram: int = 0


def plan_images(place: Layout) -> list[Job]:
    """The job that makes the image files. It takes longest, and the cloud is usable without them: it runs beside everything else."""
    command = ["nice", "-n", "10", sys.executable, "-m", "imagebuild.lab.images", str(place.root)]
    return [Job("guest-images", command, needs=("debian-packages",), background=True)]


def make_offers(place: Layout, report: Report, *, deadline: Deadline) -> list[Offer]:
    """The files of all images, from the cache where they are there."""
    base = build_image(cache=place.cache / "guest", report=report, deadline=deadline)
    media = place.cache / "media"
    media.mkdir(parents=True, exist_ok=True)
    virtio = make_virtio_iso(media / "virtio-win-0.1.173.iso")
    programs = make_programs_iso(media / "vdi-media.iso")
    return [
        Offer("win7-sp1-x64", base, "qcow2", BASE_PROPERTIES, min_disk=4, min_ram=256),
        Offer("virtio-win-0.1.173", virtio, "iso", {"description": HONEST.format(what="the virtio-win drivers")}),
        Offer("vdi-media", programs, "iso", {"description": HONEST.format(what="a site's installers")}),
    ]


def upload_images(cloud: Any, offers: list[Offer], report: Report) -> None:
    """Bring Glance to the offers: upload what is missing or changed, and remove the public images of that name that it replaces.

    An image that servers were booted from may go: Nova keeps its own copy.
    """
    with translated("uploading the lab's images"):
        for offer in offers:
            digest = _digest(offer)
            known = list(cloud.image.images(name=offer.name, visibility="public"))
            fitting = [image for image in known if _is_fitting(image, digest)]
            if not fitting:
                with report.step("upload", f"image {offer.name}"):
                    _upload(cloud, offer, digest)
            for image in known:
                if image not in fitting[:1]:
                    cloud.image.delete_image(image.id)


def _is_fitting(image: Any, digest: str) -> bool:
    return bool(image.status == "active" and image.properties.get(DIGEST) == digest)


def _upload(cloud: Any, offer: Offer, digest: str) -> None:
    cloud.image.create_image(
        name=offer.name,
        filename=str(offer.file),
        disk_format=offer.disk_format,
        container_format="bare",
        visibility="public",
        min_disk=offer.min_disk,
        min_ram=offer.min_ram,
        wait=True,
        validate_checksum=False,
        imagebuild_standin="yes",
        **{DIGEST: digest, **offer.properties},
    )


def _digest(offer: Offer) -> str:
    """Of the file and of everything that is said about it: either changes the image."""
    with offer.file.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    said = repr((offer.name, offer.disk_format, sorted(offer.properties.items()), offer.min_disk, offer.min_ram))
    return hashlib.sha256((content + said).encode()).hexdigest()


if __name__ == "__main__":
    make_offers(Layout(Path(sys.argv[1])), ConsoleReport(), deadline=Deadline.after(BUILD_SECONDS))
