"""imagebuild.broker.Broker over programs of the site; what no program is named for, this broker cannot do."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from imagebuild.adapters.broker_limits import Limited
from imagebuild.adapters.hook_programs import Programs
from imagebuild.adapters.seat_rows import read_row
from imagebuild.broker import Cap, Health, PoolSettings, Registration, Seat, distrust_old, one_a_name
from imagebuild.broker_settings import Question
from imagebuild.errors import BrokerError, BrokerRefused

_CAPS: Mapping[Question, Cap] = {
    "seats": Cap.SESSIONS,
    "set-available": Cap.AVAILABILITY,
    "notify": Cap.MESSAGE,
    "release": Cap.RELEASE,
    "forget": Cap.FORGET,
    "set-pool-image": Cap.POOL_IMAGE,
    "set-provisioning": Cap.PROVISIONING,
    "refresh": Cap.SCAN,
    "registrations": Cap.REGISTRATIONS,
}
_SETTINGS = TypeAdapter(PoolSettings)


class CommandBroker(Limited):
    """Each method's docstring says which facts its program gets beside `question`, and what it answers."""

    def __init__(
        self,
        programs: Programs,
        *,
        max_age: timedelta = timedelta(minutes=15),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(
            "a broker by commands", frozenset(cap for question, cap in _CAPS.items() if question in programs)
        )
        self._programs = programs
        self._max_age, self._now = max_age, now

    def health(self) -> Health:
        """Answers {ok, problems}. Without a program nobody says that anything is wrong."""
        if "health" not in self._programs:
            return Health(True, ("no program tells the broker's health",))
        told = self._programs.ask_object("health")
        return Health(told.get("ok") is True, tuple(str(line) for line in told.get("problems") or ()))

    def seats(self, pool: str, *, names: Sequence[str] = ()) -> Sequence[Seat]:
        """{pool, names}; answers a list of rows. What has no time of its own was seen at the moment of the question."""
        asked_at = self._now()
        rows = self._programs.ask_rows("seats", pool=pool, names=list(names))
        seats = (read_row(row, pool, observed_at=asked_at) for row in rows)
        return distrust_old(one_a_name(filter(None, seats)), now=self._now(), max_age=self._max_age)

    def set_available(self, seat: Seat, *, available: bool, reason: str) -> None:
        """{desktop, available, reason}."""
        self._tell("set-available", desktop=_told(seat), available=available, reason=reason)

    def notify(self, seat: Seat, text: str, *, minutes: int) -> None:
        """{desktop, text, minutes}."""
        self._tell("notify", desktop=_told(seat), text=text, minutes=minutes)

    def release(self, seat: Seat) -> None:
        """{desktop}."""
        if seat.session != "none":
            raise BrokerRefused(f"{seat.name} has a session, or nobody knows of one", hint="wait until it has ended")
        self._tell("release", desktop=_told(seat))

    def forget(self, seat: Seat, broker_id: str) -> None:
        """{desktop, id}."""
        if not seat.duplicates or broker_id not in (seat.broker_id, *seat.duplicates):
            raise BrokerRefused(f"{broker_id} is no duplicate of {seat.name}", hint="read the pool's desktops anew")
        self._tell("forget", desktop=_told(seat), id=broker_id)

    def settings(self, pool: str) -> PoolSettings:
        """{pool}; answers the fields of PoolSettings, as far as they are known."""
        if "settings" not in self._programs:
            return PoolSettings(pool=pool)
        told = self._programs.ask_object("settings", pool=pool)
        try:
            return _SETTINGS.validate_json(json.dumps({**told, "pool": pool}), strict=True)
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)]
            words = "the program for settings wrote what is no setting"
            raise BrokerError(words, hint="numbers are numbers, switches true or false", details=wrong) from None

    def set_pool_image(self, pool: str, image_name: str, *, scan: bool = True) -> None:
        """{pool, image_name}; then `settings`, where there is such a program, must tell this image."""
        self._tell("set-pool-image", pool=pool, image_name=image_name)
        stored = self.settings(pool).image_name
        if stored not in (None, image_name):
            words = f"the broker still makes {pool} from {stored}"
            raise BrokerRefused(words, hint="run the programs for set-pool-image and settings by hand and look")

    def set_provisioning(self, pool: str, *, on: bool) -> bool:
        """{pool, on}; answers {before}."""
        self._need("set-provisioning")
        before = self._programs.ask_object("set-provisioning", pool=pool, on=on).get("before")
        if not isinstance(before, bool):
            words = "the program for set-provisioning does not tell how it was before"
            raise BrokerError(words, hint='it answers {"before": true} or {"before": false}')
        return before

    def refresh(self, *, wait: bool = True) -> None:
        """{wait}."""
        self._tell("refresh", wait=wait)

    def registrations(self) -> Sequence[Registration]:
        """Answers a list of {name, address, identity}."""
        self._need("registrations")
        return tuple(
            Registration(str(one["name"]), str(one["address"]), str(one["identity"]) if one.get("identity") else None)
            for one in self._programs.ask_rows("registrations")
            if one.get("name") and one.get("address")
        )

    def _tell(self, question: Question, **facts: object) -> None:
        """A question whose answer is that it was done."""
        self._need(question)
        self._programs.ask(question, **facts)

    def _need(self, question: Question) -> None:
        self.require(_CAPS[question])


def _told(seat: Seat) -> dict[str, object]:
    return {"name": seat.name, "pool": seat.pool, "id": seat.broker_id, "user": seat.assigned_user}
