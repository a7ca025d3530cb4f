"""Rebuild or replace, for each kind of desktop and each wish of the rules."""

from dataclasses import replace
from typing import Any

import pytest

from imagebuild.cloud import Flavor, Image, Network
from imagebuild.pool.definition import Rules
from imagebuild.pool.differences import hardware_changes
from imagebuild.pool.methods import choose_method
from imagebuild.pool.model import Desktop

IMAGE = Image("i2", "small-v2", "active")
TPM_IMAGE = replace(IMAGE, properties={"hw_tpm_version": "2.0"})
FLAVOR, NETWORK = Flavor("f1", "desktop", 2, 2048, 40), Network("n1", "vdi", ("10.0.0.0/24",))
DESKTOP = Desktop(id="s1", name="desktop-1", status="ACTIVE", flavor="desktop", addresses=("10.0.0.7",))
VOLUME = replace(DESKTOP, volume_backed=True)
VTPM = replace(DESKTOP, vtpm=True)


@pytest.mark.parametrize(
    ("desktop", "rules", "image", "method", "words"),
    [
        (DESKTOP, {}, IMAGE, "rebuild", ""),
        (DESKTOP, {"method": "rebuild"}, IMAGE, "rebuild", "rules say so"),
        (DESKTOP, {"method": "replace"}, IMAGE, "replace", "rules say so"),
        (VTPM, {}, IMAGE, "replace", "virtual TPM"),
        (DESKTOP, {}, TPM_IMAGE, "replace", "virtual TPM"),
        (VTPM, {"method": "rebuild"}, IMAGE, None, "must be auto or replace"),
        (VOLUME, {}, IMAGE, "replace", "allow_root_volume_wipe is false"),
        (VOLUME, {"method": "rebuild"}, IMAGE, None, "allow_root_volume_wipe must be true"),
        (VOLUME, {"allow_root_volume_wipe": True}, IMAGE, "rebuild", "root volume is overwritten"),
        (VOLUME, {"method": "replace", "allow_root_volume_wipe": True}, IMAGE, "replace", "rules say so"),
        (replace(VOLUME, vtpm=True), {"allow_root_volume_wipe": True}, IMAGE, "replace", "virtual TPM"),
        (replace(DESKTOP, flavor="tiny"), {}, IMAGE, "replace", "its flavor is tiny, the pool's is desktop"),
        (replace(DESKTOP, flavor="tiny"), {"method": "rebuild"}, IMAGE, "rebuild", "rules say so"),
        (replace(DESKTOP, flavor="f1"), {}, IMAGE, "rebuild", ""),
        (replace(DESKTOP, addresses=("192.168.1.1",)), {}, IMAGE, "replace", "outside the pool's network vdi"),
        (replace(DESKTOP, addresses=()), {}, IMAGE, "rebuild", ""),
    ],
)
def test_the_method_of_a_desktop(
    desktop: Desktop, rules: dict[str, Any], image: Image, method: str | None, words: str
) -> None:
    choice = choose_method(desktop, Rules.model_validate(rules), image=image, flavor=FLAVOR, network=NETWORK)
    assert choice.method == method
    assert words in choice.why


def test_a_network_whose_ranges_nobody_tells_changes_no_method() -> None:
    network = replace(NETWORK, cidrs=())
    assert choose_method(DESKTOP, Rules(), image=IMAGE, flavor=FLAVOR, network=network).method == "rebuild"


def test_hardware_that_stops_a_boot_is_marked_and_the_rest_is_not() -> None:
    old = Image("i1", "v1", "active", min_ram=1024, properties={"hw_disk_bus": "ide", "os_type": "windows"})
    new = Image("i2", "v2", "active", min_ram=2048, properties={"hw_disk_bus": "virtio", "hw_firmware_type": "uefi"})
    changes = hardware_changes([old], new)
    dangers = {one.difference.name: bool(one.danger) for one in changes}
    assert dangers == {"hw_disk_bus": True, "hw_firmware_type": True, "os_type": True, "min_ram": False}
    line = next(str(one) for one in changes if one.difference.name == "hw_disk_bus")
    assert "ide -> virtio" in line and "DANGER: Windows does not start" in line
    assert hardware_changes([new], new) == ()
