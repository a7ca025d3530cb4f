"""The last step: a desktop is with its users again when the broker shows it, and where it does not, that has an end and is told."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from imagebuild.broker import Seat
from imagebuild.errors import BrokerUnreachable
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.progress import WITHHELD, Note
from imagebuild.pool.roll import Roll
from imagebuild.pool.roll_status import COMPLETED, WAITS, WITH_REST, as_lines, exit_code
from imagebuild.report import SilentReport
from tests.unit.pool.leostream_site import LeostreamSite
from tests.unit.pool.rolling import POOL, Site
from tests.unit.pool.test_act import NO_HOLD

NAME, EXTRA_NAME = "desktop-3", "desktop-101"


class Warned(SilentReport):
    """Keeps what was warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def until(site: Site, roll: Roll, phase: Phase, *, name: str = NAME, seconds: float = 15) -> None:
    """Turn until the desktop has come to that phase."""
    for _ in range(500):
        one = roll.log.find(name)
        if one is not None and one.phase is phase:
            return
        roll.turn()
        site.clock.sleep(seconds)
    raise AssertionError(f"{name} is {one}")


def take_out_of_service(site: Site, out: set[str]) -> None:
    """An operator does so with these; the broker takes offers as ever, and shows them unavailable."""
    inner = site.broker.seats

    def seats(pool: str, *, names: Sequence[str] = ()) -> Sequence[Seat]:
        return [
            replace(one, availability="unavailable") if one.name in out else one for one in inner(pool, names=names)
        ]

    site.broker.seats = seats  # type: ignore[method-assign]


def note_on(site: Site) -> Note:
    note = Note.read(site.server(NAME).metadata["vdi_roll_note"])
    assert note is not None
    return note


def test_one_that_an_operator_takes_out_of_service_meanwhile_does_not_keep_the_roll_from_its_end() -> None:
    told = Warned()
    site = Site(4, report=told)
    out: set[str] = set()
    take_out_of_service(site, out)
    roll = site.start()
    until(site, roll, Phase.ACTING)
    out.add(NAME)
    until(site, roll, Phase.RETURNING)
    since = site.clock.now()
    assert any(NAME in line and WITHHELD in line for line in as_lines(roll.log, site.now())), "while it waits"
    assert roll.run() is RollState.COMPLETED
    assert set(site.phases(roll).values()) == {Phase.DONE}
    assert site.clock.now() - since < 2400
    assert told.warnings == [f"{NAME} is done: {WITHHELD}"]
    assert [line.split()[:2] for line in as_lines(roll.log, site.now()) if WITHHELD in line] == [[NAME, "done"]]
    assert (exit_code(roll.log), note_on(site).held) == (WITH_REST, True)

    entered = next(
        n for n, (_, facts) in enumerate(site.lines) if facts.get("phase") == "returning" and facts["name"] == NAME
    )
    elsewhere = len(site.lines[entered:])
    del site.lines[-elsewhere:]
    other = site.resume()
    other.turn()
    assert other.log.held[NAME].withheld, "by what its server says, too"

    out.clear()  # and the roll after this one has nothing to tell of it
    again = site.start(site.plan("small-v1", only=frozenset({NAME})), back=True, roll_id="roll-2")
    assert again.run() is RollState.ROLLED_BACK
    assert (exit_code(again.log), note_on(site).held, site.held_back()) == (COMPLETED, False, [])


@pytest.mark.parametrize(("wish", "state"), [("pause", RollState.PAUSED), ("abort", RollState.ABORTED)])
def test_it_does_not_keep_a_pause_or_an_abort_from_its_end(wish: Any, state: RollState) -> None:
    site = Site(4, auto_continue=True, bake_time="0")
    out: set[str] = set()
    take_out_of_service(site, out)
    roll = site.start()
    until(site, roll, Phase.DRAINING)
    out.add(NAME)
    site.wish = wish
    assert roll.run() is state
    assert roll.log.held[NAME].phase is Phase.PENDING
    assert any(NAME in line and WITHHELD in line for line in as_lines(roll.log, site.now()))
    assert note_on(site).held, "whoever goes on gives it back"


def test_so_long_as_the_broker_did_not_answer_it_had_no_time_to_show_it() -> None:
    site = Site(4, boot_timeout="10m")
    out = {NAME}
    roll = site.start()
    until(site, roll, Phase.CHECKING)
    take_out_of_service(site, out)
    site.broker.faults.fail("set_available", BrokerUnreachable("no answer"), times=10**6)
    until(site, roll, Phase.RETURNING)
    site.clock.sleep(900)
    roll.turn()
    site.broker.faults._errors.clear()
    roll.turn()
    assert roll.log.held[NAME].phase is Phase.RETURNING
    out.clear()
    roll.run()
    assert (roll.log.held[NAME].phase, roll.log.held[NAME].withheld) == (Phase.DONE, False)


# ------------------------------------------------------------------------------------------ no record of it, no server


def rules_of(site: LeostreamSite) -> list[str]:
    """The desktops that a rule keeps out of the pool."""
    attributes = site.broker.pool["pool_definition"].get("attributes", ())
    return [one["text_to_match"] for one in attributes if one.get("condition_type") == "ne"]


def listed_in(site: LeostreamSite) -> set[str]:
    """The desktops of an ad hoc pool."""
    return {one["name"] for one in site.broker.pool["pool_definition"]["adhoc_vms"]}


def test_what_a_rule_keeps_out_is_put_back_by_its_name_while_the_broker_has_no_record_of_it() -> None:
    site = LeostreamSite(4, drain="attribute_rule", settle="3m", bake_time="1m", min_available=0)
    roll = site.start()
    until(site, roll, Phase.DRAINING, seconds=5)
    assert NAME in rules_of(site)
    forget(site)
    site.wish = "pause"
    assert roll.run() is RollState.PAUSED
    assert (roll.log.held[NAME].phase, rules_of(site), note_on(site).held) == (Phase.PENDING, [], False)


def test_and_into_a_list_by_the_number_that_it_had() -> None:
    site = LeostreamSite(4, drain="adhoc", settle="3m", bake_time="1m", min_available=0)
    named = [{"id": one.id, "name": one.name} for one in site.broker.standin.state.desktops]
    site.broker.pool["pool_definition"] = {"restrict_by": "H", "parent_pool_id": 1, "adhoc_vms": named}
    site.clock.sleep(120)
    roll = site.start()
    until(site, roll, Phase.DRAINING, seconds=5)
    assert NAME not in listed_in(site)
    forget(site)
    site.wish = "pause"
    assert roll.run() is RollState.PAUSED
    assert listed_in(site) == set(site.names)


def forget(site: LeostreamSite) -> None:
    """A look at its center misses the desktop: the broker has no record of it for twelve minutes."""
    desktops = site.broker.standin.state.desktops
    gone = next(one for one in desktops if one.name == NAME)
    desktops.remove(gone)
    site.clock.at(720, lambda: desktops.append(gone))
    site.clock.sleep(80)


def test_a_hold_that_a_broker_keeps_with_a_record_that_is_away_is_still_the_rolls_when_it_comes_back() -> None:
    site = Site(4, settle="3m")
    roll = site.start()
    until(site, roll, Phase.DRAINING)
    records = site.broker.pools[POOL].records
    away = records.pop(NAME)
    site.clock.at(720, lambda: records.update({NAME: away}))
    site.wish = "pause"
    assert roll.run() is RollState.PAUSED
    assert (exit_code(roll.log), note_on(site).held) == (WAITS, True)
    assert any(NAME in line and WITHHELD in line for line in as_lines(roll.log, site.now()))
    site.clock.sleep(720)
    assert site.held_back() == [NAME]
    site.wish = None
    again = site.resume()
    again.take_up()
    assert again.run() is RollState.COMPLETED
    assert (site.held_back(), exit_code(again.log)) == ([], COMPLETED)


@pytest.mark.parametrize("method", ["rebuild", "replace"])
@pytest.mark.parametrize("how", ["deleted", "untagged"])
def test_a_desktop_that_is_lost_after_its_act_leaves_nothing_held_back(how: str, method: str) -> None:
    site = Site(6, min_ready="10m", method=method)
    roll = site.start()
    until(site, roll, Phase.CHECKING)
    machine = site.cloud._machines[site.server(NAME).id]
    if how == "deleted":
        site.cloud.delete_server(machine.server.id)
    else:
        machine.server = replace(machine.server, tags=())
    assert roll.run() is RollState.COMPLETED
    lost = roll.log.held[NAME]
    words = {"deleted": "its server is gone: somebody deleted it", "untagged": "it is no longer tagged vdi-pool=staff"}
    assert (lost.phase, lost.reason, lost.held, site.held_back()) == (Phase.FAILED, words[how], False, [])


def test_an_extra_one_that_is_lost_while_it_is_given_back_is_no_failure() -> None:
    site = Site(4, max_unavailable=1, max_surge=1)
    out: set[str] = set()
    take_out_of_service(site, out)
    roll = site.start()
    until(site, roll, Phase.CHECKING, name=EXTRA_NAME)
    out.add(EXTRA_NAME)
    until(site, roll, Phase.RETURNING, name=EXTRA_NAME)
    site.cloud.delete_server(site.server(EXTRA_NAME).id)
    assert roll.run() is RollState.COMPLETED
    assert (roll.log.extras[EXTRA_NAME].phase, exit_code(roll.log)) == (Phase.DONE, COMPLETED)


# ------------------------------------------------------------------------------------------ off again, as it was


def is_off(site: Site) -> bool:
    return site.server(NAME).status == "SHUTOFF"


def switched_off(**rules: Any) -> Site:
    """A site where the desktop is off before it is rolled."""
    site = Site(4, min_available=0, min_ready="5m", bake_time="1m", **rules)
    site.cloud._set(site.server(NAME).id, status="SHUTOFF", power_state=4)
    return site


@pytest.mark.parametrize("count_every", [0.0, 600.0])
def test_who_came_since_the_broker_counted_is_not_switched_off(count_every: float) -> None:
    site = switched_off(allow_unheld=True)
    site.broker.caps, site.broker.count_every = NO_HOLD, count_every
    roll = site.start()
    until(site, roll, Phase.CHECKING)
    while roll.log.held[NAME].ready_since is None:
        roll.turn()
        site.clock.sleep(15)
    site.broker.log_in(NAME, "lee")
    assert roll.run() is RollState.COMPLETED
    assert (site.broker.cut, is_off(site)) == ([], False)


def test_nor_is_one_that_an_operator_offers_again_meanwhile() -> None:
    site = switched_off()
    roll = site.start()
    until(site, roll, Phase.CHECKING)
    site.broker.record(NAME).available = True
    assert roll.run() is RollState.COMPLETED
    assert not is_off(site), "somebody could have been given it"


def test_one_that_nobody_can_be_on_is() -> None:
    site = switched_off(allow_unheld=True)
    site.broker.caps = NO_HOLD
    assert site.start().run() is RollState.COMPLETED
    assert is_off(site)
