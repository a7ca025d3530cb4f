"""Programs of the site that are asked: a program a question, one JSON object on its input, one JSON value on its output.

No shell: a program and its arguments. Exit code 0 is an answer, 75 or 69 (EX_TEMPFAIL and EX_UNAVAILABLE of sysexits.h) "not now",
anything else a no; the last line on its error output says why.
"""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imagebuild.broker_settings import Question
from imagebuild.errors import BrokerError, BrokerRefused, BrokerUnreachable
from imagebuild.secrets import hide

_NOT_NOW = (69, 75)
_LINES = 10


class Programs:
    """Command lines by question. `folder`: where they run, and where a relative path of one begins; `seconds`: for each."""

    def __init__(self, commands: Mapping[Question, Sequence[str]], *, folder: Path, seconds: float) -> None:
        self._commands, self._folder, self._seconds = commands, folder, seconds

    def __contains__(self, question: object) -> bool:
        return question in self._commands

    def ask(self, question: Question, **facts: object) -> Any:
        """The value that the program answers with; None when it writes nothing. Raises BrokerError and its kinds."""
        status, output, complaints = self._run(question, json.dumps({"question": question, **facts}))
        lines = [hide(line) for line in complaints.decode("utf-8", "replace").splitlines() if line.strip()][-_LINES:]
        if status:
            words = f"the program for {question} ended with {status}" + (f": {lines[-1]}" if lines else "")
            kind = BrokerUnreachable if status in _NOT_NOW else BrokerRefused
            raise kind(words, hint="run it by hand and look", details=lines)
        try:
            return json.loads(output) if output.strip() else None
        except ValueError:
            words = f"the program for {question} wrote no JSON"
            raise BrokerError(words, hint="its output is the answer and nothing else", details=lines) from None

    def ask_object(self, question: Question, **facts: object) -> Mapping[str, Any]:
        """The same where the answer must be an object."""
        told = self.ask(question, **facts)
        if not isinstance(told, Mapping):
            raise BrokerError(f"the program for {question} wrote no JSON object", hint="run it by hand and look")
        return told

    def ask_rows(self, question: Question, **facts: object) -> list[Mapping[str, Any]]:
        """The same where the answer must be a list of objects."""
        told = self.ask(question, **facts)
        if not isinstance(told, list) or not all(isinstance(row, Mapping) for row in told):
            raise BrokerError(
                f"the program for {question} wrote no JSON list of objects", hint="run it by hand and look"
            )
        return told

    def _run(self, question: Question, told: str) -> tuple[int, bytes, bytes]:
        """Exit code and both outputs. At the deadline it is killed, with all that it has started."""
        try:
            process = subprocess.Popen(
                list(self._commands[question]),
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            words = f"the program for {question} cannot be started: {error.strerror}"
            raise BrokerRefused(words, hint=f"see commands.{question} in the broker section") from error
        ended = False
        with process:
            try:
                output, complaints = process.communicate(told.encode(), timeout=self._seconds)
                ended = True
            except subprocess.TimeoutExpired:
                words = f"the program for {question} did not end in {self._seconds:g} s"
                raise BrokerUnreachable(words, hint="deadline_seconds gives it longer") from None
            finally:
                if not ended:  # also on Ctrl-C, which its own session does not hear
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
        return process.returncode, output, complaints
