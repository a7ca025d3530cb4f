"""Names for a roll's extra desktops: the next free numbers of the pool's names, which nobody else has or is about to give."""

import itertools

from imagebuild.broker import PoolSettings
from imagebuild.cloud import Cloud
from imagebuild.pool.definition import PoolDefinition
from imagebuild.pool.survey import Survey


def extra_names(
    definition: PoolDefinition, survey: Survey, cloud: Cloud, *, moves: int, settings: PoolSettings | None
) -> tuple[str, ...]:
    """As many as a roll that moves so many is to make: `max_surge` without those that an earlier one has left.

    They are beyond the numbers of the pool's members, made and to be made; whoever has such a name in the project or the broker keeps
    it. A broker that numbers desktops by itself goes on doing so while the roll waits: it cannot come further than its `maximum`.
    """
    count = definition.roll.surge(len(survey.desktops), moves=moves) - len(survey.extras)
    if count <= 0:
        return ()
    taken = {server.name.casefold() for server in cloud.servers()} | {seat.key for seat in survey.strays}
    first = definition.first + definition.size
    if settings is not None and settings.next_value is not None:
        first = max(first, settings.next_value + (settings.maximum or 0))
    names = (definition.name_of(number) for number in itertools.count(first))
    return tuple(itertools.islice((name for name in names if name.casefold() not in taken), count))
