"""What we ask of a Windows guest: run one of our scripts, as administrator or as SYSTEM, send it files, restart it. One Protocol.

The contract of the scripts: parameters go in as one JSON object, one JSON object comes out, `@@STEP` lines tell a person on the way.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from imagebuild.waiting import Deadline

Parameters = Mapping[str, Any]
Value = dict[str, Any]
OnStep = Callable[[str], None]

_CERTIFICATE = re.compile(r"imagebuild: winrm certificate sha256=([0-9a-f]{64})(?![0-9a-f])")
_TOLD = re.compile(r"imagebuild: (.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Restarted:
    """A proven restart: Windows' boot time before and after, and the seconds until it was ready again."""

    boot_time_before: str
    boot_time_after: str
    seconds: float


class Guest(Protocol):
    """A Windows that we may administer. Every call has a deadline.

    Errors are GuestUnreachable, GuestRefused, SessionLost, ScriptFailed, ScriptBroken and DeadlinePassed.
    """

    def send_scripts(self, *, deadline: Deadline) -> None:
        r"""Bring our scripts to C:\imagebuild\scripts; does nothing when the same bundle is there already."""
        ...

    def send_files(self, files: Mapping[str, bytes], *, deadline: Deadline) -> None:
        """Write files, keyed by their whole Windows path. Verified by size and SHA-256 on the other side."""
        ...

    def run(
        self, script: str, parameters: Parameters | None = None, *, deadline: Deadline, on_step: OnStep | None = None
    ) -> Value:
        """Run a script in the WinRM session as administrator and return its value."""
        ...

    def run_as_system(
        self,
        script: str,
        parameters: Parameters | None = None,
        *,
        job: str,
        deadline: Deadline,
        on_step: OnStep | None = None,
    ) -> Value:
        """Run a script as SYSTEM in a scheduled task and return its value.

        The same `job` never runs twice: a second call attaches to the first. Lost sessions are taken up
        again. A reboot of the guest in the middle raises SessionLost with 'interrupted by a reboot'.
        """
        ...

    def start_as_system(
        self, script: str, parameters: Parameters | None = None, *, job: str, deadline: Deadline
    ) -> None:
        """Start a script as SYSTEM and come back at once: for the last act, after which there is no network to answer over."""
        ...

    def wait_until_ready(self, *, deadline: Deadline, on_step: OnStep | None = None) -> Value:
        """Wait until Windows answers, has finished what a boot started, and says so twice. Returns the last answer of Get-Ready."""
        ...

    def restart(self, reason: str, *, deadline: Deadline, on_step: OnStep | None = None) -> Restarted:
        """Restart Windows and wait until it is ready; proven by uptime and boot time, never by a port alone."""
        ...

    def close(self) -> None:
        """End the session. Never raises."""
        ...


def read_certificate(console_log: str) -> str | None:
    """The SHA-256 (hex, lower case) of the WinRM certificate that the bootstrap script told on the serial console; the last one counts."""
    found = _CERTIFICATE.findall(console_log)
    return found[-1] if found else None


def told_on_console(console_log: str) -> tuple[str, ...]:
    """What our scripts said on the serial console, in order, without the `imagebuild: ` in front."""
    return tuple(_TOLD.findall(console_log.replace("\r", "")))
