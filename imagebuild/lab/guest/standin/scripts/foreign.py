"""PowerShell that other tools send: Packer's file uploads and Ansible's bootstrap, known by what is in them."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import NamedTuple

from imagebuild.lab.guest.standin.model.files import expand
from imagebuild.lab.guest.standin.scripts.session import Session

UPLOAD_SOURCE = re.compile(r'\$tmp_file_path = \[System\.IO\.Path\]::GetFullPath\("([^"]+)"\)')
UPLOAD_TARGET = re.compile(r'\$dest_file_path = \[System\.IO\.Path\]::GetFullPath\("([^"]+)"')
UPLOAD_CLEANUP = re.compile(r'(?i)Remove-Item\s+(?:\$tmp_file_path\b|"?(\$env:TEMP\\winrmcp-[\w.-]+)"?)')
ANSIBLE_MARK = "`0`0`0`0"
ANSIBLE_MODULE = re.compile(rb"(?:ansible[.](?:windows|builtin|legacy)[.])?(win_[a-z0-9_]+)")


class Foreign(NamedTuple):
    """A script of another tool: how it is known, and what it does."""

    recognise: Callable[[str], bool]
    play: Callable[[Session, str], int]


def _place(path: str) -> str:
    return expand(re.sub(r"(?i)\$env:(\w+)", r"%\1%", path.strip("'\" ")))


def _restore_upload(session: Session, text: str) -> int:
    """The lines that were echoed into a temporary file, decoded into the file that was meant."""
    source, target = UPLOAD_SOURCE.search(text), UPLOAD_TARGET.search(text)
    if source is None or target is None:
        return 1
    files, place = session.guest.files, _place(source[1])
    lines = files.read(place).split() if files.exists(place) else []
    try:
        files.write(_place(target[1]), b"".join(base64.b64decode(line, validate=True) for line in lines))
    except binascii.Error as error:
        session.error(f"the uploaded lines are no base64: {error}")
        return 1
    return 0


def _clean_upload(session: Session, text: str) -> int:
    named = [path for path in UPLOAD_CLEANUP.findall(text) if path]
    for path in named or UPLOAD_SOURCE.findall(text):  # Packer puts the path in a variable first
        session.guest.files.remove(_place(path))
    return 0


def _run_ansible(session: Session, text: str) -> int:
    """Modules are PowerShell, which is not here: the one that only answers is played, every other is refused aloud."""
    received = b"".join(session.call.stdin)
    modules = {found.decode() for found in ANSIBLE_MODULE.findall(received)}
    if "win_ping" in modules:
        session.out(json.dumps({"changed": False, "ping": "pong"}))
        return 0
    names = ", ".join(sorted(modules)) or "unnamed"
    session.guest.complain(f"no play for the Ansible module {names}")
    session.out(json.dumps({"failed": True, "msg": f"stand-in: no play for the Ansible module {names}"}))
    return 1


FOREIGN = (
    Foreign(
        lambda text: UPLOAD_SOURCE.search(text) is not None and UPLOAD_TARGET.search(text) is not None, _restore_upload
    ),
    Foreign(lambda text: UPLOAD_CLEANUP.search(text) is not None, _clean_upload),
    Foreign(lambda text: ANSIBLE_MARK in text, _run_ansible),
)
