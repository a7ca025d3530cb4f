"""A way out of every end: marks that a finished roll has left behind, and rolls that are taken up where no plan could begin them."""

import shutil
from pathlib import Path

import pytest

from imagebuild.claim import break_claim
from imagebuild.errors import RollRefused
from imagebuild.jobs import pools
from imagebuild.jobs.settings import Settings
from imagebuild.pool.marks import ROLL_NOTE, ROLL_STATE
from imagebuild.properties import STATE
from tests.fakes.kill import Killed
from tests.jobs.test_pools import Office, at_work
from tests.unit.pool.rolling import POOL, images_of


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    made = at_work(Office(tmp_path / "here"), monkeypatch)
    made.write_file(auto_continue=True, bake_time="1m")
    return made


@pytest.fixture
def elsewhere(office: Office, tmp_path: Path) -> Settings:
    return office.another_machine(tmp_path / "elsewhere")


def leave_a_mark(office: Office) -> None:
    """A roll ends while somebody has locked a desktop whose user it waited for: Nova takes no mark of it any more."""
    office.broker.log_in("desktop-4", "kim")
    office.clock.at(900, lambda: office.cloud.lock(office.server("desktop-4").id, "an exam"))
    assert office.run_roll() == 3
    assert office.server("desktop-4").metadata[ROLL_STATE] == "draining"
    office.cloud.unlock(office.server("desktop-4").id)
    office.broker.log_out("desktop-4")
    office.clock.sleep(60)


def forget_the_end(office: Office) -> None:
    """No desktop says that the roll is over."""
    for name in office.names:
        server = office.server(name)
        note = server.metadata.get(ROLL_NOTE, "").replace(" over", "")
        office.cloud.set_server_metadata(server.id, {ROLL_NOTE: note})


def roll(office: Office, settings: Settings) -> int:
    return pools.roll(POOL, settings, office.say, yes=True, ask=lambda words: False)


def abort(office: Office, settings: Settings) -> int:
    return pools.abort(POOL, settings, office.say)


def test_what_a_finished_roll_could_not_take_away_stands_in_the_way_of_no_other(office: Office) -> None:
    leave_a_mark(office)
    forget_the_end(office)  # its journal knows
    assert roll(office, office.settings) == 0
    assert images_of(office, office.names) == {office.new.id}


def test_nor_on_a_machine_without_its_journal_where_a_desktop_says_that_it_is_over(
    office: Office, elsewhere: Settings
) -> None:
    leave_a_mark(office)
    assert roll(office, elsewhere) == 0


def test_where_nothing_tells_that_it_is_over_ending_it_helps(office: Office, elsewhere: Settings) -> None:
    leave_a_mark(office)
    forget_the_end(office)
    with pytest.raises(RollRefused, match=r"has not ended, as the servers tell it") as caught:
        roll(office, elsewhere)
    assert "invoke pool.abort staff" in caught.value.hint
    office.cloud.lock(office.server("desktop-4").id, "an exam")
    assert abort(office, elsewhere) == 5
    office.cloud.unlock(office.server("desktop-4").id)
    assert roll(office, elsewhere) == 0
    assert images_of(office, office.names) == {office.new.id}


def test_a_roll_whose_image_was_rejected_can_be_ended_elsewhere(office: Office, elsewhere: Settings) -> None:
    office.run_until(300)
    in_hand = office.held_back()
    assert in_hand
    office.cloud.update_image(office.new.id, properties={STATE: "rejected"})
    with pytest.raises(RollRefused, match="may not begin"):
        pools.go_on(POOL, elsewhere, office.say)
    assert office.held_back() == in_hand
    assert abort(office, elsewhere) == 5
    assert (office.held_back(), office.broker.pools[POOL].provisioning) == ([], True)


def test_one_whose_image_is_gone_can_be_told_and_ended_elsewhere(office: Office, elsewhere: Settings) -> None:
    office.broker.log_in("desktop-4", "kim")
    office.run_until(1500)
    assert office.held_back() == ["desktop-4"]
    del office.cloud._images[office.new.id]
    assert pools.status(POOL, elsewhere, office.say) == 6
    with pytest.raises(RollRefused, match="is gone") as caught:
        pools.go_on(POOL, elsewhere, office.say)
    assert caught.value.hint.startswith("end it: invoke pool.abort staff; ")
    assert abort(office, elsewhere) == 5
    assert (office.held_back(), office.broker.pools[POOL].provisioning) == ([], True)


def test_a_canary_by_name_that_has_been_keeps_nobody_from_going_on_or_back(office: Office, elsewhere: Settings) -> None:
    rules = {"auto_continue": True, "bake_time": "1m", "canary_names": ["desktop-1"]}
    office.write_file(**rules)
    shutil.copytree(office.settings.pools, elsewhere.pools, dirs_exist_ok=True)
    office.run_until(500)
    assert office.server("desktop-1").metadata[ROLL_STATE] == "done"
    assert pools.go_on(POOL, elsewhere, office.say) == 0
    assert images_of(office, office.names) == {office.new.id}
    office.cloud.lock(office.server("desktop-1").id, "it is looked into")
    assert pools.rollback(POOL, elsewhere, office.say, yes=True, ask=lambda words: False) == 0
    assert images_of(office, office.names[1:]) == {office.old.id}


def test_one_that_was_killed_right_before_its_end_is_ended_elsewhere(
    office: Office, elsewhere: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All have the image; what is left to do is to turn the broker's provisioning on again."""
    switch = office.broker.set_provisioning

    def killed_before_on(pool: str, *, on: bool) -> bool:
        if on:
            raise Killed
        return switch(pool, on=on)

    monkeypatch.setattr(office.broker, "set_provisioning", killed_before_on)
    with pytest.raises(Killed):
        office.run_roll()
    monkeypatch.setattr(office.broker, "set_provisioning", switch)
    break_claim(office.cloud, POOL)
    assert images_of(office, office.names) == {office.new.id}
    assert not office.broker.pools[POOL].provisioning
    assert pools.status(POOL, elsewhere, office.say) == 6
    assert pools.go_on(POOL, elsewhere, office.say) == 0
    assert office.broker.pools[POOL].provisioning
    assert pools.status(POOL, elsewhere, office.say) == 0
