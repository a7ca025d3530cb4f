"""RC4 and MD4, which NTLM needs and Python lost: by ctypes from OpenSSL's libcrypto, which Python's own hashlib brings along."""

import ctypes
from typing import Protocol

_RC4_KEY_BYTES = 4 * 258
"""sizeof(RC4_KEY) in OpenSSL 3: 256 words of state and two indices."""


class Stream(Protocol):
    """One direction of a stream cipher: each call goes on where the last ended."""

    def __call__(self, text: bytes) -> bytes:
        """Encrypt or decrypt; with RC4 it is the same."""
        ...


def _crypto() -> ctypes.CDLL:
    return ctypes.CDLL("libcrypto.so.3")


def start_rc4(key: bytes) -> Stream:
    """A fresh RC4 stream for `key`."""
    crypto = _crypto()
    state = ctypes.create_string_buffer(_RC4_KEY_BYTES)
    crypto.RC4_set_key(state, len(key), key)

    def apply(text: bytes) -> bytes:
        out = ctypes.create_string_buffer(len(text) or 1)
        crypto.RC4(state, ctypes.c_size_t(len(text)), text, out)
        return out.raw[: len(text)]

    return apply


def hash_md4(text: bytes) -> bytes:
    """The 16 bytes of MD4 over `text`."""
    out = ctypes.create_string_buffer(16)
    _crypto().MD4(text, ctypes.c_size_t(len(text)), out)
    return out.raw
