"""Is the broker one to roll a pool with: well, able to say who is where, and not making desktops by itself meanwhile?"""

from collections.abc import Callable, Iterator
from datetime import timedelta

from imagebuild.broker import Cap
from imagebuild.pool.quantities import count_of, duration_words, lasting
from imagebuild.pool.situation import Finding, Situation, some_of


def _health(situation: Situation) -> Iterator[Finding]:
    if situation.health is None:
        yield Finding(
            "broker", "refuse", f"it does not answer: {situation.silence}", "who is on which desktop is unknown"
        )
    elif not situation.health.ok:
        yield Finding("broker", "refuse", f"it is not well: {'; '.join(situation.health.problems)}")
    else:
        yield Finding("broker", "ok", "it says that it is well")


def _abilities(situation: Situation) -> Iterator[Finding]:
    able, rules = situation.capabilities, situation.definition.roll
    if Cap.SESSIONS not in able:
        yield Finding(
            "broker: sessions",
            "warn",
            "it tells assignments, no sessions: whoever has a desktop assigned counts as on it",
        )
    yield from _holding_back(situation)
    if Cap.MESSAGE not in able and rules.logoff_policy == "notify-then-force":
        words = "it shows users no messages: sessions would end without a word"
        yield Finding("broker: messages", "refuse", words, "set roll.logoff_policy: wait")
    if situation.survey.included and all(one.busy for one in situation.survey.included):
        words = "it says of no desktop that nobody is there: as it is, every one would be waited for"
        yield Finding("broker: free desktops", "warn", words)


def _holding_back(situation: Situation) -> Iterator[Finding]:
    """Between our last look and the act a user may be given the desktop, unless the broker keeps it from him.

    How often: 1 or 2 sessions among 1,159 logins at a busy time, in rolls of the stand-in broker; none where it holds back.
    """
    if Cap.AVAILABILITY in situation.capabilities:
        return
    broker, rules = situation.definition.broker, situation.definition.roll
    if broker.kind == "none" and broker.assume_idle:  # the promise that nobody ever comes
        return
    words = (
        "it cannot hold a desktop back: who is given one in the moment before it is moved is cut off "
        "(1 or 2 of 1,159 logins in simulated rolls at a busy time)"
    )
    if rules.allow_unheld:
        look = f"only the look after roll.settle ({duration_words(rules.settle)}) keeps them apart; roll when few come"
        yield Finding("broker: holding back", "warn", words, f"roll.allow_unheld accepts that; {look}")
    else:
        todo = f"let it hold back ({_WAYS[broker.kind]}), or accept that: roll.allow_unheld: true"
        yield Finding("broker: holding back", "refuse", words, todo)


_WAYS = {
    "leostream": "broker.drain",
    "file": "broker.unavailable",
    "command": "a program for set-available",
    "none": "name the pool's broker in its file",
}
"""What in a pool's file makes a broker of each kind able to."""


def _provisioning(situation: Situation) -> Iterator[Finding]:
    settings, able = situation.settings, situation.capabilities
    if settings is None or situation.definition.roll.refills:  # of those see preflight_refill
        return
    if settings.provisioning is None:
        if Cap.PROVISIONING in able:
            yield Finding("broker: provisioning", "refuse", "whether it makes desktops by itself cannot be read")
        return
    pausing = situation.definition.roll.pauses_provisioning and Cap.PROVISIONING in able
    if settings.provisioning and not pausing:
        deletes = ", and deletes" if settings.enforced else ""
        words = f"it makes{deletes} desktops by itself while the roll works"
        yield Finding(
            "broker: provisioning", "refuse" if settings.enforced else "warn", words, "turn it off there for the roll"
        )
    elif settings.provisioning:
        yield Finding("broker: provisioning", "ok", "it is on: it will be paused, and turned on again")
    else:
        yield Finding("broker: provisioning", "ok", "it is off, and stays so")


def _records(situation: Situation) -> Iterator[Finding]:
    survey = situation.survey
    if survey.strays:
        there = {one.server.name.casefold() for one in situation.strangers}
        names = [seat.name for seat in survey.strays if seat.key not in there]
        if names:
            words = f"{count_of(len(names), 'record')} of no server: {some_of(names)}"
            yield Finding("broker: records", "warn", words, "remove them there")
    for kind, words in (
        ("no-seat", "that it does not know"),
        ("duplicate-seat", "that it has several times"),
    ):
        names = [desktop.name for desktop, trouble in survey.troubles if trouble.kind == kind]
        if names:
            yield Finding("broker: records", "warn", f"{count_of(len(names), 'desktop')} {words}: {some_of(names)}")


def _counts(situation: Situation) -> Iterator[Finding]:
    """As many there as here, by their names: the broker's own numbers may be old."""
    survey = situation.survey
    if survey.desktops and not survey.strays and all(one.seat and not one.seat.duplicates for one in survey.desktops):
        yield Finding("broker: records", "ok", "it has every desktop once, and no others")


def _session_age(situation: Situation) -> Iterator[Finding]:
    """The age of what the broker says; its adapter already takes too old a `nobody` for somebody."""
    times = [desktop.seat.observed_at for desktop in situation.survey.included if desktop.seat]
    told = [time for time in times if time is not None]
    limit = situation.definition.max_session_age
    if len(told) < len(times):
        words = f"of {count_of(len(times) - len(told), 'desktop')} it does not say when it last looked"
        yield Finding("broker: age of sessions", "warn", words)
    if not told:
        return
    age = max(timedelta(0), situation.now - min(told))
    words = f"the oldest is {lasting(age)} old"
    if age <= limit:
        yield Finding("broker: age of sessions", "ok", words)
    else:
        yield Finding("broker: age of sessions", "warn", words, f"it should be at most {duration_words(limit)}")


CHECKS: tuple[Callable[[Situation], Iterator[Finding]], ...] = (
    _health,
    _abilities,
    _provisioning,
    _records,
    _counts,
    _session_age,
)
