"""apt is asked for the guest's packages once, and again as soon as anything that it answers from has changed."""

from pathlib import Path

import pytest

from imagebuild.lab.guest import apt_memory
from imagebuild.lab.guest.apt_memory import recall_packages
from imagebuild.lab.guest.packages import Package, Selection
from imagebuild.waiting import Deadline

SELECTION = Selection(
    "6.1.0-1-cloud-amd64",
    guest=(Package("libc6", "libc6_1.deb", "aa"), Package("zlib1g", "zlib1g_1.deb", "bb")),
    source=Package("linux-source-6.1", "source.deb", "cc"),
    headers=(Package("linux-headers", "headers.deb", "dd"),),
)


class Site:
    """apt's files and the memory; counts how often apt was asked."""

    def __init__(self, folder: Path) -> None:
        self.lists, self.status = folder / "lists", folder / "status"
        self.memory = folder / "selection.json"
        self.asked = 0
        self.lists.mkdir()
        (self.lists / "main").write_text("one")
        self.status.write_text("installed")

    def recall(self) -> Selection:
        return recall_packages(self.memory, deadline=Deadline.after(5), sources=(self.lists, self.status))

    def ask(self, *, deadline: Deadline) -> Selection:
        self.asked += 1
        return SELECTION


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path)
    monkeypatch.setattr(apt_memory, "select_packages", made.ask)
    return made


def test_the_second_answer_is_the_first_and_comes_without_apt(site: Site) -> None:
    assert site.recall() == site.recall() == SELECTION
    assert site.asked == 1
    assert [file.name for file in site.memory.parent.glob("selection*")] == ["selection.json"]


@pytest.mark.parametrize("changed", ["lists/main", "lists/security", "status"])
def test_a_file_of_apts_that_changed_or_came_makes_it_ask_again(site: Site, changed: str) -> None:
    site.recall()
    (site.memory.parent / changed).write_text("another, longer")
    site.recall()
    assert site.asked == 2


def test_another_wish_makes_it_ask_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.recall()
    monkeypatch.setattr(apt_memory, "SYSTEM", ("busybox-static",))
    site.recall()
    assert site.asked == 2


@pytest.mark.parametrize("torn", ["", "{", '{"stamp": 1}', "[]", '{"guest": []}'])
def test_a_memory_that_cannot_be_read_is_none(site: Site, torn: str) -> None:
    site.recall()
    site.memory.write_text(torn)
    assert site.recall() == SELECTION
    assert site.asked == 2
