"""Leostream's REST interface of the stand-in broker: a request in, an answer out, no sockets.

Paths, fields and error shapes are those of the interface that the tool's adapter is written for; tests hold every answer against it. What
the interface leaves open is told as old as the last counting, and as little as it promises.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from imagebuild.lab.broker.connection_broker import ConnectionBroker
from imagebuild.lab.broker.pools import FIELDS

BASE = "/rest/v1"
SID_SECONDS = 12 * 3600.0


@dataclass(frozen=True)
class Request:
    """A request; `path` without the query, `body` is what its JSON says, or None."""

    method: str
    path: str
    body: Any = None
    bearer: str = ""


@dataclass(frozen=True)
class Answer:
    """An answer; `lost`: the work is done, and the connection breaks instead."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    lost: bool = False


@dataclass(frozen=True)
class Account:
    """Who may use the interface. `api`: its role has access; without it, it can log in and nothing more."""

    login: str
    password: str = field(repr=False)
    api: bool = True


class Rest:
    """The interface for these accounts. Logins do not survive a restart."""

    def __init__(self, broker: ConnectionBroker, *accounts: Account, sid_seconds: float = SID_SECONDS) -> None:
        self._broker = broker
        self._accounts = {account.login: account for account in accounts}
        self._sid_seconds = sid_seconds
        self._sids: dict[str, tuple[Account, float]] = {}
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Answer]]] = [
            (method, re.compile(path), answer)
            for method, path, answer in (
                ("GET", "/system/health", self._health),
                ("GET", "/centers", self._list_centers),
                ("GET", r"/centers/(\d+)", self._tell_center),
                ("POST", r"/centers/(\d+)/scan", self._scan),
                ("GET", "/pools", self._list_pools),
                ("POST", "/pools", self._add_pool),
                ("GET", r"/pools/(\d+)", self._tell_pool),
                ("PUT", r"/pools/(\d+)", self._change_pool),
            )
        ]

    def answer(self, request: Request) -> Answer:
        """What is answered to a request below BASE."""
        with self._broker.lock:
            return self._answer(request)

    def _answer(self, request: Request) -> Answer:
        troubles = self._broker.troubles
        if troubles.take("busy"):
            return Answer(503, headers={"Retry-After": str(troubles.busy_seconds)})
        path = request.path.removeprefix(BASE)
        if (request.method, path) == ("POST", "/session/login"):
            return self._log_in(request.body)
        if troubles.take("forget_logins"):
            self._sids.clear()
        account = self._account(request.bearer)
        if account is None:
            return _error(401, "UNAUTHORIZED", "Please log in")
        if (request.method, path) == ("POST", "/session/logout"):
            del self._sids[request.bearer]
            return Answer(200, {"message": "You are logged out"})
        if not account.api:
            return _error(403, "INSUFFICIENT_PERMISSIONS", "Your role does not have access to the API")
        for method, pattern, answer in self._routes:
            found = pattern.fullmatch(path)
            if found and method == request.method:
                return answer(request.body, *map(int, found.groups()))
        return Answer(404)

    def _log_in(self, body: Any) -> Answer:
        told = body if isinstance(body, Mapping) else {}
        missing = [name for name in ("user_login", "password") if not isinstance(told.get(name), str)]
        if missing:
            return _bad_data([_problem(name, "Missing property") for name in missing], missing)
        if not 3 <= len(told["password"]) <= 100:
            return _bad_data([_problem("password", "Expected 3 to 100 characters")])
        account = self._accounts.get(told["user_login"])
        right = hmac.compare_digest(told["password"].encode(), (account.password if account else "").encode())
        if account is None or not right:
            return _error(401, "INVALID_CREDENTIALS", "The user name or the password is wrong")
        if self._broker.troubles.licence_expired:
            return _error(401, "LICENSE_EXPIRED", "The license has expired")
        sid = secrets.token_hex(32)
        self._sids[sid] = account, self._broker.now() + self._sid_seconds
        return Answer(200, {"sid": sid})

    def _account(self, bearer: str) -> Account | None:
        account, until = self._sids.get(bearer, (None, 0.0))
        return account if self._broker.now() < until else None

    def _health(self, _: Any) -> Answer:
        troubles = self._broker.troubles
        if troubles.down:
            return _error(503, "SERVICE_UNAVAILABLE", "Service unavailable")
        runs = not troubles.unwell
        parts: dict[str, Any] = {name: {"msg": "OK", "reachable": 1} for name in ("auth", "db_internal")}
        parts |= {"db_external": None, "redis": {"msg": "OK", "running": 1}}
        parts["load"] = {"msg": "OK", "avg_1": 0.1, "avg_5": 0.1, "avg_15": 0.1}
        parts["work_queue"] = {"msg": "OK" if runs else "not running", "running": int(runs)}
        own = {"hostname": "stand-in-broker", "msg": "OK" if runs else "not OK"}
        return Answer(200, {"components": parts, "broker": own})

    def _list_centers(self, _: Any) -> Answer:
        return Answer(200, [self._broker.center.tell_short()])

    def _tell_center(self, _: Any, number: int) -> Answer:
        center = self._broker.center
        return Answer(200, center.tell()) if number == center.settings.id else Answer(404)

    def _scan(self, _: Any, number: int) -> Answer:
        center = self._broker.center
        if number != center.settings.id:
            return Answer(404)
        if center.scanning:
            return _error(409, "CONFLICT", "The center is being scanned")
        center.begin_scan()
        return Answer(202, {"is_scanning": 1, "job_id": self._broker.state.new_id(), "message": "The scan has begun"})

    def _list_pools(self, _: Any) -> Answer:
        return Answer(200, self._broker.pools.list_all())

    def _tell_pool(self, _: Any, number: int) -> Answer:
        if number not in self._broker.state.pools:
            return Answer(404)
        told = Answer(200, self._broker.pools.tell(number))
        self._surprise("login_after_look", number)
        return told

    def _add_pool(self, body: Any) -> Answer:
        refused = self._refuse(body, None)
        if refused is not None:
            return refused
        return self._stored(self._broker.pools.add(body), body, status=201)

    def _change_pool(self, body: Any, number: int) -> Answer:
        if number not in self._broker.state.pools:
            return Answer(404)
        refused = self._refuse(body, number)
        if refused is not None:
            return refused
        if body.get("id", number) != number:
            return _error(400, "BAD_ID", "The id is not that of this pool")
        troubles = self._broker.troubles
        if not troubles.ignore_saves:
            self._broker.pools.change(number, body, empties=troubles.put_empties)
        self._surprise("login_after_save", number)
        return self._stored(number, body, status=200, lost=troubles.take("lose_answers"))

    def _refuse(self, body: Any, number: int | None) -> Answer | None:
        """What is answered to a pool that cannot be stored."""
        if not isinstance(body, Mapping):
            return _bad_data([_problem("", "Expected an object")])
        missing = [name for name in ("name", "pool_definition") if number is None and name not in body]
        problems = self._broker.pools.problems(body, number)
        if problems:
            return _bad_data(problems, missing)
        if self._broker.pools.is_taken(body.get("name"), number):
            return _error(409, "CONFLICT" if number else "NOT_UNIQUE", "There is a pool of this name")
        return None

    def _stored(self, number: int, body: Mapping[str, Any], *, status: int, lost: bool = False) -> Answer:
        told = self._broker.pools.tell(number)
        unknown = sorted(body.keys() - told.keys() - set(FIELDS))
        return Answer(status, {"stored_data": told, "extra_fields": unknown}, lost=lost)

    def _surprise(self, trouble: str, pool: int) -> None:
        """A user logs in, after what was answered was put together."""
        troubles = self._broker.troubles
        if troubles.take(trouble):
            self._broker.seating.surprise(troubles.login_on, pool)


def _error(status: int, name: str, message: str) -> Answer:
    return Answer(status, {"error_status": name, "error_message": message})


def _bad_data(problems: list[dict[str, str]], missing: list[str] | None = None) -> Answer:
    told: dict[str, Any] = {"error_status": "BAD_DATA", "error_message": "The data is not valid", "errors": problems}
    return Answer(400, told | ({"missing_fields": missing} if missing else {}))


def _problem(path: str, message: str) -> dict[str, str]:
    return {"path": f"/body/{path}".rstrip("/"), "message": message}
