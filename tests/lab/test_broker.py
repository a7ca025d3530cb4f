"""The lab's broker as a service: agents find it where the recipes say, the tool by its files; what it was told survives its own death."""

import os
import signal
import socket
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import requests

from imagebuild.adapters.brokers import open_broker
from imagebuild.adapters.openstack_cloud import OpenStackCloud
from imagebuild.console_words import read_told
from imagebuild.lab import lifecycle, supervision
from imagebuild.lab.broker.portal_client import PortalClient
from imagebuild.lab.broker_settings import URL
from imagebuild.lab.layout import Layout
from imagebuild.pool.pool_file import load_pool
from imagebuild.properties import BUILD, RECIPE
from imagebuild.waiting import Deadline, wait_for
from tests.lab.broker_pools import Administrator
from tests.lab.conftest import Broker, Machines
from tests.lab.project import Project

pytestmark = pytest.mark.lab


@pytest.fixture
def administrator(lab: lifecycle.LabCloud) -> Administrator:
    """Somebody who has the files that let one in."""
    return Administrator(Layout(lab.root))


@pytest.fixture
def portal(administrator: Administrator) -> PortalClient:
    """The door of the simulated users."""
    return administrator.portal


def ask_until(told: Any, what: str) -> Any:
    """Its first answer that is something; a broker that is just being started refuses."""

    def ask() -> Any:
        try:
            return told() or None
        except OSError:  # requests' errors are some, too
            return None

    return wait_for(ask, what, deadline=Deadline.after(30), every=0.1)


def test_the_tool_gets_in_by_the_pool_file_that_we_ship(project: Project) -> None:
    definition = load_pool(project.folder / "recipes" / "pools" / "lab.yaml")
    with open_broker(definition.broker, folder=project.folder) as broker:
        assert broker.health().ok
        settings = broker.settings(definition.pool)
        assert (settings.name_pattern, settings.provisioning) == ("lab-{SEQUENCE}", False)
        assert all(definition.number_of(seat.name) for seat in broker.seats(definition.pool))
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{URL}/rest/v1/system/health", timeout=10)


@pytest.fixture
def pool(administrator: Administrator) -> Iterator[str]:
    """A pool of one desktop that no cloud has."""
    name = f"test-{uuid4().hex[:8]}"
    rule = {"vm_table_field": "name", "condition_type": "eq", "text_to_match": name}
    definition = {"restrict_by": "A", "pool_attribute_join": "A", "attributes": [rule]}
    with administrator.new_pool({"name": name, "pool_definition": definition}):
        yield name


def test_what_agents_and_users_did_survives_a_killed_broker(
    lab: lifecycle.LabCloud, broker: Broker, portal: PortalClient, pool: str
) -> None:
    said = {"message": "agent registration", "name": pool.upper(), "address": "172.16.100.9"}
    requests.post(broker.url, json=said, timeout=10).raise_for_status()
    portal.set_crowd(pool, 1, seed=3, habits={"away": 0.1, "work": 9000})

    def on_it() -> str | None:
        return next((one["user"] for one in portal.desktops() if one["name"] == pool.upper()), None)

    user = ask_until(on_it, "the user on the desktop whose agent has reported")
    running = supervision.read_running(Layout(lab.root))
    assert running is not None
    os.kill(running.services["broker"]["pid"], signal.SIGKILL)
    (kept,) = [one for one in ask_until(broker.registrations, "the broker to be back") if one["name"] == said["name"]]
    assert said.items() <= kept.items() and "at" in kept
    assert ask_until(on_it, "the session") == user == f"{pool}-user-0001"
    assert portal.crowd()[pool]["users"] == 1
    assert [one for one in portal.verdict()["incidents"] if one["place"] in (pool, said["name"])] == []


def test_a_clone_tells_what_it_is_at_its_first_boot(built: str, machines: Machines, cloud: OpenStackCloud) -> None:
    image = cloud.image(built)
    assert image is not None
    clone = machines.boot(built, name="stamp", opens_winrm=False)
    told = read_told(clone.wait_for_console(" domain=-"))
    assert told.stamp == {"recipe": image.properties[RECIPE], "build": image.properties[BUILD]}
    assert told.member == {"name": "STAMP", "domain": "-"}


def test_a_guest_that_says_nothing_keeps_nobody_else_waiting(broker: Broker) -> None:
    host, port = broker.url.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), 5):
        assert isinstance(broker.registrations(), list)
    refused = requests.post(broker.url, data=b"x" * 70_000, timeout=10)
    assert refused.status_code == 413
