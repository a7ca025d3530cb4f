"""Save-Download: one file by plain HTTP, for real, believed only by its SHA-256. A cut-off download goes on where it was."""

from __future__ import annotations

import re
import socket
from typing import Any, NamedTuple

from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.scripts.contract import Parameters, Run, ScriptError, plays

URL = re.compile(r"http://([A-Za-z0-9.-]+)(?::(\d+))?(/[^\s]*)?\Z")
LONGEST_HEAD = 65536
WAIT_SECONDS = (2, 4, 8, 16, 30)


class _Attempt(NamedTuple):
    complete: bool
    again: bool
    began_at: int = 0
    status: int | None = None
    message: str = ""
    wrong_size: bool = False


@plays("Save-Download", "url", "path", "sha256", "size_bytes", "attempts", "timeout_seconds")
def save_download(run: Run) -> dict[str, Any]:
    """Fetch one file, or find that it is there."""
    guest, parameters = run.guest, run.parameters
    url, path = str(parameters.required("url")), str(parameters.required("path"))
    wanted = str(parameters.required("sha256")).lower()
    if not re.match(r"[0-9a-f]{64}\Z", wanted):
        raise ScriptError(f"sha256 '{wanted}' is not 64 hexadecimal digits")
    if not re.match(r"https?://", url, re.IGNORECASE):
        raise ScriptError("url: only http and https addresses can be fetched")
    result: dict[str, Any] = {
        "state": "failed", "path": path, "sha256": None, "size_bytes": None, "resumed_from_bytes": 0, "attempts": 0, "deleted_old": False,
        "http_status": None, "message": "",
    }  # fmt: skip
    if guest.files.exists(path):
        if guest.files.sha256(path) == wanted:
            return result | {"state": "present", "sha256": wanted, "size_bytes": guest.files.size(path)}
        guest.files.remove(path)
        result["deleted_old"] = True
    _fetch(run, url, f"{path}.{wanted[:12]}.part", wanted, result)
    return result


def _fetch(run: Run, url: str, part: str, wanted: str, result: dict[str, Any]) -> None:
    guest, most = run.guest, run.parameters.number("attempts", 5)
    name = str(result["path"]).rsplit("\\", 1)[-1]
    while result["attempts"] < most:
        result["attempts"] += 1
        run.step(f"fetching {name}, attempt {result['attempts']} of {most}")
        got = _receive(guest, url, part, run.parameters)
        result |= {
            "state": "wrong_size" if got.wrong_size else "failed",
            "http_status": got.status or result["http_status"],
        }
        result["message"] = got.message
        result["resumed_from_bytes"] = got.began_at or result["resumed_from_bytes"]
        if got.complete:
            _judge(guest, part, wanted, result)
            if result["state"] == "downloaded" or not got.began_at:
                return
        elif not got.again:
            return
        run.pause.wait(WAIT_SECONDS[min(result["attempts"], len(WAIT_SECONDS)) - 1])


def _judge(guest: Guest, part: str, wanted: str, result: dict[str, Any]) -> None:
    result |= {"sha256": guest.files.sha256(part), "size_bytes": guest.files.size(part)}
    if result["sha256"] == wanted:
        guest.files.write(result["path"], guest.files.read(part))
        result |= {"state": "downloaded", "message": ""}
    else:
        result |= {"state": "wrong_checksum", "message": "deleted: the SHA-256 is not the expected one"}
    guest.files.remove(part)


def _receive(guest: Guest, url: str, part: str, parameters: Parameters) -> _Attempt:
    """One request; what comes is appended to the part file as it comes."""
    place = URL.match(url.replace(" ", "%20"))
    if place is None:
        return _Attempt(complete=False, again=False, message="the stand-in fetches by plain http only")
    size = parameters.number("size_bytes", 0)
    start = guest.files.size(part) if guest.files.exists(part) else 0
    timeout = float(parameters.number("timeout_seconds", 60))
    request = (
        f"GET {place[3] or '/'} HTTP/1.0\r\nHost: {place[1]}\r\nUser-Agent: imagebuild\r\nRange: bytes={start}-\r\n\r\n"
    )
    try:
        with socket.create_connection((place[1], int(place[2] or 80)), timeout=timeout) as link:
            link.sendall(request.encode("utf-8"))
            head, body = _read_head(link)
            status = int(head.split(b" ", 2)[1])
            if status not in (200, 206):
                return _Attempt(
                    complete=False, again=status >= 500, status=status, message=f"the server answered {status}"
                )
            found = re.search(rb"(?i)\r\ncontent-length:\s*(\d+)", head)
            start = start if status == 206 else 0
            total = start + int(found[1]) if found else None
            if size > 0 and total is not None and total != size:
                return _Attempt(
                    complete=False,
                    again=False,
                    status=status,
                    message=f"the server offers {total} bytes, expected {size}",
                    wrong_size=True,
                )
            have = _copy(guest, link, part, body, start=start)
    except (OSError, ValueError, IndexError) as error:
        return _Attempt(complete=False, again=True, message=f"{type(error).__name__}: {error}")
    if total is not None and have != total:
        return _Attempt(False, True, start, status, f"the connection ended after {have} of {total} bytes")
    return _Attempt(True, False, start, status)


def _read_head(link: socket.socket) -> tuple[bytes, bytes]:
    received = b""
    while b"\r\n\r\n" not in received and len(received) < LONGEST_HEAD:
        piece = link.recv(65536)
        if not piece:
            break
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


def _copy(guest: Guest, link: socket.socket, part: str, first: bytes, *, start: int) -> int:
    if start == 0:
        guest.files.write(part, b"")
    have, piece = start, first
    while piece or have == start:
        guest.files.append(part, piece)
        have += len(piece)
        piece = link.recv(262144)
        if not piece:
            break
    return have
