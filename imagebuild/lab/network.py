"""What the lab does to the machine's own network: an unreachable route under its subnet, and bridges that go when the lab goes."""

import json
import subprocess
from pathlib import Path

from imagebuild.errors import LabError
from imagebuild.lab.layout import SUBNET, Layout

METRIC = 42_949_672  # far above any other route: the bridge's own route (metric 0) wins while the bridge is up
COMMAND_SECONDS = 20
INTERFACES = Path("/sys/class/net")


def block_subnet() -> None:
    """Make the lab's subnet unreachable wherever no bridge serves it, so that no packet for a guest ever leaves this machine."""
    _ip("route", "replace", "unreachable", SUBNET, "metric", str(METRIC))


def unblock_subnet() -> None:
    """Take that route away again."""
    if is_subnet_blocked():
        _ip("route", "del", "unreachable", SUBNET, "metric", str(METRIC))


def is_subnet_blocked() -> bool:
    """Whether the route is there."""
    routes = json.loads(_ip("-json", "route", "show", "type", "unreachable") or "[]")
    return any(route.get("dst") == SUBNET and route.get("metric") == METRIC for route in routes)


def find_foreign_route() -> str | None:
    """A route or address of this machine that uses the lab's subnet and is not the lab's, as a line for a person."""
    for route in json.loads(_ip("-json", "route", "show", "root", SUBNET) or "[]"):
        device = route.get("dev", "")
        if device and not device.startswith("ibl"):
            return f"{route['dst']} dev {device}"
    return None


def find_bridges(place: Layout) -> list[str]:
    """The lab's bridges: its data plane writes the lab's mark on each."""
    return sorted(p.name for p in INTERFACES.iterdir() if _read(p / "ifalias") == place.mark)


def remove_bridges(place: Layout) -> None:
    """Remove the lab's bridges and the taps in them."""
    for bridge in find_bridges(place):
        for port in (INTERFACES / bridge / "brif").iterdir():
            if port.name.startswith("tap"):
                _ip("link", "del", port.name)
        _ip("link", "del", bridge)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _ip(*arguments: str) -> str:
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS)
    except FileNotFoundError as error:
        raise LabError("there is no `ip` command", hint="apt-get install iproute2") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"ip {' '.join(arguments)} hangs", hint="look at the kernel's log") from error
    if done.returncode:
        raise LabError(
            f"ip {' '.join(arguments)} failed: {done.stderr.strip()}",
            hint="the lab must be root and may make network devices; in a container give it NET_ADMIN",
        )
    return done.stdout
