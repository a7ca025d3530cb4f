"""Leostream's calls: the login and its end, patience with a busy broker, and errors that say what to do and tell no secret."""

from typing import Any

import pytest
import requests

from imagebuild.errors import BrokerError, BrokerRefused, BrokerUnreachable
from imagebuild.secrets import Secret, hide
from tests.unit.leostream_wire import PASSWORD, Fault, Leostream

POOLS = "GET /pools"
BUSY = {"error_status": "SERVICE_UNAVAILABLE", "error_message": "Service unavailable"}


def ask(wire: Leostream, **options: Any) -> Any:
    return wire.api(**options).get("/pools", doing="list the pools")


def test_one_login_serves_many_calls_and_every_call_verifies_the_certificate() -> None:
    wire = Leostream()
    api = wire.api()
    api.get("/pools", doing="list the pools")
    api.get("/centers", doing="list the centers")
    assert [str(sent) for sent in wire.sent] == ["POST /session/login", "GET /pools", "GET /centers"]
    assert all(sent.options["verify"] is True for sent in wire.sent)
    assert "Authorization" not in wire.sent[0].headers
    assert wire.sent[1].headers["Authorization"] == "Bearer session-number-1"


def test_a_ca_file_is_handed_on(tmp_path: Any) -> None:
    wire = Leostream()
    ask(wire, ca_file=tmp_path / "ca.pem")
    assert wire.sent[0].options["verify"] == str(tmp_path / "ca.pem")


def test_the_environments_proxies_are_not_for_brokers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    wire = Leostream()
    ask(wire)
    assert not wire.sent[0].options["proxies"]


def test_a_session_that_the_broker_has_forgotten_is_made_anew_once() -> None:
    wire = Leostream()
    api = wire.api()
    api.get("/pools", doing="list the pools")
    wire.forget_sessions()
    assert api.get("/pools", doing="list the pools")
    assert [str(sent) for sent in wire.sent][2:] == ["GET /pools", "POST /session/login", "GET /pools"]


def test_a_broker_that_refuses_each_new_session_is_not_asked_for_ever() -> None:
    wire = Leostream()
    wire.faults[POOLS] = [Fault(401, {"error_status": "UNAUTHORIZED", "error_message": "no"})] * 9
    with pytest.raises(BrokerRefused, match="401 UNAUTHORIZED no"):
        ask(wire)
    assert len(wire.calls()) == 1
    api = wire.api()
    wire.faults[POOLS] = []
    api.get("/pools", doing="list the pools")
    wire.faults[POOLS] = [Fault(401)] * 9
    with pytest.raises(BrokerRefused):
        api.get("/pools", doing="list the pools")
    assert len(wire.calls()) == 4


@pytest.mark.parametrize(
    ("status", "body", "hint"),
    [
        (401, {"error_status": "INVALID_CREDENTIALS", "error_message": "no"}, "user, password"),
        (401, {"error_status": "LICENSE_EXPIRED", "error_message": "no"}, "licence"),
        (403, {"error_status": "INSUFFICIENT_PERMISSIONS", "error_message": "no"}, "API access"),
        (403, None, "API access"),
        (400, {"error_status": "BAD_DATA", "error_message": "no"}, "which part"),
    ],
)
def test_a_login_that_is_refused_says_what_to_look_at(status: int, body: Any, hint: str) -> None:
    wire = Leostream()
    wire.faults["POST /session/login"] = [Fault(status, body)]
    with pytest.raises(BrokerRefused, match="could not log in to the broker") as caught:
        ask(wire)
    assert hint in caught.value.hint


def test_a_login_without_a_sid_is_no_login() -> None:
    wire = Leostream()
    for told in ({"message": "hello"}, {"sid": ""}, {"sid": 7}, ["sid"], None):
        wire.faults["POST /session/login"] = [Fault(200, told)]
        with pytest.raises(BrokerError, match="no `sid`"):
            ask(wire)


@pytest.mark.parametrize(
    "fault", [Fault(503, BUSY), Fault(429), Fault(502, "<html>"), Fault(error=requests.ConnectionError("reset"))]
)
def test_a_busy_broker_is_asked_again(fault: Fault) -> None:
    wire = Leostream()
    wire.faults[POOLS] = [fault] * 3
    assert ask(wire)
    assert wire.clock.slept == 6


def test_a_login_that_gets_no_answer_is_tried_again() -> None:
    wire = Leostream()
    wire.faults["POST /session/login"] = [Fault(error=requests.ConnectionError("reset")), Fault(503, BUSY)]
    assert ask(wire)
    assert wire.clock.slept == 4


def test_the_broker_says_how_long_it_wishes_to_be_left_alone() -> None:
    wire = Leostream()
    wire.faults[POOLS] = [Fault(503, BUSY, {"Retry-After": "17"}), Fault(503, BUSY, {"Retry-After": "soon"})]
    assert ask(wire)
    assert wire.clock.slept == 19


@pytest.mark.parametrize("fault", [Fault(503, BUSY), Fault(error=requests.ConnectionError("reset"))])
def test_patience_ends_with_the_deadline(fault: Fault) -> None:
    wire = Leostream()
    wire.faults[POOLS] = [fault] * 100
    with pytest.raises(BrokerUnreachable, match="could not list the pools") as caught:
        ask(wire, seconds=20)
    assert caught.value.hint
    assert wire.clock.slept <= 20


def test_a_wait_that_is_longer_than_the_deadline_is_not_begun() -> None:
    wire = Leostream()
    wire.faults[POOLS] = [Fault(503, BUSY, {"Retry-After": "3600"})]
    with pytest.raises(BrokerUnreachable):
        ask(wire)
    assert wire.clock.slept == 0


def test_a_writing_whose_answer_is_lost_is_not_repeated_blindly() -> None:
    wire = Leostream()
    wire.faults["PUT /pools/7"] = [Fault(error=requests.ConnectionError("reset"))]
    with pytest.raises(BrokerUnreachable, match="the connection broke"):
        wire.api().put("/pools/7", {"name": "staff"}, doing="save the pool")
    assert wire.calls() == ["PUT /pools/7"]


def test_a_writing_that_the_broker_was_too_busy_for_is_repeated() -> None:
    wire = Leostream()
    wire.faults["PUT /pools/7"] = [Fault(503, BUSY)]
    wire.api().put("/pools/7", {"notes": "new"}, doing="save the pool")
    assert wire.pools[7]["notes"] == "new"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED]"), BrokerRefused, "certificate is not trusted"),
        (requests.exceptions.SSLError("EOF occurred"), BrokerUnreachable, "the connection broke"),
        (requests.exceptions.ConnectTimeout(), BrokerUnreachable, "no connection in time"),
        (requests.exceptions.ReadTimeout(), BrokerUnreachable, "no whole answer in time"),
    ],
)
def test_a_connection_that_fails_says_why(error: Exception, kind: type[BrokerError], words: str) -> None:
    wire = Leostream()
    wire.faults[POOLS] = [Fault(error=error)] * 100
    with pytest.raises(kind, match=words):
        ask(wire)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault(404), BrokerRefused, "404"),
        (Fault(302, None, {"Location": "https://elsewhere.example"}), BrokerRefused, "302"),
        (Fault(500, "<html>broken"), BrokerUnreachable, "500"),
        (Fault(200, "<html>hello"), BrokerError, "no JSON"),
    ],
)
def test_other_answers_are_errors_with_a_hint(fault: Fault, kind: type[BrokerError], words: str) -> None:
    wire = Leostream()
    wire.faults[POOLS] = [fault]
    with pytest.raises(kind, match=words) as caught:
        ask(wire)
    assert caught.value.hint
    assert len(wire.calls()) == 1


def test_what_is_wrong_with_a_pool_is_told_by_field() -> None:
    wire = Leostream()
    body = {
        "error_status": "BAD_DATA",
        "error_message": "check it",
        "missing_fields": ["name"],
        "errors": [{"path": "/body/provision/provision_vm_id", "message": "Please select a template"}],
    }
    wire.faults["PUT /pools/7"] = [Fault(400, body)]
    with pytest.raises(BrokerRefused, match="400 BAD_DATA check it") as caught:
        wire.api().put("/pools/7", {}, doing="save the pool")
    assert caught.value.details == ("/body/provision/provision_vm_id: Please select a template", "missing: name")


def test_secrets_of_an_answer_are_hidden_from_then_on() -> None:
    wire = Leostream()
    wire.pools[7]["provision"]["center"]["password"] = "Only-in-this-test-1"
    wire.pools[7]["provision"]["time_limits"] = [{"pcoip_ssh_password": "Only-in-a-list-1"}]
    wire.api().get("/pools/7", doing="read the pool")
    assert hide("Only-in-a-list-1") == "***"
    assert hide("it is Only-in-this-test-1, and session-number-1") == "it is ***, and ***"
    assert hide("********") == "********"


def test_secrets_of_an_error_are_hidden_too() -> None:
    wire = Leostream()
    body = {
        "error_status": "BAD_DATA",
        "error_message": "Told-by-an-error-1 is bad",
        "vc_password": "Told-by-an-error-1",
    }
    wire.faults[POOLS] = [Fault(400, body)]
    with pytest.raises(BrokerRefused, match=r"BAD_DATA \*\*\* is bad"):
        ask(wire)


def test_no_error_tells_the_password_or_the_session() -> None:
    wire = Leostream()
    body = {"error_status": "BAD_DATA", "error_message": f"{PASSWORD} with session-number-1"}
    wire.faults[POOLS] = [Fault(400, body)]
    with pytest.raises(BrokerRefused) as caught:
        ask(wire)
    assert str(caught.value) == "could not list the pools: 400 BAD_DATA *** with ***"
    wire.faults[POOLS] = [Fault(error=requests.ConnectionError(f"{PASSWORD}"))] * 100
    with pytest.raises(BrokerUnreachable) as lost:
        ask(wire)
    assert PASSWORD not in f"{lost.value}{lost.value.hint}{lost.value.__cause__}{Secret(PASSWORD)}"


def test_closing_logs_out_whoever_has_logged_in() -> None:
    wire = Leostream()
    api = wire.api()
    api.close()
    assert wire.sent == []
    api.get("/pools", doing="list the pools")
    wire.faults["POST /session/logout"] = [Fault(error=requests.ConnectionError())]
    api.close()
    assert str(wire.sent[-1]) == "POST /session/logout"


def test_a_broker_that_drips_comes_to_an_end() -> None:
    wire = Leostream()

    class Dripping(Leostream):
        def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            response = super().send(request, **options)
            self.clock.sleep(61)
            return response

    wire = Dripping()
    with pytest.raises(BrokerUnreachable, match="no whole answer in time"):
        ask(wire)
