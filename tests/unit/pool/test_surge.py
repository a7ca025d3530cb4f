"""Extra desktops while a roll works: they serve, they let more be in hand, and whatever happens none stays behind or costs a user."""

import math
from typing import Any

import pytest

from imagebuild.cloud import Server, ServerRequest
from imagebuild.errors import CloudRefused
from imagebuild.pool.health import SILENT
from imagebuild.pool.marks import EXTRA
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.provision import missing_names
from imagebuild.pool.roll import Roll
from imagebuild.pool.roll_plan import RollPlan
from imagebuild.pool.roll_status import as_facts, as_lines, exit_code
from imagebuild.pool.rollback import find_way_back
from imagebuild.pool.starting import find_roll, recall
from imagebuild.pool.survey import survey
from tests.steps.conftest import Told
from tests.unit.pool.leostream_site import LeostreamSite
from tests.unit.pool.rolling import POOL, Killed, Site, images_of
from tests.unit.pool.test_act import NO_HOLD

EXTRA_NAME = "desktop-101"
"""The fake broker numbers its own desktops from 1 and makes at most 100."""


def extras(site: Site) -> list[Server]:
    """The servers that are extra ones."""
    return [one for one in site.cloud.servers() if EXTRA in one.metadata]


def usable(site: Site) -> int:
    """How many desktops serve somebody, or could at once: those that run and are not held back, or have a user."""
    records = site.broker.pools[POOL].all()
    return sum(one.agent == "up" and (one.available or one.user is not None) for one in records)


def free(site: Site, roll: Roll) -> int:
    """How many desktops a user could get, and keep: those in hand are none."""
    records = site.broker.pools[POOL].all()
    names = {one.name for one in records if one.available and one.user is None and one.agent == "up"}
    return sum(site.server(name).status == "ACTIVE" for name in names - {one.name for one in roll.flying})


def watched(roll: Roll, site: Site) -> list[tuple[int, int]]:
    """Turn by turn, behind the canary: how many are usable, and how many members are in hand."""
    seen: list[tuple[int, int]] = []

    def look(roll: Roll, _: object) -> None:
        if roll.log.passed and not roll.log.reason:
            seen.append((usable(site), sum(not one.extra for one in roll.flying)))

    roll.watch = look
    return seen


def turn_until(roll: Roll, site: Site, condition: Any) -> None:
    for _ in range(8000):
        if condition():
            return
        roll.turn()
        site.clock.sleep(15)
    pytest.fail(f"it never comes to that: {as_facts(roll.log)}")


def assert_nothing_is_left(site: Site) -> None:
    assert extras(site) == []
    assert {port.server_id for port in site.cloud.ports()} == {site.server(name).id for name in site.names}
    assert site.held_back() == []
    assert {one.name for one in site.broker.pools[POOL].all()} == set(site.names)
    assert site.broker.cut == []


@pytest.mark.parametrize("method", ["rebuild", "replace"])
def test_an_extra_desktop_lets_one_more_be_in_hand_and_is_gone_at_the_end(method: str) -> None:
    site = Site(6, max_unavailable=1, max_surge=1, method=method)
    roll = site.start()
    seen = watched(roll, site)
    assert roll.run() is RollState.COMPLETED
    assert exit_code(roll.log) == 0
    assert images_of(site, site.names) == {site.new.id}
    assert min(number for number, _ in seen) >= 6 - 1
    assert max(number for _, number in seen) == 2
    assert (roll.log.extras[EXTRA_NAME].phase, roll.log.extras[EXTRA_NAME].stamp) == (Phase.DONE, SILENT)
    assert_nothing_is_left(site)


def test_with_none_unavailable_only_the_canary_is_missed() -> None:
    site = Site(6, max_unavailable=0, max_surge=2)
    roll = site.start()
    seen = watched(roll, site)
    assert roll.run() is RollState.COMPLETED
    assert min(number for number, _ in seen) >= 6
    assert max(number for _, number in seen) == 2
    assert_nothing_is_left(site)


def test_it_goes_faster() -> None:
    took = []
    for surge in (0, 2):
        site = Site(10, max_unavailable=1, max_surge=surge)
        begun = site.clock.now()
        assert site.start().run() is RollState.COMPLETED
        took.append(site.clock.now() - begun)
    assert took[1] < 0.7 * took[0]


def test_a_plan_names_them_and_a_pool_of_one_has_none() -> None:
    plan = Site(6, max_surge=2).plan()
    assert plan.extras == ("desktop-101", "desktop-102")
    told = "\n".join(plan.as_lines())
    assert "  extra, from small-v2, until the roll ends: desktop-101, desktop-102\n" in told
    assert "  in hand at once: at most 1, and 2 more while the extra ones serve; kept free" in told
    assert (plan.size, plan.refused) == (6, False)
    assert Site(1, max_surge=2).plan().extras == ()
    assert Site(2, max_surge=2).plan().extras == ("desktop-101",), "one goes first, and one is left to serve for"


def test_a_name_that_somebody_has_is_not_given_again() -> None:
    site = Site(4, max_surge=2)
    site.broker.pools[POOL].maximum = 3
    site.cloud.add_desktop("desktop-5", site.cloud.request_of(site.server("desktop-1").id), pool="others")
    site.broker.add(POOL, "DESKTOP-6")
    assert site.plan().extras == ("desktop-7", "desktop-8")


@pytest.mark.parametrize("tagged", [True, False])
def test_a_name_that_somebody_has_taken_while_the_roll_waited_is_not_given_twice(tagged: bool) -> None:
    said = Told()
    site = Site(6, max_unavailable=1, max_surge=2, auto_continue=False, report=said)
    assert site.start().run() is RollState.BAKING
    site.broker.add(POOL, EXTRA_NAME)
    if tagged:
        site.add_server(EXTRA_NAME)
    again = site.resume()
    again.take_up()
    assert again.run() is RollState.COMPLETED
    assert list(again.log.extras) == ["desktop-102"]
    assert site.cloud.faults.calls.count("create_desktop") == 1
    assert said.warnings == [f"one extra desktop less: somebody has made another {EXTRA_NAME} since the plan"]
    assert (extras(site), site.held_back(), exit_code(again.log)) == ([], [], 0)


def test_who_is_on_it_is_waited_for() -> None:
    site = Site(4, max_unavailable=1, max_surge=1)
    roll = site.start()
    turn_until(roll, site, lambda: roll.log.extras.pending)
    site.broker.log_in(EXTRA_NAME, "kim")
    left_at = site.clock.now() + 9000
    site.clock.at(9000, lambda: site.broker.log_out(EXTRA_NAME))
    assert roll.run() is RollState.COMPLETED
    assert site.clock.now() > left_at
    assert exit_code(roll.log) == 0
    assert_nothing_is_left(site)


def test_who_does_not_leave_keeps_it_and_the_next_roll_removes_it() -> None:
    site = Site(4, max_unavailable=1, max_surge=1, drain_deadline="2h")
    roll = site.start()
    turn_until(roll, site, lambda: roll.log.extras.pending)
    site.broker.log_in(EXTRA_NAME, "kim")
    assert roll.run() is RollState.COMPLETED
    assert (exit_code(roll.log), roll.log.extras[EXTRA_NAME].phase) == (3, Phase.SKIPPED)
    assert any(EXTRA_NAME in line and "somebody is on it, for 2h" in line for line in as_lines(roll.log, site.now()))
    assert (len(extras(site)), site.held_back(), site.broker.cut) == (1, [], [])
    site.broker.log_out(EXTRA_NAME)
    plan = site.plan()
    assert (plan.moves, [name for name, _ in plan.leftovers], plan.extras) == ((), [EXTRA_NAME], ())
    assert not plan.refused
    site.lines.clear()
    again = site.start(plan)
    assert again.run() is RollState.COMPLETED
    assert_nothing_is_left(site)


def test_one_of_an_earlier_roll_is_used_again() -> None:
    site = Site(4, max_unavailable=1, max_surge=1, drain_deadline="2h")
    roll = site.start()
    turn_until(roll, site, lambda: roll.log.extras.pending)
    site.broker.log_in(EXTRA_NAME, "kim")
    roll.run()
    site.broker.log_out(EXTRA_NAME)
    site.lines.clear()
    plan = site.plan("small-v1", only=frozenset(site.names))
    again = site.start(plan)
    seen = watched(again, site)
    assert again.run() is RollState.COMPLETED
    assert plan.extras == ()
    assert max(number for _, number in seen) == 2
    assert images_of(site, site.names) == {site.old.id}
    assert_nothing_is_left(site)


def test_it_stays_and_serves_while_the_roll_is_paused() -> None:
    site = Site(6, max_unavailable=1, max_surge=1)
    roll = site.start()
    turn_until(roll, site, lambda: roll.log.extras.pending)
    site.wish = "pause"
    assert roll.run() is RollState.PAUSED
    (extra,) = extras(site)
    assert site.broker.record(extra.name).available
    assert f"  extra until it ends: {EXTRA_NAME}" in list(as_lines(roll.log, site.now()))
    site.wish = None
    again = site.resume()
    again.take_up()
    assert again.run() is RollState.COMPLETED
    assert site.cloud.faults.calls.count("create_desktop") == 1
    assert_nothing_is_left(site)


def test_a_pause_while_it_is_being_emptied_gives_it_back() -> None:
    site = Site(3, max_unavailable=1, max_surge=1)
    roll = site.start()
    turn_until(roll, site, lambda: roll.log.extras.pending)
    site.broker.log_in(EXTRA_NAME, "kim")
    turn_until(roll, site, lambda: roll.log.extras[EXTRA_NAME].phase is Phase.DRAINING)
    assert site.held_back() == [EXTRA_NAME]
    site.wish = "pause"
    assert roll.run() is RollState.PAUSED
    assert (site.held_back(), len(extras(site))) == ([], 1)
    site.wish = None
    site.broker.log_out(EXTRA_NAME)
    again = site.resume()
    again.take_up()
    assert again.run() is RollState.COMPLETED
    assert_nothing_is_left(site)


def test_an_abort_removes_it() -> None:
    site = Site(6, max_unavailable=1, max_surge=1)
    roll = site.start()
    turn_until(roll, site, lambda: roll.log.extras.pending)
    site.wish = "abort"
    assert roll.run() is RollState.ABORTED
    assert Phase.PENDING in site.phases(roll).values()
    assert_nothing_is_left(site)


def test_who_aborts_need_not_wait_for_its_user() -> None:
    site = Site(6, max_unavailable=1, max_surge=1)
    roll = site.start()
    turn_until(roll, site, lambda: roll.log.extras.pending)
    site.broker.log_in(EXTRA_NAME, "kim")
    site.wish = "abort"
    site.clock.at(1200, lambda: setattr(site, "wish", "pause"))
    assert roll.run() is RollState.ABORTED
    assert roll.log.extras[EXTRA_NAME].phase is Phase.SKIPPED
    assert (len(extras(site)), site.held_back(), site.broker.cut) == (1, [], [])


def test_the_way_back_removes_it_at_once_and_makes_no_other() -> None:
    site = Site(6, max_unavailable=1, max_surge=1)
    roll = site.start()
    turn_until(roll, site, lambda: roll.log.extras.pending)
    roll.end(RollState.ABORTED, "a rollback was asked for", keeps_extras=True)
    assert roll.run() is RollState.ABORTED
    way = find_way_back(survey(site.definition, site.cloud, site.broker))
    assert EXTRA_NAME not in way.names
    site.lines.clear()
    plan = site.plan("small-v1", only=way.names, back=True)
    assert (plan.extras, [name for name, _ in plan.leftovers]) == ((), [EXTRA_NAME])
    back = site.start(plan, back=True)
    turn_until(back, site, lambda: back.log.extras[EXTRA_NAME].phase is not Phase.PENDING)
    assert any(one.phase is Phase.PENDING for one in back.log.held.values()), "not only when all others are back"
    assert back.run() is RollState.ROLLED_BACK
    assert images_of(site, site.names) == {site.old.id}
    assert_nothing_is_left(site)


def test_one_that_does_not_start_is_made_once_more() -> None:
    site = Site(4, max_unavailable=1, max_surge=1, max_failures=0)
    site.cloud.server_fault = "No valid host was found"
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert (exit_code(roll.log), roll.log.extras[EXTRA_NAME].phase) == (0, Phase.DONE)
    assert site.cloud.faults.calls.count("create_desktop") == 2
    assert_nothing_is_left(site)


@pytest.mark.parametrize("forever", [False, True])
def test_one_that_the_cloud_refuses_for_long_is_asked_for_once_more(forever: bool) -> None:
    site = Site(4, max_unavailable=1, max_surge=1, act_timeout="10m", max_failures=1)
    make, ends = site.cloud.create_desktop, site.clock.now() + (math.inf if forever else 1800)

    def create(request: ServerRequest, *, pool: str, is_new: bool = False) -> Server:
        if request.name == EXTRA_NAME and site.clock.now() < ends:
            raise CloudRefused("403 Quota exceeded for instances")
        return make(request, pool=pool, is_new=is_new)

    site.cloud.create_desktop = create  # type: ignore[method-assign]
    site.broker.log_in("desktop-4", "kim")
    site.clock.at(7200, lambda: site.broker.log_out("desktop-4"))
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    extra = roll.log.extras[EXTRA_NAME]
    assert extra.phase is (Phase.FAILED if forever else Phase.DONE)
    assert extra.reason == ("nothing could take its place: 403 Quota exceeded for instances" if forever else "")
    assert_nothing_is_left(site)


@pytest.mark.parametrize("budget", [1, 0])
def test_one_that_is_never_well_counts_as_a_failure_and_is_removed(budget: int) -> None:
    site = Site(4, max_unavailable=1, max_surge=1, max_failures=budget, boot_timeout="5m")
    site.cloud.silent_agents = lambda server: EXTRA in server.metadata
    roll = site.start()
    assert roll.run() is (RollState.COMPLETED if budget else RollState.HALTED)
    extra = roll.log.extras[EXTRA_NAME]
    assert (extra.phase, exit_code(roll.log)) == (Phase.FAILED, 3 if budget else 4)
    assert "its agent has not reported" in extra.reason
    assert_nothing_is_left(site)
    if not budget:
        again = site.resume()
        again.take_up()
        assert again.run() is RollState.COMPLETED, "a person has looked, and goes on without"


def test_one_that_the_broker_never_lists_is_removed() -> None:
    site = Site(4, max_unavailable=1, max_surge=1, boot_timeout="5m", drain_deadline="3h")
    site.broker.found = lambda pool, name: None  # type: ignore[method-assign]
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert roll.log.extras[EXTRA_NAME].reason == "the broker does not know it"
    assert_nothing_is_left(site)


def test_one_that_somebody_deletes_is_told_and_nothing_is_looked_for() -> None:
    site = Site(4, max_unavailable=1, max_surge=1)
    roll = site.start()
    turn_until(roll, site, lambda: roll.log.extras.pending)
    site.cloud.delete_server(extras(site)[0].id)
    assert roll.run() is RollState.COMPLETED
    assert exit_code(roll.log) == 0
    assert_nothing_is_left(site)


def test_one_that_somebody_locks_is_left() -> None:
    site = Site(4, max_unavailable=1, max_surge=1)
    roll = site.start()
    turn_until(roll, site, lambda: roll.log.extras.pending)
    site.cloud.lock(extras(site)[0].id, "forensics")
    assert roll.run() is RollState.COMPLETED
    assert "forensics" in roll.log.extras[EXTRA_NAME].reason
    assert (exit_code(roll.log), len(extras(site))) == (3, 1)


def test_nobody_is_offered_it_before_it_is_proven() -> None:
    site = Site(4, max_unavailable=1, max_surge=1, min_ready="10m")
    roll = site.start()
    turn_until(roll, site, lambda: extras(site))
    offered: list[bool] = []
    while not roll.log.extras.pending:
        roll.turn()
        site.clock.sleep(15)
        record = next((one for one in site.broker.pools[POOL].all() if one.name == EXTRA_NAME), None)
        offered.append(record is not None and record.available and record.agent == "up")
    assert sum(offered[:-1]) <= 2


def test_outside_the_window_none_is_made_and_at_any_hour_it_goes() -> None:
    # the clock stands at 00:17 UTC, and the canary takes until the window has closed
    window = {"hours": "00:00-00:20", "time_zone": "UTC"}
    site = Site(4, max_unavailable=1, max_surge=1, window=window, drain_deadline="3d")
    roll = site.start()
    hours: list[int] = []
    roll.watch = lambda roll, view: hours.append(site.now().hour) if extras(site) else None
    turn_until(roll, site, lambda: roll.log.passed)
    site.clock.sleep(3600)
    for _ in range(10):
        roll.turn()
        site.clock.sleep(60)
    assert extras(site) == []
    turn_until(roll, site, lambda: roll.log.extras.pending)
    assert set(hours) == {0}
    site.broker.log_in(EXTRA_NAME, "kim")
    site.clock.at(6 * 3600, lambda: site.broker.log_out(EXTRA_NAME))
    assert roll.run() is RollState.COMPLETED
    assert hours[-1] == 6
    assert_nothing_is_left(site)


def test_the_floor_holds_while_it_goes() -> None:
    site = Site(4, max_unavailable=1, max_surge=1, min_available=2, drain_deadline="4h")
    roll = site.start()
    turn_until(roll, site, lambda: all(one.phase is Phase.DONE for one in roll.log.held.values()))
    for number in (1, 2, 3):
        site.broker.log_in(f"desktop-{number}", f"user-{number}")
    site.clock.at(3600, lambda: site.broker.log_out("desktop-1"))
    begun = site.clock.now()
    assert roll.run() is RollState.COMPLETED
    assert site.clock.now() - begun > 3600
    assert_nothing_is_left(site)


@pytest.mark.parametrize("holds", [True, False])
def test_members_and_extra_ones_go_from_the_same_free_ones(holds: bool) -> None:
    site = Site(8, min_available=4, max_surge=3, allow_unheld=True, settle="20s", parallel_boots=8)
    if not holds:
        site.broker.caps = NO_HOLD
    roll = site.start()
    turn_until(roll, site, lambda: len(roll.log.extras.pending) == 3 and roll.done() == 6)
    roll.end(RollState.ABORTED, "a rollback was asked for", keeps_extras=True)
    assert roll.run() is RollState.ABORTED
    for user, name in enumerate(site.names[:5]):
        site.broker.log_in(name, f"user-{user}")
        site.clock.at(3600 * 4, lambda name=name: site.broker.log_out(name))
    way = find_way_back(survey(site.definition, site.cloud, site.broker))
    site.lines.clear()
    back = site.start(site.plan("small-v1", only=way.names, back=True), back=True)
    least = [free(site, back)]
    back.watch = lambda roll, view: least.append(free(site, roll))
    assert back.run() is RollState.ROLLED_BACK
    assert (least[0], min(least)) == (6, 4)
    assert_nothing_is_left(site)


def test_a_pool_that_gets_larger_does_not_take_it_for_a_member() -> None:
    site = Site(4, max_unavailable=1, max_surge=1)
    roll = site.start()
    turn_until(roll, site, lambda: roll.log.extras.pending)
    missing, ours = missing_names(site.definition, site.cloud)
    assert (missing, len(ours)) == ((), 4)
    larger = site.definition.model_copy(update={"first": 98})
    with pytest.raises(CloudRefused, match=f"^{EXTRA_NAME}: extra desktops that a roll has made"):
        missing_names(larger, site.cloud)


def test_quota_names_and_broker_are_looked_at_before() -> None:
    def findings(plan: RollPlan) -> dict[str, str]:
        return {f"{one.name} {one.level}": one.words for one in plan.findings if "extra" in one.name}

    site = Site(4, max_surge=2, max_unavailable=1)
    assert list(findings(site.plan())) == ["extra desktops ok"]
    used = site.cloud._used
    site.cloud.limits = type(site.cloud.limits)(
        instances=used["instances"] + 1, cores=used["cores"] + 4, ram_mib=10**9, volumes=10
    )
    words = "it is too small for 2 more of 2cpu_2GB_40GB: instances: 2 needed, 1 left"
    assert findings(site.plan()) == {"extra desktops: quota refuse": words}
    site = Site(4, max_surge="10%", max_unavailable=0)
    assert findings(site.plan()) == {
        "extra desktops refuse": "max_surge 10% of 4 desktops is none, and max_unavailable is 0"
    }
    site = Site(4, max_surge=1)
    site.definition = site.definition.model_copy(update={"names": "vdi-{sequence}-of-seoul"})
    told = findings(site.plan())
    assert told["extra desktops: names refuse"] == "vdi-101-of-seoul would have more than 15 characters"
    assert "broker: extra desktops warn" in told
    site = Site(4, max_surge=1)
    site.definition = site.definition.model_copy(update={"security_group": "gone"})
    assert findings(site.plan())["extra desktops: security group refuse"] == "there is no security group gone"


# ------------------------------------------------------------------------------------------ killed anywhere


def lines_of_a_roll(site: Site) -> int:
    assert site.start().run() is RollState.COMPLETED
    return len(site.lines)


RULES = {"max_unavailable": 1, "max_surge": 1, "min_available": 1, "settle": "10s", "batch_pause": "0"}
KILLS = range(1, 110, 3)


def without_journal(site: Site) -> Roll:
    """Another machine, which has nothing but what the servers say; it first waits until what was begun is there."""
    site.lines.clear()
    pool = survey(site.definition, site.cloud, site.broker)
    found = find_roll(pool)
    if found is None:
        return site.start(site.plan())
    roll_id, note = found
    plan = site.plan(roll_id=roll_id)
    assignment = site.start(plan).log.assignment
    site.lines.clear()
    roll = site.roll(recall(pool, plan, assignment, note=note, write=site.write))
    roll.taken_up = True
    return roll


@pytest.mark.parametrize("journal", [True, False])
@pytest.mark.parametrize("kill_at", KILLS)
def test_killed_at_any_line_none_is_made_twice_and_none_is_left(kill_at: int, journal: bool) -> None:
    site = Site(3, **RULES)
    site.kill_at = kill_at
    roll = site.start()
    try:
        state = roll.run()
    except Killed:
        site.kill_at = None
        site.clock.sleep(30)
        roll = site.resume() if journal else without_journal(site)
        state = roll.run()
    assert state is RollState.COMPLETED
    assert images_of(site, site.names) == {site.new.id}
    assert_nothing_is_left(site)
    made = site.cloud.faults.calls.count("create_desktop")
    assert made <= 1 + (not journal), "only who has no journal may make one anew, when the first is gone already"


def test_the_kills_reach_the_last_line() -> None:
    assert KILLS[-1] >= lines_of_a_roll(Site(3, **RULES)) - 3


@pytest.mark.parametrize("journal", [True, False])
def test_killed_right_after_it_was_asked_for(monkeypatch: pytest.MonkeyPatch, journal: bool) -> None:
    site = Site(3, **RULES)
    make = site.cloud.create_desktop

    def killed(*given: Any, **more: Any) -> Server:
        make(*given, **more)
        raise Killed

    monkeypatch.setattr(site.cloud, "create_desktop", killed)
    with pytest.raises(Killed):
        site.start().run()
    monkeypatch.undo()
    roll = site.resume() if journal else without_journal(site)
    assert roll.run() is RollState.COMPLETED
    assert site.cloud.faults.calls.count("create_desktop") == 1
    assert_nothing_is_left(site)


# ------------------------------------------------------------------------------------------ as Leostream would see it


@pytest.mark.parametrize("drain", ["attribute_rule", "none"])
def test_a_broker_that_finds_it_by_its_name(drain: str) -> None:
    site = LeostreamSite(4, drain=drain, max_unavailable=1, max_surge=1)
    before = site.broker.pool["pool_definition"]
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert [one.phase for one in roll.log.extras.values()] == [Phase.DONE]
    assert images_of(site, site.names) == {site.new.id}
    assert site.broker.pool["pool_definition"] == before
    assert extras(site) == []


def test_a_pool_whose_desktops_are_named_one_by_one_gets_it_put_in_and_taken_out() -> None:
    site = LeostreamSite(4, drain="adhoc", max_unavailable=1, max_surge=1)
    named = [{"id": one.id, "name": one.name} for one in site.broker.standin.state.desktops]
    site.broker.pool["pool_definition"] = {"restrict_by": "H", "parent_pool_id": 1, "adhoc_vms": named}
    site.clock.sleep(120)
    seen: set[str] = set()

    def listed() -> set[str]:
        return {one["name"] for one in site.broker.pool["pool_definition"]["adhoc_vms"]}

    roll = site.start()
    roll.watch = lambda roll, view: seen.update(listed())
    assert roll.run() is RollState.COMPLETED
    assert seen == {*site.names, *roll.log.extras}
    assert (listed(), extras(site)) == (set(site.names), [])


def test_what_it_says() -> None:
    told = Told()
    site = Site(3, report=told, max_unavailable=1, max_surge=1)
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    lines = [line for line in told.notes if EXTRA_NAME in line]
    assert lines == [
        f"{EXTRA_NAME} is being made, an extra one",
        f"{EXTRA_NAME}, an extra one, serves",
        f"{EXTRA_NAME} is being removed",
        f"{EXTRA_NAME}, an extra one, is removed",
    ]
