"""A bench of the lab's stand-in broker: the REST adapter talks to it over HTTPS; each request and answer is held against the interface."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from imagebuild.adapters.leostream_api import LeostreamApi
from imagebuild.adapters.leostream_broker import LeostreamBroker, Reading
from imagebuild.adapters.leostream_centers import Centers
from imagebuild.broker import Seat
from imagebuild.lab.broker.center import CenterSettings
from imagebuild.lab.broker.cloud_view import Look, Machine
from imagebuild.lab.broker.rest import Account, Answer, Request
from imagebuild.lab.broker.service import ServiceSettings, serving
from imagebuild.lab.broker.state import Desktop
from imagebuild.secrets import Secret
from imagebuild.waiting import SystemClock
from tests.contract.broker_bench import DESKTOPS, POOL, Bench
from tests.contract.leostream.shapes import check_answer, check_request
from tests.unit.leostream_wire import PASSWORD, pool_object


class Turning(SystemClock):
    """A clock that hardly waits: the stand-in broker takes a turn instead."""

    def __init__(self) -> None:
        self.turn: Callable[[], None] = lambda: None
        self._ahead = 0.0

    def now(self) -> float:
        """Seconds, with those that were not waited for."""
        return super().now() + self._ahead

    def sleep(self, seconds: float) -> None:
        """Go on after a moment: the stand-in's own time is the wall's."""
        super().sleep(min(seconds, 0.02))
        self._ahead += seconds
        self.turn()


class Watched:
    """A cloud with the pool's desktops and both images."""

    def look(self, *, images: bool = True) -> Look:
        """All of it."""
        return Look(tuple(Machine(f"server of {name}", name) for name in DESKTOPS), ("v1", "v2"))

    def make(self, name: str, image: str, provision: Mapping[str, Any]) -> None:
        """Nobody should."""
        raise AssertionError(f"the broker makes {name}")

    def remove(self, machine: str) -> None:
        """Nobody should."""
        raise AssertionError(f"the broker removes {machine}")


class StandinBench(Bench):
    """`service` is the stand-in itself; its troubles are `service.broker.troubles`, and time goes on with `api.clock`."""

    def __init__(self, folder: Path) -> None:
        told = pool_object(7, POOL)
        pool = {name: told[name] for name in ("name", "notes", "pool_definition", "provision", "domain", "log")}
        settings = ServiceSettings(
            folder=folder,
            accounts=[Account("robot", PASSWORD)],
            pools=[{**pool, "image": "v1"}],
            desktops=DESKTOPS,
            images=("v1",),
            center=CenterSettings(scan_seconds=0.0),
            count_seconds=0.0,
            turn_seconds=3600.0,  # a turn is taken when the bench says so
        )
        self.wrong: list[str] = []
        self._open = ExitStack()
        server, self.service = self._open.enter_context(serving(settings, cloud=Watched()))
        plain = server.answer
        server.answer = lambda request: self._checked(request, plain(request))
        clock = Turning()
        clock.turn = self.service.turn
        self.api = LeostreamApi(
            f"https://127.0.0.1:{server.port}",
            user=Secret("robot"),
            password=Secret(PASSWORD),
            ca_file=folder / "tls" / "ca.pem",
            clock=clock,
        )
        self._open.callback(self.api.close)
        self.broker = LeostreamBroker(self.api, Centers(self.api), reading=Reading(drain="attribute_rule"))

    def _checked(self, request: Request, answer: Answer) -> Answer:
        """In a thread of the server, where nobody sees what is raised. A 503 is whatever stands before the broker."""
        try:
            check_request(request.method, request.path, request.body)
            if answer.status != 503:
                check_answer(request.method, request.path, answer.status, answer.body)
        except AssertionError as wrong:
            self.wrong.append(str(wrong))
        return answer

    def seats(self) -> dict[str, Seat]:
        """After a new counting."""
        self.service.turn()
        return super().seats()

    def put(self, name: str, user: str | None, session: str) -> None:
        """Through the doors that it has for users."""
        seating, state = self.service.broker.seating, self.service.broker.state
        (desktop, *_) = state.named(name)
        if user is None:
            seating.log_out(desktop.user or "")
            return
        seating.log_in_on(user, name)
        if session == "disconnected":
            seating.disconnect(user)
        elif session == "none":
            desktop.user, desktop.session = None, "none"

    def duplicate(self, name: str) -> None:
        """As after a machine was made anew."""
        state = self.service.broker.state
        state.desktops.append(Desktop(state.new_id(), name.upper()))

    def close(self) -> None:
        """Log out and stop it. Raises AssertionError for what was not as the interface has it."""
        self._open.close()
        assert not self.wrong, "\n".join(self.wrong)
