"""The server's side of NTLMv2 as WinRM uses it: raw NTLMSSP messages, then messages signed and sealed with the session's keys.

After MS-NLMP 3.2 (messages), 3.3.2 (NTLMv2) and 3.4 (signing and sealing with extended session security).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
import time
from collections.abc import Callable

from imagebuild.lab.guest.standin.ciphers import Stream, hash_md4, start_rc4

SIGNATURE = b"NTLMSSP\0"
UNICODE = 0x1
REQUEST_TARGET = 0x4
SIGN = 0x10
SEAL = 0x20
NTLM = 0x200
ALWAYS_SIGN = 0x8000
TARGET_TYPE_SERVER = 0x20000
EXTENDED_SECURITY = 0x80000
TARGET_INFO = 0x800000
VERSION = 0x2000000
KEY_128 = 0x20000000
KEY_EXCHANGE = 0x40000000
KEY_56 = 0x80000000
OFFERED = (
    UNICODE | REQUEST_TARGET | SIGN | SEAL | NTLM | ALWAYS_SIGN | EXTENDED_SECURITY | KEY_128 | KEY_EXCHANGE | KEY_56
)
ALWAYS = UNICODE | NTLM | TARGET_TYPE_SERVER | EXTENDED_SECURITY | TARGET_INFO | VERSION

# ids of the pairs in a target info
AV_END, AV_NB_COMPUTER, AV_NB_DOMAIN, AV_DNS_COMPUTER, AV_DNS_DOMAIN, AV_FLAGS, AV_TIME = 0, 1, 2, 3, 4, 6, 7
HAS_MIC = 2
WINDOWS_EPOCH = 11644473600
"""Seconds from 1601 to 1970."""
CHALLENGE_PAYLOAD = 56
"""Where the challenge's fixed part ends."""


class Refused(ValueError):
    """The client's message is not acceptable: unknown user, wrong password, or not NTLMv2."""


class Session:
    """The keys that both sides share after the handshake: opens what the client sealed, seals what the server says."""

    def __init__(self, user: str, key: bytes, *, exchanged: bool) -> None:
        self.user = user
        self._exchanged = exchanged
        self._sign_in = _derive(key, "client-to-server", "signing")
        self._sign_out = _derive(key, "server-to-client", "signing")
        self._stream_in = start_rc4(_derive(key, "client-to-server", "sealing"))
        self._stream_out = start_rc4(_derive(key, "server-to-client", "sealing"))
        self._count_in = self._count_out = 0

    def seal(self, text: bytes) -> tuple[bytes, bytes]:
        """Gives (signature of 16 bytes, encrypted text)."""
        encrypted = self._stream_out(text)
        check = self._check(self._sign_out, self._stream_out, self._count_out, text)
        signature = struct.pack("<I8sI", 1, check, self._count_out)
        self._count_out += 1
        return signature, encrypted

    def unseal(self, signature: bytes, encrypted: bytes) -> bytes:
        """The text. Raises Refused when the signature is not the client's."""
        text = self._stream_in(encrypted)
        check = self._check(self._sign_in, self._stream_in, self._count_in, text)
        self._count_in += 1
        if not hmac.compare_digest(check, signature[4:12]):
            raise Refused("the message's signature is wrong")
        return text

    def _check(self, key: bytes, stream: Stream, count: int, text: bytes) -> bytes:
        check = _hmac(key, struct.pack("<I", count) + text)[:8]
        return stream(check) if self._exchanged else check


class Handshake:
    """One NTLM logon on one connection: `challenge` answers the first message, `accept` judges the second."""

    def __init__(self, computer: str, password_of: Callable[[str], str | None]) -> None:
        self._computer = computer
        self._password_of = password_of
        self._negotiate = self._challenge = b""
        self._nonce = os.urandom(8)

    def challenge(self, negotiate: bytes) -> bytes:
        """The challenge (type 2) for the client's negotiate message (type 1)."""
        if message_type(negotiate) != 1 or len(negotiate) < 16:
            raise Refused("not a negotiate message")
        self._negotiate = negotiate
        asked: int = struct.unpack_from("<I", negotiate, 12)[0]
        name = self._computer.encode("utf-16-le")
        moment = struct.pack("<Q", int((time.time() + WINDOWS_EPOCH) * 10_000_000))
        pairs = [(AV_NB_DOMAIN, name), (AV_NB_COMPUTER, name), (AV_DNS_DOMAIN, name), (AV_DNS_COMPUTER, name)]
        target = b"".join(struct.pack("<HH", i, len(v)) + v for i, v in [*pairs, (AV_TIME, moment), (AV_END, b"")])
        fixed = struct.pack(
            "<8sIHHII8s8xHHI8s",
            SIGNATURE,
            2,
            len(name),
            len(name),
            CHALLENGE_PAYLOAD,
            (asked & OFFERED) | ALWAYS,
            self._nonce,
            len(target),
            len(target),
            CHALLENGE_PAYLOAD + len(name),
            bytes([10, 0, 0x7C, 0x4F, 0, 0, 0, 15]),
        )
        self._challenge = fixed + name + target
        return self._challenge

    def accept(self, message: bytes) -> Session:
        """The session for the client's authenticate message (type 3). Raises Refused."""
        if message_type(message) != 3 or len(message) < 64 or not self._challenge:
            raise Refused("not an authenticate message")
        proof, domain, name, sent_key = (_field(message, at) for at in (20, 28, 36, 52))
        flags: int = struct.unpack_from("<I", message, 60)[0]
        user, where = name.decode("utf-16-le"), domain.decode("utf-16-le")
        account = user.rsplit("\\", 1)[-1].split("@", 1)[0]
        password = self._password_of(account)
        if password is None or len(proof) < 44:
            raise Refused(f"unknown user {account!r}, or not NTLMv2")
        owner_key = _hmac(hash_md4(password.encode("utf-16-le")), (user.upper() + where).encode("utf-16-le"))
        if not hmac.compare_digest(_hmac(owner_key, self._nonce + proof[16:]), proof[:16]):
            raise Refused(f"wrong password for {account!r}")
        key = _hmac(owner_key, proof[:16])
        exchanged = bool(flags & KEY_EXCHANGE) and len(sent_key) == 16
        if exchanged:
            key = start_rc4(key)(sent_key)
        if _has_mic(proof):
            whole = self._negotiate + self._challenge + message[:72] + bytes(16) + message[88:]
            if not hmac.compare_digest(_hmac(key, whole), message[72:88]):
                raise Refused("the handshake was altered on its way")
        return Session(account, key, exchanged=exchanged)


def message_type(message: bytes) -> int:
    """1 negotiate, 2 challenge, 3 authenticate; 0 when it is no NTLM message (SPNEGO is not spoken here)."""
    return message[8] if message.startswith(SIGNATURE) and len(message) >= 12 else 0


def _field(message: bytes, at: int) -> bytes:
    length, _, offset = struct.unpack_from("<HHI", message, at)
    return message[offset : offset + length]


def _has_mic(proof: bytes) -> bool:
    """Whether the client's target info (behind 16 bytes of proof and 28 of header) says that a MIC is there."""
    at = 44
    while at + 4 <= len(proof):
        kind, length = struct.unpack_from("<HH", proof, at)
        if kind == AV_END:
            break
        if kind == AV_FLAGS and length == 4:
            return bool(struct.unpack_from("<I", proof, at + 4)[0] & HAS_MIC)
        at += 4 + length
    return False


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "md5")


def _derive(key: bytes, direction: str, purpose: str) -> bytes:
    magic = f"session key to {direction} {purpose} key magic constant\0".encode()
    return hashlib.md5(key + magic, usedforsecurity=False).digest()
