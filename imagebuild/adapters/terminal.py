"""The terminal that a task was started from: questions to a person, with an end to the waiting."""

import select
import sys


class StandardTerminal:
    """attendant.Terminal over standard input; questions go to standard error, so that JSON lines stay JSON lines."""

    def ask(self, question: str, *, seconds: float) -> str | None:
        """One line without its end; None when the terminal is gone or nobody answers within that time."""
        print(question, end="", file=sys.stderr, flush=True)
        readable, _, _ = select.select([sys.stdin], [], [], seconds)
        line = sys.stdin.readline() if readable else ""
        return line.strip() if line.endswith("\n") else None


def find_terminal() -> StandardTerminal | None:
    """The terminal, when there is one on both ends."""
    return StandardTerminal() if sys.stdin.isatty() and sys.stderr.isatty() else None
