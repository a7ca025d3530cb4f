"""What every broker keeps to, whatever it is asked through: the same assertions against the fake and each adapter."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagebuild.broker import Cap
from imagebuild.errors import BrokerError, BrokerRefused, CapabilityMissing
from tests.contract.broker_bench import DESKTOPS, POOL, Bench
from tests.contract.broker_benches import BENCHES, who_can

KNOWING = [name for name in BENCHES if name != "none"]  # who knows of users


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """The bench of the name that the test is for."""
    bench = BENCHES[request.param](tmp_path)
    yield bench
    bench.close()


def on(names: list[str]) -> pytest.MarkDecorator:
    """For the benches of these names."""
    assert names
    return pytest.mark.parametrize("bench", names, indirect=True)


def pause_provisioning(bench: Bench) -> None:
    """As a roll does before it holds desktops back."""
    if Cap.PROVISIONING in bench.broker.capabilities():
        bench.broker.set_provisioning(POOL, on=False)


@on(list(BENCHES))
def test_it_says_what_it_is_able_to_do(bench: Bench, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.params["bench"]
    assert bench.broker.capabilities() == {cap for cap in Cap if name in who_can(cap)}


@on(list(BENCHES))
def test_each_desktop_is_one_seat_that_is_free_while_nobody_is_there(bench: Bench) -> None:
    seats = bench.seats()
    assert sorted(seats) == sorted(DESKTOPS)
    for seat in seats.values():
        assert (seat.pool, seat.assigned_user, seat.session, seat.busy) == (POOL, None, "none", False)
        assert seat.availability != "unavailable"
        assert seat.duplicates == ()
        assert seat.observed_at is not None
        assert seat.observed_at.utcoffset() is not None


@on(KNOWING)
@pytest.mark.parametrize("session", ["active", "disconnected", "none", "unknown"])
def test_a_desktop_with_a_user_is_busy_and_the_others_are_not(bench: Bench, session: str) -> None:
    bench.put("desktop-2", "ann", session)
    seats = bench.seats()
    assert {name: seat.busy for name, seat in seats.items()} == {
        "desktop-1": False,
        "desktop-2": True,
        "desktop-3": False,
    }
    assert seats["desktop-2"].assigned_user


@on(who_can(Cap.SESSIONS))
@pytest.mark.parametrize("session", ["active", "disconnected"])
def test_who_tells_sessions_tells_them_apart(bench: Bench, session: str) -> None:
    bench.put("desktop-2", "ann", session)
    assert bench.seats()["desktop-2"].session == session
    assert bench.seats()["desktop-2"].assigned_user == "ann"


@on(KNOWING)
def test_a_desktop_is_free_again_once_its_user_has_left(bench: Bench) -> None:
    bench.put("desktop-2", "ann", "active")
    assert bench.seats()["desktop-2"].busy
    bench.put("desktop-2", None, "none")
    assert not bench.seats()["desktop-2"].busy


@on(KNOWING)
def test_two_records_of_one_name_are_one_seat_that_says_so(bench: Bench) -> None:
    bench.duplicate("desktop-2")
    seats = bench.seats()
    assert sorted(seats) == sorted(DESKTOPS)
    assert len(seats["desktop-2"].duplicates) == 1
    bench.put("desktop-2", "ann", "active")
    assert bench.seats()["desktop-2"].busy


@on(who_can(Cap.AVAILABILITY))
def test_a_desktop_is_taken_from_offer_and_given_back_and_no_other(bench: Bench) -> None:
    pause_provisioning(bench)
    seat = bench.seats()["desktop-2"]
    for available, word in ((False, "unavailable"), (True, "available")):
        for _ in range(2):
            bench.broker.set_available(seat, available=available, reason="roll 7")
        bench.operate()
        told = {name: one.availability for name, one in bench.seats().items()}
        assert told == {"desktop-1": "available", "desktop-2": word, "desktop-3": "available"}


@on(who_can(Cap.AVAILABILITY))
def test_who_is_on_a_desktop_stays_when_it_is_taken_from_offer(bench: Bench) -> None:
    pause_provisioning(bench)
    bench.put("desktop-2", "ann", "active")
    before = bench.seats()["desktop-2"]
    bench.broker.set_available(before, available=False, reason="roll 7")
    bench.operate()
    seat = bench.seats()["desktop-2"]
    assert (seat.availability, seat.busy) == ("unavailable", True)
    assert (seat.assigned_user, seat.session) == (before.assigned_user, before.session)


@on(who_can(Cap.MESSAGE))
def test_a_message_is_for_who_is_there(bench: Bench) -> None:
    with pytest.raises(BrokerRefused):
        bench.broker.notify(bench.seats()["desktop-2"], "please log off", minutes=10)
    bench.put("desktop-2", "ann", "active")
    bench.broker.notify(bench.seats()["desktop-2"], "please log off", minutes=10)


@on(who_can(Cap.RELEASE))
def test_an_assignment_ends_only_where_there_is_no_session(bench: Bench) -> None:
    for session in ("active", "disconnected"):
        bench.put("desktop-2", "ann", session)
        with pytest.raises(BrokerRefused):
            bench.broker.release(bench.seats()["desktop-2"])
        assert bench.seats()["desktop-2"].busy
    bench.put("desktop-2", "ann", "none")
    bench.broker.release(bench.seats()["desktop-2"])
    assert not bench.seats()["desktop-2"].busy


@on(who_can(Cap.FORGET))
def test_a_duplicate_is_forgotten_and_the_last_record_never(bench: Bench) -> None:
    bench.duplicate("desktop-2")
    seat = bench.seats()["desktop-2"]
    bench.broker.forget(seat, seat.duplicates[0])
    seat = bench.seats()["desktop-2"]
    assert seat.duplicates == ()
    with pytest.raises(BrokerRefused):
        bench.broker.forget(seat, seat.broker_id)
    assert "desktop-2" in bench.seats()


@on(who_can(Cap.POOL_IMAGE, Cap.PROVISIONING))
def test_new_desktops_come_from_the_image_that_was_set_and_provisioning_is_as_it_was(bench: Bench) -> None:
    bench.broker.refresh()
    bench.broker.set_provisioning(POOL, on=False)
    for image in ("v2", "v2", "v1"):
        bench.broker.set_pool_image(POOL, image)
        settings = bench.broker.settings(POOL)
        assert (settings.image_name, settings.provisioning) == (image, False)
    bench.broker.set_provisioning(POOL, on=True)
    bench.broker.set_pool_image(POOL, "v2")
    assert bench.broker.settings(POOL).provisioning is True


@on(who_can(Cap.POOL_IMAGE))
def test_an_image_that_is_nowhere_is_refused(bench: Bench) -> None:
    with pytest.raises(BrokerRefused):
        bench.broker.set_pool_image(POOL, "v99")
    assert bench.broker.settings(POOL).image_name == "v1"


@on(who_can(Cap.PROVISIONING))
def test_provisioning_is_paused_and_the_former_value_is_told(bench: Bench) -> None:
    assert bench.broker.settings(POOL).provisioning is True
    assert bench.broker.set_provisioning(POOL, on=False) is True
    assert bench.broker.set_provisioning(POOL, on=False) is False
    assert bench.broker.settings(POOL).provisioning is False
    assert bench.broker.set_provisioning(POOL, on=True) is False
    assert bench.broker.settings(POOL).provisioning is True


@on(who_can(Cap.SCAN))
def test_looking_at_the_cloud_anew_changes_no_desktop(bench: Bench) -> None:
    before = list(bench.seats())
    bench.broker.refresh(wait=False)
    bench.broker.refresh()
    assert list(bench.seats()) == before == list(DESKTOPS)


@on([name for name in BENCHES if name not in ("none", "file")])
def test_a_pool_that_is_not_there_is_an_error_and_no_empty_one(bench: Bench) -> None:
    with pytest.raises(BrokerError):
        bench.broker.seats("nobody's")


@on(list(BENCHES))
def test_it_is_well(bench: Bench) -> None:
    assert bench.broker.health().ok


@on(list(BENCHES))
def test_what_it_is_not_able_to_do_it_refuses_and_changes_nothing(bench: Bench) -> None:
    broker, seat = bench.broker, bench.seats()["desktop-2"]
    calls = {
        Cap.AVAILABILITY: lambda: broker.set_available(seat, available=False, reason=""),
        Cap.MESSAGE: lambda: broker.notify(seat, "please log off", minutes=1),
        Cap.RELEASE: lambda: broker.release(seat),
        Cap.FORGET: lambda: broker.forget(seat, seat.broker_id),
        Cap.POOL_IMAGE: lambda: broker.set_pool_image(POOL, "v2"),
        Cap.PROVISIONING: lambda: broker.set_provisioning(POOL, on=False),
        Cap.SCAN: lambda: broker.refresh(),
        Cap.REGISTRATIONS: lambda: broker.registrations(),
    }
    before = [(one.name, one.availability, one.assigned_user) for one in bench.seats().values()]
    for cap in calls.keys() - broker.capabilities():
        with pytest.raises(CapabilityMissing):
            calls[cap]()
    assert [(one.name, one.availability, one.assigned_user) for one in bench.seats().values()] == before
