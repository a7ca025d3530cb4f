"""What a broker tells of its agents, read from its answers; an error never tells the address, which may hold a password."""

import json
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter

from imagebuild.adapters.registrations import HttpRegistrations
from imagebuild.broker import Registration
from imagebuild.errors import BrokerError

URL = "https://reader:pa55word@broker.example/registrations"


class Wire(BaseAdapter):
    """Answers every request, or breaks."""

    def __init__(self, content: bytes, status: int = 200, error: Exception | None = None) -> None:
        super().__init__()
        self.content, self.status, self.error = content, status, error
        self.verified: list[Any] = []

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        self.verified.append(options["verify"])
        if self.error:
            raise self.error
        response = requests.Response()
        response.status_code, response._content = self.status, self.content
        response.request, response.url = request, str(request.url)
        return response

    def close(self) -> None:
        """Nothing is open."""


def ask(wire: Wire) -> HttpRegistrations:
    broker = HttpRegistrations(URL)
    broker._session.mount("https://", wire)
    return broker


def test_names_addresses_and_identities_are_read() -> None:
    told = [
        {"name": "A", "address": "10.0.0.1", "identity": "one", "at": "2026-01-01T00:00:00+00:00"},
        {"name": "B", "address": "10.0.0.2", "sid_sha256": "two"},
        {"name": "C", "address": "10.0.0.3"},
        {"name": "", "address": "10.0.0.4"},
        {"address": "10.0.0.5"},
        "nonsense",
    ]
    wire = Wire(json.dumps(told).encode())
    assert ask(wire).registrations() == (
        Registration("A", "10.0.0.1", "one"),
        Registration("B", "10.0.0.2", "two"),
        Registration("C", "10.0.0.3"),
    )
    assert wire.verified == [True]


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        (Wire(b"", 503), "HTTP 503"),
        (Wire(b"<html>"), "its answer is no JSON"),
        (Wire(b'{"name": "A"}'), "no JSON list"),
        (Wire(b"", error=requests.ConnectionError(f"refused by {URL}")), "no connection"),
        (Wire(b"", error=requests.exceptions.SSLError(f"of {URL}")), "its certificate is not trusted"),
        (Wire(b"", error=requests.exceptions.ReadTimeout(URL)), "no answer in time"),
    ],
)
def test_a_broker_that_does_not_tell_is_an_error_without_its_password(wire: Wire, words: str) -> None:
    with pytest.raises(BrokerError) as caught:
        ask(wire).registrations()
    assert words in str(caught.value)
    assert "pa55word" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
