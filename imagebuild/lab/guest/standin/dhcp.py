"""A real DHCP client for the stand-in: busybox udhcpc, whose script tells each event on its standard output.

udhcpc keeps no lease on disk. What Windows would keep is the model's affair.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time

from imagebuild.lab.guest.standin.spawning import BUSYBOX, call, spawn

SCRIPT = "/lib/standin/lease"
ANSWER_SECONDS = 120.0
"""How long to ask. Windows would make up an address of its own after a minute and go on asking; here a boot waits for it."""
RELEASE_SECONDS = 5.0
STALE_PREFIX = 24
"""The length of the network's prefix that goes with an address which was not asked for."""


class DhcpClient:
    """The client of one network card."""

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._process: int | None = None
        self._events = -1
        self._address: str | None = None

    def address(self) -> str | None:
        """The address that the card has."""
        return self._address

    def ask(self) -> str | None:
        """Ask until somebody answers, at most ANSWER_SECONDS; gives the address. The client goes on and renews the lease."""
        self._end()
        reading, writing = os.pipe()
        options = ["-f", "-i", self._interface, "-s", SCRIPT, "-T", "1", "-t", "5", "-A", "1"]
        self._process = spawn([BUSYBOX, "udhcpc", *options], output=writing)
        os.close(writing)
        self._events = reading
        self._wait_for("bound", ANSWER_SECONDS)
        return self._address

    def assume(self, address: str) -> str:
        """Configure an address without asking anybody."""
        call([BUSYBOX, "ip", "addr", "add", f"{address}/{STALE_PREFIX}", "dev", self._interface])
        self._address = address
        return address

    def release(self) -> None:
        """Send DHCPRELEASE for the lease (udhcpc does so on SIGUSR2) and take the address off the card."""
        if self._process is not None:
            os.kill(self._process, signal.SIGUSR2)
            self._wait_for("deconfig", RELEASE_SECONDS)
        self._end()
        call([BUSYBOX, "ip", "addr", "flush", "dev", self._interface])
        self._address = None

    def _wait_for(self, event: str, seconds: float) -> None:
        """Read udhcpc's events until that one. A line is `bound 172.16.100.7/24 172.16.100.1`."""
        until = time.monotonic() + seconds
        text = b""
        while select.select([self._events], [], [], max(0.0, until - time.monotonic()))[0]:
            piece = os.read(self._events, 4096)
            if not piece:
                return
            text += piece
            *lines, text = text.split(b"\n")
            for words in (line.decode().split() for line in lines):
                if words and words[0] == event:
                    self._address = words[1].partition("/")[0] if event == "bound" else None
                    return

    def _end(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process, signal.SIGTERM)
            os.waitpid(self._process, 0)
            os.close(self._events)
            self._process = None
