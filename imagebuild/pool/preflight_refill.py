"""Is the broker one that can make the new desktops of a roll by itself (`roll.method: broker`), and what comes with that?"""

import re
from collections.abc import Callable, Iterator

from imagebuild.broker import Cap
from imagebuild.pool.definition import LONGEST_NAME
from imagebuild.pool.quantities import count_of
from imagebuild.pool.situation import Finding, Situation, some_of

_NEEDED = {Cap.POOL_IMAGE: "set the image of new desktops", Cap.PROVISIONING: "tell and switch its provisioning"}


def _strangers(situation: Situation) -> Iterator[Finding]:
    """What the broker made between two rolls, or a person beside us: it is in the pool for users, and in no roll."""
    names = [one.server.name for one in situation.strangers]
    if names:
        words = f"the broker lists what is no member, so no roll moves it: {some_of(names)}"
        yield Finding("broker: others", "warn", words, f"take them over: invoke pool.adopt {situation.definition.pool}")


def _makes_desktops(situation: Situation) -> Iterator[Finding]:
    """It makes them already, and goes on with it: what it is to make is said by its own settings, which nobody here changes."""
    settings, rules = situation.settings, situation.definition.roll
    if not rules.refills or settings is None:
        return
    lacking = [words for cap, words in _NEEDED.items() if cap not in situation.capabilities]
    if lacking:
        words = f"it cannot {' or '.join(lacking)}, and is to make the new desktops"
        yield Finding("broker: new desktops", "refuse", words, "take another roll.method")
        return
    if not settings.provisioning and not situation.paused:
        words = "it makes no desktops by itself: its provisioning is off, or cannot be read"
        yield Finding("broker: new desktops", "refuse", words, "turn it on there, or take another roll.method")
    elif not settings.threshold:
        words = "it wants no free desktops (its threshold is 0, or cannot be read), so it would make none"
        yield Finding("broker: new desktops", "refuse", words, "set the threshold there, or take another roll.method")
    else:
        number = f"from number {settings.next_value} on" if settings.next_value is not None else "of numbers of its own"
        words = f"it makes them {number}, for as long as fewer than {settings.threshold} are free"
        yield Finding("broker: new desktops", "ok", words)
        yield from _how_many(situation, settings.threshold)


def _how_many(situation: Situation, threshold: int) -> Iterator[Finding]:
    settings, survey, floor = situation.settings, situation.survey, situation.floor
    if settings is None:
        return
    more = survey.free - threshold
    if more > 0:
        words = f"{count_of(more, 'desktop')} more free than it wants: so many old ones go without a new one, before the canary is made"
        yield Finding("broker: surplus", "warn", words, "roll when more users are there, or raise the threshold there")
    if threshold <= floor:
        words = f"it keeps {threshold} free, of which {floor} must stay so: one is begun only when users leave more free than that"
        yield Finding("broker: threshold", "warn", words, "raise the threshold there, or lower roll.min_available")
    if settings.maximum is not None and len(survey.desktops) > settings.maximum:
        words = f"it makes at most {settings.maximum} and has {len(survey.desktops)}: the pool gets smaller"
        yield Finding("broker: maximum", "warn", words, "raise the maximum there")
    if settings.enforced:
        words = "it also deletes unassigned desktops that are too many, old or new, whatever the roll is about to do with them"
        yield Finding("broker: limits", "warn", words)


def _names(situation: Situation) -> Iterator[Finding]:
    """By its name a new desktop is known as the pool's."""
    settings, definition = situation.settings, situation.definition
    if not definition.roll.refills or settings is None or not (settings.provisioning or situation.paused):
        return
    if settings.name_pattern is None:
        words = f"it does not say how it names new desktops: unless it is like {definition.names}, they are not found"
        yield Finding("broker: names", "warn", words)
        return
    first = settings.next_value if settings.next_value is not None else definition.first
    names = [
        re.sub(r"\{sequence\}", str(first + more), settings.name_pattern, flags=re.I) for more in (0, _ahead(situation))
    ]
    if any(definition.number_of(name) is None for name in names):
        words = f"its new desktops will be called {names[0]}, which is not like the pool's names: {definition.name_of(first)}"
        yield Finding("broker: names", "refuse", words, "let `names`, `digits` and the broker's pattern say the same")
    elif len(names[-1]) > LONGEST_NAME:
        words = f"{names[-1]} has {len(names[-1])} characters: Windows names have at most {LONGEST_NAME}"
        yield Finding("broker: names", "refuse", words, "set a shorter pattern there, or a smaller next number")


def _ahead(situation: Situation) -> int:
    """So many numbers a roll may use."""
    return max(0, len(situation.moving) - 1)


CHECKS: tuple[Callable[[Situation], Iterator[Finding]], ...] = (_strangers, _makes_desktops, _names)
