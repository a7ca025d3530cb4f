"""The server's NTLM against pyspnego's client: an independent implementation is the judge of ours."""

import os

import pytest
import spnego
from spnego.exceptions import SpnegoError

from imagebuild.lab.guest.standin.ciphers import hash_md4, start_rc4
from imagebuild.lab.guest.standin.ntlm import Handshake, Refused, Session, message_type

PASSWORD = "Passw0rd!"


def logged_on(user: str = "Administrator", password: str = PASSWORD) -> tuple[spnego.ContextProxy, Session]:
    client = spnego.client(user, password, hostname="DOUBLE", service="http", protocol="ntlm")
    handshake = Handshake("DOUBLE", {"Administrator": "Passw0rd!"}.get)
    challenge = handshake.challenge(client.step() or b"")
    return client, handshake.accept(client.step(challenge) or b"")


def test_md4_and_rc4_of_the_standards() -> None:
    assert hash_md4(b"message digest").hex() == "d9130a8164549fe818874806e1c7014b"  # RFC 1320
    stream = start_rc4(b"Key")
    assert (stream(b"Plain") + stream(b"text")).hex() == "bbf316e8d940af0ad3"  # in two pieces: it goes on


@pytest.mark.parametrize("size", [0, 1, 100, 200_000])
def test_messages_are_opened_and_sealed_in_both_directions(size: int) -> None:
    client, session = logged_on()
    for _ in range(3):  # counters and cipher states move on
        text = os.urandom(size)
        sealed = client.wrap_winrm(text)
        assert session.unseal(sealed.header, sealed.data) == text
        signature, encrypted = session.seal(text)
        assert client.unwrap_winrm(signature, encrypted) == text


def test_an_altered_message_is_refused() -> None:
    client, session = logged_on()
    sealed = client.wrap_winrm(b"format the disk")
    with pytest.raises(Refused, match="signature"):
        session.unseal(sealed.header, sealed.data[:-1] + bytes([sealed.data[-1] ^ 1]))


def test_an_answer_sealed_with_other_keys_is_refused_by_the_client() -> None:
    client, _ = logged_on()
    _, other = logged_on()
    with pytest.raises(SpnegoError):
        client.unwrap_winrm(*other.seal(b"text"))


@pytest.mark.parametrize("user, password", [("Administrator", "wrong"), ("nobody", "Passw0rd!")])
def test_wrong_credentials_are_refused(user: str, password: str) -> None:
    with pytest.raises(Refused):
        logged_on(user, password)


def test_an_altered_handshake_is_refused() -> None:
    """The message integrity code covers all three messages: here the first is changed on its way."""
    client = spnego.client("Administrator", "Passw0rd!", hostname="DOUBLE", service="http", protocol="ntlm")
    handshake = Handshake("DOUBLE", {"Administrator": "Passw0rd!"}.get)
    first = bytearray(client.step() or b"")
    first[-1] ^= 1
    last = client.step(handshake.challenge(bytes(first))) or b""
    with pytest.raises(Refused, match="altered"):
        handshake.accept(last)


@pytest.mark.parametrize("message", [b"", b"NTLMSSP\0", b"NTLMSSP\0\3\0\0\0" + bytes(90), b"\x60\x48SPNEGO"])
def test_what_is_no_handshake_is_refused(message: bytes) -> None:
    with pytest.raises(Refused):
        Handshake("DOUBLE", {}.get).challenge(message)
    with pytest.raises(Refused):
        Handshake("DOUBLE", {}.get).accept(message)


def test_message_types() -> None:
    assert [message_type(text) for text in (b"NTLMSSP\0\1\0\0\0", b"NTLMSSP\0\3\0\0\0", b"NTLMSSP\0", b"")] == [
        1,
        3,
        0,
        0,
    ]
