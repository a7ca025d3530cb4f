"""One client's connection: authenticates it by Basic or NTLM, opens and seals encrypted messages, hands requests on.

NTLM authenticates the connection, not the request: once through, later requests carry no Authorization.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import socket
import struct
from typing import BinaryIO, cast

from imagebuild.lab.guest.standin import ntlm
from imagebuild.lab.guest.standin.host import Host
from imagebuild.lab.guest.standin.http import Malformed, Request, Response, read_request, send_response
from imagebuild.lab.guest.standin.wsman import Service

PROTOCOL = "application/HTTP-SPNEGO-session-encrypted"
BOUNDARY = b"--Encrypted Boundary"
ENCRYPTED_TYPE = f'multipart/encrypted;protocol="{PROTOCOL}";boundary="Encrypted Boundary"'
OCTETS = b"Content-Type: application/octet-stream\r\n"
LARGEST_BODY = 64 << 20
"""What is read at all; the service then refuses what is over MaxEnvelopeSizekb."""


class Connection:
    """Serves one accepted socket until the client closes it."""

    def __init__(self, connected: socket.socket, host: Host, service: Service, *, encrypted: bool) -> None:
        self._socket = connected
        self._host = host
        self._service = service
        self._encrypted = encrypted
        """The socket itself is TLS: then messages may be plain."""
        self._handshake: ntlm.Handshake | None = None
        self._session: ntlm.Session | None = None

    def serve(self) -> None:
        """Answer requests until the client is gone or says something that is no HTTP."""
        stream = cast(BinaryIO, self._socket.makefile("rb", 65536))
        try:
            while (request := read_request(stream, self._socket, largest=LARGEST_BODY)) is not None:
                send_response(self._socket, self._answer(request))
        except Malformed:
            send_response(self._socket, Response(400, headers=(("Connection", "close"),)))
        finally:
            stream.close()

    def _answer(self, request: Request) -> Response:
        if not request.path.lower().startswith("/wsman"):
            return Response(404)
        if request.method != "POST":
            return Response(405)
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            credentials = base64.b64decode(token)
        except binascii.Error:
            return self._refuse()
        if kind.lower() == "basic":
            return self._answer_basic(request, credentials)
        if kind.lower() in ("negotiate", "ntlm"):
            return self._shake_hands(request, kind, credentials)
        if self._session is not None:
            return self._answer_ntlm(request, self._session)
        if request.headers.get("wsmanidentify", "").lower() == "unauthenticated":
            return self._ask(request.body, None)
        return self._refuse()

    def _answer_basic(self, request: Request, credentials: bytes) -> Response:
        """Without TLS, Basic is only good when unencrypted messages are allowed."""
        name, colon, password = credentials.decode("utf-8", "replace").partition(":")
        user = name.rsplit("\\", 1)[-1]
        settings = self._host.settings()
        expected = self._host.password_of(user)
        right = colon and expected is not None and hmac.compare_digest(expected.encode(), password.encode())
        if not settings.basic or not right or not (self._encrypted or settings.allow_unencrypted):
            return self._refuse()
        return self._ask(request.body, user)

    def _shake_hands(self, request: Request, kind: str, message: bytes) -> Response:
        """A body that comes with the first message is not looked at: its sender is not known yet."""
        try:
            if ntlm.message_type(message) == 1:
                self._session = None
                self._handshake = ntlm.Handshake(self._host.computer_name(), self._host.password_of)
                challenge = base64.b64encode(self._handshake.challenge(message)).decode()
                return Response(401, headers=(("WWW-Authenticate", f"{kind} {challenge}"),))
            handshake, self._handshake = self._handshake, None
            if handshake is None:
                return self._refuse()
            self._session = handshake.accept(message)
        except (ntlm.Refused, struct.error, UnicodeDecodeError):
            return self._refuse()
        return self._answer_ntlm(request, self._session)

    def _answer_ntlm(self, request: Request, session: ntlm.Session) -> Response:
        if not request.body:  # pywinrm logs on with an empty request
            return Response(200)
        if "multipart/encrypted" in request.headers.get("content-type", "").lower():
            try:
                text = _open(request.body, session)
            except (ntlm.Refused, Malformed):
                return Response(400)
            answer = self._ask(text, session.user)
            return Response(answer.status, _seal(answer.body, session), ENCRYPTED_TYPE)
        if not self._encrypted and not self._host.settings().allow_unencrypted:
            return Response(500)  # as Windows does it: no fault, no word why
        return self._ask(request.body, session.user)

    def _ask(self, text: bytes, user: str | None) -> Response:
        answer = self._service.answer(text, user)
        return self._refuse() if answer is None else Response(*answer)

    def _refuse(self) -> Response:
        offers = [("WWW-Authenticate", "Negotiate")]
        if self._host.settings().basic:
            offers.append(("WWW-Authenticate", 'Basic realm="WSMAN"'))
        return Response(401, headers=tuple(offers))


def _open(body: bytes, session: ntlm.Session) -> bytes:
    """The text of an encrypted message: parts of signature length, signature and data; the first part names the length."""
    start = body.find(OCTETS)
    end = body.rfind(BOUNDARY + b"--")
    if start < 0 or end < start:
        raise Malformed("not an encrypted message")
    sealed = body[start + len(OCTETS) : end]
    (length,) = struct.unpack_from("<I", sealed) if len(sealed) >= 4 else (0,)
    if length != 16:
        raise Malformed("a signature of another length than 16")
    text = session.unseal(sealed[4:20], sealed[20:])
    told = re.search(rb"OriginalContent:[^\r\n]*Length=(\d+)", body[:start])
    if told is None or int(told[1]) != len(text):
        raise Malformed("another length than announced")
    return text


def _seal(text: bytes, session: ntlm.Session) -> bytes:
    signature, encrypted = session.seal(text)
    return (
        BOUNDARY
        + f"\r\n\tContent-Type: {PROTOCOL}\r\n\tOriginalContent: type=application/soap+xml;charset=UTF-8;".encode()
        + f"Length={len(text)}\r\n".encode()
        + BOUNDARY
        + b"\r\n\t"
        + OCTETS
        + struct.pack("<I", len(signature))
        + signature
        + encrypted
        + BOUNDARY
        + b"--\r\n"
    )
