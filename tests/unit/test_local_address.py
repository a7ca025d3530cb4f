"""The address that a builder's WinRM is opened for: this machine's, towards the builder's network, and only this one."""

import errno
import os
import socket

import pytest

from imagebuild.adapters.local_address import address_towards
from imagebuild.errors import RecipeError


@pytest.mark.effects  # a UDP socket is connected, which asks the routing table and sends nothing
def test_one_host_and_no_more_is_let_in() -> None:
    assert address_towards("127.0.0.0/8") == "127.0.0.1/32"


def test_a_network_without_a_route_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(self: socket.socket, address: object) -> None:
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    with pytest.raises(RecipeError, match=r"no route to 10\.0\.0\.0/24: Network is unreachable") as caught:
        address_towards("10.0.0.0/24")
    assert "allow_from" in caught.value.hint
