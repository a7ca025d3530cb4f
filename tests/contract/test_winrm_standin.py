"""WinRM itself against the stand-in's server: who is believed, who is refused, and what a guest that goes away looks like."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import spnego

from imagebuild.adapters.winrm_errors import WrongCertificate
from imagebuild.adapters.winrm_guest import WinRmGuest, connect_guest
from imagebuild.errors import DeadlinePassed, GuestRefused, GuestUnreachable, RecipeError, ScriptBroken
from imagebuild.lab.guest.standin.hardware import certificate_sha256, make_certificate
from imagebuild.secrets import Secret
from imagebuild.waiting import Deadline
from tests.contract.benches import PASSWORD, standin

SOON = 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """The stand-in's HTTPS port and its certificate."""
    with standin(tmp_path_factory.mktemp("standin")) as found:
        yield found


def connect(
    server: tuple[int, str], *, password: Secret = PASSWORD, certificate: str | None = None, insecure: bool = False
) -> WinRmGuest:
    port, told = server
    pin = None if insecure else certificate or told
    return connect_guest(
        "127.0.0.1", user="Administrator", password=password, certificate_sha256=pin, insecure=insecure, port=port
    )


def ask(guest: WinRmGuest, seconds: float = SOON) -> dict[str, Any]:
    deadline = Deadline.after(seconds)
    try:
        guest.send_scripts(deadline=deadline)
        return guest.run("Get-Ready", deadline=deadline)
    finally:
        guest.close()


def test_the_pinned_certificate_is_believed(server: tuple[int, str]) -> None:
    assert ask(connect(server))["version"]


def test_upper_case_and_colons_are_the_same_pin(server: tuple[int, str]) -> None:
    digits = server[1].upper()
    assert ask(connect(server, certificate=":".join(digits[at : at + 2] for at in range(0, 64, 2))))


def test_the_logon_is_bound_to_the_pinned_channel(server: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    bound: list[bytes] = []
    client = spnego.client

    def watch(*args: Any, **options: Any) -> Any:
        bindings = options["channel_bindings"]
        bound.append(bindings.application_data if bindings else b"")
        return client(*args, **options)

    monkeypatch.setattr(spnego, "client", watch)
    ask(connect(server))
    assert bound and set(bound) == {b"tls-server-end-point:" + bytes.fromhex(server[1])}


def test_another_certificate_is_refused_at_once(server: tuple[int, str]) -> None:
    with pytest.raises(WrongCertificate, match="not the one that was told"):
        ask(connect(server, certificate="ab" * 32))


def test_waiting_does_not_wait_for_another_certificate(server: tuple[int, str]) -> None:
    guest = connect(server, certificate="ab" * 32)
    deadline = Deadline.after(600)
    with pytest.raises(WrongCertificate):
        guest.wait_until_ready(deadline=deadline)
    assert deadline.left() > 590


def test_a_session_made_anew_is_still_pinned(server: tuple[int, str], tmp_path: Path) -> None:
    guest = connect(server)
    ask(guest)
    assert ask(guest)["version"]
    other = connect(server, certificate="ab" * 32)
    for _ in range(2):
        with pytest.raises(WrongCertificate):
            ask(other)


def test_an_impostor_gets_not_a_byte(tmp_path: Path) -> None:
    certificate, key = make_certificate("impostor", tmp_path)
    with Impostor(certificate, key) as impostor:
        with pytest.raises(WrongCertificate):
            ask(connect((impostor.port, "ab" * 32)))
        assert impostor.got() == b""
    with Impostor(certificate, key) as impostor:
        with pytest.raises(GuestUnreachable):
            ask(connect((impostor.port, certificate_sha256(certificate))))
        assert impostor.got().startswith(b"POST /wsman")  # so the one above would have been seen


def test_no_pin_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(RecipeError, match="no certificate is known"):
        connect_guest("192.0.2.1", user="u", password=PASSWORD, certificate_sha256=None)


def test_any_certificate_is_taken_when_that_was_said_aloud(server: tuple[int, str]) -> None:
    assert ask(connect(server, insecure=True))["version"]


def test_plain_http_is_encrypted_by_ntlm_and_has_to_be_asked_for(tmp_path: Path) -> None:
    with standin(tmp_path, faults="open-http") as (port, _):
        guest = connect_guest(
            "127.0.0.1",
            user="Administrator",
            password=PASSWORD,
            certificate_sha256=None,
            insecure_http=True,
            port=port + 1,
        )
        assert ask(guest)["version"]
        assert ask(guest)["version"], "a session made anew encrypts as well"


@pytest.mark.parametrize("insecure", [False, True])
def test_the_environments_proxy_is_not_for_guests(
    server: tuple[int, str], monkeypatch: pytest.MonkeyPatch, insecure: bool
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert ask(connect(server, insecure=insecure))["version"]


def test_a_wrong_password_is_refused_and_not_told(server: tuple[int, str]) -> None:
    with pytest.raises(GuestRefused, match="password is refused") as caught:
        ask(connect(server, password=Secret("wrong-password")))
    assert "wrong-password" not in f"{caught.value} {caught.value.hint} {caught.value.details}"


def test_waiting_passes_over_a_password_that_is_not_set_yet(server: tuple[int, str]) -> None:
    with pytest.raises(DeadlinePassed, match="password is refused"):
        connect(server, password=Secret("not-yet-set")).wait_until_ready(deadline=Deadline.after(3))


def test_a_script_that_was_never_sent_is_broken_with_windows_words(server: tuple[int, str]) -> None:
    guest = connect(server)
    try:
        with pytest.raises(ScriptBroken) as caught:
            guest.run("Get-Absent", deadline=Deadline.after(SOON))
        assert any("Get-Absent.ps1" in line for line in caught.value.details)
    finally:
        guest.close()


def test_shells_do_not_pile_up(server: tuple[int, str]) -> None:
    ask(connect(server))
    for _ in range(35):  # the stand-in allows 30
        guest = connect(server)
        assert guest.run("Get-Ready", deadline=Deadline.after(SOON))
        guest.close()


def test_a_guest_that_is_gone_is_unreachable(tmp_path: Path) -> None:
    with standin(tmp_path) as server:
        guest = connect(server)
        ask(guest)
    with pytest.raises(GuestUnreachable):
        ask(guest, 3)


class Impostor:
    """A TLS server with a certificate of its own that keeps what it is sent and hangs up."""

    def __init__(self, certificate: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._socket = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.port = self._socket.getsockname()[1]
        self._got = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Impostor":
        self._thread.start()
        return self

    def __exit__(self, *what: object) -> None:
        self._socket.close()

    def _serve(self) -> None:
        connected, _ = self._socket.accept()
        with connected:
            connected.settimeout(10)
            self._got = connected.recv(65536)

    def got(self) -> bytes:
        """What came in on the one connection, once it is over."""
        self._thread.join(timeout=15)
        assert not self._thread.is_alive()
        return self._got
