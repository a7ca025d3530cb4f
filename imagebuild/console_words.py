"""What a clone tells of itself on its serial console: the lines of SetupComplete.cmd that let it speak, and how its words are read.

Users' desktops let nobody in as administrator, so they speak without being asked:

    imagebuild: image recipe=R build=B                    at the first boot: what it was made from
    imagebuild: member name=N domain=D trust=ok           at every boot: how it is called and whose member it is; `domain=-`: nobody's
    imagebuild: member name=N domain=?                    at the first boot, at once: it will say so

Nova empties a console's log when a server is made anew, not always when it is rebuilt: an `image` line begins a system's words.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from imagebuild import windows
from imagebuild.guest import told_on_console

STAMP_KEY = r"HKLM\SOFTWARE\imagebuild\Image"
"""Of windows/Set-ImageStamp."""
MEMBER_TASK = r"imagebuild\member"
"""In a folder of its own: tasks called `imagebuild-...` are a build's, and a trace of it."""
MEMBER_SCRIPT = "Write-Membership"
_PLACE = rf"C:\Windows\Setup\Scripts\{MEMBER_SCRIPT}.ps1"
_LINE = re.compile(r"^(image|member) ((?:[a-z_]+=\S+ ?)+)$")


@dataclass(frozen=True)
class Told:
    """What a system has said since its first boot, the last word of each kind; None where it has said nothing.

    `stamp`: `recipe` and `build`. `member`: `name`, `domain` (`-`: none, `?`: not looked yet) and, with a domain, `trust`: `ok`, `broken`,
    or `restart` as long as it was not started anew after its join.
    """

    stamp: Mapping[str, str] | None = None
    member: Mapping[str, str] | None = None


def read_told(console_log: str) -> Told:
    """What a console's log holds of the system that spoke last."""
    told = Told()
    for line in told_on_console(console_log):
        if (match := _LINE.match(line)) is not None:
            words = dict(word.split("=", 1) for word in match[2].split())
            told = Told(stamp=words) if match[1] == "image" else Told(told.stamp, words)
    return told


def first_boot_lines(serial_port: str | None) -> tuple[str, ...]:
    """The lines for SetupComplete.cmd. It runs them as SYSTEM, before Cloudbase-Init takes the port for its own log.

    The stamp is read from the registry, as what an image is is written there last, and by no PowerShell, which takes long to start. Whose
    member it is, a task says, at this boot and every other. A redirection stands first: behind a digit it would name a stream.
    """
    if not serial_port:
        return ()
    read = f"('reg.exe query {STAMP_KEY} /v {{}} ^| findstr.exe REG_SZ')"
    loops = (
        f'for /f "tokens=3" %%{letter} in {read.format(name)} do' for letter, name in (("r", "recipe"), ("b", "build"))
    )
    run = f"powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -File {_PLACE} {serial_port}"
    return (
        f"{' '.join(loops)} >\\\\.\\{serial_port} echo imagebuild: image recipe=%%r build=%%b",
        f'schtasks.exe /create /f /tn {MEMBER_TASK} /sc onstart /ru SYSTEM /tr "{run}"',
        f">\\\\.\\{serial_port} echo imagebuild: member name=%COMPUTERNAME% domain=?",
        f"schtasks.exe /run /tn {MEMBER_TASK}",
    )


def first_boot_files(serial_port: str | None) -> dict[str, bytes]:
    """What these lines need in the image, by its Windows path; only administrators may write there."""
    return {_PLACE: windows.read_script(MEMBER_SCRIPT)} if serial_port else {}
