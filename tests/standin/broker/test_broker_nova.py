"""The stand-in broker's look at an OpenStack, against a double of its three services on the loopback."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit

import pytest

from imagebuild.lab.broker.cloud_view import Machine, Refused
from imagebuild.lab.broker.nova_view import CloudAccount, NovaView

ACTIVE = {"status": "ACTIVE", "image": {"id": "i-1"}, "OS-SRV-USG:launched_at": "2026-03-02T08:00:00.000000"}


class Answering(BaseHTTPRequestHandler):
    """Keystone, Nova and Glance under one address; two servers a page, one image a page."""

    server: "Cloud"

    def do_GET(self) -> None:
        """Any call."""
        place, cloud = urlsplit(self.path), self.server
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        cloud.seen.append((self.command, place.path, body))
        if place.path == "/v3/auth/tokens":
            return self.answer(201, cloud.log_in(body))
        if self.headers.get("X-Auth-Token") != f"token-{cloud.logins}":
            return self.answer(401, {})
        asked = {name: values[0] for name, values in parse_qs(place.query).items()}
        return self.answer(*cloud.tell(self.command, place.path, asked))

    do_POST = do_DELETE = do_GET  # noqa: N815  the library's names

    def answer(self, status: int, body: Any) -> None:
        """As JSON."""
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("X-Subject-Token", f"token-{self.server.logins}")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


class Cloud(ThreadingHTTPServer):
    """What was asked is in `seen`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.seen: list[tuple[str, str, Any]] = []
        self.logins = 0
        self.refusal: tuple[int, Any] | None = None
        self.servers: list[dict[str, Any]] = [{"id": f"s-{n}", "name": f"desktop-{n}", **ACTIVE} for n in (1, 2, 3)]
        self.images = [{"id": "i-1", "name": "v1"}, {"id": "i-2", "name": "v 2"}]

    def log_in(self, body: Any) -> Any:
        user = body["auth"]["identity"]["password"]["user"]
        assert (user["name"], user["password"]) == ("robot", "secret-of-the-cloud")
        self.logins += 1
        places = [("compute", "/compute"), ("image", "/image/"), ("network", "/network")]
        catalog: list[dict[str, Any]] = [
            {
                "type": kind,
                "endpoints": [
                    {"interface": "internal", "url": "http://127.0.0.1:1"},
                    {"interface": "public", "url": self.url + path},
                ],
            }
            for kind, path in places
        ]
        return {"token": {"catalog": catalog}}

    def tell(self, method: str, path: str, asked: dict[str, str]) -> tuple[int, Any]:
        if method == "POST":
            return self.refusal or (202, {"server": {"id": "s-9"}})
        if method == "DELETE":
            there = path.rpartition("/")[2] in {one["id"] for one in self.servers}
            return (204, None) if there else (404, {})
        if path == "/compute/flavors":
            return 200, {"flavors": [{"id": "f-1", "name": "2cpu"}]}
        if path == "/network/v2.0/networks":
            return 200, {"networks": [{"id": "n-1", "name": "vdi-network"}]}
        if path == "/compute/servers/detail":
            begin = [one["id"] for one in self.servers].index(asked["marker"]) + 1 if "marker" in asked else 0
            page = self.servers[begin : begin + 2]
            more: dict[str, Any] = {"servers_links": [{"rel": "next"}]} if begin + 2 < len(self.servers) else {}
            return 200, {"servers": page, **more}
        assert path == "/image/v2/images"
        images = [one for one in self.images if asked.get("name") in (None, one["name"])]
        begin = int(asked.get("marker", 0))
        more = {"next": f"/v2/images?marker={begin + 1}"} if begin + 1 < len(images) else {}
        return 200, {"images": images[begin : begin + 1], **more}


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def view(cloud: Cloud) -> NovaView:
    account = CloudAccount(auth_url=f"{cloud.url}/v3", user="robot", password="secret-of-the-cloud", project="vdi")
    return NovaView(account)


def test_a_look_is_all_servers_and_the_images_when_they_are_wanted(cloud: Cloud, view: NovaView) -> None:
    look = view.look(images=False)
    assert look.machines[0] == Machine("s-1", "desktop-1", True, "i-1 2026-03-02T08:00:00.000000", 1772438400.0)
    assert [machine.name for machine in look.machines] == ["desktop-1", "desktop-2", "desktop-3"]
    assert look.images == ()
    assert view.look(images=True).images == ("v1", "v 2")
    assert cloud.logins == 1


@pytest.mark.parametrize(
    ("change", "running"),
    [
        ({"status": "REBUILD", "image": {"id": "i-2"}}, False),
        ({"OS-SRV-USG:launched_at": "2026-03-02T09:00:00.000000"}, True),
        ({"OS-SRV-USG:launched_at": None}, True),
        ({"status": "SHUTOFF"}, False),
        ({"status": "ERROR", "image": ""}, False),
    ],
)
def test_what_happens_to_a_server_is_seen(cloud: Cloud, view: NovaView, change: dict[str, Any], running: bool) -> None:
    before = view.look(images=False).machines[0]
    cloud.servers[0] |= change
    after = view.look(images=False).machines[0]
    assert after.running is running
    assert (after.mark != before.mark) == ("SHUTOFF" not in change.values())


def test_an_expired_token_is_renewed_once(cloud: Cloud, view: NovaView) -> None:
    view.look(images=False)
    cloud.logins += 1  # the old token is no longer taken
    assert len(view.look(images=False).machines) == 3
    assert cloud.logins == 3


def test_a_server_is_made_by_the_pools_parameters_and_only_once(cloud: Cloud, view: NovaView) -> None:
    center = {"flavor": "f-1", "network": "n-1", "security_groups": ["rdp"], "availability_zone": "nova"}
    view.make("desktop-9", "v 2", {"center": center})
    view.make("desktop-1", "v 2", {"center": center})
    made = [body["server"] for method, path, body in cloud.seen if (method, path) == ("POST", "/compute/servers")]
    assert made == [
        {
            "name": "desktop-9",
            "imageRef": "i-2",
            "flavorRef": "f-1",
            "networks": [{"uuid": "n-1"}],
            "availability_zone": "nova",
            "security_groups": [{"name": "rdp"}],
        }
    ]


def test_flavor_and_network_may_be_named(cloud: Cloud, view: NovaView) -> None:
    view.make("desktop-9", "v1", {"center": {"flavor": "2cpu", "network": "vdi-network"}})
    body = next(body for method, _, body in cloud.seen if (method, body) != ("POST", None) and "server" in (body or {}))
    assert (body["server"]["flavorRef"], body["server"]["networks"]) == ("f-1", [{"uuid": "n-1"}])


@pytest.mark.parametrize(
    ("center", "image", "refusal", "words"),
    [
        (
            {"flavor": "f-1"},
            "v1",
            (403, {"forbidden": {"code": 403, "message": "Quota exceeded"}}),
            "403 Quota exceeded",
        ),
        ({"flavor": "f-1"}, "v1", (409, None), "409 Conflict"),
        ({"flavor": "huge"}, "v1", None, "there is no flavor huge"),
        ({"flavor": "f-1", "network": "other"}, "v1", None, "there is no network other"),
        ({"flavor": "f-1"}, "v9", None, "there is no image v9"),
        ({}, "v1", None, "there is no flavor None"),
    ],
)
def test_what_nova_refuses_is_told_in_its_words(
    cloud: Cloud, view: NovaView, center: dict[str, str], image: str, refusal: Any, words: str
) -> None:
    cloud.refusal = refusal
    with pytest.raises(Refused, match=words):
        view.make("desktop-9", image, {"center": center})


def test_a_nova_that_is_ill_may_be_asked_again(cloud: Cloud, view: NovaView) -> None:
    cloud.refusal = (503, {})
    with pytest.raises(HTTPError):
        view.make("desktop-9", "v1", {"center": {"flavor": "f-1"}})


def test_a_server_that_is_gone_already_can_be_removed(cloud: Cloud, view: NovaView) -> None:
    view.remove("s-1")
    view.remove("s-77")
    assert [path for method, path, _ in cloud.seen if method == "DELETE"] == [
        "/compute/servers/s-1",
        "/compute/servers/s-77",
    ]


def test_a_cloud_that_does_not_answer_is_an_oserror(cloud: Cloud, view: NovaView) -> None:
    view.look(images=False)
    cloud.tell = lambda *_: (500, {})  # type: ignore[method-assign]
    with pytest.raises(HTTPError):
        view.look(images=False)
    gone = CloudAccount(auth_url="http://127.0.0.1:9/v3", user="robot", password="none", project="vdi")
    with pytest.raises(OSError, match="refused"):
        NovaView(gone).look(images=False)
