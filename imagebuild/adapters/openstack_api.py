"""One HTTP call to one OpenStack service: time-outs, patience with a busy service, paging, and the single translation of errors."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from keystoneauth1 import exceptions as keystone

from imagebuild.adapters.openstack_errors import Answer, AnswerLost, ServiceFailed, ServiceMissing, make_error
from imagebuild.adapters.openstack_sdk import exceptions as sdk
from imagebuild.errors import CloudError, CloudRefused, DeadlinePassed
from imagebuild.secrets import hide
from imagebuild.waiting import Clock, Deadline, wait_for

Result = TypeVar("Result")

TIMEOUTS = (10.0, 60.0)  # seconds to connect, seconds between two bytes of an answer
PATIENCE_SECONDS = 90.0
_PAGE = 500
SETTLE_SECONDS = 5.0
_MOST_FAILURES = 4


class Service:
    """One service of the cloud's catalogue.

    `find_adapter` gives keystoneauth's adapter for it (found on the first call: discovery asks the network). Calls that may
    be repeated are repeated for `patience` seconds while the service is busy or does not answer.
    """

    def __init__(
        self,
        name: str,
        find_adapter: Callable[[], Any],
        *,
        clock: Clock,
        microversion: str | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._name = name
        self._find_adapter = find_adapter
        self._clock = clock
        self._microversion = microversion
        self._patience = patience

    def get(
        self,
        path: str,
        *,
        doing: str,
        params: Mapping[str, str] | None = None,
        expect: tuple[int, ...] = (),
        microversion: str | None = None,
    ) -> Answer:
        """A GET, repeated while the service is busy. Statuses in `expect` come back as they are; other errors are raised."""
        return self.call("GET", path, doing=doing, params=params, expect=expect, microversion=microversion, repeat=True)

    def call(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        body: object = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        expect: tuple[int, ...] = (),
        microversion: str | None = None,
        repeat: bool = False,
    ) -> Answer:
        """Any call. `repeat`: doing it twice does no harm, so it is repeated while the service is busy.

        `microversion`: another than the service's own, for this call; VersionMissing when the cloud does not have it.

        AnswerLost: nobody knows whether it was done. `doing` reads on from "could not".
        """

        def ask() -> Answer:
            answer = self._ask(
                method, path, doing=doing, body=body, params=params, headers=headers, microversion=microversion
            )
            if answer.status >= 400 and answer.status not in expect:
                raise make_error(doing, answer)
            if answer.status < 400 and answer.is_cut():
                raise AnswerLost(
                    f"could not {doing}: the answer was cut", hint="the network between here and the cloud"
                )
            return answer

        return persist(ask, f"to {doing}", clock=self._clock, patience=self._patience) if repeat else ask()

    def list(
        self,
        path: str,
        key: str,
        *,
        doing: str,
        params: Mapping[str, str] | None = None,
        microversion: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Every item of a paged listing. Follows the marker, not the links: those may name a host that only the cloud knows."""
        asked = {"limit": str(_PAGE), **(params or {})}
        seen: set[str] = set()
        while True:
            body = self.get(path, doing=doing, params=asked, microversion=microversion).json()
            page: Sequence[dict[str, Any]] = body.get(key) or ()
            fresh = [item for item in page if item["id"] not in seen]
            yield from fresh
            seen.update(item["id"] for item in fresh)
            links = body.get(f"{key}_links") or ()  # Neutron links to the page before as well, on a first page, too
            if not fresh or not (any(link.get("rel") == "next" for link in links) or body.get("next")):
                return
            asked["marker"] = page[-1]["id"]

    def _ask(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        body: object,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        microversion: str | None,
    ) -> Answer:
        sent: dict[str, Any] = {
            "params": dict(params or {}),
            "headers": {"Accept": "application/json", **(headers or {})},
        }
        if body is not None:
            sent["data"] = json.dumps(body)
            sent["headers"].setdefault("Content-Type", "application/json")
        if microversion or self._microversion:
            sent["microversion"] = microversion or self._microversion
        # log=False: keystoneauth would write request bodies, passwords included, to a log that somebody set to DEBUG.
        got = translate(
            lambda: self._find_adapter().request(
                path, method, raise_exc=False, connect_retries=0, timeout=TIMEOUTS, log=False, **sent
            ),
            doing,
            service=self._name,
        )
        return Answer(got.status_code, {name.lower(): value for name, value in got.headers.items()}, got.text)


def persist(ask: Callable[[], Result], what: str, *, clock: Clock, patience: float = PATIENCE_SECONDS) -> Result:
    """Ask again while answers are lost, for `patience` seconds, no sooner than the service wished; then raise the last error.

    A service that fails (500) is asked a few times only.
    """
    last: list[AnswerLost] = []
    not_before = clock.now()
    failures = 0

    def probe() -> Result | None:
        nonlocal not_before, failures
        if clock.now() < not_before:
            return None
        try:
            return ask()
        except AnswerLost as lost:
            failures += isinstance(lost, ServiceFailed)
            if failures >= _MOST_FAILURES:
                raise
            last[:] = [lost]
            not_before = clock.now() + lost.retry_after
            return None

    try:
        return wait_for(probe, what, deadline=Deadline.after(patience, clock), every=0.5, slowest=8.0)
    except DeadlinePassed:
        raise last[0] from None


def find_or_create(
    find: Callable[[], Result | None], create: Callable[[], Result], what: str, *, clock: Clock, is_new: bool = False
) -> Result:
    """What `find` finds, else what `create` makes. It looks before it makes, but for the first time of what `is_new`.

    A cloud that lost our connection may still be at it, so the second look waits a little.
    """
    looks = not is_new

    def once() -> Result:
        nonlocal looks
        found = find() if looks else None
        if found is not None:
            return found
        looks = True
        try:
            return create()
        except AnswerLost as lost:
            if not lost.surely_not_done:
                lost.retry_after = max(lost.retry_after, SETTLE_SECONDS)
            raise

    return persist(once, f"to create {what}", clock=clock)


def translate(call: Callable[[], Result], doing: str, *, service: str) -> Result:
    """Runs a call of openstacksdk or keystoneauth and turns what they raise into our errors."""
    try:
        return call()
    except keystone.HttpError as error:  # only from getting a token or from discovery: raise_exc is off for the rest
        response = error.response
        headers = {name.lower(): value for name, value in (response.headers if response is not None else {}).items()}
        text = response.text if response is not None else str(error)
        raise make_error(doing, Answer(int(error.http_status or 500), headers, text)) from None
    except keystone.EndpointNotFound as error:
        hint = "the cloud does not offer it, or not in this region or interface: see clouds.yaml"
        raise ServiceMissing(f"could not {doing}: the catalogue has no {service} service", hint=hint) from error
    except keystone.SSLError as error:
        raise CloudRefused(
            f"could not {doing}: {hide(str(error))}",
            hint="name the cloud's CA file as `cacert` in clouds.yaml; do not switch verification off",
        ) from None
    except (keystone.ConnectionError, keystone.DiscoveryFailure, keystone.InvalidResponse) as error:
        hint = "is the cloud up, and can this machine reach its address?"
        raise AnswerLost(f"could not {doing}: {hide(str(error))}", hint=hint) from None
    except (keystone.ClientException, sdk.SDKException) as error:
        hint = "check this cloud's entry in clouds.yaml"
        raise CloudError(f"could not {doing}: {hide(str(error))}", hint=hint) from None
