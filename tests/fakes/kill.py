"""The end of a process in the middle of its work: from one call to the cloud on, none reaches it any more."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.fakes.cloud import FakeCloud


class Killed(BaseException):
    """Nothing in the house catches it, as nothing catches kill -9; whatever cleans up on the way gets nowhere."""


@contextmanager
def kill_after(cloud: FakeCloud, calls: int) -> Iterator[None]:
    """Inside the block, so many calls reach the cloud; all later ones raise Killed. Work that needs fewer is not disturbed."""
    before, left = cloud.faults.before, calls

    def count(method: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed(method)
        before(method)

    cloud.faults.before = count  # type: ignore[method-assign]
    try:
        yield
    except Killed:
        pass
    finally:
        cloud.faults.before = before  # type: ignore[method-assign]
