"""What goes over standard input is what Receive-Files reads: checked by reading it the way that script does."""

import base64
import gzip
import hashlib
import io
import json

import pytest

from imagebuild import windows
from imagebuild.adapters.winrm_files import SCRIPTS_FOLDER, check_received, describe_files, pack_files
from imagebuild.adapters.winrm_session import SEND_BYTES
from imagebuild.errors import ScriptBroken


def receive(pieces: list[bytes]) -> dict[str, bytes]:
    """Lines; the first announces, the others are one gzip stream of all files in order."""
    first, *rest = b"".join(pieces).splitlines()
    announced = json.loads(base64.b64decode(first, validate=True))["files"]
    stream = io.BytesIO(gzip.decompress(b"".join(base64.b64decode(line, validate=True) for line in rest)))
    files = {}
    for file in announced:
        content = stream.read(file["size"])
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
        files[file["path"]] = content
    assert stream.read() == b""
    return files


@pytest.mark.parametrize(
    "files",
    [
        {r"C:\imagebuild\answer.xml": b"<unattend/>"},
        {r"C:\a.txt": b"", r"C:\b.txt": b"x", r"C:\c.txt": b""},
        {r"C:\한글.txt": "내용".encode(), r"C:\noise.bin": hashlib.sha512(b"1").digest() * 20_000},
        {},
    ],
    ids=["one", "empty ones", "hangul and bulk", "none"],
)
def test_files_arrive_as_they_were(files: dict[str, bytes]) -> None:
    assert receive(list(pack_files(files))) == files


def test_incompressible_bulk_keeps_every_send_small() -> None:
    bulk = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(30_000))
    pieces = list(pack_files({r"C:\bulk.bin": bulk}))
    assert receive(pieces) == {r"C:\bulk.bin": bulk}
    assert len(pieces) > 10 and max(map(len, pieces)) <= SEND_BYTES
    assert all(piece.endswith(b"\r\n") for piece in pieces), "no line is cut between two sends"


def test_the_bundle_of_scripts_is_a_few_sends() -> None:
    files = {rf"{SCRIPTS_FOLDER}\{name}": content for name, content in windows.bundle().items()}
    pieces = list(pack_files(files))
    assert receive(pieces) == files
    assert len(pieces) <= 4


def test_a_confirmation_of_everything_passes() -> None:
    files = {r"C:\a": b"1", r"C:\b": b"2"}
    check_received(files, {"files": describe_files(files)})


@pytest.mark.parametrize("change", [{"size": 2}, {"sha256": "0"}, {"path": r"C:\c"}])
def test_a_wrong_or_missing_confirmation_names_the_file(change: dict[str, object]) -> None:
    files = {r"C:\a": b"1", r"C:\b": b"2"}
    told = describe_files(files)
    told[1] = {**told[1], **change}
    with pytest.raises(ScriptBroken) as caught:
        check_received(files, {"files": told})
    assert caught.value.details == (r"C:\b",)
