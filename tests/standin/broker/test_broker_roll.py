"""A whole roll through the tool's Leostream adapter, the stand-in broker behind it and a population at work: nobody is cut off."""

import functools
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from broker_wire import ACCOUNTS, Wire, pool_object

from imagebuild.adapters.leostream_api import LeostreamApi
from imagebuild.adapters.leostream_broker import LeostreamBroker, Reading
from imagebuild.adapters.leostream_centers import Centers
from imagebuild.lab.broker.center import CenterSettings
from imagebuild.lab.broker.cloud_view import Look, Machine
from imagebuild.lab.broker.connection_broker import ConnectionBroker
from imagebuild.lab.broker.population import HOUR, Habits, Population
from imagebuild.lab.broker.rest import Rest
from imagebuild.lab.broker.troubles import Troubles
from imagebuild.pool.model import RollState
from imagebuild.secrets import Secret
from tests.unit.pool.rolling import POOL, Site, images_of

HABITS = Habits(away=HOUR, work=HOUR, disconnects=0.3, apart=HOUR / 2)


class Office(Site):
    """rolling.Site with the stand-in in place of the fake broker, and users who come and go by themselves."""

    def __init__(self, size: int, *, users: int, seed: int, refills: bool = False, **rules: Any) -> None:
        super().__init__(size, max_unavailable="30%", min_available=1, drain_deadline="12h", **rules)
        self._refills = refills
        self.standin = ConnectionBroker(
            now=lambda: self.now().timestamp(),
            cloud=self,
            registrations=lambda: list(self.agents),
            center=CenterSettings(scan_seconds=10, every_seconds=300),
        )
        self.agents = [self._said(name) for name in self.names]
        machines: Any = SimpleNamespace(  # what happens to machines, told to the other broker
            pools={POOL: SimpleNamespace(records=set(self.names))},
            destroyed=self.standin.machines.ended,
            booted=lambda name: self.agents.append(self._said(name)),
        )
        self.cloud._broker = machines
        self.standin.center.begin_scan()
        self.clock.sleep(10)
        self.standin.go_on()
        image = next(one["id"] for one in self.standin.state.images if one["name"] == self.old.name)
        self.pool = self.standin.pools.add(pool_object(image, provision={"provision_on_off": 1}))
        self.broker = self._adapter()  # type: ignore[assignment]
        self.population = Population(POOL, users, seed=seed, habits=HABITS)
        self.population.begin(self.now().timestamp())
        self._live()

    def look(self, *, images: bool) -> Look:
        """imagebuild.lab.broker.cloud_view.CloudView: the fake cloud's machines as they are."""
        servers = [machine.server for machine in self.cloud._machines.values()]
        there = [
            Machine(one.id, one.name, one.status == "ACTIVE", f"{one.image_id} {one.launched_at}")
            for one in servers
            if self.has_server(one.name)
        ]
        return Look(tuple(there), tuple(image.name for image in self.cloud._images.values()) if images else ())

    def make(self, name: str, image: str, provision: Mapping[str, Any]) -> None:
        """Nobody may, while a roll is under way."""
        raise AssertionError(f"{name} was made behind the roll's back")

    def remove(self, machine: str) -> None:
        """Nor this."""
        raise AssertionError(f"{machine} was removed behind the roll's back")

    def log_in(self, user: str, pool: str) -> str | None:
        """imagebuild.lab.broker.population.Portal."""
        desktop = self.standin.seating.log_in(user, pool)
        return desktop.name if desktop else None

    def disconnect(self, user: str) -> bool:
        """The window closes."""
        return self.standin.seating.disconnect(user)

    def log_out(self, user: str) -> bool:
        """The session ends."""
        return self.standin.seating.log_out(user)

    def _live(self) -> None:
        self.population.advance(self, self.now().timestamp())
        self.clock.at(max(0.001, self.population.next_at - self.now().timestamp()), self._live)

    def _said(self, name: str) -> dict[str, str]:
        return {"name": name.upper(), "at": self.now().isoformat()}

    def _adapter(self) -> LeostreamBroker:
        account = ACCOUNTS[0]
        api = LeostreamApi(
            "https://broker.example", user=Secret(account.login), password=Secret(account.password), clock=self.clock
        )
        wire: Any = SimpleNamespace(broker=self.standin, rest=Rest(self.standin, *ACCOUNTS))
        api._session.mount("https://", Wire(wire))
        return LeostreamBroker(
            api, Centers(api), reading=Reading(drain="attribute_rule", refills=self._refills), now=self.now
        )

    def roll_it(self) -> RollState:
        """From plan to end, beginning in the middle of a morning."""
        self.clock.sleep(2 * HOUR)
        self.logins_before = self.standin.state.verdict.logins
        return self.start().run()

    def send_strangers_home(self) -> None:
        """Every hour."""
        for desktop in self.standin.state.desktops:
            if (desktop.user or "").startswith("stranger"):
                self.log_out(str(desktop.user))
        self.clock.at(HOUR, self.send_strangers_home)


def assert_nobody_noticed(site: Office, definition: Any) -> None:
    """The users' verdict; people were at work all the time; and the broker's pool is as it was."""
    verdict = site.standin.state.verdict
    assert (verdict.sessions_cut, verdict.logins_refused, site.population.diary.lost) == (0, 0, 0), verdict.incidents
    assert verdict.logins - site.logins_before >= 5
    assert images_of(site, site.names) == {site.new.id}
    told = site.standin.pools.tell(site.pool)
    assert told["pool_definition"] == definition
    assert told["provision"]["provision_on_off"] == 1


@pytest.mark.parametrize("seed", range(3))
def test_users_at_work_notice_nothing_of_a_roll(seed: int) -> None:
    site = Office(10, users=8, seed=seed)
    definition = site.standin.pools.tell(site.pool)["pool_definition"]
    assert site.roll_it() is RollState.COMPLETED
    assert_nobody_noticed(site, definition)


def test_nor_do_they_while_the_broker_makes_trouble() -> None:
    site = Office(10, users=5, seed=11)
    definition = site.standin.pools.tell(site.pool)["pool_definition"]
    site.send_strangers_home()
    switch = site.standin.troubles.switch
    troubles: tuple[dict[str, Any], ...] = (
        {"login_after_look": 2},
        {"forget_logins": 1},
        {"login_after_save": 1},
        {"busy": 3},
        {"stale_counts": True},
        {"stale_counts": False, "lose_answers": 1},
    )
    for number, trouble in enumerate(troubles):
        site.clock.at(2 * HOUR + number * 300, functools.partial(switch, trouble))
    assert site.roll_it() is RollState.COMPLETED
    assert_nobody_noticed(site, definition)
    assert site.standin.troubles == Troubles()  # each has happened
    assert {name for name in site.standin.state.users if "stranger" in name} == {f"stranger-{n}" for n in (1, 2, 3)}


def test_a_careless_hand_is_noticed() -> None:
    site = Office(4, users=3, seed=1)
    site.clock.sleep(4 * HOUR)
    site.standin.go_on()
    name = next(one.name for one in site.standin.state.desktops if one.session != "none")
    nobody: Any = SimpleNamespace(destroyed=lambda name: None)
    site.cloud._broker = nobody  # who looks at the cloud sees it all the same
    site.cloud.rebuild_server(site.server(name).id, site.new.id)
    site.standin.go_on()
    assert [one.place for one in site.standin.state.verdict.incidents] == [name]
    assert site.standin.state.verdict.sessions_cut == 1
