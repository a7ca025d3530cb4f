"""What is different between two images: updates, drivers, programs, settings by their records, and the hardware they ask for."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from imagebuild.cloud import Image
from imagebuild.image_contents import SECTIONS, topic_of
from imagebuild.image_record import unpack
from imagebuild.properties import RECORD

_HARDWARE_PREFIXES = ("hw_", "os_", "img_", "trait:", "architecture")


@dataclass(frozen=True)
class Difference:
    """One line: what is only in the second (`+`), only in the first (`-`), or other (`~`); `?` = a record does not tell."""

    section: str
    sign: Literal["+", "-", "~", "?"]
    name: str
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        words = {
            "+": f"{self.name} {self.after}",
            "-": f"{self.name} {self.before}",
            "~": f"{self.name} {self.before} -> {self.after}",
            "?": self.name,
        }[self.sign]
        return f"{self.section:12s} {self.sign} {words.rstrip()}"

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def find_differences(first: Image, second: Image) -> list[Difference]:
    """What a person who moves desktops from the first to the second will meet, by section, names in order."""
    found = list(_compare("hardware", hardware_of(first), hardware_of(second)))
    old, new = (unpack(image.properties.get(RECORD, "")) or {} for image in (first, second))
    for section in SECTIONS:
        before, after = old.get(section), new.get(section)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += _compare(section, before, after)
            found += _name_gaps(section, first.name, before, after)
            found += _name_gaps(section, second.name, after, before)
        elif (before is None) != (after is None):
            lacking = first.name if before is None else second.name
            found.append(Difference(section, "?", f"the record of {lacking} does not tell"))
    return found


def hardware_of(image: Image) -> dict[str, str]:
    """What the image asks of a server: least disk and memory, and the properties that decide on virtual hardware."""
    asked = {key: value for key, value in image.properties.items() if key.startswith(_HARDWARE_PREFIXES)}
    return {"min_disk": f"{image.min_disk} GiB", "min_ram": f"{image.min_ram} MiB", **dict(sorted(asked.items()))}


def _compare(section: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if (old is None or new is None) and topic_of(section, name):
            continue  # not told, which is no difference
        if old is None:
            yield Difference(section, "+", name, after=str(new))
        elif new is None:
            yield Difference(section, "-", name, before=str(old))
        elif old != new:
            yield Difference(section, "~", name, before=str(old), after=str(new))


def _name_gaps(
    section: str, image: str, told: Mapping[str, str], told_by_other: Mapping[str, str]
) -> Iterator[Difference]:
    """What an image's record does not tell and the other's does: whole topics (it is older), or lines of a topic that it has."""
    known = {topic_of(section, name) for name in told}
    gaps = set()
    for name in told_by_other.keys() - told.keys():
        topic = topic_of(section, name)
        if topic:
            gaps.add(name if topic in known else topic)
    if gaps:
        yield Difference(section, "?", f"the record of {image} does not tell {', '.join(sorted(gaps))}")
