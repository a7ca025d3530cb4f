"""What a turn looks at, sorted while it changes: a roll of ten thousand desktops is asked about the few that it has in hand."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import takewhile

from imagebuild.pool.model import Desktop, Phase
from imagebuild.pool.progress import Progress


class Roster(Mapping[str, Progress]):
    """Every desktop of a roll by name, and apart those that nothing was done to, that are in hand, and that the roll is done with.

    Each of these is in the order in which they came there. `failed`: those that count as failures, in whatever phase; `without`: those
    done that have no server any more, as the broker wanted none in their place.
    """

    def __init__(self, desktops: Iterable[Progress] = ()) -> None:
        self._all: dict[str, Progress] = {}
        self.pending: dict[str, Progress] = {}
        self.flying: dict[str, Progress] = {}
        self.ended: dict[str, Progress] = {}
        self.failed: dict[str, Progress] = {}
        self.without: set[str] = set()
        self._names: dict[str, str] = {}
        self.counts: Counter[Phase] = Counter()
        for one in desktops:
            self.put(one)

    def put(self, progress: Progress) -> None:
        """It has come further, or is new."""
        name, group = progress.name, self._group(progress.phase)
        before = self._all.get(name)
        if before is not None:
            self.counts[before.phase] -= 1
            if (left := self._group(before.phase)) is not group:
                del left[name]
        self.counts[progress.phase] += 1
        self._all[name] = group[name] = progress
        if progress.failed:
            self.failed[name] = progress
        else:
            self.failed.pop(name, None)
        if progress.follower:
            self._names[progress.follower] = name
        if progress.phase is Phase.DONE and not progress.server_id:
            self.without.add(name)

    def name_of(self, desktop: str) -> str:
        """By what name the roll has a desktop: one that follows another goes by the name of that one."""
        return self._names.get(desktop, desktop)

    def ended_since(self, moment: datetime) -> Iterator[Progress]:
        """Those that the roll is done with since then, the last first."""
        return takewhile(lambda one: one.since > moment, reversed(self.ended.values()))

    def _group(self, phase: Phase) -> dict[str, Progress]:
        if phase is Phase.PENDING:
            return self.pending
        return self.ended if phase.finished else self.flying

    def __getitem__(self, name: str) -> Progress:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


class Lineup(Mapping[str, Desktop]):
    """The pool by name, as the last turn saw it: of the roll's desktops the server that it has in hand, also where its own name is other.

    By name apart: `offered`, what a user could get this moment, by the broker's word; `unwell`, what is broken, does not report to the
    broker, or is gone.
    """

    def __init__(self, desktops: Iterable[Desktop] = ()) -> None:
        self._all: dict[str, Desktop] = {}
        self._seen: dict[str, Desktop] = {}
        self.offered: set[str] = set()
        self.unwell: set[str] = set()
        for one in desktops:
            self._put(one.name, one)

    def meet(self, by_id: Mapping[str, Desktop], held: Roster, extras: Iterable[Progress] = ()) -> None:
        """Take in what a turn sees. An extra desktop is the pool's once it is proven."""
        others = {
            held.name_of(one.name): one for server_id, one in by_id.items() if self._seen.get(server_id) is not one
        }
        gone = {held.name_of(self._seen[server_id].name) for server_id in self._seen.keys() - by_id.keys()}
        ours = held.keys() if not self._seen else held.flying.keys()
        claimed = {one.follower for one in held.flying.values() if one.follower in self._all}
        for name in gone | others.keys() | ours | claimed:
            self._put(name, by_id.get(held[name].server_id) if name in held else others.get(name))
        for one in extras:
            self._put(one.name, by_id.get(one.server_id) if one.method == "remove" else None)
        self._seen = dict(by_id)

    def _put(self, name: str, desktop: Desktop | None) -> None:
        self._all.pop(name, None)
        self.offered.discard(name)
        self.unwell.discard(name)
        if desktop is not None:
            self._all[name] = desktop if desktop.name == name else replace(desktop, name=name)
            if desktop.offered:
                self.offered.add(name)
        if desktop is None or desktop.unwell:
            self.unwell.add(name)

    def __getitem__(self, name: str) -> Desktop:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)
