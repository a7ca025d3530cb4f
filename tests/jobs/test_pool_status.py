"""`pool.status`: what it tells of a roll whose journal is here, is elsewhere, or is behind what the pool's servers say."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from imagebuild import build_folder
from imagebuild.claim import break_claim
from imagebuild.errors import RollRefused
from imagebuild.jobs import pool_desk, pools
from imagebuild.jobs.settings import Settings
from imagebuild.pool.marks import ROLL_NOTE
from tests.fakes.kill import Killed
from tests.jobs.test_pools import Office, at_work, kill
from tests.unit.pool.rolling import POOL, images_of
from tests.unit.versions import add_version

CHANGES = ("create", "set_", "tag", "rebuild", "update", "delete", "reserve", "start_", "stop_", "notify", "forget")


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    made = at_work(Office(tmp_path / "here"), monkeypatch)
    made.write_file(auto_continue=True)
    monkeypatch.setattr(
        build_folder, "datetime", SimpleNamespace(now=lambda zone: made.now())
    )  # of two rolls, one is later
    return made


@pytest.fixture
def elsewhere(office: Office, tmp_path: Path) -> Settings:
    return office.another_machine(tmp_path / "elsewhere")


def look(office: Office, settings: Settings) -> tuple[int, str]:
    """Exit code and words; that nothing was written is seen to."""
    faults = (office.cloud.faults, office.broker.faults)
    for one in faults:
        one.calls.clear()
    office.said()
    code = pools.status(POOL, settings, office.say)
    assert [name for one in faults for name in one.calls if name.startswith(CHANGES)] == []
    return code, office.said()


def test_another_machine_tells_an_unfinished_roll_by_what_its_servers_say(office: Office, elsewhere: Settings) -> None:
    office.run_until(100)
    code, said = look(office, elsewhere)
    assert code == 6
    assert "staff goes to small-v2: staff-" in said
    assert "as its servers tell it: its journal is not on this machine" in said
    assert "canary: 1 acting, 3 pending\n  no process works on it" in said
    assert "\n  desktop-1       acting" in said
    assert "the broker's own provisioning is paused by this roll" in said
    assert said.endswith("next: invoke pool.continue staff\nnext: invoke pool.abort staff\n")
    assert not pool_desk.rolls_of(elsewhere).exists()
    assert pools.go_on(POOL, elsewhere, office.say) == 0
    assert images_of(office, office.names) == {office.new.id}


def test_a_canary_that_waits_is_told_as_that(office: Office, elsewhere: Settings) -> None:
    office.write_file()
    assert office.run_roll() == 6
    code, said = look(office, elsewhere)
    assert code == 6
    assert "baking: 1 done, 3 pending" in said
    assert "to be tried before it goes on: desktop-1" in said
    assert "no process works on it" not in said


def test_a_canary_that_failed_halts_it_there_too(office: Office, elsewhere: Settings) -> None:
    office.cloud.silent_agents = lambda server: server.image_id == office.new.id
    assert office.run_roll() == 4
    code, said = look(office, elsewhere)
    assert code == 4
    assert "halted: 3 pending, 1 failed (the canary desktop-1 failed" in said
    assert "next: invoke pool.abort staff" in said
    assert "pool.continue" not in said


def test_while_a_process_works_on_it_nobody_is_told_to_go_on(office: Office, elsewhere: Settings) -> None:
    seen: list[tuple[int, str]] = []
    office.clock.at(100, lambda: seen.append(look(office, elsewhere)))
    assert office.run_roll() == 0
    ((code, said),) = seen
    assert code == 6
    assert "staff (roll) is claimed by staff-" in said
    assert "no process works on it" not in said
    assert said.endswith("next: invoke pool.pause staff\nnext: invoke pool.abort staff\n")


@pytest.mark.parametrize(
    "end", [lambda office: office.go_on(), lambda office: abort(office)], ids=["completed", "aborted"]
)
def test_one_that_has_ended_elsewhere_is_none_to_go_on_with(
    office: Office, elsewhere: Settings, end: Callable[[Office], int]
) -> None:
    office.write_file()
    office.run_roll()
    end(office)
    office.cloud.rebuild_server(office.server("desktop-4").id, add_version(office.cloud, 3, "current").id)
    office.clock.sleep(60)
    code, said = look(office, elsewhere)
    assert (code, "its servers tell of none that has not ended" in said) == (0, True)
    with pytest.raises(RollRefused, match="no unfinished roll"):
        pools.go_on(POOL, elsewhere, office.say)


def abort(office: Office) -> int:
    return pools.abort(POOL, office.settings, office.say)


def test_a_later_one_elsewhere_comes_before_one_that_has_ended_here(office: Office, elsewhere: Settings) -> None:
    assert office.run_roll() == 0
    third = add_version(office.cloud, 3, "superseded")
    office.broker.known_images |= {third.name}
    office.clock.at(100, kill)
    with pytest.raises(Killed):
        pools.roll(POOL, elsewhere, office.say, to="small-v3", yes=True, ask=lambda words: False)
    break_claim(office.cloud, POOL)
    code, said = look(office, office.settings)
    assert (code, "staff goes to small-v3" in said) == (6, True)
    assert "next: invoke pool.continue staff" in said


def test_an_older_one_is_not_taken_for_unfinished_once_a_later_one_has_ended_here(
    office: Office, elsewhere: Settings
) -> None:
    assert office.run_roll() == 0
    third = add_version(office.cloud, 3, "superseded")
    office.broker.known_images |= {third.name}
    office.write_file()
    shutil.copytree(office.settings.pools, elsewhere.pools, dirs_exist_ok=True)
    assert pools.roll(POOL, elsewhere, office.say, to="small-v3", yes=True, ask=lambda words: False) == 6
    assert pools.abort(POOL, elsewhere, office.say) == 5
    code, said = look(office, elsewhere)
    assert (code, "aborted: 1 done, 3 pending" in said) == (5, True)
    with pytest.raises(RollRefused, match="no unfinished roll"):
        pools.go_on(POOL, elsewhere, office.say)


def test_one_that_has_ended_here_needs_no_server_that_says_so(office: Office) -> None:
    office.write_file()
    office.run_roll()
    assert abort(office) == 5
    server = office.server("desktop-1")
    assert server.metadata[ROLL_NOTE].endswith(" over")
    office.cloud.set_server_metadata(server.id, {ROLL_NOTE: server.metadata[ROLL_NOTE].removesuffix(" over")})
    assert look(office, office.settings)[0] == 5


def test_after_a_kill_it_says_that_no_process_works_on_it(office: Office) -> None:
    office.clock.at(100, kill)
    with pytest.raises(Killed):
        office.run_roll()
    code, said = look(office, office.settings)
    assert code == 6
    assert "canary: 1 checking, 3 pending\n  no process works on it\n" in said
    assert "is claimed by" not in said, "its process is dead"
    assert said.endswith("next: invoke pool.continue staff\nnext: invoke pool.abort staff\n")


def test_one_that_went_on_elsewhere_is_told_as_far_as_its_servers_are(office: Office, elsewhere: Settings) -> None:
    office.run_until(100)
    seen: list[tuple[int, str]] = []
    office.clock.at(1500, lambda: seen.append(look(office, office.settings)))
    assert pools.go_on(POOL, elsewhere, office.say) == 0
    ((code, said),) = seen
    assert code == 6
    assert "1 done" in said or "2 done" in said
    assert said.endswith("next: invoke pool.pause staff\nnext: invoke pool.abort staff\n")


def test_where_its_image_is_gone_it_is_told_and_taken_back(office: Office, elsewhere: Settings) -> None:
    office.write_file()
    office.run_roll()
    office.cloud._images.pop(office.new.id)
    code, said = look(office, elsewhere)
    assert code == 6
    assert f"staff goes to {office.new.id}" in said
    assert "rolling: 1 done" in said
    with pytest.raises(RollRefused, match="has not ended, .* is gone") as caught:
        pools.go_on(POOL, elsewhere, office.say)
    assert "invoke pool.rollback staff" in caught.value.hint
    assert pools.rollback(POOL, elsewhere, office.say, yes=True, ask=lambda words: False) == 0
    assert images_of(office, office.names) == {office.old.id}


def test_another_machine_begins_no_second_roll_while_the_first_waits_at_its_canary(
    office: Office, elsewhere: Settings
) -> None:
    office.write_file()
    assert office.run_roll() == 6
    with pytest.raises(
        RollRefused, match=r"has not ended, as the servers tell it \(its journal is elsewhere\): a pool has one roll"
    ) as caught:
        pools.roll(POOL, elsewhere, office.say, yes=True, ask=lambda words: False)
    assert caught.value.hint == "invoke pool.continue staff; invoke pool.abort staff"
    assert len(office.cloud.rebuilds) == 1
    assert pools.abort(POOL, elsewhere, office.say) == 5
    assert pools.roll(POOL, elsewhere, office.say, yes=True, ask=lambda words: False) == 0


def test_a_roll_that_left_some_behind_keeps_nobody_elsewhere_from_the_next(office: Office, elsewhere: Settings) -> None:
    office.broker.log_in("desktop-3", "ann")
    assert office.run_roll() == 3
    office.cloud.delete_server(office.server("desktop-1").id)  # the first that has told that it is over
    office.broker.log_out("desktop-3")
    office.clock.sleep(60)
    assert pools.roll(POOL, elsewhere, office.say, yes=True, ask=lambda words: False) == 0
