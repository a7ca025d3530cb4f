"""A picture at the bottom of a terminal, drawn again in its place; whatever else is printed scrolls by above it.

The codes are those that every terminal since the VT100 knows (ECMA-48): CSI n A goes up n lines, CSI J clears from there on. Nothing
is hidden and no other screen is switched to: what was drawn last stays readable when the program ends, however it ends.
"""

import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

from imagebuild.secrets import hide


class LiveScreen:
    """imagebuild.report.Screen on a terminal. It is a file, too: a report that prints here does not run into the picture."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._drawn: tuple[str, ...] = ()
        self._text = ""

    @property
    def encoding(self) -> str:
        """The terminal's."""
        return self._out.encoding or "utf-8"

    @property
    def rows(self) -> int:
        """So many lines fit, with one to spare for the cursor."""
        return max(4, shutil.get_terminal_size().lines - 1)

    def draw(self, lines: Sequence[str]) -> None:
        """Show this in place of the last picture."""
        columns = shutil.get_terminal_size().columns - 1
        fitting = tuple(cut(hide(line), columns) for line in lines)
        self._put(self._erased() + "".join(f"{line}\n" for line in fitting))
        self._drawn = fitting

    def leave(self) -> None:
        """The last picture stays as it is; what comes next comes below it."""
        self._drawn = ()

    def write(self, text: str) -> int:
        """Keep it for the next `flush`."""
        self._text += text
        return len(text)

    def flush(self) -> None:
        """Print what was written above the picture; below it when it is no whole line."""
        text, self._text = self._text, ""
        if not text.endswith("\n"):
            self.leave()
        self._put(self._erased() + text + "".join(f"{line}\n" for line in self._drawn))

    def _erased(self) -> str:
        return f"\x1b[{len(self._drawn)}A\x1b[J" if self._drawn else ""

    def _put(self, text: str) -> None:
        with suppress(OSError):  # somebody has closed the terminal: the work goes on
            self._out.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
            self._out.flush()


def find_live_screen() -> LiveScreen | None:
    """The terminal that standard output is, None where it is none, or one that cannot go up a line."""
    return LiveScreen(sys.stdout) if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" else None


def cut(line: str, columns: int) -> str:
    """The line in so many columns, without anything that a terminal would obey: names come from users."""
    kept, used = [], 0
    for letter in line:
        shown = letter if letter.isprintable() else "?"
        used += 2 if unicodedata.east_asian_width(shown) in "WF" else 1 if not unicodedata.combining(shown) else 0
        if used > columns:
            break
        kept.append(shown)
    return "".join(kept)
