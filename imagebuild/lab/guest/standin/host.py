"""What the WinRM server asks of the Windows behind it. The model in windows.py fits; tests bring a small double."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from imagebuild.lab.guest.standin.machine import Call


class Settings(Protocol):
    """WinRM's configuration as it is now."""

    @property
    def basic(self) -> bool:
        """Basic authentication is offered."""
        ...

    @property
    def allow_unencrypted(self) -> bool:
        """Plain messages are taken over HTTP."""
        ...

    @property
    def max_envelope_kb(self) -> int:
        """The largest request, in kilobytes."""
        ...

    @property
    def max_shells_per_user(self) -> int:
        """How many shells a user may have open."""
        ...


class Host(Protocol):
    """The Windows that the server serves. Every method may be called from any thread."""

    def listeners(self) -> frozenset[str]:
        """Which of 'http', 'https' and 'rdp' to listen on; asked again and again."""
        ...

    def certificate(self) -> tuple[Path, Path] | None:
        """(certificate, key) for HTTPS, both PEM."""
        ...

    def settings(self) -> Settings:
        """WinRM's configuration."""
        ...

    def password_of(self, user: str) -> str | None:
        """The user's password; None for a user that is unknown or may not log on."""
        ...

    def machine_sid(self) -> str | None:
        """For the console."""
        ...

    def computer_name(self) -> str:
        """The machine's NetBIOS name."""
        ...

    def open_shell(self) -> None:
        """Raises WinRmRefused when Windows would not open one."""
        ...

    def run(self, call: Call) -> int:
        """Run the command; gives its exit code."""
        ...
