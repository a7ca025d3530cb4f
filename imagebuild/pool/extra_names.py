"""Names for a roll's extra desktops: the next free numbers of the pool's names, which nobody else has or is about to give."""

import itertools
from collections.abc import Iterable

from imagebuild.broker import PoolSettings, Seat
from imagebuild.cloud import Cloud
from imagebuild.pool.definition import PoolDefinition


def extra_names(
    definition: PoolDefinition, cloud: Cloud, count: int, *, settings: PoolSettings | None, strays: Iterable[Seat]
) -> tuple[str, ...]:
    """Beyond the numbers of the pool's members, made and to be made; whoever has such a name in the project or the broker keeps it.

    A broker that numbers desktops by itself goes on doing so while the roll waits: it cannot come further than its `maximum`.
    """
    taken = {server.name.casefold() for server in cloud.servers()} | {seat.key for seat in strays}
    first = definition.first + definition.size
    if settings is not None and settings.next_value is not None:
        first = max(first, settings.next_value + (settings.maximum or 0))
    names = (definition.name_of(number) for number in itertools.count(first))
    return tuple(itertools.islice((name for name in names if name.casefold() not in taken), count))
