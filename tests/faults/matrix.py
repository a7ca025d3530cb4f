"""Calls in bad weather, many at once: each worker has its own way through it to the cloud."""

import queue
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from imagebuild.adapters.openstack_cloud import OpenStackCloud
from imagebuild.errors import ImagebuildError
from tests.faults.conftest import Site
from tests.faults.proxy import Fault, Rule, Weather

Key = TypeVar("Key")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome:
    """What came of one call: how often its weather struck, and what it gave; an error of ours counts as given."""

    met: int
    result: object


class Ways:
    """Ways to the cloud that are used by one call at a time: to log in for each would take longer than the calls."""

    def __init__(self, site: Site, count: int) -> None:
        self.count = count
        self._site = site
        self._free: queue.Queue[tuple[Weather, OpenStackCloud]] = queue.Queue()

    @contextmanager
    def opened(self) -> Iterator["Ways"]:
        """All of them, for as long as they are needed."""
        with ExitStack() as stack:
            for _ in range(self.count):
                weather = Weather()
                self._free.put((weather, stack.enter_context(self._site.through(weather))))
            yield self

    def attempt(self, rule: Rule, call: Callable[[OpenStackCloud], object]) -> Outcome:
        """The call, one request of which meets the rule."""
        weather, cloud = way = self._free.get()
        try:
            weather.rules, weather.calls = [rule], []
            return _outcome(weather, lambda: call(cloud))
        finally:
            weather.rules = []
            self._free.put(way)

    def attempt_anew(self, rule: Rule, call: Callable[[OpenStackCloud], object]) -> Outcome:
        """The same by somebody who does not know the cloud yet: discovery is done once only."""
        weather = Weather([rule])
        with self._site.through(weather) as cloud:
            return _outcome(weather, lambda: call(cloud))

    def all(self, jobs: Mapping[Key, Callable[[], Result]]) -> dict[Key, Result]:
        """The results of all jobs, as many of them at once as there are ways."""
        with ThreadPoolExecutor(self.count) as pool:
            begun = {key: pool.submit(job) for key, job in jobs.items()}
            return {key: future.result() for key, future in begun.items()}


def _outcome(weather: Weather, call: Callable[[], object]) -> Outcome:
    try:
        result = call()
    except ImagebuildError as error:
        result = error
    return Outcome(len(weather.met()), result)


def crossed(calls: Mapping[str, object]) -> list[tuple[str, Fault]]:
    """Every call with every fault."""
    return [(name, fault) for name in calls for fault in Fault]
