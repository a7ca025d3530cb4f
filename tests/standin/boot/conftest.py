"""The stand-in's image, built once and shared with the lab."""

from pathlib import Path

import pytest

from imagebuild.lab.guest.image import build_image
from imagebuild.lab.layout import find_layout
from imagebuild.report import ConsoleReport
from imagebuild.waiting import Deadline


@pytest.fixture(scope="session")
def image() -> Path:
    """As the lab builds it, in the lab's cache."""
    return build_image(cache=find_layout().cache / "guest", report=ConsoleReport(), deadline=Deadline.after(600))
