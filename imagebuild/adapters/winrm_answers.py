"""The words between us and our guest scripts: command lines, parameters in, `@@STEP` and `@@RESULT` lines out. Pure."""

import base64
import binascii
import json
import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from imagebuild.adapters.winrm_session import CommandLine, Ended, read_tail
from imagebuild.errors import GuestError, ScriptBroken, ScriptFailed
from imagebuild.guest import OnStep, Parameters, Value
from imagebuild.secrets import Secret, hide

_POWERSHELL = ("-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-InputFormat", "None")
_SCRIPT = re.compile(r"[A-Z][A-Za-z]*-[A-Za-z0-9]+")
_MARK = re.compile(rb"@@(STEP|RESULT) ([A-Za-z0-9+/=]*) @@\s*$")  # a program's progress may stand before it on its line
_KEPT_LINES = 40
_LONGEST_LINE = 64 * 1024 * 1024
_ACCESS_DENIED = "0x80070005"


def call_script(script: str) -> CommandLine:
    r"""The command line for a script of C:\imagebuild\scripts; nothing that varies beyond its name is on it."""
    if not _SCRIPT.fullmatch(script):
        raise ValueError(f"'{script}' is no name of a guest script: Verb-Noun without .ps1 is wanted")
    return CommandLine("powershell.exe", (*_POWERSHELL, "-File", rf"C:\imagebuild\scripts\{script}.ps1"))


def call_source(source: str) -> CommandLine:
    """The command line for a script that is not in the guest yet; without cmd.exe, whose limit it would pass."""
    encoded = base64.b64encode(source.encode("utf-16-le")).decode("ascii")
    return CommandLine("powershell.exe", (*_POWERSHELL, "-EncodedCommand", encoded), direct=True)


def write_parameters(parameters: Parameters | None) -> bytes:
    """One base64 line of UTF-8 JSON. A Secret among the values is revealed here and nowhere else."""
    text = json.dumps(dict(parameters or {}), default=_reveal)
    return base64.b64encode(text.encode()) + b"\r\n"


def _reveal(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"a script's parameters are JSON; {type(value).__name__} is not")


class ScriptOutput:
    """Reads what a script writes, in pieces as they arrive: steps are told at once, the last result is kept."""

    def __init__(self, on_step: OnStep | None = None) -> None:
        self._on_step = on_step
        self._rest = b""
        self._result: Mapping[str, Any] | None = None
        self._plain: deque[bytes] = deque(maxlen=_KEPT_LINES)

    def feed(self, piece: bytes) -> None:
        """Take the next piece; a line may be cut anywhere."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._take(line)

    def end(self) -> None:
        """The output is over: what is left is a line, too."""
        rest, self._rest = self._rest, b""
        if rest:
            self._take(rest)

    @property
    def result(self) -> Mapping[str, Any] | None:
        """The object of the last result line: `ok` and `value` or `error`."""
        return self._result

    def tail(self) -> tuple[str, ...]:
        """The last lines that were neither steps nor results."""
        return read_tail(b"\n".join(self._plain))

    def _take(self, line: bytes) -> None:
        found = _MARK.search(line)
        if found is None:
            self._plain.append(line[:1000])
            return
        try:
            text = base64.b64decode(found.group(2), validate=True).decode()
            if found.group(1) == b"RESULT":
                self._result = json.loads(text)
            elif self._on_step is not None:
                self._on_step(hide(text))
        except (binascii.Error, ValueError):
            self._plain.append(line[:1000])


def read_value(script: str, output: ScriptOutput, ended: Ended) -> Value:
    """The value of a script that has ended; ScriptFailed for its own failure, ScriptBroken when it told nothing."""
    if output.result is not None:
        return take_value(script, output.result, details=output.tail())
    raise ScriptBroken(
        f"{script} told no result; powershell.exe ended with code 0x{ended.exit_code:X}",
        hint=r"is the script in C:\imagebuild\scripts, and is there memory left in the guest?",
        details=(*output.tail(), *read_tail(ended.stderr)),
    )


def take_value(script: str, result: Mapping[str, Any], *, details: tuple[str, ...] = ()) -> Value:
    """The value in a result object; ScriptFailed when it says that it failed."""
    if result.get("ok"):
        value = result.get("value")
        return value if isinstance(value, dict) else {}
    error = result.get("error") or {}
    hresult = error.get("hresult")
    hint = "the lines below are the end of its output" if details else ""
    if hresult == _ACCESS_DENIED:
        hint = "Windows refuses this to a network logon: run it as SYSTEM, or look at the account's rights"
    where = hide(f"{error.get('type', '?')} at {error.get('where', '?')}")
    raise ScriptFailed(
        f"{script} failed: {hide(str(error.get('message', 'without a word')))}",
        script=script,
        hresult=hresult,
        hint=hint,
        details=(where, *details),
    )


def check_same_request(started: Value, *, job: str, script: str) -> None:
    """Start-SystemJob attaches to a job by its id alone: another job's work must not be taken for ours."""
    if not started["same_request"]:
        raise GuestError(
            f"the job {job} in the guest is not this {script} with these parameters",
            hint="give the job another id, or end the old one: Stop-SystemJob {id, remove}",
        )
