"""The stand-in broker's certificate and the one-time CA that vouches for it, made by the openssl program."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DAYS = 365
_STILL = 30 * 24 * 3600  # a certificate that ends within so many seconds is made anew
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")


@dataclass(frozen=True)
class Certificate:
    """PEM files. `ca` is what a client is given to trust."""

    ca: Path
    certificate: Path
    key: Path


def find_or_make(folder: Path, *names: str) -> Certificate:
    """The certificate in this folder for these names (`DNS:...`, `IP:...`), made when it is missing, ends soon or is for others.

    Nobody can sign anything else in the CA's name: its key is thrown away. Raises OSError when openssl cannot do it.
    """
    made = Certificate(folder / "ca.pem", folder / "broker.pem", folder / "broker.key")
    told = folder / "names.json"
    if _still_good(made) and told.exists() and json.loads(told.read_text(encoding="utf-8")) == list(names):
        return made
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as short:
        part = Certificate(Path(short, "ca.pem"), Path(short, "broker.pem"), Path(short, "broker.key"))
        ca_key = Path(short, "ca.key")
        _run("req", "-x509", *_KEY, "-subj", "/CN=CA of the stand-in broker", "-days", str(DAYS), "-keyout", str(ca_key),
             "-addext", "keyUsage=critical,keyCertSign", "-out", str(part.ca))  # fmt: skip
        _run("req", "-x509", *_KEY, "-subj", "/CN=stand-in broker", "-days", str(DAYS), "-keyout", str(part.key),
             "-CA", str(part.ca), "-CAkey", str(ca_key), "-addext", f"subjectAltName={','.join(names)}",
             "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth",
             "-out", str(part.certificate))  # fmt: skip
        made.key.touch(mode=0o600)
        for ours, theirs in ((part.key, made.key), (part.certificate, made.certificate), (part.ca, made.ca)):
            ours_text = ours.read_text(encoding="ascii")
            theirs.write_text(ours_text, encoding="ascii")
    told.write_text(json.dumps(names), encoding="utf-8")
    return made


def _still_good(made: Certificate) -> bool:
    if not all(path.is_file() for path in (made.ca, made.certificate, made.key)):
        return False
    command = ["openssl", "x509", "-noout", "-checkend", str(_STILL), "-in", str(made.certificate)]
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0


def _run(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise OSError(f"openssl {arguments[0]} ended with {done.returncode}: {_last(done.stderr.splitlines())}")


def _last(lines: Sequence[str]) -> str:
    return lines[-1] if lines else "no word"
