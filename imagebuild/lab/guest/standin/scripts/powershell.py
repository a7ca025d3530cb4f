"""powershell.exe: a guest script by -File, one of the known scripts by -EncodedCommand, or a few plain statements."""

from __future__ import annotations

import base64
import binascii
import re

from imagebuild.lab.guest.standin.commands import run_text
from imagebuild.lab.guest.standin.model.identity import ADMINISTRATOR
from imagebuild.lab.guest.standin.scripts.contract import SESSION
from imagebuild.lab.guest.standin.scripts.execution import run_script_file
from imagebuild.lab.guest.standin.scripts.foreign import FOREIGN
from imagebuild.lab.guest.standin.scripts.membership import tell_membership
from imagebuild.lab.guest.standin.scripts.receive import receive_files
from imagebuild.lab.guest.standin.scripts.session import Session

OPTION = re.compile(r"(?i)\s*-(\w+)")
TAKES_VALUE = ("executionpolicy", "inputformat", "outputformat", "version", "windowstyle", "ep", "ex")
OUR_SCRIPT = re.compile(r"\s*# imagebuild script: (\S+)")
STATEMENT = re.compile(r"""(?:"[^"]*"|'[^']*'|\{[^}]*\}|[^;\r\n])+""")
HARMLESS = re.compile(
    r"(?i)\$(ProgressPreference|ErrorActionPreference)\s*=|if \(Test-Path variable:|Set-StrictMode|chcp(\.com)? "
)
ENABLES_ADMINISTRATOR = re.compile(r"(?i)\s*Get-WmiObject Win32_UserAccount\b.*-500'.*\.Disabled = \$false")
NAMESPACE = "http://schemas.microsoft.com/powershell/2004/04"
CLIXML = f'#< CLIXML\r\n<Objs Version="1.1.0.1" xmlns="{NAMESPACE}"><S S="Error">{{}}_x000D__x000A_</S></Objs>'


def run_powershell(session: Session, arguments: str) -> int:
    """What the arguments ask for; the exit code of powershell.exe."""
    file, parameters_file, encoded, rest = _read_arguments(arguments)
    if file is not None and _is_membership(session, file):
        return tell_membership(session, rest)
    if file is not None:
        return run_script_file(
            session.guest,
            file,
            account=SESSION,
            parameters_file=parameters_file,
            read=lambda: b"".join(session.call.stdin),
            pause=session.pause,
            write=session.out,
            write_error=session.error,
        )
    if encoded is not None:
        try:
            text = base64.b64decode(encoded, validate=True).decode("utf-16-le")
        except (binascii.Error, UnicodeDecodeError):
            session.error(
                "Cannot process the command because the value specified with -EncodedCommand is not properly encoded."
            )
            return 1
        return _run_encoded(session, text)
    return _run_statements(session, rest.strip().strip('"'))


def _is_membership(session: Session, file: str) -> bool:
    """The one script that stays in the image: it goes without the others and their frame."""
    ours = OUR_SCRIPT.match(session.guest.files.read_text(file)) if session.guest.files.exists(file) else None
    return ours is not None and ours[1] == "Write-Membership"


def _read_arguments(arguments: str) -> tuple[str | None, str | None, str | None, str]:
    """-File, -ParametersFile, -EncodedCommand, and what else is to be run."""
    file = parameters_file = encoded = None
    rest = arguments
    while found := OPTION.match(rest):
        name, rest = found[1].lower(), rest[found.end() :]
        value = re.match(r'\s*("[^"]*"|\S+)', rest)
        if name in ("command", "c") or value is None:
            break
        if name == "file":
            file = value[1].strip('"')
        elif name == "parametersfile":
            parameters_file = value[1].strip('"')
        elif "encodedcommand".startswith(name) or name == "ec":
            encoded = value[1].strip('"')
        elif name not in TAKES_VALUE:
            continue
        rest = rest[value.end() :]
    return file, parameters_file, encoded, rest


def _run_encoded(session: Session, text: str) -> int:
    ours = OUR_SCRIPT.match(text)
    if ours is not None:
        if ours[1] == "Receive-Files":
            return receive_files(session)
        session.guest.complain(f"no play for the script {ours[1]} as an encoded command")
        session.error(f"stand-in: no play for the script {ours[1]} as an encoded command")
        return 1
    for known in FOREIGN:
        if known.recognise(text):
            return known.play(session, text)
    return _run_statements(session, text)


def _run_statements(session: Session, text: str) -> int:
    """A handful of statements, so that a person or a probe gets an answer."""
    if ENABLES_ADMINISTRATOR.match(text):
        session.guest.identity.set_disabled(ADMINISTRATOR, disabled=False)
        return 0
    for statement in (found[0].strip() for found in STATEMENT.finditer(text)):
        if not statement or HARMLESS.match(statement) or statement.startswith("#"):
            continue
        said = re.match(r"(?i)(?:Write-Output|Write-Host|echo)\s+(?:\"([^\"]*)\"|'([^']*)'|(.*))\Z", statement)
        failed = re.match(r"(?i)Write-Error\s+[\"']?([^\"']*)[\"']?\Z", statement)
        ended = re.match(r"(?i)exit\s*(-?\d+)?\Z", statement)
        if said:
            session.out(next(group for group in said.groups() if group is not None))
        elif failed:
            escaped = failed[1].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            session.error(CLIXML.format(escaped))
        elif ended:
            return int(ended[1] or 0)
        elif re.match(r"(?i)(hostname|whoami|ipconfig|ver|cmd(\.exe)?)\b", statement):
            code = run_text(session, statement)
            if code:
                return code
        else:
            word = statement.split()[0]
            session.guest.complain(f"no play for the PowerShell statement {word}")
            session.error(
                f"The term '{word}' is not recognized as the name of a cmdlet, function, script file, or operable program."
            )
            return 1
    return 0
