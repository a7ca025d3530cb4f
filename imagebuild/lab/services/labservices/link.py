"""A service's line to the supervisor that forked it: "my needs are up?" and "I am ready". One socket, one byte each way."""

import os
import socket

NEEDS_SECONDS = (
    120.0  # longer than any service needs to start on a busy machine; then the service gives up and is started anew
)

_line: socket.socket | None = None


def hold(line: socket.socket) -> None:
    """Keep this process's end of the line. Called once, in the child, by the supervisor's fork."""
    global _line
    _line = line


def await_needs() -> None:
    """Block until the supervisor says that everything this service needs is ready. Ends the process when that takes too long."""
    if _line is None:
        return
    _line.settimeout(NEEDS_SECONDS)
    try:
        go = _line.recv(1)
    except TimeoutError:
        go = b""
    if not go:
        say("gave up waiting for the services it needs")
        os._exit(75)  # EX_TEMPFAIL


def tell_ready() -> None:
    """Say that this service answers from now on."""
    if _line is not None:
        _line.send(b"R")


def say(*words: object) -> None:
    """A line in the service's own output file."""
    print(*words, flush=True)
