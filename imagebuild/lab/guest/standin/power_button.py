"""Listens for the power button, which is what Nova's stop presses: waits for its key on Linux's input devices."""

from __future__ import annotations

import os
import select
import struct
import threading
from collections.abc import Callable
from pathlib import Path

EVENT = struct.Struct("qqHHi")
"""struct input_event: seconds, microseconds, type, code, value."""
KEY_EVENT, POWER_KEY, PRESSED = 1, 116, 1


def watch_power_button(devices: Path, pressed: Callable[[], None]) -> None:
    """Call `pressed` from a thread each time that the power key of any device in the folder goes down."""
    handles = [os.open(device, os.O_RDONLY) for device in sorted(devices.glob("event*"))]
    if handles:
        threading.Thread(target=_watch, args=(handles, pressed), daemon=True, name="power button").start()


def _watch(handles: list[int], pressed: Callable[[], None]) -> None:
    while True:
        for handle in select.select(handles, [], [])[0]:
            text = os.read(handle, EVENT.size * 16)
            if any(event[2:] == (KEY_EVENT, POWER_KEY, PRESSED) for event in EVENT.iter_unpack(text)):
                pressed()
