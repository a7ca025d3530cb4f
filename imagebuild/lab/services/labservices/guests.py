"""Ends the lab's guests before the lab itself stops: asks each by its power button, and takes the power away from those that stay."""

import sys
import threading
import time

import libvirt

POLITE_SECONDS = 5.0


def main(uri: str) -> None:
    """Returns when no guest runs any more. Without libvirt there is nothing to end."""
    libvirt.registerErrorHandler(lambda *_: None, None)
    try:
        connection = libvirt.open(uri)
    except libvirt.libvirtError as error:
        print("libvirt does not answer:", error, file=sys.stderr)
        return
    pause = threading.Event()
    end = time.monotonic() + POLITE_SECONDS
    for domain in _running(connection):
        _try(domain.shutdown)
    while _running(connection) and time.monotonic() < end:
        pause.wait(0.1)
    for domain in _running(connection):
        _try(domain.destroy)


def _running(connection: libvirt.virConnect) -> list[libvirt.virDomain]:
    return list(connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE))


def _try(act: object) -> None:
    try:
        act()  # type: ignore[operator]
    except libvirt.libvirtError as error:
        print(error, file=sys.stderr)
