"""Rolls as a person calls them: what is said, which exit code comes, and what two people, a kill -9 and a lost journal do to it."""

import io
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from imagebuild.broker import Broker
from imagebuild.claim import break_claim, claims, hold
from imagebuild.errors import BrokerRefused, Busy, Interrupted, NotFound, RecipeError, RollRefused
from imagebuild.jobs import pool_desk, pool_making, pools
from imagebuild.jobs.settings import Settings
from imagebuild.pool.model import Phase
from imagebuild.pool.roll_journal import read_log
from imagebuild.properties import WISH
from imagebuild.report import ConsoleReport
from imagebuild.waiting import Deadline
from tests.fakes.kill import Killed
from tests.unit.pool.rolling import POOL, Site, images_of
from tests.unit.versions import add_version


class Office(Site):
    """A project folder with the pool's file, and everything in memory behind it."""

    def __init__(self, folder: Path, size: int = 4, **rules: object) -> None:
        super().__init__(size, **rules)
        self.settings = Settings(folder)
        self.settings.pools.mkdir(parents=True)
        self.write_file(**rules)
        self.out = io.StringIO()
        self.say = ConsoleReport(self.out)

    def write_file(self, **rules: object) -> None:
        """The pool's file with these rules."""
        content = {
            "pool": POOL,
            "recipe": "small",
            "size": len(self.names),
            "flavor": "2cpu_2GB_40GB",
            "network": "vdi-network",
            "security_group": "vdi-desktop",
            "roll": {"max_unavailable": "30%", "min_available": 1, **rules},
        }
        (self.settings.pools / "staff.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")

    def run_roll(self, *, to: str = "", canary: str = "", yes: bool = True) -> int:
        return pools.roll(POOL, self.settings, self.say, to=to, canary=canary, yes=yes, ask=lambda words: False)

    def run_until(self, seconds: float) -> None:
        """A roll whose process is gone after that time; its claim has expired."""
        self.clock.at(seconds, kill)
        with pytest.raises(Killed):
            self.run_roll()
        break_claim(self.cloud, POOL)
        self.said()

    def go_on(self) -> int:
        return pools.go_on(POOL, self.settings, self.say)

    def another_machine(self, folder: Path) -> Settings:
        """It has the pool's file and nothing else."""
        settings = Settings(folder)
        shutil.copytree(self.settings.pools, settings.pools)
        return settings

    def said(self) -> str:
        """What a person has read since the last time."""
        text = self.out.getvalue()
        self.out.truncate(0)
        self.out.seek(0)
        return text


def kill() -> None:
    raise Killed


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    return at_work(Office(tmp_path), monkeypatch)


def at_work(made: Office, monkeypatch: pytest.MonkeyPatch) -> Office:
    """Let the jobs meet this office's cloud, broker and time."""

    @contextmanager
    def open_broker(*args: object, **more: object) -> Iterator[Broker]:
        yield made.broker

    monkeypatch.setattr(Settings, "open_cloud", lambda settings, report: made.cloud)
    monkeypatch.setattr(pool_desk, "open_broker", open_broker)
    monkeypatch.setattr(pool_desk, "utc_now", made.now)
    monkeypatch.setattr(pool_desk, "SystemClock", lambda: made.clock)
    monkeypatch.setattr(pool_desk, "desktop_answers", lambda address: True)
    return made


def test_a_roll_stops_at_the_canary_goes_on_and_goes_back(office: Office) -> None:
    plan = pools.plan(POOL, office.settings, office.say)
    assert (len(plan.moves), len(office.cloud.rebuilds)) == (4, 0)
    assert "rebuild  DESTROYS ROOT DISK" in (said := office.said())
    assert "if each takes 20 min (a guess: no roll of this pool was measured on this machine)" in said
    assert said.rstrip().endswith("next: invoke pool.roll staff")

    assert office.run_roll() == 6
    said = office.said()
    assert "baking: 1 done, 3 pending; 3 free (floor 1)" in said
    assert "to be tried before it goes on: desktop-1" in said
    assert said.rstrip().endswith("next: invoke pool.continue staff\nnext: invoke pool.abort staff")
    assert claims(office.cloud, POOL) == []

    assert office.go_on() == 0
    assert "completed: 4 done" in office.said()
    assert images_of(office, office.names) == {office.new.id}
    assert pools.status(POOL, office.settings, office.say) == 0
    assert "staff: 4 desktops, 4 free; 4 on small-v2" in office.said()

    assert pools.rollback(POOL, office.settings, office.say, yes=False, ask=lambda words: False) == 2
    assert "desktop-3: free now; users could have it since" in (said := office.said())
    assert "if each takes 3 min (as in the last roll of this pool on this machine)" in said
    assert images_of(office, office.names) == {office.new.id}
    assert pools.rollback(POOL, office.settings, office.say, yes=True, ask=lambda words: False) == 0
    assert "rolled-back: 4 done" in office.said()
    assert images_of(office, office.names) == {office.old.id}
    assert (office.held_back(), office.broker.cut) == ([], [])


def test_without_a_yes_nothing_is_done(office: Office) -> None:
    assert office.run_roll(yes=False) == 2
    assert "nothing was changed; to do it: invoke pool.roll staff --yes" in office.said()
    assert (office.cloud.rebuilds, office.broker.reasons) == ([], [])


def test_a_refused_plan_says_why_and_changes_nothing(office: Office) -> None:
    office.broker.problems = ("work_queue: not running",)
    for job in (lambda: pools.plan(POOL, office.settings, office.say), office.run_roll):
        with pytest.raises(RollRefused, match="may not begin") as caught:
            job()
        assert caught.value.exit_code == 2
        assert any("work_queue: not running" in line for line in caught.value.details)
    assert office.broker.reasons == []


def test_a_plan_says_that_this_machine_reaches_no_desktop(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    knocks: list[str] = []
    monkeypatch.setattr(pool_desk, "desktop_answers", lambda address: bool(knocks.append(address)))
    pools.plan(POOL, office.settings, office.say)
    assert "warn   Remote Desktop: it does not answer this machine at desktop-1, desktop-2" in office.said()
    assert knocks == [office.server(name).addresses[0] for name in office.names[:3]]


def test_a_pool_has_one_roll(office: Office) -> None:
    office.run_roll()
    with pytest.raises(RollRefused, match="a pool has one roll") as caught:
        office.run_roll()
    assert "invoke pool.continue staff" in caught.value.hint


def test_a_failing_image_halts_and_is_given_up(office: Office) -> None:
    office.cloud.silent_agents = lambda server: server.image_id == office.new.id
    assert office.run_roll() == 4
    said = office.said()
    assert "halted: 3 pending, 1 failed (the canary desktop-1 failed" in said
    assert "its agent has not reported to the broker; it has its old image again" in said
    assert "pool.continue" not in said, "a canary's failure is not passed by"
    assert "next: invoke rollback small --reason" in said
    assert pools.status(POOL, office.settings, office.say) == 4
    assert pools.abort(POOL, office.settings, office.say) == 5
    assert images_of(office, office.names) == {office.old.id}
    office.cloud.silent_agents = lambda server: False
    assert office.run_roll() == 6


def test_what_a_roll_had_to_leave_paused_the_next_one_turns_on(office: Office) -> None:
    turn_on, pool = office.broker.set_provisioning, office.broker.pools[POOL]

    def set_provisioning(name: str, *, on: bool) -> bool:
        if on and pool.image == office.old.name:  # hidden since its successor was promoted
            raise BrokerRefused("400 BAD_DATA")
        return turn_on(name, on=on)

    office.broker.set_provisioning = set_provisioning  # type: ignore[method-assign]
    office.cloud.silent_agents = lambda server: server.image_id == office.new.id
    assert office.run_roll() == 4
    assert pools.abort(POOL, office.settings, office.say) == 5
    assert "was left so: the next roll turns it on" in office.said()
    assert pool.provisioning is False
    office.cloud.silent_agents = lambda server: False
    assert office.run_roll() == 6
    assert "left the broker's provisioning paused: it is turned on at the end" in office.said()
    (*_, last) = pool_desk.build_folders(pool_desk.rolls_of(office.settings))
    begun = read_log(last.entries()[:1])  # and a kill right behind its first line forgets nothing of that
    assert begun is not None and begun.provisioning
    assert office.go_on() == 0
    assert pool.provisioning is True


def test_a_halted_roll_is_taken_back_and_not_the_one_before_it(office: Office) -> None:
    office.write_file(auto_continue=True)
    assert office.run_roll() == 0  # all have version 2 now, and a way back to 1
    shutil.rmtree(pool_desk.rolls_of(office.settings))  # it was rolled from elsewhere
    third = add_version(office.cloud, 3, "superseded")
    office.broker.known_images |= {third.name}
    office.cloud.silent_agents = lambda server: server.image_id == third.id
    assert office.run_roll(to="small-v3") == 4
    with pytest.raises(RollRefused, match="has moved no desktop") as caught:
        pools.rollback(POOL, office.settings, office.say, yes=True, ask=lambda words: False)
    assert "invoke pool.abort staff" in caught.value.hint
    assert images_of(office, office.names) == {office.new.id}


def test_named_canaries_go_first_also_after_akill(office: Office) -> None:

    def kill(server_id: str, image_id: str, **more: object) -> None:
        raise Killed

    rebuild = office.cloud.rebuild_server
    office.cloud.rebuild_server = kill  # type: ignore[method-assign,assignment]
    with pytest.raises(Killed):
        office.run_roll(canary="desktop-3")
    office.cloud.rebuild_server = rebuild  # type: ignore[method-assign]
    assert office.go_on() == 6
    assert [name for name, _ in office.cloud.rebuilds] == ["desktop-3"]


def test_a_canary_that_is_not_there_is_refused(office: Office) -> None:
    with pytest.raises(RollRefused):
        office.run_roll(canary="desktop-9")
    with pytest.raises(RecipeError, match="names nothing"):
        office.run_roll(canary=" , ")


def test_a_roll_that_waits_is_given_up_by_a_rollback(office: Office) -> None:
    office.run_roll()
    assert pools.rollback(POOL, office.settings, office.say, yes=True, ask=lambda words: False) == 0
    assert images_of(office, office.names) == {office.old.id}
    with pytest.raises(RollRefused, match="no unfinished roll"):
        office.go_on()


def test_there_is_nothing_to_go_back_from(office: Office) -> None:
    with pytest.raises(RollRefused, match="no desktop of staff tells"):
        pools.rollback(POOL, office.settings, office.say, yes=True, ask=lambda words: False)


def test_a_way_back_that_nobody_can_go_is_refused_and_gives_up_no_roll(office: Office) -> None:
    assert office.run_roll() == 6
    office.cloud.lock(office.server("desktop-1").id, "audit")
    with pytest.raises(RollRefused, match="no desktop of staff can be taken back to small-v1 now") as refused:
        pools.rollback(POOL, office.settings, office.say, yes=True, ask=lambda words: False)
    assert "to be moved: 0 of 4" in office.said()
    assert refused.value.details == ("desktop-1: somebody has locked it: audit",)
    assert pools.status(POOL, office.settings, office.say) == 6


def test_who_changes_the_pools_members_is_not_asked_to_pause_or_abort(office: Office) -> None:
    office.run_roll()
    office.said()
    with hold(
        office.cloud,
        POOL,
        purpose="roll",
        seed=lambda images: pool_making.MEMBERS,
        owner="create-1",
        lifetime_seconds=600,
        report=office.say,
    ):
        with pytest.raises(Busy, match="is claimed by create-1"):
            pools.abort(POOL, office.settings, office.say)
        pools.pause(POOL, office.settings, office.say)
        assert (claims(office.cloud, POOL)[0].owner, "is asked to" in (said := office.said())) == ("create-1", False)
    assert "no process rolls staff" in said
    assert pools.abort(POOL, office.settings, office.say) == 5


def test_somebody_elsewhere_pauses_and_aborts_a_roll_by_its_claim(office: Office) -> None:
    office.write_file(auto_continue=True)

    def pause() -> None:
        pools.status(POOL, office.settings, office.say)
        assert office.said().rstrip().endswith("next: invoke pool.pause staff\nnext: invoke pool.abort staff")
        pools.pause(POOL, office.settings, office.say)

    office.clock.at(200, pause)
    assert office.run_roll() == 6
    assert "is asked to pause: it finishes what it has in hand" in office.said()
    assert office.held_back() == []

    office.clock.at(100, lambda: pools.abort(POOL, office.settings, office.say) and None)
    assert office.go_on() == 5
    pools.pause(POOL, office.settings, office.say)
    assert "no process rolls staff" in office.said()


def test_two_do_not_roll_one_pool(office: Office) -> None:
    office.write_file(auto_continue=True)
    refused: list[Busy] = []

    def second() -> None:
        for job in (office.run_roll, office.go_on):
            with pytest.raises((Busy, RollRefused)) as caught:
                job()
            refused.append(caught.value)

    office.clock.at(200, second)
    assert office.run_roll() == 0
    assert len(refused) == 2
    assert len(office.cloud.rebuilds) == 4


def test_whose_claim_is_broken_leaves_at_once(office: Office) -> None:
    office.write_file(auto_continue=True)

    def break_it() -> None:
        for claim in claims(office.cloud, POOL):
            office.cloud.delete("image", claim.id, deadline=Deadline.after(60, office.clock))

    office.clock.at(150, break_it)
    with pytest.raises(Busy, match="has lost its claim"):
        office.run_roll()
    assert office.go_on() == 0
    assert office.held_back() == []


@pytest.mark.parametrize(
    "seconds", [100, 1200, 2300]
)  # the canary is in hand; it bakes, nothing is in hand; others are
def test_another_machine_goes_on_without_the_journal(office: Office, seconds: float) -> None:
    class Lost(BaseException):
        pass

    def lose() -> None:
        raise Lost

    office.write_file(auto_continue=True)
    office.clock.at(seconds, lose)
    with pytest.raises(Lost):
        office.run_roll()
    assert office.broker.pools[POOL].provisioning is False
    shutil.rmtree(pool_desk.rolls_of(office.settings))
    for claim in claims(office.cloud, POOL):  # of a machine that is gone, and has let it expire
        office.cloud.delete("image", claim.id, deadline=Deadline.after(60, office.clock))
    assert office.go_on() == 0
    assert "it is taken up from what the servers say" in office.said()
    assert images_of(office, office.names) == {office.new.id}
    assert len(office.cloud.rebuilds) == 4
    assert (office.held_back(), office.broker.pools[POOL].provisioning) == ([], True)


def test_two_machines_do_not_work_on_one_roll(office: Office, tmp_path: Path) -> None:
    office.write_file(auto_continue=True)
    elsewhere = office.another_machine(tmp_path / "elsewhere")

    def go_on_elsewhere() -> None:
        with pytest.raises(Busy, match=r"is claimed by staff-[^~]+ ") as caught:
            pools.go_on(POOL, elsewhere, office.say)
        assert "invoke builds.unclaim staff --break-claim" in caught.value.hint

    def die() -> None:
        raise Killed

    office.clock.at(100, go_on_elsewhere)
    office.clock.at(200, die)
    with pytest.raises(Killed):
        office.run_roll()

    def go_on_here() -> None:
        with pytest.raises(Busy, match=r"is claimed by staff-\S+~"):
            office.go_on()

    office.clock.at(300, go_on_here)
    assert pools.go_on(POOL, elsewhere, office.say) == 0
    assert len(office.cloud.rebuilds) == 4
    assert office.go_on() == 0
    assert (len(office.cloud.rebuilds), office.held_back(), office.broker.cut) == (4, [], [])


def test_ctrl_c_pauses_and_the_second_leaves_with_the_word_that_mends_it(
    office: Office, capfd: pytest.CaptureFixture[str]
) -> None:
    office.write_file(auto_continue=True, bake_time="1m")
    before = signal.getsignal(signal.SIGINT)
    office.clock.at(130, lambda: signal.raise_signal(signal.SIGTERM))
    assert office.run_roll() == 6
    assert "it pauses: what is in hand is finished first" in capfd.readouterr().err
    assert (office.held_back(), len(office.cloud.rebuilds)) == ([], 1)

    for seconds in (200, 201):
        office.clock.at(seconds, lambda: signal.raise_signal(signal.SIGINT))
    office.cloud.agent_seconds = 600.0
    with pytest.raises(Interrupted, match="left at once; still in hand: desktop-2") as caught:
        office.go_on()
    assert caught.value.hint == "go on with it: invoke pool.continue staff"
    assert signal.getsignal(signal.SIGINT) is before
    assert claims(office.cloud, POOL) == []
    assert office.go_on() == 0
    assert (office.held_back(), office.broker.cut) == ([], [])


def test_a_wish_is_the_claims_and_ends_with_it(office: Office) -> None:
    office.run_roll()
    assert not [image for image in office.cloud.images() if WISH in image.properties]


def test_an_image_that_is_not_there(office: Office) -> None:
    with pytest.raises(NotFound):
        office.run_roll(to="small-v9")


def test_a_pool_is_rolled_to_what_another_project_lends_and_back(office: Office) -> None:
    office.write_file(auto_continue=True)
    for image in (office.old, office.new):
        office.cloud.give_away(image.id)
    with pytest.raises(NotFound, match="there is no version 'small'") as caught:
        office.run_roll()
    assert "once it is accepted: openstack image set --accept ID" in caught.value.hint
    for image in (office.old, office.new):
        office.cloud.accept(image.id)
    assert office.run_roll() == 0
    assert images_of(office, office.names) == {office.new.id}
    assert pools.rollback(POOL, office.settings, office.say, yes=True, ask=lambda words: False) == 0
    assert images_of(office, office.names) == {office.old.id}


def test_skipped_desktops_have_their_own_code(office: Office) -> None:
    office.write_file(auto_continue=True, drain_deadline="1h")
    office.broker.log_in("desktop-2", "kim")
    assert office.run_roll() == 3
    assert "desktop-2       skipped" in office.said()
    log = read_log(next(iter(pool_desk.build_folders(pool_desk.rolls_of(office.settings)))).entries())
    assert log is not None
    assert log.held["desktop-2"].phase is Phase.SKIPPED


def test_of_one_it_is_told_as_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    office = at_work(Office(tmp_path, 1, min_available=0), monkeypatch)
    asked: list[str] = []

    def ask(words: str) -> bool:
        asked.append(words)
        return True

    assert pools.roll(POOL, office.settings, office.say, yes=False, ask=ask) == 0
    assert pools.status(POOL, office.settings, office.say) == 0
    assert pools.rollback(POOL, office.settings, office.say, yes=False, ask=ask) == 0
    said = office.said()
    assert asked == [
        "roll 1 desktop of staff to small-v2",
        "take 1 desktop of staff back to small-v1; what users have put there is lost",
    ]
    for words in (
        "staff: 1 of 1 desktop to small-v2",
        "staff: 1 desktop, 1 free",
        "1 batch of at most 1, about 20 min",
    ):
        assert words in said
    assert "users had 1 desktop since" in said
    assert not re.search(r"\b1 (desktops|servers|batches|reasons|ones)\b", said)
