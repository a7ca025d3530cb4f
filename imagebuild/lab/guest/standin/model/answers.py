"""What the stand-in heeds of an answer file: names, passwords, remote desktop, time zone, the licence's rearm, Cloudbase-Init."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


class Answers(NamedTuple):
    """The answers to setup's questions; empty where the file says nothing."""

    computer_name: str = ""
    administrator_password: str = ""
    accounts: tuple[tuple[str, str], ...] = ()
    remote_desktop: bool = False
    time_zone: str = ""
    skips_rearm: bool = False
    runs_cloudbase: bool = False


def read_answers(text: str) -> Answers:
    """By the names of the elements, whatever their namespace; ValueError for what is no XML."""
    import xml.etree.ElementTree as ElementTree  # a quarter of a second in the guest, and only sysprep and first boots need it

    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - a file that our own tool wrote
    except ElementTree.ParseError as error:
        raise ValueError(f"the answer file is no XML: {error}") from error
    administrator = _all(root, "AdministratorPassword")
    return Answers(
        computer_name=_first(root, "ComputerName"),
        administrator_password=_read_password(administrator[0]) if administrator else "",
        accounts=tuple(
            (_first(one, "Name"), _read_password(_all(one, "Password")[0])) for one in _all(root, "LocalAccount")
        ),
        remote_desktop=_first(root, "fDenyTSConnections").lower() == "false",
        time_zone=_first(root, "TimeZone"),
        skips_rearm=_first(root, "SkipRearm") == "1",
        runs_cloudbase=any("cloudbase-init" in (path.text or "").lower() for path in _all(root, "Path")),
    )


def _all(place: Element, name: str) -> list[Element]:
    return [one for one in place.iter() if one.tag.rsplit("}", 1)[-1] == name]


def _first(place: Element, name: str) -> str:
    return next((one.text or "" for one in _all(place, name)), "").strip()


def _read_password(element: Element) -> str:
    """Clear, or (PlainText false) as base64 of UTF-16 with the element's own name behind it."""
    value = next((one.text or "" for one in _all(element, "Value")), "")
    if _first(element, "PlainText").lower() != "false":
        return value
    try:
        clear = base64.b64decode(value, validate=True).decode("utf-16-le")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(f"a password of the answer file is not base64 of UTF-16: {error}") from error
    return clear.removesuffix(element.tag.rsplit("}", 1)[-1])
