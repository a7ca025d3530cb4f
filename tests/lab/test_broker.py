"""The lab's broker as a service: it answers where the recipes say, and what it was told survives its own death."""

import os
import signal
import socket
from uuid import uuid4

import pytest
import requests

from imagebuild.lab import lifecycle, supervision
from imagebuild.lab.layout import Layout
from imagebuild.waiting import Deadline, wait_for
from tests.lab.conftest import Broker

pytestmark = pytest.mark.lab


def test_registrations_survive_a_killed_broker(lab: lifecycle.LabCloud, broker: Broker) -> None:
    said = {"message": "agent registration", "name": f"TEST-{uuid4().hex[:8]}", "address": "172.16.100.9"}
    requests.post(broker.url, json=said, timeout=10).raise_for_status()
    running = supervision.read_running(Layout(lab.root))
    assert running is not None
    os.kill(running.services["broker"]["pid"], signal.SIGKILL)

    def ask() -> list[dict[str, object]] | None:
        try:
            return broker.registrations()
        except requests.ConnectionError:
            return None

    told = wait_for(ask, "the broker to be back", deadline=Deadline.after(30), every=0.1)
    (kept,) = [one for one in told if one["name"] == said["name"]]
    assert said.items() <= kept.items() and "at" in kept


def test_a_guest_that_says_nothing_keeps_nobody_else_waiting(broker: Broker) -> None:
    host, port = broker.url.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), 5):
        assert isinstance(broker.registrations(), list)
    refused = requests.post(broker.url, data=b"x" * 70_000, timeout=10)
    assert refused.status_code == 413
