"""A record that travels with an image: plain values as JSON, compressed, as text in one Glance property.

Glance keeps a property's value in a column of 65,535 bytes (MySQL's TEXT), and a longer one is refused together with the whole
change that it came with; so a record is made to fit before it is sent.
"""

import base64
import binascii
import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

LONGEST = 60_000


class TooLong(ValueError):
    """A record does not fit into a property, whatever is left out of it."""


def pack(record: Mapping[str, Any]) -> str:
    """The record as text for a property; the same record gives the same text. Raises TooLong above LONGEST characters."""
    text = json.dumps(record, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    packed = base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode("ascii")
    if len(packed) > LONGEST:
        raise TooLong(f"{len(packed)} characters, {LONGEST} fit")
    return packed


def pack_fitting(record: Mapping[str, Any], *, least_useful: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The record as text, without as many of the `least_useful` parts, in this order, as it takes to fit; and which these were.

    The names of what was left out stand in the record, too, under `left_out`.
    """
    left_out: list[str] = []
    parts = dict(record)
    candidates = [name for name in least_useful if name in record]
    while True:
        try:
            return pack(parts | {"left_out": left_out}), tuple(left_out)
        except TooLong:
            if not candidates:
                raise
            left_out.append(candidates.pop(0))
            del parts[left_out[-1]]


def unpack(text: str) -> dict[str, Any] | None:
    """The record in a property's text; None when there is none in it (cut off, or edited by hand)."""
    try:
        record = json.loads(gzip.decompress(base64.b64decode(text, validate=True)))
    except (binascii.Error, OSError, EOFError, zlib.error, ValueError):
        return None
    return record if isinstance(record, dict) else None
