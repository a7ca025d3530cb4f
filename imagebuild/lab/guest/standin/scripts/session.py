"""One command line at work in the modelled Windows."""

from __future__ import annotations

import codecs

from imagebuild.lab.guest.standin.machine import Call
from imagebuild.lab.guest.standin.model.clock import Pause
from imagebuild.lab.guest.standin.model.files import expand
from imagebuild.lab.guest.standin.model.guest import Guest

CODECS = {437: "cp437", 850: "cp850", 949: "cp949", 1252: "cp1252", 65001: "utf-8"}


def _codec_of(codepage: int) -> str:
    """The guest has not all codecs: they are large. Then what is no ASCII becomes a question mark."""
    try:
        return codecs.lookup(CODECS.get(codepage, "ascii")).name
    except LookupError:
        return "ascii"


class Session:
    """One command line at work: where its text goes, its variables, and how it learns of its end."""

    def __init__(self, guest: Guest, call: Call) -> None:
        self.guest = guest
        self.call = call
        self.environment = dict(call.environment)
        self.pause = Pause(guest.clock, call.stopped)
        self.code: int | None = None
        self._codec = _codec_of(call.codepage)

    def expand(self, text: str) -> str:
        """Replace %NAME% by the variables of this shell and of Windows."""
        return expand(text, {"COMPUTERNAME": self.guest.identity.computer_name(), **self.environment})

    def out(self, text: str) -> None:
        """One line on standard output."""
        self.call.stdout((text + "\r\n").encode(self._codec, "replace"))

    def error(self, text: str) -> None:
        """One line on standard error."""
        self.call.stderr((text + "\r\n").encode(self._codec, "replace"))
