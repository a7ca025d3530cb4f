"""The bad weather itself, before a small service on loopback: each fault is what its name says, and those of HAPPENED reach the service."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
import yaml

from tests.faults.proxy import HAPPENED, WEATHER_CLOUD, Fault, Rule, Weather, bad_weather

BODY = b'{"versions": ["http://127.0.0.1:1/v2"]}'


class Service(BaseHTTPRequestHandler):
    """Answers everything, and remembers the bodies that came."""

    came: list[bytes] = []

    def do_POST(self) -> None:
        """One answer for all."""
        self.came.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(201)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def behind(weather: Weather, folder: Path, kind: str = "image") -> Iterator[str]:
    """The service's address behind the weather."""
    Service.came = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        serving = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05))
        serving.start()
        port = server.server_address[1]
        clouds_yaml = folder / "clouds.yaml"
        entry = {"auth": {"auth_url": f"http://127.0.0.1:{port}/v3", "password": "p"}}
        clouds_yaml.write_text(yaml.safe_dump({"clouds": {"lab": entry, "other": {}}}))
        try:
            with bad_weather(weather, {kind: port}, clouds_yaml, "lab") as content:
                assert content["clouds"].keys() == {WEATHER_CLOUD}
                yield content["clouds"][WEATHER_CLOUD]["auth"]["auth_url"]
        finally:
            server.shutdown()
            serving.join(timeout=10)


def ask(url: str) -> requests.Response:
    return requests.post(url, data=b"hello", headers={"X-Auth-Token": "t"}, timeout=10)


@pytest.mark.parametrize("fault", list(Fault), ids=str)
def test_each_fault_is_what_its_name_says(fault: Fault, tmp_path: Path) -> None:
    with behind(Weather([Rule("POST", "image/v3$", fault)]), tmp_path) as url:
        if fault in (Fault.RESET, Fault.LOST, Fault.HALF):
            with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
                ask(url)
        elif fault in (Fault.DRIP, Fault.CUT):
            answer = ask(url)
            assert answer.status_code == 201
            assert (answer.content == BODY) == (fault is Fault.DRIP) and BODY.startswith(answer.content)
        else:
            assert str(ask(url).status_code) == fault.value[:3]
        assert Service.came == ([b"hello"] if fault in HAPPENED else [])
        assert ask(url).content == BODY, "the next call is well"


def test_the_nth_call_with_these_words_is_met(tmp_path: Path) -> None:
    weather = Weather(
        [Rule("POST", "v3", Fault.ERROR, nth=2, words=b"hell"), Rule("POST", "v3", Fault.BUSY, words=b"x")]
    )
    with behind(weather, tmp_path) as url:
        assert [ask(url).status_code for _ in range(3)] == [201, 500, 201]
    assert [call.fault for call in weather.calls] == [None, Fault.ERROR, None]


def test_a_seed_gives_the_same_weather_again() -> None:
    def strike(seed: int) -> list[Fault | None]:
        weather = Weather(share=0.2, seed=seed)
        return [weather.pick("GET", "p", body=b"", has_token=True) for _ in range(200)]

    assert strike(1) == strike(1) != strike(2)
    assert 15 < sum(fault is not None for fault in strike(1)) < 70


def test_the_catalogue_leads_through_the_weather(tmp_path: Path) -> None:
    with behind(Weather(), tmp_path, kind="identity") as url:
        assert b"http://127.0.0.1:1/v2" in ask(url).content, "a port of no service stays as it is"
        assert str(ask(url).request.url) == url
