"""SOAP envelopes of WS-Management: what a client's request says, and how answers and faults look."""

from __future__ import annotations

import re
from typing import NamedTuple
from uuid import uuid4
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from imagebuild.lab.guest.standin import faults
from imagebuild.lab.guest.standin.faults import Fault

SOAP = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
IDENTITY = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
FAULT_ACTION = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
WSMAN_FAULT = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
COMMAND_SHELL = f"{SHELL}/cmd"

DEFAULT_TIMEOUT = 60.0
"""Windows' MaxTimeoutms, for a request that names no OperationTimeout."""


class Asked(NamedTuple):
    """A client's request."""

    action: str
    message_id: str
    resource: str
    timeout: float
    """Seconds that the client wants to wait at most."""
    largest: int
    """The largest envelope, in bytes, that the client takes."""
    options: dict[str, str]
    selectors: dict[str, str]
    body: Element

    def find(self, name: str) -> Element:
        """The first element of the shell's vocabulary with that name in the body. Raises a Fault without one."""
        found = self.body.find(f".//{{{SHELL}}}{name}")
        if found is None:
            raise faults.malformed(f"{name} is missing")
        return found


def parse_root(text: bytes) -> Element:
    """The envelope as a tree. Document types are refused: none is ever sent, and entities in them are a known attack."""
    if b"<!DOCTYPE" in text:
        raise faults.malformed("a document type")
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - document types were refused just above
    except ElementTree.ParseError as error:
        raise faults.malformed(f"no XML ({error})") from error


def is_identify(root: Element) -> bool:
    """Whether it is the question that needs no logon: who are you?"""
    return root.find(f"{{{SOAP}}}Body/{{{IDENTITY}}}Identify") is not None


def read_request(root: Element) -> Asked:
    """What the envelope asks. Raises a Fault when it lacks what every request has."""
    header, body = root.find(f"{{{SOAP}}}Header"), root.find(f"{{{SOAP}}}Body")
    if header is None or body is None:
        raise faults.malformed("header or body is missing")

    def text_of(namespace: str, name: str) -> str:
        return (header.findtext(f"{{{namespace}}}{name}") or "").strip()

    def pairs(name: str) -> dict[str, str]:
        return {item.get("Name", ""): item.text or "" for item in header.iter(f"{{{WSMAN}}}{name}")}

    size = text_of(WSMAN, "MaxEnvelopeSize")
    return Asked(
        action=text_of(ADDRESSING, "Action"),
        message_id=text_of(ADDRESSING, "MessageID"),
        resource=text_of(WSMAN, "ResourceURI"),
        timeout=parse_duration(text_of(WSMAN, "OperationTimeout")),
        largest=int(size) if size.isdigit() else 153600,
        options=pairs("Option"),
        selectors=pairs("Selector"),
        body=body,
    )


def parse_duration(text: str) -> float:
    """Seconds of an XML duration such as PT20S or P0DT1M30.5S; DEFAULT_TIMEOUT for an empty one."""
    if not text:
        return DEFAULT_TIMEOUT
    found = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?", text)
    if found is None:
        raise faults.malformed(f"{text!r} is no duration")
    return sum(float(part or 0) * unit for part, unit in zip(found.groups(), (86400, 3600, 60, 1), strict=True))


def escape(text: str) -> str:
    """Text for an element. xml.sax.saxutils has one as well, and drags in half of the standard library."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def write_answer(action: str, relates_to: str, body: str) -> bytes:
    """An answer's envelope around `body`, which is XML that uses the prefixes declared here."""
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{SOAP}" xmlns:a="{ADDRESSING}" xmlns:x="{TRANSFER}" xmlns:w="{WSMAN}" '
        f'xmlns:rsp="{SHELL}"><s:Header><a:Action>{action}</a:Action>'
        f"<a:MessageID>uuid:{str(uuid4()).upper()}</a:MessageID><a:To>{ADDRESSING}/role/anonymous</a:To>"
        f"<a:RelatesTo>{escape(relates_to)}</a:RelatesTo></s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def write_fault(fault: Fault, relates_to: str, *, machine: str) -> bytes:
    """A fault's envelope; it goes out with HTTP status 500."""
    text = escape(fault.text)
    return write_answer(
        FAULT_ACTION,
        relates_to,
        f"<s:Fault><s:Code><s:Value>s:{fault.blame}</s:Value><s:Subcode><s:Value>w:{fault.subcode}</s:Value></s:Subcode>"
        f'</s:Code><s:Reason><s:Text xml:lang="en-US">{text}</s:Text></s:Reason><s:Detail>'
        f'<f:WSManFault xmlns:f="{WSMAN_FAULT}" Code="{fault.code}" Machine="{escape(machine)}">'
        f"<f:Message>{text}</f:Message></f:WSManFault></s:Detail></s:Fault>",
    )


def write_identity() -> bytes:
    """The answer to Identify. A real one names Microsoft here; no client looks, and we are not."""
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{SOAP}"><s:Header/><s:Body><i:IdentifyResponse xmlns:i="{IDENTITY}">'
        f"<i:ProtocolVersion>{WSMAN}</i:ProtocolVersion>"
        "<i:ProductVendor>imagebuild stand-in for Windows, not Windows</i:ProductVendor>"
        "<i:ProductVersion>OS: 0.0.0 SP: 0.0 Stack: 3.0</i:ProductVersion></i:IdentifyResponse></s:Body></s:Envelope>"
    ).encode()
