"""What the lab is doing, for a person and for programs; read from files and the kernel, without a call to any service."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from imagebuild.lab import broker_settings, databases, layout, network
from imagebuild.lab.layout import Layout
from imagebuild.lab.processes import find_processes, measure_memory
from imagebuild.lab.supervision import read_fake_hosts, read_running

RECENT_EVENTS = 10
STARTING_SECONDS = 60.0
MENTIONED = ("died", "killed", "supervisor started", "stopping")


@dataclass(frozen=True)
class ServiceStatus:
    """One service: `memory_mb` is its share (PSS), `up_seconds` since its last start."""

    name: str
    state: str
    pid: int
    restarts: int
    memory_mb: float
    up_seconds: float


@dataclass(frozen=True)
class LabStatus:
    """The lab as a whole. `state`: absent, stopped, starting, running, broken (something is not well) or 'other version'."""

    state: str
    root: Path
    logs: Path
    services: tuple[ServiceStatus, ...]
    memory_mb: float
    fake_hosts: int
    network: str
    broker: str
    agents_door: str
    bridges: tuple[str, ...]
    blocked: bool
    guests: int
    cached_images: tuple[str, ...]
    events: tuple[str, ...]

    def lines(self) -> list[str]:
        """For a person."""
        text = [f"lab: {self.state}   root {self.root}   logs {self.logs}"]
        for s in self.services:
            restarts = f", restarted {s.restarts} times" if s.restarts else ""
            text.append(
                f"  {s.name:<10} {s.state:<9} pid {s.pid:<7} {s.memory_mb:6.0f} MB   up {s.up_seconds:.0f} s{restarts}"
            )
        blocked = "unreachable where no bridge serves it" if self.blocked else "NOT blocked"
        text.append(f"  memory {self.memory_mb:.0f} MB   guests {self.guests}   fake hosts {self.fake_hosts}")
        text.append(f"  network {self.network}   bridges {', '.join(self.bridges) or 'none'}   subnet {blocked}")
        text.append(f"  broker {self.broker}   its agents' door {self.agents_door}")
        text.append(f"  images made: {', '.join(self.cached_images) or 'none'}")
        return text + [f"  {event}" for event in self.events]


def read_status(place: Layout) -> LabStatus:
    """Look at the lab. Needs no rights beyond reading, but others' memory is shown to root only."""
    services = _read_services(place)
    processes = find_processes(place)
    return LabStatus(
        state=_judge(place),
        root=place.root,
        logs=place.logs,
        services=services,
        memory_mb=sum(s.memory_mb for s in services),
        fake_hosts=read_fake_hosts(place),
        network=f"{layout.NETWORK} {layout.SUBNET}",
        broker=broker_settings.URL,
        agents_door=f"http://{layout.GATEWAY}:{broker_settings.AGENTS_PORT}",
        bridges=tuple(network.find_bridges(place)),
        blocked=network.is_subnet_blocked(),
        guests=sum(p.is_guest for p in processes),
        cached_images=tuple(sorted(p.name for p in place.cache.glob("*/*") if p.suffix in (".qcow2", ".iso"))),
        events=_read_events(place),
    )


def _judge(place: Layout) -> str:
    running = read_running(place)
    maker = databases.read_maker(place)
    if maker is None and running is None:
        return "absent"
    if maker != layout.digest_state(place.root) or (running and running.digest != layout.digest_code()):
        return "other version"
    if running is None:
        return "broken" if find_processes(place) else "stopped"
    if running.is_ready():
        return "running"
    restarts = sum(s["restarts"] for s in running.services.values())
    young = time.monotonic() - running.since_monotonic < STARTING_SECONDS
    return "starting" if young and not restarts and not running.stopping else "broken"


def _read_services(place: Layout) -> tuple[ServiceStatus, ...]:
    running = read_running(place)
    if running is None:
        return ()
    now = time.monotonic()
    own = {"pid": running.pid, "state": "ready", "restarts": 0, "since_monotonic": running.since_monotonic}
    return tuple(
        ServiceStatus(
            name=name,
            state=str(said["state"]),
            pid=int(said["pid"]),
            restarts=int(said["restarts"]),
            memory_mb=measure_memory(int(said["pid"])) if said["pid"] else 0.0,
            up_seconds=now - float(said["since_monotonic"]) if said["since_monotonic"] else 0.0,
        )
        for name, said in {"supervisor": own, **running.services}.items()
    )


def _read_events(place: Layout) -> tuple[str, ...]:
    """The last things that somebody should know of: deaths, restarts of the whole."""
    try:
        lines = (place.logs / "events.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    events = []
    for line in lines[-200:]:
        try:
            event = json.loads(line)
        except ValueError:  # the last line of a machine that lost its power
            continue
        if event.get("event") in MENTIONED:
            facts = " ".join(f"{k}={v}" for k, v in event.items() if k not in ("at", "event"))
            events.append(f"{event['at']} {event['event']} {facts}")
    return tuple(events[-RECENT_EVENTS:])
