"""cmd.exe of the modelled Windows: the few commands that people and tools use. Anything else fails, and is said on the console."""

from __future__ import annotations

import re
from collections.abc import Iterator

from imagebuild.lab.guest.standin.machine import Call
from imagebuild.lab.guest.standin.model.clock import Killed
from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.scripts.builtin_commands import COMMANDS, refuse, unquote
from imagebuild.lab.guest.standin.scripts.session import Session

NOT_FOUND = 1  # what `cmd.exe /c nosuch` ends with
REDIRECTION = re.compile(r'\s*(2?>>?|<)\s*("[^"]*"|&1|[^\s&|<>"]+)')
UNTIL_QUOTES = re.compile(r'"[^"]*"|&&|&')
FOR_EACH_LINE = re.compile(r"""(?i)\s*/f\s+"tokens=(\d+)"\s+%%(\w)\s+in\s+\('(.*?)'\)\s+do\s+(.*)""", re.DOTALL)
FIND_WORD = re.compile(r"(?i)findstr(?:\.exe)?\s+(\w+)\s*\Z")


class _UnattendedCall:
    """The call of a line that nobody looks at: SetupComplete.cmd's."""

    def __init__(self, line: str) -> None:
        self.line = line
        self.environment: dict[str, str] = {}
        self.codepage = 65001
        self.stdin: Iterator[bytes] = iter(())
        self.user = "SYSTEM"

    def stdout(self, text: bytes) -> None:
        """Goes nowhere."""

    def stderr(self, text: bytes) -> None:
        """Goes nowhere."""

    def stopped(self) -> bool:
        return False


class _OverheardCall(_UnattendedCall):
    """One whose output another command reads."""

    text = b""

    def stdout(self, text: bytes) -> None:
        """Is kept."""
        self.text += text


def run_line(guest: Guest, line: str) -> int:
    """Run one line as SYSTEM, with nobody at the other end; its exit code."""
    return run_command(guest, _UnattendedCall(line))


def start_line(guest: Guest, line: str) -> None:
    """Run one line as SYSTEM beside the caller: what the task scheduler does."""

    def run() -> None:
        run_line(guest, line)

    guest.clock.spawn("task", run)


def run_command(guest: Guest, call: Call) -> int:
    """Run the call's whole command line; its exit code. Ended from outside it gives what Windows gives: 0xC000013A."""
    session = Session(guest, call)
    try:
        return run_text(session, call.line)
    except Killed:
        return 0xC000013A


def run_text(session: Session, text: str) -> int:
    """Commands joined by & and &&, from left to right, until one fails or says exit."""
    code = 0
    for joint, part in _split(text):
        if joint == "&&" and code != 0:
            break
        code = _run_one(session, part)
        if session.code is not None:
            return session.code
    return code


def _split(text: str) -> Iterator[tuple[str, str]]:
    joint, start = "", 0
    for found in UNTIL_QUOTES.finditer(text):
        if not found[0].startswith('"') and text[found.start() - 1 : found.start()] != ">":
            yield joint, text[start : found.start()]
            joint, start = found[0], found.end()
    yield joint, text[start:]


def _run_one(session: Session, text: str) -> int:
    line = text.lstrip().lstrip("@").lstrip()
    if not line.strip():
        return 0
    word, rest = _first_word(line)
    name = word.rsplit("\\", 1)[-1].lower().removesuffix(".exe")
    if name in ("powershell", "pwsh"):
        from imagebuild.lab.guest.standin.scripts.powershell import run_powershell  # only who asks for it pays for it

        return run_powershell(session, rest)
    if name == "cmd":
        return run_text(session, _strip_outer_quotes(re.sub(r"(?i)^(\s*/[dscqk])+\s*", "", rest)))
    if name == "for":
        return _for_each_line(session, rest)
    target, appends, rest = _take_redirections(session, rest)
    if name in ("echo", "echo."):
        return _echo(session, rest, target, appends=appends)
    command = COMMANDS.get(name)
    if command is not None:
        return command(session, rest.strip())
    if name.endswith((".bat", ".cmd")) or name == "call":
        return _run_batch(session, unquote(rest) if name == "call" else word)
    session.guest.complain(f"no play for the command {word}")
    session.error(f"'{word}' is not recognized as an internal or external command,")
    session.error("operable program or batch file.")
    return NOT_FOUND


def _first_word(line: str) -> tuple[str, str]:
    found = re.match(r'>>?\s*(?:"[^"]*"|\S+)\s*(.*)\Z', line, re.DOTALL)
    if found:  # the redirection first: >>file echo text
        word, _ = _first_word(found[1])
        return word, line[: len(line) - len(found[1])] + found[1][len(word) :]
    if line.startswith('"'):
        end = line.find('"', 1)
        return line[1:end], line[end + 1 :]
    found = re.match(r"(?i)(echo\.|[^\s/]+)(.*)\Z", line, re.DOTALL)
    return (found[1], found[2]) if found else (line, "")


def _take_redirections(session: Session, rest: str) -> tuple[str | None, bool, str]:
    """The file that standard output goes to, whether it is appended, and the rest of the line."""
    target: str | None = None
    appends = False
    for operator, name in REDIRECTION.findall(rest):
        if operator in (">", ">>"):
            target, appends = session.expand(unquote(name)), operator == ">>"
    return target, appends, REDIRECTION.sub("", rest)


def _strip_outer_quotes(text: str) -> str:
    """cmd.exe /s /c takes away exactly the first and the last quote."""
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _echo(session: Session, rest: str, target: str | None, *, appends: bool) -> int:
    text = session.expand(rest[1:] if rest[:1] in (" ", ".") else rest)
    if target is None:
        session.out(text)
    elif target.lower().startswith("\\\\.\\com1"):
        session.guest.machine.console(text.strip())
    elif target.lower() != "nul":
        content = (text + "\r\n").encode()
        if appends:
            session.guest.files.append(target, content)
        else:
            session.guest.files.write(target, content)
    return 0


def _for_each_line(session: Session, rest: str) -> int:
    """`for /f "tokens=N" %%x in ('command') do ...`, in a batch file: once for each line of its output that has an Nth word."""
    found = FOR_EACH_LINE.match(rest)
    if found is None:
        return refuse(session, f"for{rest}", NOT_FOUND)
    number, variable, command, act = found.groups()
    code = 0
    for line in _output_of(session, command):
        words = line.split()
        if len(words) >= int(number):
            code = run_text(session, act.replace(f"%%{variable}", words[int(number) - 1]))
    return code


def _output_of(session: Session, command: str) -> list[str]:
    """The lines of a command's output; after ^| findstr those that have the word."""
    first, *others = command.split("^|")
    call = _OverheardCall(first)
    run_text(Session(session.guest, call), first)
    lines = call.text.decode(errors="replace").splitlines()
    for other in others:
        word = FIND_WORD.match(other.strip())
        if word is None:
            refuse(session, other, NOT_FOUND)
            return []
        lines = [line for line in lines if word[1] in line]
    return lines


def _run_batch(session: Session, path: str) -> int:
    path = session.expand(path)
    if not session.guest.files.exists(path):
        return refuse(session, path, NOT_FOUND)
    code = 0
    folder = path.replace("/", "\\").rpartition("\\")[0] + "\\"
    for line in session.guest.files.read_text(path).replace("%~dp0", folder).splitlines():
        if line.strip() and not re.match(r"(?i)\s*(rem\b|::|@?echo (off|on)\s*\Z)", line):
            code = run_text(session, line)
            if session.code is not None:
                break
    return code
