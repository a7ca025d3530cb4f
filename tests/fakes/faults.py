"""Faults that a test injects into a fake: a call that fails before it did anything, or one whose answer is lost after it did."""

import functools
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar, cast

from imagebuild.errors import ImagebuildError

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Faults:
    """What is to go wrong, by the name of the method, and the names of all methods that were called."""

    def __init__(self, lost: Callable[[], ImagebuildError]) -> None:
        self.calls: list[str] = []
        self.requests: Counter[str] = Counter()
        """How many HTTP requests the calls would have been, by method: one each, and what a call adds with `also`."""
        self._lost = lost
        self._errors: dict[str, list[ImagebuildError]] = defaultdict(list)
        self._losses: dict[str, int] = defaultdict(int)

    def fail(self, method: str, error: ImagebuildError, *, times: int = 1) -> None:
        """The next `times` calls of the method raise the error and do nothing."""
        self._errors[method] += [error] * times

    def lose_answer(self, method: str, *, times: int = 1) -> None:
        """The next `times` calls of the method do their work, and the caller hears of a broken connection."""
        self._losses[method] += times

    def before(self, method: str) -> None:
        """Raise what is due before the work."""
        self.calls.append(method)
        self.requests[method] += 1
        if self._errors[method]:
            raise self._errors[method].pop(0)

    def also(self, method: str, requests: int) -> None:
        """This call would have been so many requests more."""
        self.requests[method] += requests

    def after(self, method: str) -> None:
        """Raise what is due after the work."""
        if self._losses[method]:
            self._losses[method] -= 1
            raise self._lost()


class Faulty(Protocol):
    """A fake that has faults and a world that goes on between two calls."""

    faults: Faults

    def go_on(self) -> None:
        """Let happen what is due."""
        ...


Self = TypeVar("Self", bound=Faulty)


def call(method: Callable[Concatenate[Self, Given], Result]) -> Callable[Concatenate[Self, Given], Result]:
    """Marks a method of a fake as a call over the network."""

    @functools.wraps(method)
    def wrapped(self: Self, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        self.faults.before(method.__name__)
        self.go_on()
        result = method(self, *args, **kwargs)
        self.faults.after(method.__name__)
        return result

    return cast("Callable[Concatenate[Self, Given], Result]", wrapped)
