"""Leostream's REST interface as calls: one login, a deadline on each call, patience with a busy broker, one translation of errors.

Paths, fields and error shapes are those of its OpenAPI document "Leostream Connection Broker RESTful API" 1.0; the base path /rest/v1 and
the bearer `sid` are what its published clients use. TLS is verified; the environment's proxies are not for brokers; redirections
are not followed, as the bearer would go with them.
"""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import requests

from imagebuild.adapters.leostream_errors import Answer, make_busy, make_error, make_unreachable
from imagebuild.errors import BrokerError, BrokerUnreachable, DeadlinePassed
from imagebuild.secrets import Secret
from imagebuild.waiting import Clock, Deadline, SystemClock, pause

_BASE = "/rest/v1"
_CONNECT_SECONDS = 10.0
_BUSY = (429, 502, 503, 504)
_PAUSE = 2.0
_PIECE = 65536


class LeostreamApi:
    """The calls of one broker, under one login that is made at the first call and again when the broker has forgotten it."""

    def __init__(
        self,
        url: str,
        *,
        user: Secret,
        password: Secret,
        domain: str | None = None,
        ca_file: Path | None = None,
        seconds: float = 60.0,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self._url = url.rstrip("/") + _BASE
        self._user, self._password, self._domain = user, password, domain
        self._seconds = seconds
        self._sid: Secret | None = None
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(ca_file) if ca_file else True

    def get(self, path: str, *, doing: str, expect: tuple[int, ...] = (), patience: float = 0.0) -> Any:
        """What is under this path; repeated while the broker is busy or silent. `doing` reads on from "could not".

        `patience`: so many seconds an expected answer that may mean no more than busy (503) is asked for again before it is believed.
        """
        return self._call("GET", path, doing=doing, expect=expect, repeat=True, patience=patience)

    def put(self, path: str, body: Mapping[str, Any], *, doing: str) -> None:
        """Store an object. Repeated only while the broker says that it is busy; BrokerUnreachable: nobody knows whether it is stored."""
        self._call("PUT", path, body=body, doing=doing)

    def post(self, path: str, *, doing: str, expect: tuple[int, ...] = ()) -> None:
        """Start something that takes no body; the same caution as with `put`."""
        self._call("POST", path, doing=doing, expect=expect)

    def close(self) -> None:
        """Log out, if anybody has logged in. A session that cannot be ended ends by itself."""
        if self._sid is not None:
            deadline = Deadline.after(min(self._seconds, _CONNECT_SECONDS), self.clock)
            with contextlib.suppress(BrokerError):
                self._ask("POST", "/session/logout", doing="log out", deadline=deadline)
            self._sid = None
        self._session.close()

    def _call(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        body: Mapping[str, Any] | None = None,
        expect: tuple[int, ...] = (),
        repeat: bool = False,
        patience: float = 0.0,
    ) -> Any:
        """One call after a login; with a new login once more, when the broker no longer knows the old one."""
        deadline = Deadline.after(self._seconds, self.clock)

        def ask() -> Answer:
            return self._ask(method, path, doing=doing, body=body, deadline=deadline)

        fresh = self._log_in(deadline)
        believe = deadline.within(patience)
        answer = _persist(ask, doing, deadline=deadline, expect=expect, repeat=repeat, believe=believe)
        if answer.status == 401 and not fresh:
            self._sid = None
            self._log_in(deadline)
            answer = _persist(ask, doing, deadline=deadline, expect=expect, repeat=repeat, believe=believe)
        if answer.status >= 300 and answer.status not in expect:
            raise make_error(doing, answer)
        return answer.json(doing)

    def _log_in(self, deadline: Deadline) -> bool:
        """Have a session; True when it is a new one."""
        if self._sid is not None:
            return False
        doing = "log in to the broker"
        body = {"user_login": self._user.reveal(), "password": self._password.reveal()}
        if self._domain:
            body["domain"] = self._domain
        answer = _persist(
            lambda: self._ask("POST", "/session/login", doing=doing, body=body, deadline=deadline),
            doing,
            deadline=deadline,
            repeat=True,
        )
        if answer.status >= 300:
            raise make_error(doing, answer)
        told = answer.json(doing)
        sid = told.get("sid") if isinstance(told, dict) else None
        if not isinstance(sid, str) or not sid:
            raise BrokerError(
                f"could not {doing}: its answer has no `sid`", hint="is this the broker's REST interface?"
            )
        self._sid = Secret(sid)
        return True

    def _ask(
        self, method: str, path: str, *, doing: str, deadline: Deadline, body: Mapping[str, Any] | None = None
    ) -> Answer:
        """One request. Raises BrokerUnreachable when it stays without a whole answer, BrokerRefused for a certificate."""
        left = max(deadline.left(), 0.1)
        headers = {"Accept": "application/json"}
        if self._sid is not None:
            headers["Authorization"] = f"Bearer {self._sid.reveal()}"
        try:
            with self._session.request(
                method,
                self._url + path,
                json=body,
                headers=headers,
                timeout=(min(left, _CONNECT_SECONDS), left),
                allow_redirects=False,
                stream=True,
            ) as response:
                return Answer(response.status_code, response.headers, _read(response, deadline))
        except (requests.RequestException, DeadlinePassed) as error:
            raise make_unreachable(doing, error) from None


def _persist(
    ask: Callable[[], Answer],
    doing: str,
    *,
    deadline: Deadline,
    repeat: bool,
    expect: tuple[int, ...] = (),
    believe: Deadline | None = None,
) -> Answer:
    """Ask until the broker is no longer busy, as often as it wishes. `repeat`: also when the connection breaks.

    An answer that is expected, and may mean busy as well, is believed from `believe` on.
    """
    while True:
        wait = _PAUSE
        try:
            answer = ask()
            wait = max(_PAUSE, answer.retry_after)
            if answer.status not in _BUSY or (answer.status in expect and (believe is None or believe.left() <= wait)):
                return answer
            error = make_busy(doing, answer)
        except BrokerUnreachable as lost:
            if not repeat:
                raise
            error = lost
        if deadline.left() <= wait:
            raise error
        pause(wait, deadline=deadline)


def _read(response: requests.Response, deadline: Deadline) -> bytes:
    """The whole answer. The time-out of requests is for each piece: a broker that drips would never come to an end."""
    pieces: list[bytes] = []
    for piece in response.iter_content(_PIECE):
        pieces.append(piece)
        if deadline.passed():
            raise DeadlinePassed("the answer did not end in time")
    return b"".join(pieces)
