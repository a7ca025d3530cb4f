"""A keystoneauth adapter that answers from a script and remembers what was sent."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from imagebuild.adapters.openstack_api import Service
from tests.fakes.clock import FakeClock


@dataclass
class Response:
    """What requests would hand out."""

    status_code: int
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The body as it came."""
        return self.body if isinstance(self.body, str) else json.dumps(self.body or {})


@dataclass(frozen=True)
class Sent:
    """One request."""

    method: str
    path: str
    body: Any
    options: dict[str, Any]


class Wire:
    """Answers in order; an exception among the answers is raised. Asked for more than it has, it fails the test."""

    def __init__(self, *answers: Response | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[Sent] = []
        self.clock = FakeClock()

    def request(self, path: str, method: str, **options: Any) -> Response:
        """keystoneauth1.adapter.Adapter.request."""
        body = json.loads(options["data"]) if "data" in options else None
        self.sent.append(Sent(method, path, body, options))
        assert self.answers, f"nobody expected {method} {path}"
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def service(self, **options: Any) -> Service:
        """A Service over this wire."""
        find: Callable[[], Any] = lambda: self  # noqa: E731
        return Service("compute", find, clock=self.clock, **options)

    def paths(self) -> list[str]:
        """Method and path of all that was sent."""
        return [f"{sent.method} {sent.path}" for sent in self.sent]
