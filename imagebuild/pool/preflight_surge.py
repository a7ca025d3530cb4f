"""Can a roll have its extra desktops: their names, what they need of the project's quota, and what the broker makes of them?"""

from collections.abc import Callable, Iterator

from imagebuild.cloud_values import shortages
from imagebuild.pool.definition import LONGEST_NAME
from imagebuild.pool.situation import Finding, Situation, some_of


def _leftovers(situation: Situation) -> Iterator[Finding]:
    names = [one.name for one in situation.survey.extras]
    if names:
        words = f"left by an earlier roll: {some_of(names)}"
        yield Finding(
            "extra desktops", "warn", words, "what is extra serves while this roll works, and is removed at its end"
        )


def _room(situation: Situation) -> Iterator[Finding]:
    """Both servers stand at once: unlike a replaced desktop, an extra one needs all that it has anew."""
    names, rules = situation.extras, situation.definition.roll
    if not names:
        size = len(situation.survey.desktops)
        none = not situation.back and not situation.survey.extras and not rules.unavailable_limit(size)
        if situation.moving and none and len(situation.moving) > rules.canary_count:
            words = f"max_surge {rules.max_surge} of {size} desktops is none, and max_unavailable is 0"
            yield Finding("extra desktops", "refuse", words, "raise one of them")
        return
    long = [name for name in names if len(name) > LONGEST_NAME]
    if long:
        words = f"{some_of(long)} would have more than {LONGEST_NAME} characters"
        yield Finding("extra desktops: names", "refuse", words, "roll.max_surge: 0")
    flavor, room, count = situation.flavor, situation.headroom, len(names)
    needs = room.for_servers(count, flavor, root_volume_gib=situation.definition.root_volume_gib)
    if lacking := shortages(needs):
        words = f"it is too small for {count} more of {flavor.name}: {'; '.join(lacking)}"
        yield Finding("extra desktops: quota", "refuse", words, "raise the project's quota, or lower roll.max_surge")
    else:
        yield Finding("extra desktops", "ok", f"{some_of(names)}: the project's quota has room for {count} more")
    if situation.zone:
        yield Finding("extra desktops: availability zone", "refuse", situation.zone)
    if situation.group.trouble:
        todo = f"invoke pool.network {situation.definition.pool}"
        yield Finding("extra desktops: security group", "refuse", situation.group.trouble, todo)


def _broker(situation: Situation) -> Iterator[Finding]:
    """An extra one must come to the broker's pool by itself; and some brokers delete what they think is too much."""
    settings, names = situation.settings, situation.extras
    if not names or settings is None:
        return
    pattern = (settings.name_pattern or "").replace("{SEQUENCE}", "{sequence}")
    if pattern.casefold() != situation.definition.names.casefold():
        words = f"whether its pool takes {some_of(names)} by itself is not known"
        todo = "one that it does not list within roll.boot_timeout counts as failed"
        yield Finding("broker: extra desktops", "warn", words, todo)
    if settings.enforced and settings.provisioning is not False:
        words = "it deletes free desktops beyond its limits: while the roll waits or is paused, also for extra ones"
        yield Finding("broker: extra desktops", "warn", words, "turn that off there for the roll")


CHECKS: tuple[Callable[[Situation], Iterator[Finding]], ...] = (_leftovers, _room, _broker)
