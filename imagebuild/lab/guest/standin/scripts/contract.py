"""What the play of a guest script looks like: parameters in, steps on the way, one object out, or an error as PowerShell words it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from imagebuild.lab.guest.standin.model.clock import Pause
from imagebuild.lab.guest.standin.model.guest import Guest

SESSION, SYSTEM = "session", "SYSTEM"
RUNTIME = "System.Management.Automation.RuntimeException"


class ScriptError(Exception):
    """What the real script would throw: message, and the code below it where one is."""

    def __init__(self, message: str, *, hresult: str | None = None, kind: str = RUNTIME) -> None:
        super().__init__(message)
        self.hresult = hresult
        self.kind = kind


class UnknownParameterError(Exception):
    """A parameter that the real script would silently ignore: here it is a mistake of the caller."""


class Parameters:
    """The dictionary that a script was given, read as PowerShell reads it: absent and null are the default."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or the default where it is absent or null."""
        value = self.values.get(name)
        return default if value is None else value

    def required(self, name: str) -> Any:
        """The value; ScriptError where it is absent, null or empty."""
        value = self.get(name)
        if value is None or value == "":
            raise ScriptError(f"parameter '{name}' is missing")
        return value

    def text(self, name: str, default: str = "") -> str:
        """The value as [string]."""
        return as_text(self.get(name, default))

    def number(self, name: str, default: int) -> int:
        """The value as [int]; ScriptError for what is no number."""
        return as_number(self.get(name, default), name)

    def flag(self, name: str, *, default: bool) -> bool:
        """The value as [bool]."""
        return bool(self.get(name, default))

    def items(self, name: str) -> list[Any]:
        """One by one, whether one value or an array was sent."""
        value = self.get(name, [])
        return [item for item in (value if isinstance(value, list) else [value]) if item is not None]

    def texts(self, name: str) -> list[str]:
        """The items as [string], without the empty ones."""
        return [as_text(item) for item in self.items(name) if item != ""]

    def table(self, name: str) -> Parameters:
        """A nested dictionary; empty where there is none."""
        return Parameters(self.get(name, {}))


def as_text(value: Any) -> str:
    """[string] of PowerShell for what JSON can hold."""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, list):
        return " ".join(as_text(item) for item in value)
    return "" if value is None else str(value)


def as_number(value: Any, name: str) -> int:
    """[int] of PowerShell; a text that is no number ends the script."""
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise ScriptError(
            f'Cannot convert value "{as_text(value)}" of parameter \'{name}\' to type "System.Int32".'
        ) from error


class Run:
    """One run of one script: on which Windows, as whom, with which parameters, and where its lines go."""

    def __init__(
        self, guest: Guest, *, account: str, parameters: Parameters, pause: Pause, write: Callable[[str], None]
    ) -> None:
        self.guest = guest
        self.account = account
        self.parameters = parameters
        self.pause = pause
        self.parameters_file: str | None = None
        self._write = write

    def step(self, text: str) -> None:
        """A line of progress for a person."""
        self._write(f"@@STEP {encode(text.encode())} @@")

    def uptime(self) -> int:
        """Whole seconds since boot."""
        return self.guest.power.uptime()


Play = Callable[[Run], Any]


class Script(NamedTuple):
    """A play and the names of the parameters that its script reads."""

    play: Play
    parameters: frozenset[str]


SCRIPTS: dict[str, Script] = {}


def plays(name: str, *parameters: str) -> Callable[[Play], Play]:
    """Register a function as the play of the script of this name, with the parameters that the script knows."""

    def register(play: Play) -> Play:
        SCRIPTS[name] = Script(play, frozenset(parameters))
        return play

    return register


def encode(content: bytes) -> str:
    """Base64, as text."""
    return base64.b64encode(content).decode("ascii")


def result_line(result: Mapping[str, Any]) -> str:
    """The one line by which a script ends; keys in order, pure ASCII, as the prelude writes it."""
    return f"@@RESULT {encode(ascii_json(result).encode())} @@"


def ascii_json(value: Any) -> str:
    """JSON as the prelude writes it: keys in order, nothing but ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def perform(name: str, script: Script, run: Run) -> dict[str, Any]:
    """Run a play and give what its result line holds. Raises UnknownParameterError before anything is done."""
    unknown = sorted(run.parameters.values.keys() - script.parameters)
    if unknown:
        known = ", ".join(sorted(script.parameters)) or "none"
        raise UnknownParameterError(f"{name} does not know the parameter {', '.join(unknown)}; known: {known}")
    try:
        return {"ok": True, "value": script.play(run)}
    except ScriptError as error:
        return {"ok": False, "error": describe_error(name, error)}


def describe_error(name: str, error: ScriptError) -> dict[str, str | None]:
    """An error as prelude.ps1 describes it; the line is not known, no PowerShell ran."""
    return {"message": str(error), "type": error.kind, "where": f"{name}.ps1:0", "hresult": error.hresult}
