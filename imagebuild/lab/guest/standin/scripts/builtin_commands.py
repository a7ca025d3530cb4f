"""The commands and small programs that cmd.exe of the stand-in knows, each as far as people and tools use it."""

from __future__ import annotations

import re
from collections.abc import Callable

from imagebuild.lab.guest.standin.model.edition import NAME, VERSION
from imagebuild.lab.guest.standin.model.services import CLOUDBASE
from imagebuild.lab.guest.standin.scripts.session import Session


def unquote(text: str) -> str:
    """Without the quotes around it."""
    return text.strip().strip('"')


def _paths(session: Session, rest: str) -> list[str]:
    words = re.findall(r'"[^"]*"|\S+', rest)
    return [session.expand(unquote(word)) for word in words if not word.startswith("/")]


def _exit(session: Session, rest: str) -> int:
    found = re.search(r"-?\d+", rest)
    session.code = int(found[0]) if found else 0
    return session.code


def _set(session: Session, rest: str) -> int:
    name, equals, value = unquote(rest).partition("=")
    if equals:
        session.environment[name] = value
        return 0
    for key in sorted(session.environment):
        session.out(f"{key}={session.environment[key]}")
    return 0


def _more(session: Session, rest: str) -> int:
    for piece in session.call.stdin:
        session.call.stdout(piece)
    return 0


def _type(session: Session, rest: str) -> int:
    for path in _paths(session, rest):
        if not session.guest.files.exists(path):
            session.error("The system cannot find the file specified.")
            return 1
        session.call.stdout(session.guest.files.read(path))
    return 0


def _dir(session: Session, rest: str) -> int:
    path = next(iter(_paths(session, rest)), "C:\\")
    if not session.guest.files.exists(path):
        session.error("File Not Found")
        return 1
    for name in session.guest.files.children(path):
        session.out(name)
    return 0


def _wait(session: Session, rest: str) -> int:
    """ping and timeout, as scripts use them: to wait so many seconds."""
    found = re.search(r"-n\s+(\d+)|/t\s+(\d+)|\b(\d+)\b", rest)
    session.pause.wait(float(next((number for number in found.groups() if number), "4")) if found else 4.0)
    session.out("Reply from the stand-in: waited.")
    return 0


def _delete(session: Session, rest: str) -> int:
    for path in _paths(session, rest):
        session.guest.files.remove(path)
    return 0


def _make_folder(session: Session, rest: str) -> int:
    for path in _paths(session, rest):
        session.guest.files.make_folder(path)
    return 0


def _sc(session: Session, rest: str) -> int:
    found = re.match(r"(?i)config\s+(\S+)\s+start=\s*(auto|demand|disabled|delayed-auto)", rest)
    if found is None or session.guest.services.find(found[1]) is None:
        return refuse(session, f"sc {rest}", 1060)
    mode = {"auto": "Auto", "delayed-auto": "Auto", "demand": "Manual", "disabled": "Disabled"}[found[2].lower()]
    session.guest.services.set_start_mode(found[1], mode)
    return 0


def _reg(session: Session, rest: str) -> int:
    """`query KEY /v NAME`, with its value in the third column."""
    found = re.match(r'(?i)query\s+("[^"]+"|\S+)\s+/v\s+("[^"]+"|\S+)\s*\Z', rest)
    if found is None:
        return refuse(session, f"reg {rest}", 1)
    root, _, path = unquote(found[1]).partition("\\")
    value = session.guest.registry.get(f"{root.upper()}:\\{path}", unquote(found[2]))
    if value is None:
        session.error("ERROR: The system was unable to find the specified registry key or value.")
        return 1
    for line in ("", f"HKEY_LOCAL_MACHINE\\{path}", f"    {unquote(found[2])}    REG_SZ    {value}", ""):
        session.out(line)
    return 0


def _schtasks(session: Session, rest: str) -> int:
    """Tasks of SYSTEM that run at every start, and running such a one now."""
    from imagebuild.lab.guest.standin.commands import start_line  # it knows these commands itself

    guest = session.guest
    made = re.match(r'(?i)/create\s+/f\s+/tn\s+(\S+)\s+/sc\s+onstart\s+/ru\s+SYSTEM\s+/tr\s+"(.*)"\s*\Z', rest)
    if made is not None:
        guest.tasks.register(made[1], made[2], at_start=True)
        return 0
    wanted = re.match(r"(?i)/run\s+/tn\s+(\S+)\s*\Z", rest)
    line = guest.tasks.line_of(wanted[1]) if wanted else None
    if line is None:
        return refuse(session, f"schtasks {rest}", 1)
    start_line(guest, line)
    return 0


def _net(session: Session, rest: str) -> int:
    found = re.match(r'(?i)(start|stop)\s+"?([^"]+)"?\s*\Z', rest)
    service = session.guest.services.find(found[2].strip()) if found else None
    if found and service is not None:
        if found[1].lower() == "stop":
            session.guest.services.stop(service.name)
        elif service.name != CLOUDBASE:  # that one runs at the end of every start-up, and stops itself
            session.guest.services.start(service.name)
        return 0
    account = re.match(r'(?i)user\s+"?([^"/]+?)"?\s+/active:(yes|no)\s*\Z', rest)
    if account:
        session.guest.identity.set_disabled(account[1], disabled=account[2].lower() == "no")
        return 0
    return refuse(session, f"net {rest}", 2)


def refuse(session: Session, line: str, code: int) -> int:
    """Fail aloud at what is not played; the exit code."""
    session.guest.complain(f"no play for the command {line}")
    session.error(f"stand-in: no play for {line}")
    return code


def _say(*lines: str) -> Callable[[Session, str], int]:
    def command(session: Session, rest: str) -> int:
        for line in lines:
            session.out(line)
        return 0

    return command


def _hostname(session: Session, rest: str) -> int:
    session.out(session.guest.identity.computer_name())
    return 0


def _whoami(session: Session, rest: str) -> int:
    session.out(f"{session.guest.identity.computer_name()}\\{session.call.user}".lower())
    return 0


def _ipconfig(session: Session, rest: str) -> int:
    session.out(f"Windows IP Configuration ({NAME})")
    session.out(f"   IPv4 Address. . . . . . . . . . . : {session.guest.machine.address() or 'none'}")
    return 0


COMMANDS: dict[str, Callable[[Session, str], int]] = {
    "hostname": _hostname, "ver": _say("", f"{NAME} [Version {VERSION}]"), "whoami": _whoami, "ipconfig": _ipconfig, "exit": _exit,
    "set": _set, "more": _more, "type": _type, "dir": _dir, "ping": _wait, "timeout": _wait, "del": _delete, "erase": _delete,
    "rd": _delete, "rmdir": _delete, "md": _make_folder, "mkdir": _make_folder, "chcp": _say("Active code page: 65001"),
    "chcp.com": _say("Active code page: 65001"), "sc": _sc, "net": _net, "reg": _reg, "schtasks": _schtasks, "rem": _say(),
}  # fmt: skip
