"""What is seen of a roll while a benchmark runs it: its requests on the wire, and how long its desktops are in each phase."""

import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests

from imagebuild.lab.layout import PORTS
from imagebuild.pool.lookout import View
from imagebuild.pool.roll import Roll

TELL_SECONDS = 10.0


@dataclass
class Wire:
    """What goes over it while `watched`: how many requests of each kind, and how long they took together."""

    requests: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Count from here to the end of the block."""
        send = requests.Session.send

        def counted(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            begun, kind = time.monotonic(), kind_of(request)
            try:
                return send(session, request, **options)
            finally:
                self.seconds[kind] += time.monotonic() - begun  # type: ignore[assignment]
                self.requests[kind] += 1

        requests.Session.send = counted  # type: ignore[assignment,method-assign]
        try:
            yield
        finally:
            requests.Session.send = send  # type: ignore[method-assign]


def kind_of(request: requests.PreparedRequest) -> str:
    """The request without what is different for each desktop: `GET nova/servers/ID`."""
    parts = urlsplit(str(request.url))
    service = next((name for name, port in PORTS.items() if port == parts.port), str(parts.port))
    path = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|(?<=/)[0-9a-f]{32}(?=/|$)", "ID", parts.path)
    path = re.sub(r"^/v[0-9.]+(/ID(?=/servers))?", "", path)
    action = next(iter(json.loads(request.body or b"{}")), "") if path.endswith("/action") else ""
    return f"{request.method} {service}{path} {action}".rstrip()


@dataclass
class Progression:
    """When each desktop came to each phase, by its journal: where its time goes."""

    came: dict[str, dict[str, float]] = field(default_factory=dict)
    told_at: float = field(default_factory=time.monotonic)

    def written(self, event: str, facts: dict[str, Any]) -> None:
        """A line of the journal."""
        if event == "desktop" and "phase" in facts:
            self.came.setdefault(facts["name"], {}).setdefault(str(facts["phase"]), time.monotonic())

    def watch(self, roll: Roll, view: View) -> None:
        """A line now and then while it goes."""
        if time.monotonic() - self.told_at >= TELL_SECONDS:
            self.told_at = time.monotonic()
            phases = Counter(one.phase.value for one in roll.log.held.values())
            print(
                f"{view.now:%H:%M:%S}  {', '.join(f'{number} {phase}' for phase, number in phases.items())}", flush=True
            )

    def __str__(self) -> str:
        """The median of every phase, in seconds."""
        spent: dict[str, list[float]] = {}
        for phases in self.came.values():
            for (phase, begun), ended in zip(phases.items(), [*phases.values()][1:], strict=False):
                spent.setdefault(phase, []).append(ended - begun)
        return ", ".join(f"{phase} {statistics.median(each):.1f} s" for phase, each in spent.items())
