"""The server groups that new servers of a roll are to join: are they there, and is there room in them?"""

from collections.abc import Callable, Iterator

from imagebuild.errors import CloudRefused, NotFound
from imagebuild.pool.quantities import count_of
from imagebuild.pool.server_groups import pick_group
from imagebuild.pool.situation import Finding, Situation, some_of


def _groups(situation: Situation) -> Iterator[Finding]:
    """Each group with those that are replaced in it: a server leaves its place before its follower takes it.

    The extra ones that a roll makes join the group that the pool's file names.
    """
    replaced = {one.id for one in situation.moving_by("replace")}
    try:
        named = pick_group(situation.definition, situation.server_groups)
    except (NotFound, CloudRefused) as error:
        yield Finding("server group", "refuse" if replaced or situation.extras else "warn", str(error), error.hint)
        return
    limit = situation.headroom.group_members
    outside = replaced.difference(*(one.members for one in situation.server_groups))
    more = len(outside) + len(situation.extras)
    for group in situation.server_groups:
        staying, joining = len(replaced.intersection(group.members)), more if group == named else 0
        if not (staying or joining or group == named):
            continue
        words = f"{group.name} ({group.policy}) has {count_of(len(group.members), 'server')}"
        words += f", to join it: {joining}" if joining else ""
        words += f", to be replaced in it: {staying}" if staying else ""
        if limit is not None and len(group.members) + joining > limit and (staying or joining):
            full = f"{words}; {limit} may be in one: not all that are made would have a place"
            yield Finding("server group", "refuse", full, "raise the project's quota server_group_members")
        elif joining and group.policy == "anti-affinity":
            scarce = f"{words}; with that policy it has one place a host: whoever joins it may find none, and has failed then"
            yield Finding("server group", "warn", scarce, "let server_group name one with soft-anti-affinity")
        else:
            yield Finding("server group", "ok", words)
    if named is None:
        yield from _unnamed(situation, replaced)


def _unnamed(situation: Situation, replaced: set[str]) -> Iterator[Finding]:
    """A server that is gone tells nobody its group: where the journal is lost then, `pool.create` makes the desktop by the pool's file."""
    names = [one.name for one in situation.server_groups if replaced.intersection(one.members)]
    if names:
        words = f"desktops are in {some_of(names)}, and the pool's file names none: what pool.create makes is in none"
        yield Finding("server group", "warn", words, f"server_group: {names[0]}")


CHECKS: tuple[Callable[[Situation], Iterator[Finding]], ...] = (_groups,)
