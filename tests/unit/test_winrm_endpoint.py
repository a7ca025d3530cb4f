"""What an endpoint becomes before anything is sent: URL, pin, and sockets that notice a dead guest."""

import socket

import pytest

from imagebuild.adapters.winrm_endpoint import Endpoint, GuestAdapter
from imagebuild.errors import RecipeError
from imagebuild.secrets import Secret

PIN = "ab" * 32
PASSWORD = Secret("geheim-9876")


@pytest.mark.parametrize(
    ("address", "options", "url"),
    [
        ("10.0.0.5", {}, "https://10.0.0.5:5986/wsman"),
        ("10.0.0.5", {"http": True}, "http://10.0.0.5:5985/wsman"),
        ("fd00::5", {"port": 443}, "https://[fd00::5]:443/wsman"),
    ],
)
def test_the_url_is_whole(address: str, options: dict[str, bool | int], url: str) -> None:
    assert Endpoint(address, "u", PASSWORD, PIN, **options).url == url  # type: ignore[arg-type]


@pytest.mark.parametrize(("pin", "insecure"), [(PIN, False), (None, True)])
def test_every_session_has_the_pin_and_notices_the_dead(pin: str | None, insecure: bool) -> None:
    transport = Endpoint("10.0.0.5", "u", PASSWORD, pin, insecure=insecure).open().transport
    for _ in range(2):
        session = transport.build_session()
        adapter = session.get_adapter("https://10.0.0.5:5986/wsman")
        assert isinstance(adapter, GuestAdapter)
        assert session.get_adapter("http://10.0.0.5/elsewhere") is adapter
        options = adapter.poolmanager.connection_pool_kw
        assert options["assert_fingerprint"] == pin
        assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in options["socket_options"]
        assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in options["socket_options"]
        assert transport.build_session() is session, "the connections, and what NTLM has authenticated, stay"
        assert session.get_adapter("https://10.0.0.5:5986/wsman") is adapter
        transport.close_session()


def test_no_pin_is_refused_unless_something_weaker_was_asked_for() -> None:
    with pytest.raises(RecipeError, match="no certificate is known"):
        Endpoint("10.0.0.5", "u", PASSWORD, None)
    assert Endpoint("10.0.0.5", "u", PASSWORD, None, http=True)


def test_an_endpoint_does_not_print_its_password() -> None:
    assert "geheim" not in repr(Endpoint("10.0.0.5", "u", PASSWORD, PIN))
