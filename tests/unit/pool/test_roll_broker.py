"""Rolls whose new desktops the broker makes (`method: broker`)."""

import math
from dataclasses import replace
from typing import Any

import pytest

from imagebuild.broker import Seat
from imagebuild.cloud import Kind
from imagebuild.errors import DeadlinePassed
from imagebuild.pool.marks import PREVIOUS_IMAGE_ID, ROLL_NOTE, ROLL_STATE
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.progress import Note
from imagebuild.pool.roll_status import as_facts, exit_code
from imagebuild.pool.rollback import find_way_back
from imagebuild.pool.starting import find_roll, recall
from imagebuild.pool.survey import survey
from imagebuild.waiting import Deadline
from tests.steps.conftest import Told
from tests.unit.pool.refilling import RefillSite
from tests.unit.pool.rolling import POOL, Killed, Site


def test_the_broker_makes_another_for_each_and_all_are_members() -> None:
    site = RefillSite(6)
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert exit_code(roll.log) == 0
    assert set(site.phases(roll).values()) == {Phase.DONE}
    assert site.images() == {site.new.id}
    assert {server.name for server in site.members()} == {f"desktop-{number}" for number in range(7, 13)}
    assert len(site.servers()) == 6
    pool = site.broker.pools[POOL]
    assert (pool.provisioning, pool.image, site.held_back()) == (True, "small-v2", [])
    assert {one.follower for one in roll.log.held.values()} == set(site.maker.made)
    assert as_facts(roll.log)["desktops"]["desktop-1"]["follower"] == "desktop-7"
    told = site.server("desktop-7").metadata
    assert (told[PREVIOUS_IMAGE_ID], told[ROLL_STATE]) == (site.old.id, "done")
    assert site.broker.cut == []


def test_the_image_is_the_new_one_before_the_canary_and_the_roll_waits_behind_it() -> None:
    site = RefillSite(6, auto_continue=False)
    roll = site.start()
    assert roll.run() is RollState.BAKING
    assert (site.maker.made, site.broker.pools[POOL].image) == (["desktop-7"], "small-v2")
    assert roll.log.image_before == "small-v1"
    again = site.resume()
    again.take_up()
    assert again.run() is RollState.COMPLETED
    assert site.images() == {site.new.id}


def test_a_bad_image_ends_at_the_canary_and_the_broker_makes_old_ones_again() -> None:
    site = RefillSite(6)
    site.cloud.silent_agents = lambda server: server.image_id == site.new.id
    roll = site.start()
    assert roll.run() is RollState.HALTED
    assert "its agent has not reported" in roll.log.reason
    kept = roll.log.held["desktop-1"]
    assert (kept.phase, kept.follower, kept.attempt) == (Phase.QUARANTINED, "desktop-8", 2)
    assert site.held_back() == ["desktop-8"], "the second one is kept to be looked at, the first one was deleted"
    assert not site.has_server("desktop-7")
    pool = site.broker.pools[POOL]
    assert (pool.image, pool.provisioning) == ("small-v1", True)
    again = site.resume()
    again.take_up()
    assert again.run() is RollState.HALTED  # a canary's failure is not forgiven
    assert (pool.image, pool.provisioning) == ("small-v1", True)
    site.wish = "abort"
    assert site.resume().run() is RollState.ABORTED
    assert pool.image == "small-v1"


def test_a_broker_that_makes_none_halts_at_the_canary() -> None:
    site = RefillSite(6)
    site.maker.works = False
    roll = site.start()
    assert roll.run() is RollState.HALTED
    assert "the broker has made no other within 10m" in roll.log.reason
    assert len(site.servers()) == 5
    assert site.broker.pools[POOL].image == "small-v1"


def test_what_nova_cannot_start_is_told_by_the_broker_only() -> None:
    site = RefillSite(6)
    site.maker.works = False
    site.clock.at(300, lambda: setattr(site.cloud, "server_fault", "No valid host was found"))
    site.clock.at(301, lambda: setattr(site.maker, "works", True))
    roll = site.start()
    assert roll.run() is RollState.HALTED
    assert site.server("desktop-7").status == "ERROR"
    assert "desktop-7" in roll.log.reason, roll.log.reason


def test_where_users_have_left_more_free_than_the_broker_wants_none_comes() -> None:
    site = RefillSite(8, threshold=3, max_unavailable=2)
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert exit_code(roll.log) == 0
    assert site.images() == {site.new.id}
    assert len(site.servers()) == 3
    without = [one for one in roll.log.held.values() if not one.follower]
    assert {one.reason for one in without} == {"the broker has as many free ones as it wants, and made none for it"}
    assert len(without) == 5
    canaries = [roll.log.held[name] for name in roll.log.canaries]
    assert canaries[-1].follower == "desktop-9", "no stop is passed before one has come"


def test_users_take_the_new_ones_at_once() -> None:
    site = RefillSite(6, threshold=3, max_unavailable=2)
    booted = site.broker.booted

    def taken(name: str) -> None:
        booted(name)
        if name in site.maker.made and int(name.rpartition("-")[2]) % 2:
            site.broker.log_in(name, f"user of {name}")

    site.broker.booted = taken  # type: ignore[method-assign]
    site.broker.pools[POOL].maximum = 14
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert site.broker.cut == []
    assert {roll.log.held[f"desktop-{number}"].phase for number in range(1, 7)} == {Phase.DONE}
    assert not any(site.has_server(f"desktop-{number}") for number in range(1, 7))


def test_a_new_one_that_is_not_well_is_left_to_the_user_who_is_on_it() -> None:
    site = RefillSite(6, retries=3)
    roll = site.start()
    booted = site.broker.booted

    def taken(name: str) -> None:
        booted(name)
        if name == "desktop-7":
            site.broker.log_in(name, "kim")
            site.witness.deaf |= set(site.server(name).addresses)

    site.broker.booted = taken  # type: ignore[method-assign]
    assert roll.run() is RollState.HALTED
    assert roll.log.held["desktop-1"].phase is Phase.QUARANTINED
    assert site.broker.cut == []
    assert site.broker.record("desktop-7").user == "kim"


def test_one_that_is_not_well_says_that_it_is_held_back_before_it_is() -> None:
    site = RefillSite(6, boot_timeout="5m")
    site.cloud.silent_agents = lambda server: server.image_id == site.new.id
    inner = site.broker.set_available
    said: list[tuple[str, bool]] = []

    def set_available(seat: Seat, *, available: bool, reason: str) -> None:
        if not available and (server := site.server(seat.name)).image_id == site.new.id:
            note = Note.read(server.metadata[ROLL_NOTE])
            said.append((server.metadata[ROLL_STATE], note is not None and note.held))
        inner(seat, available=available, reason=reason)

    site.broker.set_available = set_available  # type: ignore[method-assign]
    assert site.start().run() is RollState.HALTED
    assert said == [("draining", True), ("quarantined", True)]


def test_a_busy_one_is_waited_for() -> None:
    site = RefillSite(4, threshold=3, min_available=2)
    site.broker.log_in("desktop-2", "kim")
    site.clock.at(3 * 3600, lambda: site.broker.log_out("desktop-2"))
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert (site.broker.cut, site.images()) == ([], {site.new.id})
    assert [user for user, _, _ in site.broker.messages] == ["kim"]


def test_what_the_broker_was_still_making_from_the_old_image_is_moved_too() -> None:
    site = RefillSite(4)
    site.broker.pools[POOL].threshold = 5  # it makes desktop-5 from the old one at this moment
    plan = site.plan()
    site.clock.sleep(12)
    roll = site.start(plan)
    assert site.maker.made == ["desktop-5"]
    assert roll.run() is RollState.COMPLETED
    assert roll.log.held["desktop-5"].phase is Phase.DONE
    assert site.images() == {site.new.id}
    assert len(site.members()) == len(site.servers()) == 5


def test_a_broker_that_takes_what_is_held_back_out_of_its_pool_makes_the_next_one_before() -> None:
    site = RefillSite(6, settle="5m")
    site.maker.counts_held = False
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert site.images() == {site.new.id}
    assert len(site.members()) == len(site.servers()) == 6


def test_a_broker_that_also_deletes_is_no_reason_to_halt() -> None:
    site = RefillSite(8, threshold=4)
    for number in (1, 2, 3):
        site.broker.log_in(f"desktop-{number}", f"user-{number}")
        site.clock.at(1800.0 * number, lambda name=f"desktop-{number}": site.broker.log_out(name))  # type: ignore[misc]
    site.maker.enforces = True
    site.clock.sleep(30)
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert site.images() == {site.new.id}
    assert site.broker.cut == []


def test_somebody_who_turns_provisioning_off_halts_the_roll() -> None:
    site = RefillSite(6)
    roll = site.start()
    site.clock.at(400, lambda: setattr(site.broker.pools[POOL], "provisioning", False))
    assert roll.run() is RollState.HALTED
    assert "its provisioning was turned off" in roll.log.reason


def test_an_image_that_the_broker_does_not_take_touches_nothing() -> None:
    site = RefillSite(6)
    site.broker.known_images -= {"small-v2"}
    site.broker.cloud_images -= {"small-v2"}
    roll = site.start()
    assert roll.run() is RollState.HALTED
    assert "the broker knows no image small-v2" in roll.log.reason
    assert (len(site.servers()), site.held_back(), site.broker.pools[POOL].provisioning) == (6, [], True)


def test_an_abort_before_the_canary_has_passed_sets_the_image_back_and_later_it_stays() -> None:
    for canary, image in ((False, "small-v1"), (True, "small-v2")):
        site = RefillSite(6, auto_continue=False)
        roll = site.start()
        assert roll.run() is RollState.BAKING
        if canary:
            roll = site.resume()
            roll.take_up()
            roll.turn()
        site.wish = "abort"
        assert site.resume().run() is RollState.ABORTED
        assert site.broker.pools[POOL].image == image


def test_a_pause_keeps_the_image_and_leaves_nobody_held_back() -> None:
    site = RefillSite(8)
    roll = site.start()
    while len(site.maker.made) < 3:
        roll.turn()
        site.clock.sleep(15)
    site.wish = "pause"
    assert roll.run() is RollState.PAUSED
    assert (site.held_back(), site.broker.pools[POOL].image) == ([], "small-v2")
    site.wish = None
    site.clock.sleep(3600)
    again = site.resume()
    again.take_up()
    assert again.run() is RollState.COMPLETED
    assert site.images() == {site.new.id}


def test_ports_of_our_own_go_with_the_old_servers() -> None:
    site = RefillSite(2)
    site.cloud.create_port("desktop-1", pool=POOL, network_id=site.network.id)
    assert site.start().run() is RollState.COMPLETED
    assert site.cloud.ports(pool=POOL) == ()


@pytest.mark.parametrize("late", [True, False])
def test_a_port_that_does_not_go_is_that_desktop_s_trouble_alone(late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    site = RefillSite(6, max_failures=1, act_timeout="10m")
    site.cloud.create_port("desktop-4", pool=POOL, network_id=site.network.id)
    delete, ends = site.cloud.delete, site.clock.now() + (1800 if late else math.inf)

    def refused(kind: Kind, thing_id: str, *, deadline: Deadline) -> None:
        if kind == "port" and site.clock.now() < ends:
            raise DeadlinePassed("gave up waiting for the port to be gone")
        delete(kind, thing_id, deadline=deadline)

    monkeypatch.setattr(site.cloud, "delete", refused)
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert roll.log.held["desktop-4"].phase is (Phase.DONE if late else Phase.QUARANTINED)
    assert sum(one.phase is Phase.DONE for one in roll.log.held.values()) == 5 + late


def test_the_way_back_is_the_same_towards_the_old_image() -> None:
    site = RefillSite(6)
    site.maker.counts_held = False
    assert site.start().run() is RollState.COMPLETED
    site.broker.pools[POOL].threshold += 2  # beside those that came in somebody's place
    site.clock.sleep(120)
    way = find_way_back(survey(site.definition, site.cloud, site.broker))
    assert way.image_id == site.old.id
    site.lines.clear()
    roll = site.start(site.plan("small-v1", only=way.names, back=True), back=True)
    assert roll.run() is RollState.ROLLED_BACK
    assert {server.image_id for server in site.members()} == {site.old.id}
    assert site.broker.pools[POOL].image == "small-v1"


@pytest.mark.parametrize("moment", range(0, 60, 2))
def test_killed_at_any_line_and_resumed(moment: int) -> None:
    site = RefillSite(3)
    site.kill_at = 1 + moment
    try:
        assert site.start().run() is RollState.COMPLETED
    except Killed:
        site.kill_at = None
        roll = site.resume()
        assert roll.run() is RollState.COMPLETED
    pool = site.broker.pools[POOL]
    assert (site.images(), pool.image, pool.provisioning) == ({site.new.id}, "small-v2", True)
    assert (len(site.members()), len(site.servers()), site.held_back()) == (3, 3, [])


@pytest.mark.parametrize("moment", range(8, 60, 2))
def test_killed_and_taken_up_without_its_journal(moment: int) -> None:
    site = RefillSite(3)
    site.kill_at = moment
    roll = site.start()
    try:
        assert roll.run() is RollState.COMPLETED
        return
    except Killed:
        site.kill_at = None
    site.lines.clear()
    seen = survey(site.definition, site.cloud, site.broker)
    found = find_roll(seen)
    if found is None:
        roll = site.start()
    else:
        roll_id, note = found
        plan = site.plan(roll_id=roll_id)
        log = recall(seen, plan, roll.log.assignment, note=note, write=site.write)
        assert log.image_before == "small-v1"
        roll = site.roll(log)
        roll.taken_up = True
    assert roll.run() is RollState.COMPLETED
    site.clock.sleep(
        120
    )  # of the last one, deleted before it died, nothing tells any more; the broker makes another all the same
    assert (site.images(), len(site.servers())) == ({site.new.id}, 3)


def test_the_plan_tells_of_names_and_of_desktops_that_are_no_members() -> None:
    site = RefillSite(4)
    site.broker.pools[POOL].threshold = 6
    site.clock.sleep(120)
    lines = "\n".join(site.plan().as_lines())
    assert "the broker lists what is no member, so no roll moves it: desktop-5, desktop-6" in lines
    assert "it makes them from number 7 on, for as long as fewer than 6 are free" in lines
    assert "names and computer accounts of their own" in lines
    assert "of no server" not in lines


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"provisioning": False}, "makes no desktops by itself"),
        ({"threshold": 0}, "wants no free desktops"),
        ({"next_value": 10**15}, "not like the pool's names|has .* characters"),
    ],
)
def test_a_broker_that_would_make_none_is_refused(changes: dict[str, object], words: str) -> None:
    site = RefillSite(4)
    for name, value in changes.items():
        setattr(site.broker.pools[POOL], name, value)
    plan = site.plan()
    assert plan.refused
    told = " ".join(finding.words for finding in plan.findings if finding.level == "refuse")
    assert any(part in told for part in words.split("|")[:1]) or "characters" in told


def test_numbers_with_other_digits_are_refused() -> None:
    site = RefillSite(4)
    site.definition = site.definition.model_copy(update={"digits": 3})
    told = [finding.words for finding in site.plan().findings if finding.level == "refuse"]
    assert "its new desktops will be called desktop-5, which is not like the pool's names: desktop-005" in told


def test_other_methods_leave_the_broker_s_desktops_alone() -> None:
    told = Told()
    site = Site(4, report=told)
    assert site.start().run() is RollState.COMPLETED
    assert not any("the broker has made it" in line for line in told.notes)


@pytest.mark.parametrize("knows", [True, False])
def test_a_broker_that_has_only_the_bad_image_makes_none_until_it_gets_another(knows: bool) -> None:
    told = Told()
    site = RefillSite(6, report=told)
    site.cloud.silent_agents = lambda server: server.image_id == site.new.id
    if not knows:
        site.broker.pools[POOL].image = None
    roll = site.start()

    def hide() -> None:
        site.broker.known_images.discard("small-v1")
        site.broker.cloud_images.discard("small-v1")

    site.clock.at(300, hide)  # it was superseded
    assert roll.run() is RollState.HALTED
    pool = site.broker.pools[POOL]
    assert (pool.image, pool.provisioning, roll.log.provisioning) == ("small-v2", False, True)
    assert any("makes no new desktops for now, as it has only small-v2" in words for words in told.warnings)
    site.wish = "abort"
    assert site.resume().run() is RollState.ABORTED
    assert pool.provisioning is False
    site.wish = None
    assert site.plan("small-v1").refused
    site.broker.known_images.add("small-v1")
    plan = site.plan("small-v1", paused=True)
    site.lines.clear()
    back = site.start(plan)
    back.log.note(provisioning=True)  # as jobs.pools does for a roll after one that has left it so
    assert back.run() is RollState.COMPLETED
    assert (pool.image, pool.provisioning) == ("small-v1", True)


def test_what_the_broker_made_before_the_roll_is_for_a_person_to_take_over() -> None:
    site = RefillSite(4)
    site.broker.pools[POOL].threshold = 6
    site.clock.sleep(900)
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert {name: site.server(name).tags for name in ("desktop-5", "desktop-6")} == {"desktop-5": (), "desktop-6": ()}
    assert {server.image_id for server in site.members()} == {site.new.id}


def test_a_long_name_of_the_broker_s_image_does_not_burst_a_server_s_note() -> None:
    note = Note(to_image_id="i" * 36, from_image_id="j" * 36, attempt=1, held=True, was_off=True, back=True)
    flags: dict[str, Any] = {"going_back": True, "provisioning": True, "follows": "desktop-12345678"}
    for name, told in (("win 10=gold", "win 10=gold"), ("x" * 300, "")):
        text = str(replace(note, **flags, pool_image=name))
        read = Note.read(text)
        assert len(text) <= 255
        assert read is not None and (read.pool_image, read.follows) == (told, "desktop-12345678")
