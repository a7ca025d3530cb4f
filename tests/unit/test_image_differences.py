"""Differences of two images: what came, what went, what changed, and what a record does not tell."""

from typing import Any

import pytest

from imagebuild.cloud import Image
from imagebuild.image_differences import find_differences, hardware_of
from imagebuild.image_record import pack
from imagebuild.properties import RECORD

CONTENTS: dict[str, dict[str, str]] = {
    "settings": {"windows time_zone": "Korea Standard Time"},
    "updates": {"KB1": "installed", "KB2": "installed"},
    "drivers": {"netkvm.cat": "61.77"},
    "programs": {"Agent": "7.4", "Old": "1"},
}


def an_image(name: str, contents: dict[str, Any] | None = None, *, min_ram: int = 1024, **properties: str) -> Image:
    record = {} if contents is None else {RECORD: pack(contents)}
    return Image(name, name, "active", min_disk=40, min_ram=min_ram, properties={**properties, **record})


def lines(first: Image, second: Image) -> list[str]:
    return [" ".join(str(one).split()) for one in find_differences(first, second)]


def test_the_same_twice_has_none() -> None:
    assert lines(an_image("a", CONTENTS, hw_disk_bus="virtio"), an_image("b", CONTENTS, hw_disk_bus="virtio")) == []


def test_each_section_tells_what_came_what_went_and_what_changed() -> None:
    newer = {
        **CONTENTS,
        "settings": {"windows time_zone": "UTC"},
        "updates": {"KB2": "installed", "KB3": "installed"},
        "drivers": {"netkvm.cat": "100.1"},
        "programs": {"Agent": "7.4", "New": ""},
    }
    assert lines(an_image("a", CONTENTS), an_image("b", newer)) == [
        "settings ~ windows time_zone Korea Standard Time -> UTC",
        "updates - KB1 installed",
        "updates + KB3 installed",
        "drivers ~ netkvm.cat 61.77 -> 100.1",
        "programs + New",
        "programs - Old 1",
    ]


def test_hardware_is_what_decides_on_the_machine_and_nothing_else() -> None:
    first = an_image("a", hw_disk_bus="virtio", os_type="windows", imagebuild_version="1", base_image_ref="x")
    second = an_image("b", min_ram=2048, hw_disk_bus="scsi", imagebuild_version="2", **{"trait:GPU": "required"})
    assert lines(first, second) == [
        "hardware ~ hw_disk_bus virtio -> scsi",
        "hardware ~ min_ram 1024 MiB -> 2048 MiB",
        "hardware - os_type windows",
        "hardware + trait:GPU required",
    ]
    assert list(hardware_of(first)) == ["min_disk", "min_ram", "hw_disk_bus", "os_type"]


@pytest.mark.parametrize("lacking", ["first", "second"])
def test_what_a_record_does_not_tell_is_no_difference_but_said(lacking: str) -> None:
    whole, part = an_image("whole", CONTENTS), an_image("part", {"updates": CONTENTS["updates"]})
    told = lines(part, whole) if lacking == "first" else lines(whole, part)
    assert told == [f"{name} ? the record of part does not tell" for name in ("settings", "drivers", "programs")]


OWN = {
    "broker Agent": "Broker 10.0.0.9",
    "desktop no_scheduled_defrag": "off",
    "desktop power_plan": "on",
    "remote desktop nla": "on",
    "time servers": "time.windows.com",
}


def with_settings(name: str, settings: dict[str, str]) -> Image:
    return an_image(name, {"settings": {"windows time_zone": "UTC", **settings}})


def test_what_our_own_scripts_set_is_a_line_each() -> None:
    changed = OWN | {"desktop no_scheduled_defrag": "on", "remote desktop nla": "off"}
    assert lines(with_settings("v1", OWN), with_settings("v3", changed)) == [
        "settings ~ desktop no_scheduled_defrag off -> on",
        "settings ~ remote desktop nla on -> off",
    ]


def test_a_record_from_before_these_lines_does_not_tell_them() -> None:
    old, new = with_settings("old", {"service_pack": "1"}), with_settings("new", OWN)
    untold = "settings ? the record of old does not tell broker, desktop, remote desktop, time servers"
    assert lines(old, new) == ["settings - service_pack 1", untold]
    assert lines(new, old) == ["settings + service_pack 1", untold]


def test_an_item_that_only_one_of_two_knows_is_untold_by_its_name() -> None:
    first = with_settings("first", OWN | {"desktop of_old": "on"})
    second = with_settings("second", OWN | {"desktop brand_new": "on", "desktop power_plan": "off"})
    assert lines(first, second) == [
        "settings ~ desktop power_plan on -> off",
        "settings ? the record of first does not tell desktop brand_new",
        "settings ? the record of second does not tell desktop of_old",
    ]


def test_two_without_records_are_compared_by_what_they_ask_for() -> None:
    assert lines(an_image("a"), an_image("b", min_ram=1)) == ["hardware ~ min_ram 1024 MiB -> 1 MiB"]


def test_a_difference_is_plain_for_a_machine() -> None:
    (one,) = find_differences(an_image("a"), an_image("b", min_ram=1))
    wanted = {"section": "hardware", "sign": "~", "name": "min_ram", "before": "1024 MiB", "after": "1 MiB"}
    assert one.as_json() == wanted
