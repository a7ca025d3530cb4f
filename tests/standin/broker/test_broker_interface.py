"""Every answer of the stand-in broker is one that the interface has, and every way to be refused is among them."""

import json
from typing import Any

import pytest
from broker_wire import ACCOUNTS, BASE, Site, check, pool_object

from imagebuild.lab.broker.rest import SID_SECONDS, Answer, Request
from tests.contract.leostream.shapes import INTERFACE


@pytest.fixture
def site() -> Site:
    return Site("desktop-1", "desktop-2")


class Client:
    """Asks with one login, and holds each answer against the interface."""

    def __init__(self, site: Site, number: int = 0) -> None:
        self.site = site
        account = ACCOUNTS[number]
        self.sid = ""
        told = self.ask("POST", "/session/login", {"user_login": account.login, "password": account.password})
        self.sid = told.body["sid"]

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        return check(method, path, self.site.rest.answer(Request(method, BASE + path, body, self.sid)))


def test_it_answers_all_calls_that_the_interface_has(site: Site) -> None:
    client = Client(site)
    asked = {
        ("post", "/session/login"),
        *(("get", path) for path in ("/system/health", "/centers", "/centers/{id}", "/pools", "/pools/{id}")),
    }
    for path in ("/system/health", "/centers", "/centers/3", "/pools", f"/pools/{site.pool}", "/pools/1"):
        assert client.ask("GET", path).status == 200
    assert client.ask("POST", "/pools", pool_object(site.image("v1"), name="other")).status == 201
    assert client.ask("PUT", f"/pools/{site.pool}", {"notes": "new"}).status == 200
    assert client.ask("POST", "/centers/3/scan").status == 202
    assert client.ask("POST", "/session/logout").status == 200
    asked |= {("post", "/pools"), ("put", "/pools/{id}"), ("post", "/centers/{id}/scan"), ("post", "/session/logout")}
    assert asked == {(method, path) for path, calls in INTERFACE["paths"].items() for method in calls}
    assert client.ask("GET", "/pools").status == 401


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        ({"user_login": "robot"}, 400, "BAD_DATA"),
        ({"user_login": "robot", "password": "ab"}, 400, "BAD_DATA"),
        (None, 400, "BAD_DATA"),
        ({"user_login": "robot", "password": "wrong"}, 401, "INVALID_CREDENTIALS"),
        ({"user_login": "nobody", "password": "wrong"}, 401, "INVALID_CREDENTIALS"),
    ],
)
def test_a_login_that_is_refused(site: Site, body: Any, status: int, name: str) -> None:
    answer = check("POST", "/session/login", site.rest.answer(Request("POST", f"{BASE}/session/login", body)))
    assert (answer.status, answer.body["error_status"]) == (status, name)


def test_an_empty_password_opens_nothing_for_who_is_not_known(site: Site) -> None:
    body = {"user_login": "nobody", "password": ""}
    assert site.rest.answer(Request("POST", f"{BASE}/session/login", body)).status == 400


def test_a_licence_that_has_ended(site: Site) -> None:
    site.broker.troubles.licence_expired = True
    body = {"user_login": "robot", "password": ACCOUNTS[0].password}
    answer = check("POST", "/session/login", site.rest.answer(Request("POST", f"{BASE}/session/login", body)))
    assert (answer.status, answer.body["error_status"]) == (401, "LICENSE_EXPIRED")


def test_a_login_ends_after_its_time(site: Site) -> None:
    client = Client(site)
    site.clock.sleep(SID_SECONDS - 1)
    assert client.ask("GET", "/pools").status == 200
    site.clock.sleep(1)
    assert client.ask("GET", "/pools").status == 401


def test_a_role_without_access_may_do_nothing(site: Site) -> None:
    client = Client(site, 1)
    for path in ("/system/health", "/centers", "/centers/3", "/pools", f"/pools/{site.pool}"):
        assert client.ask("GET", path).body["error_status"] == "INSUFFICIENT_PERMISSIONS"
    assert client.ask("PUT", f"/pools/{site.pool}", {"notes": "new"}).status == 403
    assert site.tell()["notes"] == "kept by hand"


def test_what_is_not_there_is_404_without_words(site: Site) -> None:
    client = Client(site)
    answers = [client.ask("GET", "/centers/4"), client.ask("POST", "/centers/4/scan"), client.ask("GET", "/pools/99")]
    answers.append(client.ask("PUT", "/pools/99", {"notes": "new"}))
    assert {(answer.status, answer.body) for answer in answers} == {(404, None)}


def test_a_second_scan_is_a_conflict_while_the_first_goes(site: Site) -> None:
    client = Client(site)
    client.ask("POST", "/centers/3/scan")
    assert client.ask("POST", "/centers/3/scan").status == 409
    assert client.ask("GET", "/centers").body[0]["status"] == 5
    site.go_on(9)
    assert client.ask("GET", "/centers/3").body["status"] == 5
    site.go_on(1)
    assert client.ask("GET", "/centers/3").body["status"] == 1
    assert client.ask("POST", "/centers/3/scan").status == 202


def test_the_centers_password_is_masked(site: Site) -> None:
    assert Client(site).ask("GET", "/centers/3").body["center_definition"]["vc_password"] == "********"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"provision": {"provision_on_off": 1, "provision_vm_id": 999}}, "provision/provision_vm_id"),
        ({"provision": {"provision_threshold": 2}}, "provision/provision_on_off"),
        ({"provision": {"provision_on_off": "yes"}}, "provision/provision_on_off"),
        ({"provision": {"provision_on_off": 0, "provision_max": "9"}}, "provision/provision_max"),
        ({"provision": {"provision_on_off": 0, "provision_limits_enforce": 2}}, "provision/provision_limits_enforce"),
        ({"provision": {"provision_on_off": 0, "provision_vm_name": "n" * 256}}, "provision/provision_vm_name"),
        ({"provision": {"provision_on_off": 0, "center": {"id": 8}}}, "provision/center/id"),
        ({"provision": []}, "provision"),
        ({"name": ""}, "name"),
        ({"notes": 7}, "notes"),
        ({"pool_definition": {"restrict_by": "Q"}}, "pool_definition/restrict_by"),
        ({"pool_definition": []}, "pool_definition"),
        (
            {"pool_definition": {"restrict_by": "A", "pool_attribute_join": "X"}},
            "pool_definition/pool_attribute_join",
        ),
        (
            {"pool_definition": {"restrict_by": "A", "attributes": [{"vm_table_field": "moon"}]}},
            "pool_definition/attributes/0/vm_table_field",
        ),
        (
            {"pool_definition": {"restrict_by": "A", "attributes": [{"vm_table_field": "name"}]}},
            "pool_definition/attributes/0/condition_type",
        ),
        ({"pool_definition": {"restrict_by": "H", "adhoc_vms": [{"id": "1"}]}}, "pool_definition/adhoc_vms/0/id"),
        ({"pool_definition": {"restrict_by": "C", "parent_pool_id": 77}}, "pool_definition/parent_pool_id"),
    ],
)
def test_a_pool_that_is_not_right_is_refused_and_not_stored(site: Site, change: dict[str, Any], path: str) -> None:
    before = json.dumps(site.tell())
    answer = Client(site).ask("PUT", f"/pools/{site.pool}", change)
    assert answer.status == 400
    assert answer.body["error_status"] == "BAD_DATA"
    assert [one["path"] for one in answer.body["errors"]] == [f"/body/{path}"]
    assert json.dumps(site.tell()) == before


def test_a_pool_below_itself_is_refused(site: Site) -> None:
    definition = {**site.tell()["pool_definition"], "parent_pool_id": site.pool}
    assert Client(site).ask("PUT", f"/pools/{site.pool}", {"pool_definition": definition}).status == 400


def test_a_pool_without_what_it_needs_is_no_pool(site: Site) -> None:
    answer = Client(site).ask("POST", "/pools", {"notes": "n"})
    assert answer.status == 400
    assert answer.body["missing_fields"] == ["name", "pool_definition"]


def test_names_of_pools_are_taken_once_and_ids_stay(site: Site) -> None:
    client = Client(site)
    assert client.ask("POST", "/pools", pool_object(site.image("v1"))).body["error_status"] == "NOT_UNIQUE"
    assert client.ask("PUT", f"/pools/{site.pool}", {"name": "All Desktops"}).body["error_status"] == "CONFLICT"
    assert client.ask("PUT", f"/pools/{site.pool}", {"id": 5}).body["error_status"] == "BAD_ID"
    assert client.ask("PUT", f"/pools/{site.pool}", []).body["error_status"] == "BAD_DATA"


def test_fields_that_it_does_not_know_are_named(site: Site) -> None:
    answer = Client(site).ask("PUT", f"/pools/{site.pool}", {"colour": "blue", "vms_list": []})
    assert answer.body["extra_fields"] == ["colour"]
    assert "colour" not in answer.body["stored_data"]
    assert len(answer.body["stored_data"]["vms_list"]) == 2


def test_health_in_its_three_ways(site: Site) -> None:
    client = Client(site)
    assert client.ask("GET", "/system/health").body["broker"]["msg"] == "OK"
    site.broker.troubles.unwell = True
    told = client.ask("GET", "/system/health").body
    assert (told["broker"]["msg"], told["components"]["work_queue"]["running"]) == ("not OK", 0)
    site.broker.troubles.down = True
    assert client.ask("GET", "/system/health").status == 503
