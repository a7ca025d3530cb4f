"""What the model of Windows asks of the machine it runs on, and the command that a WinRM client gives it.

NamedTuple instead of dataclass: importing dataclasses costs the guest a third of a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Device(NamedTuple):
    """One PCI device that is really present."""

    vendor: int
    device: int


class Machine(Protocol):
    """The real machine below the model: its buses, its network, its media, its power."""

    def console(self, text: str) -> None:
        """Write one line on the serial console, which is Nova's console log."""
        ...

    def uptime_seconds(self) -> float:
        """Seconds since the kernel started."""
        ...

    def devices(self) -> tuple[Device, ...]:
        """What is really present on the PCI bus."""
        ...

    def root_bus(self) -> str:
        """Where the root disk really is: 'ide', 'sata' or 'virtio'."""
        ...

    def nic(self) -> str | None:
        """The network card: 'e1000', 'e1000e', 'virtio' or None."""
        ...

    def mac(self) -> str | None:
        """The card's address, lower case with colons; None without a card."""
        ...

    def cdroms(self) -> dict[str, Path]:
        """Volume label to where the CD is mounted. The config drive is not among them."""
        ...

    def metadata(self) -> dict[str, Any]:
        """openstack/latest/meta_data.json of the config drive; {} without one."""
        ...

    def user_data(self) -> bytes | None:
        """openstack/latest/user_data of the config drive; None without one."""
        ...

    def ask_dhcp(self, stale: str | None) -> str | None:
        """Get an address by real DHCP and give it; None when nobody answers.

        `stale` is an address that this machine believes to own: it is configured without asking, and usually unreachable.
        """
        ...

    def release_dhcp(self) -> None:
        """Send a real DHCPRELEASE and take the address off the card."""
        ...

    def address(self) -> str | None:
        """The address that the card has now."""
        ...

    def make_certificate(self, common_name: str, folder: Path) -> tuple[Path, Path]:
        """Make a self-signed certificate; gives (certificate, key), both PEM."""
        ...

    def certificate_sha256(self, certificate: Path) -> str:
        """SHA-256 of the certificate's DER form, 64 lower case hex digits."""
        ...

    def reboot(self) -> None:
        """Restart for real, at once. Disks are synchronised."""
        ...

    def power_off(self) -> None:
        """Switch off for real, at once. Disks are synchronised."""
        ...


class Call(Protocol):
    """One command of a WinRM shell."""

    line: str
    """The whole command line."""
    environment: dict[str, str]
    """The variables that the shell was opened with."""
    codepage: int
    """What text output must be encoded in, e.g. 437 or 65001."""
    stdin: Iterator[bytes]
    """What the client sends; blocks until there is something, ends with the client's End."""
    user: str
    """Who is logged on, as the client named him without a domain."""

    def stdout(self, text: bytes) -> None:
        """Write to the client's standard output."""
        ...

    def stderr(self, text: bytes) -> None:
        """Write to the client's standard error."""
        ...

    def stopped(self) -> bool:
        """True once the client sent terminate or deleted the shell."""
        ...


class WinRmRefused(Exception):
    """Windows would answer with a WSMan fault: its code and text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
