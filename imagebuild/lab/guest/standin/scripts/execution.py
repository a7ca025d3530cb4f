"""powershell.exe -File: finds the script in the modelled C:, plays it with its parameters, prints its lines, gives its exit code."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any

from imagebuild.lab.guest.standin.model.clock import Pause
from imagebuild.lab.guest.standin.model.files import leaf
from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.scripts import find_script
from imagebuild.lab.guest.standin.scripts.contract import Parameters, Run, UnknownParameterError, perform, result_line

NO_SUCH_FILE = -196608
LIBRARY = re.compile(r"(?m)^\s*\. \(.*'([a-z][a-z-]*\.ps1)'\)")


class Unplayable(Exception):  # noqa: N818 - an answer to the caller
    """The stand-in cannot play what it was asked to run; the text says why."""


def run_script_file(
    guest: Guest,
    path: str,
    *,
    account: str,
    parameters_file: str | None,
    read: Callable[[], bytes],
    pause: Pause,
    write: Callable[[str], None],
    write_error: Callable[[str], None],
) -> int:
    """Run one script. Its parameters come from a JSON file or, as one base64 line, from `read`."""
    if not guest.files.exists(path):
        write_error(
            f"The argument '{path}' to the -File parameter does not exist. Provide the path to an existing '.ps1' file."
        )
        return NO_SUCH_FILE
    name = leaf(path).removesuffix(".ps1")
    try:
        script = find_script(name)
        _check_text(guest, path)
        if script is None:
            raise Unplayable(f"no play for the script {name}")
        parameters = Parameters(_read_parameters(guest, parameters_file, read))
        run = Run(guest, account=account, parameters=parameters, pause=pause, write=write)
        run.parameters_file = parameters_file
        write(result_line(perform(name, script, run)))
    except (Unplayable, UnknownParameterError) as refusal:
        guest.complain(str(refusal))
        write_error(f"stand-in: {refusal}")
        return 1
    return 0


def _check_text(guest: Guest, path: str) -> None:
    """A script is not run, but it must have arrived whole enough to be one, with the libraries that it loads."""
    text = guest.files.read_text(path)
    if not text.strip():
        raise Unplayable(f"the script {path} is empty")
    folder = path.replace("/", "\\").rsplit("\\", 1)[0]
    missing = [library for library in LIBRARY.findall(text) if not guest.files.exists(f"{folder}\\{library}")]
    if missing:
        raise Unplayable(f"the script {path} loads {', '.join(missing)}, which was not sent")


def _read_parameters(guest: Guest, parameters_file: str | None, read: Callable[[], bytes]) -> dict[str, Any]:
    try:
        if parameters_file is not None:
            content = guest.files.read(parameters_file)
        else:
            content = base64.b64decode(read().strip(), validate=True) or b"{}"
        found = json.loads(content)
    except (FileNotFoundError, binascii.Error, ValueError) as error:
        raise Unplayable(f"the parameters cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise Unplayable("the parameters are no JSON object")
    return found
