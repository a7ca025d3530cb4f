"""The update source: what it offers, in an order that needs several rounds and two reboots. Numbers of real updates, contents of none."""

from __future__ import annotations

from typing import NamedTuple

SECURITY = "0fa1201d-4330-4fa8-8ae9-b877473b6441"
UPDATES = "cd5ffd1e-e932-4e3a-bf74-18bf0b1bbd83"
CRITICAL = "e6cf1350-c01b-414d-a61f-263d14d133b4"
WINDOWS_7 = "bfe5b177-a086-47a0-b102-097e4fa1f807"


class Update(NamedTuple):
    """One offer. `needs`: the KB that must be in before it is offered; `fails_first`: its first installation fails with this code."""

    kb: str
    title: str
    category: str
    size_bytes: int
    severity: str = ""
    exclusive: bool = False
    reboots: bool = False
    needs: str | None = None
    fails_first: str | None = None
    browse_only: bool = False

    @property
    def id(self) -> str:
        """An identifier that says it is made up: its last part is the KB number."""
        return f"57a4d000-0000-4000-8000-{int(self.kb):012d}"

    @property
    def package(self) -> str:
        """The name under which component servicing knows it."""
        return f"Package_for_KB{self.kb}~31bf3856ad364e35~amd64~~6.1.3.0"


FLAKY = "3138612"
SOURCE = (
    Update("4490628", "2019-03 Servicing Stack Update for Windows 7, stand-in (KB4490628)", SECURITY, 9_000_000, exclusive=True),
    Update(
        "4474419", "2019-09 SHA-2 Code Signing Update for Windows 7, stand-in (KB4474419)", SECURITY, 53_000_000,
        reboots=True, needs="4490628",
    ),
    Update(FLAKY, "Windows Update Client for Windows 7, stand-in (KB3138612)", UPDATES, 11_000_000, fails_first="0x80070020"),
    Update("4532938", "2020-01 .NET Framework Rollup for Windows 7, stand-in (KB4532938)", SECURITY, 60_000_000, severity="Important"),
    Update(
        "4534310", "2020-01 Monthly Rollup for Windows 7, stand-in (KB4534310)", SECURITY, 330_000_000,
        severity="Critical", reboots=True, needs="4474419",
    ),
    Update("4539602", "Update for Windows 7, stand-in (KB4539602)", CRITICAL, 600_000, needs="4534310"),
    Update("4539601", "2020-01 Preview of Monthly Rollup for Windows 7, stand-in (KB4539601)", UPDATES, 330_000_000, browse_only=True),
)  # fmt: skip
