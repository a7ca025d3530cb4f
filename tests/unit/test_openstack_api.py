"""Patience with what may be repeated, none with what may not; lost creates are healed; pages are followed to the end."""

import pytest
from keystoneauth1 import exceptions as keystone
from openstack import exceptions as sdk

from imagebuild.adapters.openstack_api import TIMEOUTS, find_or_create, translate
from imagebuild.adapters.openstack_errors import AnswerLost, ServiceFailed, ServiceMissing
from imagebuild.errors import CloudError, CloudRefused
from tests.fakes.clock import FakeClock
from tests.unit.openstack_wire import Response, Wire


def test_every_request_has_time_outs_and_is_kept_out_of_logs() -> None:
    wire = Wire(Response(200, {"x": 1}))
    assert wire.service(microversion="2.60").get("/a", doing="look").json() == {"x": 1}
    options = wire.sent[0].options
    assert options["timeout"] == TIMEOUTS == (10.0, 60.0)
    assert options["log"] is False and options["raise_exc"] is False and options["connect_retries"] == 0
    assert options["microversion"] == "2.60"


def test_a_read_is_repeated_until_the_service_is_back() -> None:
    wire = Wire(keystone.ConnectFailure("refused"), Response(503), Response(200, {"x": 1}))
    assert wire.service().get("/a", doing="look").status == 200
    assert 0.5 < wire.clock.slept < 5


def test_a_repeat_comes_no_sooner_than_the_service_wished() -> None:
    wire = Wire(Response(429, "", {"Retry-After": "20"}), Response(200))
    wire.service().get("/a", doing="look")
    assert 20 <= wire.clock.slept < 30
    assert len(wire.sent) == 2


def test_patience_ends_with_the_last_error() -> None:
    wire = Wire(*[Response(503, "still down")] * 1000)
    with pytest.raises(AnswerLost, match="could not look: 503 still down"):
        wire.service(patience=60).get("/a", doing="look")
    assert 59 < wire.clock.slept < 70
    assert len(wire.sent) < 20


def test_a_service_that_fails_is_asked_a_few_times() -> None:
    wire = Wire(Response(500, "database gone"), Response(500), Response(500), Response(200))
    assert wire.service().get("/a", doing="look").status == 200
    wire = Wire(*[Response(500, "a bug")] * 1000)
    with pytest.raises(ServiceFailed, match="could not look: 500 a bug"):
        wire.service().get("/a", doing="look")
    assert len(wire.sent) == 4 and wire.clock.slept < 5


def test_an_answer_without_its_end_is_no_answer() -> None:
    json_type = {"Content-Type": "application/json"}
    wire = Wire(Response(200, '{"servers": [{"id"', json_type), Response(200, {"servers": []}, json_type))
    assert wire.service().get("/servers", doing="list").json() == {"servers": []}
    wire = Wire(Response(202, '{"server": {"id"', json_type))
    with pytest.raises(AnswerLost, match="could not make: the answer was cut"):
        wire.service().call("POST", "/servers", doing="make")


def test_what_may_not_be_repeated_is_asked_once() -> None:
    wire = Wire(Response(503))
    with pytest.raises(AnswerLost):
        wire.service().call("POST", "/a", doing="make", body={})
    assert len(wire.sent) == 1 and wire.clock.slept == 0


def test_a_refusal_is_not_repeated() -> None:
    wire = Wire(Response(403, "no"))
    with pytest.raises(CloudRefused):
        wire.service().get("/a", doing="look")
    assert len(wire.sent) == 1


def test_expected_statuses_come_back_as_answers() -> None:
    assert Wire(Response(404)).service().get("/a", doing="look", expect=(404,)).status == 404


def test_pages_are_followed_by_marker() -> None:
    pages = [
        Response(
            200, {"servers": [{"id": "1"}, {"id": "2"}], "servers_links": [{"rel": "next", "href": "http://inside"}]}
        ),
        Response(200, {"servers": [{"id": "3"}]}),
    ]
    wire = Wire(*pages)
    found = list(wire.service().list("/servers", "servers", doing="list", params={"name": "n"}))
    assert [item["id"] for item in found] == ["1", "2", "3"]
    assert wire.sent[1].options["params"] == {"limit": "500", "name": "n", "marker": "2"}


def test_a_link_to_the_page_before_is_not_followed() -> None:
    """Neutron gives one with every page that is not empty, also with the first."""
    wire = Wire(Response(200, {"networks": [{"id": "1"}], "networks_links": [{"rel": "previous", "href": "http://x"}]}))
    assert [item["id"] for item in wire.service().list("/networks", "networks", doing="list")] == ["1"]


def test_a_service_that_repeats_its_page_does_not_hold_us_for_ever() -> None:
    page = Response(200, {"images": [{"id": "1"}], "next": "/v2/images?marker=1"})
    assert [item["id"] for item in Wire(page, page).service().list("/images", "images", doing="list")] == ["1"]


class Shelf:
    """Things that a create puts somewhere, whether or not its answer arrives."""

    def __init__(self, *lost: AnswerLost | None, arrives: bool = True) -> None:
        self.things: list[str] = []
        self.created = 0
        self._lost = list(lost)
        self._arrives = arrives
        self.clock = FakeClock()

    def find(self) -> str | None:
        return self.things[0] if self.things else None

    def create(self) -> str:
        self.created += 1
        lost = self._lost.pop(0) if self._lost else None
        if lost is None or self._arrives:
            self.things.append(f"thing {self.created}")
        if lost is not None:
            raise lost
        return self.things[-1]


def test_what_exists_is_found() -> None:
    shelf = Shelf()
    shelf.things.append("old")
    assert find_or_create(shelf.find, shelf.create, "it", clock=shelf.clock) == "old"
    assert shelf.created == 0


def test_a_create_whose_answer_was_lost_is_found_and_not_made_twice() -> None:
    shelf = Shelf(AnswerLost("connection reset"))
    assert find_or_create(shelf.find, shelf.create, "it", clock=shelf.clock) == "thing 1"
    assert shelf.created == 1
    assert shelf.clock.slept >= 5  # the cloud may still have been at it


def test_a_create_that_never_arrived_is_made_again() -> None:
    shelf = Shelf(AnswerLost("connection reset"), arrives=False)
    assert find_or_create(shelf.find, shelf.create, "it", clock=shelf.clock) == "thing 2"
    assert len(shelf.things) == 1


def test_a_create_that_was_turned_away_need_not_settle() -> None:
    shelf = Shelf(AnswerLost("429", refused=True), arrives=False)
    assert find_or_create(shelf.find, shelf.create, "it", clock=shelf.clock) == "thing 2"
    assert shelf.clock.slept < 1


def test_a_create_that_is_refused_is_not_made_again() -> None:
    def refuse() -> str:
        raise CloudRefused("quota")

    with pytest.raises(CloudRefused, match="quota"):
        find_or_create(lambda: None, refuse, "it", clock=FakeClock())


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (keystone.EndpointNotFound("no volumev3"), ServiceMissing),
        (keystone.SSLError("self-signed"), CloudRefused),
        (keystone.ConnectTimeout("slow"), AnswerLost),
        (keystone.DiscoveryFailure("half up"), AnswerLost),
        (keystone.InvalidResponse(None), AnswerLost),
        (keystone.Unauthorized("no"), CloudRefused),
        (keystone.ServiceUnavailable("keystone is away"), AnswerLost),
        (keystone.MissingRequiredOptions([]), CloudError),
        (sdk.ConfigException("Cloud nowhere was not found."), CloudError),
    ],
)
def test_library_errors_become_ours(raised: Exception, kind: type[CloudError]) -> None:
    def fail() -> str:
        raise raised

    with pytest.raises(CloudError, match="could not log in") as caught:
        translate(fail, "log in", service="identity")
    assert type(caught.value) is kind
    assert caught.value.hint
